//! The program as a child process: its streams, its exit code, and its end at the end of the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

/// A running `sockeye`. Dropping it kills the process.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The part of stdout that the test had not read before.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts the program with these variables, and with no others of those that it reads.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(arguments);
        let mut child = command
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        Self {
            stdin: child.stdin.take(),
            stdout: Some(BufReader::new(stdout)),
            stderr: BufReader::new(stderr),
            child,
        }
    }

    /// Runs the program to its end with this input.
    pub(crate) fn run(arguments: &[&str], input: &str) -> Ended {
        let mut program = Self::start(arguments);
        program.say(input);
        program.end_input();
        program.wait()
    }

    /// Writes to stdin, if the program still reads it.
    pub(crate) fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("the input was not ended");
        let _ = stdin.write_all(text.as_bytes());
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Returns stdin, for another thread.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.stdin.take().expect("the input was not ended")
    }

    /// Reads the next line of stdout.
    pub(crate) fn line(&mut self) -> String {
        read_line(self.stdout.as_mut().expect("stdout is open"))
    }

    /// Reads lines of stderr up to one with this text, and returns that line.
    pub(crate) fn log_line(&mut self, text: &str) -> String {
        loop {
            let line = read_line(&mut self.stderr);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Returns the id of the process.
    #[cfg_attr(
        not(unix),
        allow(dead_code, reason = "only tests on Unix and a benchmark need it")
    )]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.expect("kill starts").success());
    }

    /// Closes the reading end of stdout, and waits for the end of the program.
    pub(crate) fn wait_unread(mut self) -> Ended {
        self.stdout = None;
        self.wait()
    }

    /// Waits for the end of the program. Leaves stdin as it is.
    pub(crate) fn wait(mut self) -> Ended {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        thread::scope(|scope| {
            if let Some(stream) = &mut self.stdout {
                scope.spawn(|| stream.read_to_string(&mut stdout).expect("UTF-8"));
            }
            self.stderr.read_to_string(&mut stderr).expect("UTF-8");
        });
        let status = self.child.wait().expect("it ends");
        Ended {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the command of the program with these arguments, and with none of the variables that it reads.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    for name in [
        "all_proxy",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "ws_proxy",
        "wss_proxy",
    ] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    for name in [
        "NO_COLOR",
        "SOCKEYE_BASIC",
        "SOCKEYE_BEARER",
        "SOCKEYE_LOG",
        "SOCKEYE_REDIS",
    ] {
        command.env_remove(name);
    }
    // No test reads or writes the user's history.
    command.env("XDG_STATE_HOME", "/dev/null");
    command.args(arguments).env("COLUMNS", "80");
    command
}

fn read_line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("UTF-8");
    assert!(line.ends_with('\n'), "the stream ended: {line:?}");
    line.trim_end().to_owned()
}

/// A running `sockeye serve`.
pub(crate) struct Server {
    #[cfg_attr(
        not(unix),
        allow(dead_code, reason = "its drop ends the process; tests on Unix use it")
    )]
    pub(crate) program: Program,
    /// `127.0.0.1:PORT`.
    pub(crate) addr: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    pub(crate) fn start_at(addr: &str, arguments: &[&str]) -> Self {
        let all = [&["serve", "--listen", addr], arguments].concat();
        let mut program = Program::start(&all);
        let url = program.line();
        let addr = url
            .strip_prefix("http://")
            .and_then(|url| url.strip_suffix('/'));
        let addr = addr.expect("the first line is the address").to_owned();
        Self { program, addr }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    /// Sends a request, and returns the whole response.
    pub(crate) fn http(&self, method: &str, path: &str, fields: &str) -> String {
        let mut stream = TcpStream::connect(&self.addr).expect("it listens");
        let host = &self.addr;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("UTF-8");
        answer
    }
}
