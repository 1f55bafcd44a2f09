//! stdin, stdout and stderr in trouble: full, slow, gone, closed, non-blocking, of the wrong kind. In each case the
//! program ends, with a code that its help lists.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::peer::{self, Peer};
use crate::program::{Server, command};
use crate::terminal::open_terminal;

/// A program with given streams. Dropping it kills the process.
struct Running(Child);

/// A program that runs longer hangs. No test measures time.
const PATIENCE: Duration = Duration::from_secs(60);

impl Running {
    fn start(
        arguments: &[&str],
        stdin: impl Into<Stdio>,
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let mut command = command(arguments);
        Self::spawn(command.stdin(stdin).stdout(stdout).stderr(stderr))
    }

    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }

    /// Waits for the exit code.
    fn code(&mut self) -> Option<i32> {
        let id = self.0.id();
        let (sender, ended) = mpsc::sync_channel::<()>(1);
        let watchdog = thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                signal(id, "KILL");
            }
        });
        let status = self.0.wait().expect("it ends");
        drop(sender);
        watchdog.join().expect("no panic");
        status.code()
    }

    /// Waits for the exit code, and for the output on a piped stderr.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut stderr = self.0.stderr.take().expect("piped");
        let reading = thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).expect("UTF-8");
            said
        });
        let code = self.code();
        (code, reading.join().expect("no panic"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(id: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), id.to_string()])
        .status();
    assert!(sent.expect("kill starts").success());
}

/// Returns the usual arguments of these tests, with a URL.
fn connect<'a>(url: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    [&["connect", "--close-timeout", "1", url], options].concat()
}

/// Returns a full pipe, and the number of bytes in it.
fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    set_blocking(&writer, false);
    let mut len = 0;
    // The capacity of a pipe depends on its pages.
    for size in [4096, 1] {
        while let Ok(written) = writer.write(&vec![b'x'; size]) {
            len += written;
        }
    }
    set_blocking(&writer, true);
    (reader, writer, len)
}

/// Sets whether a descriptor blocks, in all processes that share it.
fn set_blocking(stream: impl std::os::fd::AsFd, blocks: bool) {
    let mut flags = fcntl_getfl(&stream).expect("it is open");
    flags.set(OFlags::NONBLOCK, !blocks);
    fcntl_setfl(&stream, flags).expect("it is open");
}

fn read_only() -> File {
    File::open(env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml").expect("it is there")
}

fn write_only() -> File {
    let file = OpenOptions::new().write(true).open("/dev/null");
    file.expect("it is there")
}

/// A server that returns the client's Close: its first byte and its payload.
type Serving = JoinHandle<(u8, Vec<u8>)>;

/// Starts a server that sends texts of 1,000 bytes without end. The receiver gets a value when the server has sent more
/// than the client can print to a full pipe. The thread returns the client's Close after it has answered.
fn flood() -> (String, mpsc::Receiver<()>, Serving) {
    let (sender, many) = mpsc::sync_channel(1);
    let (url, serving) = peer::serve(move |mut peer| {
        peer.open();
        let is_over = Arc::new(AtomicBool::new(false));
        let flooding = thread::spawn({
            let (mut peer, is_over) = (peer.other(), Arc::clone(&is_over));
            move || {
                let frame = [&b"\x81\x7e\x03\xe8"[..], &[b'y'; 1000]].concat();
                for number in 0_u64.. {
                    if peer.try_write(&frame).is_err() || is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    if number == 1000 {
                        // The test may have ended.
                        let _ = sender.send(());
                    }
                }
            }
        });
        let close = read_close(&mut peer);
        is_over.store(true, Ordering::SeqCst);
        // A client that does not read must end the connection first.
        flooding.join().expect("no panic");
        let _ = peer.try_write(b"\x88\x02\x03\xe8");
        close
    });
    (url, many, serving)
}

/// Skips frames up to the client's Close, and returns that.
fn read_close(peer: &mut Peer) -> (u8, Vec<u8>) {
    loop {
        match peer.read_frame() {
            (0x88, reason) => return (0x88, reason),
            _ => continue,
        }
    }
}

const NORMAL: (u8, &[u8]) = (0x88, &[3, 232]);

fn is_normal(close: Serving) {
    let (kind, reason) = close.join().expect("a Close");
    assert_eq!((kind, reason.as_slice()), NORMAL);
}

#[test]
fn a_signal_ends_a_program_whose_stdout_is_full() {
    for name in ["TERM", "INT", "HUP"] {
        let (url, many, serving) = flood();
        let (reader, writer) = io::pipe().expect("a pipe");
        let (stdin, _open) = io::pipe().expect("a pipe");
        // The test may have been started with SIGHUP ignored, for example by `nohup`.
        let mut defaults = Command::new("env");
        let program = command(&connect(&url, &[]));
        defaults.arg(format!("--default-signal={name}"));
        defaults.arg(program.get_program()).args(program.get_args());
        defaults.stdin(stdin).stdout(writer).stderr(Stdio::piped());
        let mut program = Running::spawn(&mut defaults);
        many.recv().expect("it floods");
        program.signal(name);
        let (code, said) = program.end();
        assert_eq!(code, Some(1), "{name}: {said}");
        let start = "sockeye: cannot write to stdout: its reader does not read; ";
        assert!(said.starts_with(start), "{name}: {said}");
        is_normal(serving);
        drop(reader);
    }
}

#[test]
fn the_end_of_the_input_ends_a_program_whose_stdout_is_full() {
    for options in [&["--wait=0s"][..], &[], &["-m", "hi"]] {
        let (url, many, serving) = flood();
        let (reader, writer) = io::pipe().expect("a pipe");
        let (stdin, open) = io::pipe().expect("a pipe");
        let stderr = Stdio::piped();
        let mut program = Running::start(&connect(&url, options), stdin, writer, stderr);
        many.recv().expect("it floods");
        drop(open);
        let (code, said) = program.end();
        assert_eq!(code, Some(1), "{options:?}: {said}");
        assert!(
            said.contains("its reader does not read"),
            "{options:?}: {said}"
        );
        is_normal(serving);
        drop(reader);
    }
}

#[test]
fn a_count_ends_a_program_whose_stdout_is_full() {
    let (url, _many, serving) = flood();
    let (reader, writer, _) = full_pipe();
    let (stdin, _open) = io::pipe().expect("a pipe");
    let arguments = connect(&url, &["--count", "1"]);
    let mut program = Running::start(&arguments, stdin, writer, Stdio::piped());
    let (code, said) = program.end();
    let lost = "sockeye: cannot write to stdout: its reader does not read; 1001 bytes of messages are lost\n";
    assert_eq!((code, said.as_str()), (Some(1), lost));
    is_normal(serving);
    drop(reader);
}

/// Starts a server that sends one message and closes.
fn greeter() -> (String, Serving) {
    peer::serve(|mut peer| {
        peer.open();
        peer.write(b"\x81\x02hi\x88\x02\x03\xe8");
        peer.read_frame()
    })
}

#[test]
fn a_stdout_that_is_read_late_gets_all_after_the_server_has_closed() {
    let (url, serving) = greeter();
    let (mut reader, writer, len) = full_pipe();
    let (stdin, _open) = io::pipe().expect("a pipe");
    let mut program = Running::start(&connect(&url, &[]), stdin, writer, Stdio::piped());
    is_normal(serving);
    let mut printed = Vec::new();
    reader.read_to_end(&mut printed).expect("a pipe");
    assert_eq!(printed.get(len..), Some(&b"hi\n"[..]));
    assert_eq!(program.end(), (Some(0), String::new()));
}

#[test]
fn a_signal_ends_a_program_that_waits_for_its_stdout() {
    let (url, serving) = greeter();
    let (reader, writer, _) = full_pipe();
    let (stdin, _open) = io::pipe().expect("a pipe");
    let mut program = Running::start(&connect(&url, &[]), stdin, writer, Stdio::piped());
    is_normal(serving);
    program.signal("TERM");
    let (code, said) = program.end();
    let lost =
        "sockeye: cannot write to stdout: its reader does not read; 3 bytes of messages are lost\n";
    assert_eq!((code, said.as_str()), (Some(1), lost));
    drop(reader);
}

#[test]
fn a_second_signal_ends_at_once_a_program_all_of_whose_streams_are_full() {
    let (url, many, serving) = flood();
    let (_out, stdout, _) = full_pipe();
    let (_err, stderr, _) = full_pipe();
    let (stdin, _open) = io::pipe().expect("a pipe");
    let arguments = ["connect", "--close-timeout", "4000000000", "-v", &url];
    let mut program = Running::start(&arguments, stdin, stdout, stderr);
    many.recv().expect("it floods");
    program.signal("TERM");
    // The first signal is handled.
    is_normal(serving);
    program.signal("TERM");
    assert_eq!(program.code(), Some(130));
}

#[test]
fn a_stdout_that_is_gone_ends_in_order() {
    let (url, _many, serving) = flood();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let (stdin, _open) = io::pipe().expect("a pipe");
    let mut program = Running::start(&connect(&url, &[]), stdin, writer, Stdio::piped());
    assert_eq!(program.end(), (Some(0), String::new()));
    is_normal(serving);
}

#[test]
fn a_stdout_that_cannot_be_written_is_exit_code_1_after_a_close() {
    let mut streams = vec![(read_only(), "Bad file descriptor")];
    if cfg!(target_os = "linux") {
        let full = OpenOptions::new().write(true).open("/dev/full");
        streams.push((full.expect("Linux has it"), "No space left on device"));
    }
    for (stdout, why) in streams {
        let (url, _many, serving) = flood();
        let (stdin, _open) = io::pipe().expect("a pipe");
        let mut program = Running::start(&connect(&url, &[]), stdin, stdout, Stdio::piped());
        let (code, said) = program.end();
        assert_eq!(code, Some(1), "{said}");
        let start = format!("sockeye: cannot write to stdout: {why}");
        assert!(said.starts_with(&start), "{said}");
        is_normal(serving);
    }
}

#[test]
fn streams_that_do_not_block_are_waited_for() {
    let server = Server::start(&[]);
    let (url, line) = (server.url("/echo"), "z".repeat(999) + "\n");
    let (stdin, mut input) = io::pipe().expect("a pipe");
    let (mut output, stdout) = io::pipe().expect("a pipe");
    let (mut errors, stderr) = io::pipe().expect("a pipe");
    set_blocking(&stdin, false);
    set_blocking(&stdout, false);
    set_blocking(&stderr, false);
    let mut program = Running::start(&connect(&url, &["-v"]), stdin, stdout, stderr);
    // The handshake is shown before stdin has data.
    let mut first = [0];
    errors.read_exact(&mut first).expect("a line");
    let text = line.repeat(1000);
    let writing = thread::spawn(move || input.write_all(text.as_bytes()));
    let mut printed = String::new();
    output.read_to_string(&mut printed).expect("UTF-8");
    writing.join().expect("no panic").expect("it reads");
    assert!(printed == line.repeat(1000), "{}", printed.len());
    assert_eq!(program.code(), Some(0));
}

#[test]
fn a_stdin_that_cannot_be_read_is_exit_code_1_after_a_close() {
    let folder = File::open("/").expect("it is there");
    for (stdin, why) in [
        (folder, "Is a directory"),
        (write_only(), "Bad file descriptor"),
    ] {
        let (url, serving) = peer::serve(|mut peer| {
            peer.open();
            let close = peer.read_frame();
            peer.write(b"\x88\x02\x03\xe8");
            close
        });
        let (out, err) = (Stdio::piped(), Stdio::piped());
        let mut program = Running::start(&connect(&url, &[]), stdin, out, err);
        let (code, said) = program.end();
        assert_eq!(code, Some(1), "{said}");
        let start = format!("sockeye: cannot read stdin: {why}");
        assert!(said.starts_with(&start), "{said}");
        is_normal(serving);
    }
}

#[test]
fn streams_that_are_closed_at_the_start_are_empty_and_take_all() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let script = format!("exec \"$@\" {closed}");
        let program = command(&connect(&url, &["--wait=0s"]));
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]);
        shell.arg(program.get_program()).args(program.get_args());
        let nothing = || Stdio::from(File::open("/dev/null").expect("it is there"));
        shell.stdin(nothing()).stdout(Stdio::null());
        let mut program = Running::spawn(shell.stderr(Stdio::piped()));
        assert_eq!(program.end(), (Some(0), String::new()), "{closed}");
    }
}

#[test]
fn a_signal_ends_a_program_in_the_middle_of_a_line() {
    let (sender, sent) = mpsc::sync_channel(1);
    let (url, serving) = peer::serve(move |mut peer| {
        peer.open();
        assert_eq!(peer.read_frame(), (0x81, b"one".to_vec()));
        sender.send(()).expect("the test waits");
        let close = peer.read_frame();
        peer.write(b"\x88\x02\x03\xe8");
        close
    });
    let (stdin, mut input) = io::pipe().expect("a pipe");
    input.write_all(b"one\ntw").expect("it reads");
    let (out, err) = (Stdio::piped(), Stdio::piped());
    let mut program = Running::start(&connect(&url, &[]), stdin, out, err);
    sent.recv().expect("a line");
    program.signal("TERM");
    assert_eq!(program.end(), (Some(0), String::new()));
    is_normal(serving);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_is_gone_ends_the_input_and_the_connection() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        peer.write(b"\x81\x02hi");
        let close = read_close(&mut peer);
        peer.write(b"\x88\x02\x03\xe8");
        close
    });
    let (mut near, far) = open_terminal();
    let stream = || far.try_clone().expect("a descriptor");
    let program = connect(&url, &[]);
    let mut program = Running::start(&program, stream(), stream(), Stdio::piped());
    drop(far);
    let mut shown = Vec::new();
    // Both directions work before the terminal goes.
    while !String::from_utf8_lossy(&shown).contains("hi") {
        let mut bytes = [0; 100];
        let len = near.read(&mut bytes).expect("it is open");
        shown.extend_from_slice(&bytes[..len]);
    }
    drop(near);
    let said = "sockeye: connected; Ctrl-D closes\n".to_owned();
    assert_eq!(program.end(), (Some(0), said));
    is_normal(serving);
}

#[test]
fn a_signal_ends_a_program_on_a_terminal_that_is_stopped_by_ctrl_s() {
    let (url, many, serving) = flood();
    let (mut near, far) = open_terminal();
    let stream = || far.try_clone().expect("a descriptor");
    near.write_all(b"\x13").expect("it is open");
    let program = connect(&url, &[]);
    let mut program = Running::start(&program, stream(), stream(), stream());
    many.recv().expect("it floods");
    program.signal("TERM");
    assert_eq!(program.code(), Some(1));
    is_normal(serving);
}

/// Returns kinds of stderr that show nothing.
fn mute_stderrs() -> Vec<(&'static str, Stdio, Option<PipeReader>)> {
    let (full, full_writer, _) = full_pipe();
    let (gone, gone_writer) = io::pipe().expect("a pipe");
    drop(gone);
    let mut streams = vec![
        ("full", full_writer.into(), Some(full)),
        ("gone", gone_writer.into(), None),
        ("read-only", read_only().into(), None),
    ];
    if cfg!(target_os = "linux") {
        let full = OpenOptions::new().write(true).open("/dev/full");
        streams.push(("no space", full.expect("Linux has it").into(), None));
    }
    streams
}

#[test]
fn a_mute_stderr_stops_nothing_and_changes_no_exit_code() {
    let server = Server::start(&[]);
    let (echo, nowhere) = (server.url("/echo"), server.url("/nowhere"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let absent = format!("ws://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    for (url, options, code, printed) in [
        (&echo, &["-v", "-w", "-m", "hi"][..], 0, "hi\n"),
        (
            &echo,
            &["--ping", "1ms", "--count", "1", "-m", "hi"],
            0,
            "hi\n",
        ),
        (&echo, &["-m", "close 4001 x"], 4, ""),
        (&echo, &["--count", "2", "--wait=0s", "-m", "hi"], 5, "hi\n"),
        (&nowhere, &[], 3, ""),
        (&absent, &["--retry=1"], 1, ""),
    ] {
        for (name, stderr, _reader) in mute_stderrs() {
            let stdin = Stdio::null();
            let arguments = connect(url, options);
            let mut program = Running::start(&arguments, stdin, Stdio::piped(), stderr);
            assert_eq!(program.code(), Some(code), "{name}: {options:?}");
            let mut stdout = program.0.stdout.take().expect("piped");
            let mut said = String::new();
            stdout.read_to_string(&mut said).expect("UTF-8");
            // With a wait of 0 s, the deadline may pass before the echo comes.
            if code != 5 {
                assert_eq!(said, printed, "{name}: {options:?}");
            }
        }
    }
}

#[test]
fn a_signal_ends_a_program_whose_stderr_is_full() {
    for name in ["TERM", "INT"] {
        let (url, serving) = peer::serve(|mut peer| {
            peer.open();
            // More Pings than the lines that fit into a pipe.
            for _ in 0..50 {
                let (kind, payload) = peer.read_frame();
                assert_eq!(kind, 0x89);
                let len = u8::try_from(payload.len()).expect("short");
                peer.write(&[&[0x8a, len], &payload[..]].concat());
            }
            peer
        });
        let (_reader, stderr, _) = full_pipe();
        let (stdin, _open) = io::pipe().expect("a pipe");
        let arguments = connect(&url, &["-v", "--ping", "1ms"]);
        let mut program = Running::start(&arguments, stdin, Stdio::piped(), stderr);
        let mut peer = serving.join().expect("Pings go on");
        program.signal(name);
        assert_eq!(read_close(&mut peer), (NORMAL.0, NORMAL.1.to_vec()));
        peer.write(b"\x88\x02\x03\xe8");
        // The server keeps the connection open. The client has the Close, and ends it after the close timeout.
        assert_eq!(program.code(), Some(0));
        drop(peer);
    }
}

#[test]
fn a_server_stops_in_order_with_any_stdout() {
    // Only this test binds ports of this address.
    let listener = TcpListener::bind("127.0.0.3:0").expect("a free port");
    let addr = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let (_reader, full, _) = full_pipe();
    for stdout in [Stdio::from(full), read_only().into()] {
        let arguments = ["serve", "--listen", &addr];
        let mut server = Running::start(&arguments, Stdio::null(), stdout, Stdio::null());
        while std::net::TcpStream::connect(&addr).is_err() {
            assert_eq!(server.0.try_wait().expect("a child"), None, "it runs");
            thread::yield_now();
        }
        let url = format!("ws://{addr}/echo");
        let arguments = connect(&url, &["-m", "hi"]);
        let mut client = Running::start(&arguments, Stdio::null(), Stdio::piped(), Stdio::piped());
        assert_eq!(client.end(), (Some(0), String::new()));
        server.signal("TERM");
        assert_eq!(server.code(), Some(0));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn help_and_manuals_that_cannot_be_written_are_exit_code_1() {
    for arguments in [&["man"][..], &["completions", "bash"], &["--help"]] {
        let full = OpenOptions::new().write(true).open("/dev/full");
        let full = full.expect("Linux has it");
        let mut program = Running::start(arguments, Stdio::null(), full, Stdio::piped());
        assert_eq!(program.end().0, Some(1), "{arguments:?}");
        let (reader, gone) = io::pipe().expect("a pipe");
        drop(reader);
        let mut program = Running::start(arguments, Stdio::null(), gone, Stdio::piped());
        assert_eq!(program.end().0, Some(0), "{arguments:?}");
    }
}
