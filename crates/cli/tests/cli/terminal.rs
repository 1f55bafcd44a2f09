//! `sockeye connect` on a terminal: its output, and its prompt.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{InputModes, LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::peer;
use crate::program::{Server, command};

/// A program whose three streams are a terminal, 40 columns wide. Dropping it kills the process.
struct Terminal {
    near: File,
    far: File,
    child: Child,
    bytes: mpsc::Receiver<Vec<u8>>,
    shown: String,
}

/// Output that takes longer never comes. No test measures time.
const PATIENCE: Duration = Duration::from_secs(30);

impl Terminal {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::run(command(arguments).envs(variables.iter().copied()))
    }

    fn run(command: &mut Command) -> Self {
        let (near, far) = open_terminal();
        let stream = || far.try_clone().expect("a descriptor");
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm");
        }
        let child = command
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn();
        let mut reader = near.try_clone().expect("a descriptor");
        let (sender, bytes) = mpsc::sync_channel(16);
        thread::spawn(move || {
            let mut read = [0; 1024];
            while let Ok(len) = reader.read(&mut read) {
                if len == 0 || sender.send(read[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            near,
            child: child.expect("the program starts"),
            far,
            bytes,
            shown: String::new(),
        }
    }

    /// Starts a program on its controlling terminal. Only that terminal sends signals for Ctrl-C and for another size.
    /// `setsid` of util-linux makes it the controlling one.
    #[cfg(target_os = "linux")]
    fn start_controlling(arguments: &[&str]) -> Self {
        let program = command(arguments);
        let mut controlled = Command::new("setsid");
        // Under `nohup` the tests ignore SIGHUP, and the program would do so too.
        controlled
            .args(["--ctty", "env", "--default-signal=HUP"])
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => controlled.env(name, value),
                None => controlled.env_remove(name),
            };
        }
        Self::run(&mut controlled)
    }

    /// Whether the terminal itself edits and shows lines.
    fn has_lines(&self) -> bool {
        let lines = LocalModes::ICANON | LocalModes::ECHO;
        let mode = tcgetattr(&self.far).expect("a terminal");
        let has_lines = mode.local_modes.contains(lines);
        assert_eq!(has_lines, mode.input_modes.contains(InputModes::ICRNL));
        has_lines
    }

    /// Waits until the terminal passes on each key.
    fn loses_lines(&self) {
        while self.has_lines() {
            thread::yield_now();
        }
    }

    /// Types in a thread: a terminal takes no more bytes until the program reads some.
    fn type_much(&mut self, text: String) -> thread::JoinHandle<()> {
        let mut near = self.near.try_clone().expect("a descriptor");
        thread::spawn(move || near.write_all(text.as_bytes()).expect("it is open"))
    }

    /// Starts a shell with job control on its controlling terminal. The shell runs `script`, in which `$sockeye` is the
    /// command of the client.
    #[cfg(target_os = "linux")]
    fn start_in_shell(url: &str, script: &str) -> Self {
        let program = command(&["connect", url]);
        let mut shell = Command::new("setsid");
        shell.args(["--ctty", "sh", "-mc", script]);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let path = program.get_program().to_str().expect("UTF-8");
        Self::run(shell.env("sockeye", format!("{path} connect {url}")))
    }

    fn type_in(&mut self, text: &str) {
        self.near.write_all(text.as_bytes()).expect("it is open");
    }

    /// Reads until this text is shown. Returns all output up to its end.
    fn shows(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                return self.shown.drain(..at + text.len()).collect();
            }
            let more = self.bytes.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Sends a signal to the program, which has replaced `setsid`.
    #[cfg(target_os = "linux")]
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.expect("kill starts").success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

/// Returns both ends of a terminal that is 40 columns wide: the test's end, and the program's end.
pub(crate) fn open_terminal() -> (File, File) {
    // If a program inherited this end, the terminal would stay open.
    #[cfg(target_os = "linux")]
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let near = openpt(flags).expect("a terminal");
    grantpt(&near).expect("a terminal");
    unlockpt(&near).expect("a terminal");
    let name = ptsname(&near, Vec::new()).expect("it has a name");
    let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let far = OpenOptions::new().read(true).write(true).open(name);
    let far = far.expect("it is unlocked");
    resize(&far, 40);
    (File::from(near), far)
}

/// Sets the width of a terminal, in columns.
fn resize(terminal: &File, columns: u16) {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("a terminal");
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Erases the row of the prompt.
const ROW: &str = "\r\u{1b}[K";

/// Sequences that switch bracketed paste on and off, and the markers around a paste.
const PASTE_ON: &str = "\u{1b}[?2004h";
const PASTE_OFF: &str = "\u{1b}[?2004l";
const PASTE: &str = "\u{1b}[200~";
const PASTE_END: &str = "\u{1b}[201~";

#[test]
fn what_is_typed_is_answered_in_colour_and_ctrl_d_closes() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&["connect", &server.url("/echo")], &[]);
    terminal.shows("sockeye: connected; Ctrl-D closes\r\n> \r\u{1b}[2C");
    assert!(!terminal.has_lines());
    // Ctrl-V inserts an escape character, which is shown as text.
    terminal.type_in("hi\u{16}\u{1b}[2J\n");
    terminal.shows(&format!("{ROW}> hi\\u{{1b}}[2J\r\n"));
    terminal.shows("\u{1b}[36mhi\\u{1b}[2J\u{1b}[0m\r\n> ");
    terminal.type_in("\u{4}");
    terminal.shows(&format!("{ROW}sockeye: closed: 1000\r\n"));
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(terminal.has_lines());
}

#[test]
fn no_color_is_obeyed() {
    let server = Server::start(&[]);
    let variables = [("NO_COLOR", "1")];
    let mut terminal = Terminal::start(&["connect", &server.url("/echo")], &variables);
    terminal.shows("Ctrl-D closes\r\n");
    terminal.type_in("hi\n");
    // Once as typed, and once as received.
    terminal.shows("> hi\r\n");
    let shown = terminal.shows("hi\r\n");
    assert!(shown.ends_with(&format!("{ROW}hi\r\n")), "{shown:?}");
    assert!(!shown.contains('m'), "{shown:?}");
}

#[test]
fn what_comes_while_a_line_is_typed_stands_above_it() {
    let (go, wait) = mpsc::sync_channel(1);
    let (url, serving) = peer::serve(move |mut peer| {
        peer.open();
        wait.recv().expect("the test goes on");
        peer.write(b"\x81\x05\x1b[2Jx");
        assert_eq!(peer.read_frame(), (0x81, b"half done".to_vec()));
        peer.write(b"\x88\x02\x03\xe8");
    });
    let mut terminal = Terminal::start(&["connect", "--deflate", "off", &url], &[]);
    terminal.type_in("half");
    terminal.shows("> half\r\u{1b}[6C");
    go.send(()).expect("the peer waits");
    let message = "\u{1b}[36m\\u{1b}[2Jx\u{1b}[0m\r\n";
    terminal.shows(&format!("{ROW}{message}> half\r\x1b[6C"));
    terminal.type_in(" done\n");
    terminal.shows(&format!("{ROW}> half done\r\n"));
    serving.join().expect("no panic");
}

#[test]
fn a_line_is_edited_and_its_part_around_the_cursor_is_shown() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&["connect", &server.url("/echo")], &[]);
    terminal.shows("> ");
    // Four steps left, and a letter; then to the start, and another letter.
    terminal.type_in("sokeye\u{1b}[D\u{1b}[D\u{1b}[D\u{1b}[Dc\u{1}>");
    terminal.shows("> >sockeye\r\u{1b}[3C");
    terminal.type_in("\u{7f}\u{4}S\u{5}!\u{7f}?\n");
    terminal.shows("> Sockeye?\r\n");
    terminal.shows("\u{1b}[36mSockeye?\u{1b}[0m\r\n");
    let long = format!("{}{}", "a".repeat(50), "b".repeat(20));
    terminal.type_in(&long);
    let seen = &long[long.len() - 37..];
    terminal.shows(&format!("> {seen}\r\x1b[39C"));
    terminal.type_in("\n");
    terminal.shows(&format!("{ROW}> {long}\r\n"));
}

#[test]
fn what_was_said_comes_back_by_the_arrow_and_in_the_next_run() {
    let folder = format!(
        "{}/history-{}",
        env!("CARGO_TARGET_TMPDIR"),
        std::process::id()
    );
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let variables = [("XDG_STATE_HOME", folder.as_str())];
    let mut terminal = Terminal::start(&["connect", &url], &variables);
    terminal.type_in("one\ntwo\n");
    terminal.shows("\u{1b}[36mtwo\u{1b}[0m\r\n");
    terminal.type_in("draft\u{1b}[A\u{1b}[A");
    terminal.shows("> one\r");
    terminal.type_in("\u{1b}[B\u{1b}[B");
    terminal.shows("> draft\r");
    drop(terminal);
    let mut terminal = Terminal::start(&["connect", &url], &variables);
    terminal.type_in("\u{10}\n");
    terminal.shows("> two\r\n");
    terminal.shows("\u{1b}[36mtwo\u{1b}[0m\r\n");
    std::fs::remove_dir_all(folder).expect("it was made");
}

#[test]
fn the_end_of_the_connection_ends_the_program_while_a_line_is_typed() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&["connect", &server.url("/echo")], &[]);
    terminal.type_in("close 1000 over\nhalf a li");
    terminal.shows(&format!("{ROW}sockeye: closed: 1000 over\r\n"));
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(terminal.has_lines());
}

#[test]
fn a_connection_that_is_made_anew_has_the_line_still() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&["connect", "--retry", &server.url("/echo")], &[]);
    terminal.type_in("close 1012 back\nhalf");
    terminal.shows(&format!(
        "{ROW}sockeye: the peer closed with 1012 back; again in "
    ));
    terminal.shows("connected; Ctrl-D closes\r\n> half\r\u{1b}[6C");
    terminal.type_in(" done\n");
    terminal.shows("\u{1b}[36mhalf done\u{1b}[0m\r\n");
}

#[test]
fn what_is_not_of_the_form_asked_for_may_be_typed_again() {
    let server = Server::start(&[]);
    let arguments = [
        "connect",
        "--input",
        "hex",
        "--binary",
        "hex",
        &server.url("/echo"),
    ];
    let mut terminal = Terminal::start(&arguments, &[]);
    terminal.type_in("0\n");
    terminal.shows(&format!(
        "{ROW}sockeye: the line is not hexadecimal, and was not sent\r\n> "
    ));
    terminal.type_in("00ff\n");
    terminal.shows("\u{1b}[36m00ff\u{1b}[0m\r\n");
}

#[cfg(target_os = "linux")]
#[test]
fn the_prompt_is_as_wide_as_the_terminal_becomes() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start_controlling(&["connect", &server.url("/echo")]);
    let long = format!("{}{}", "a".repeat(30), "b".repeat(20));
    terminal.type_in(&long);
    terminal.shows(&format!("> {}\r\x1b[39C", &long[long.len() - 37..]));
    for (columns, part) in [(60, &long[..]), (20, &long[long.len() - 17..])] {
        resize(&terminal.far, columns);
        let cursor = "> ".len() + part.len();
        terminal.shows(&format!("\r\x1b[J> {part}\r\x1b[{cursor}C"));
    }
    terminal.type_in("\n");
    terminal.shows(&format!("{ROW}> {long}\r\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_closes_and_a_second_one_ends_at_once_with_the_terminal_as_it_was() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        assert_eq!(peer.read_frame(), (0x88, vec![3, 232]));
        // The server never answers the Close.
        peer.read_to_end();
    });
    let mut terminal =
        Terminal::start_controlling(&["connect", "--close-timeout", "4000000000", &url]);
    terminal.type_in("half");
    terminal.shows("> half\r\u{1b}[6C");
    terminal.type_in("\u{3}");
    terminal.shows(ROW);
    terminal.type_in("\u{3}");
    assert_eq!(terminal.exit_code(), Some(130));
    assert!(terminal.has_lines());
    serving.join().expect("no panic");
}

#[test]
fn json_is_indented_and_bytes_are_counted() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let mut terminal = Terminal::start(&["connect", "--json", "-m", "{\"a\":[1]}", &url], &[]);
    terminal.shows("{\r\n  \"a\": [\r\n    1\r\n  ]\r\n}");
    let bytes = ["connect", "--input", "hex", "-m", "00ff", &url];
    Terminal::start(&bytes, &[]).shows("<2 bytes>");
}

#[test]
fn a_paste_of_several_lines_is_one_message() {
    let (go, wait) = mpsc::sync_channel(1);
    let (url, serving) = peer::serve(move |mut peer| {
        peer.open();
        wait.recv().expect("the test goes on");
        peer.write(b"\x81\x03hey");
        assert_eq!(
            peer.read_frame(),
            (0x81, b"{\n \"a\": 1\r\n}\n\x1b[31m.".to_vec())
        );
        peer.write(b"\x88\x02\x03\xe8");
    });
    let mut terminal = Terminal::start(&["connect", "--deflate", "off", &url], &[]);
    terminal.shows(PASTE_ON);
    // A message arrives during a paste.
    terminal.type_in(&format!("{PASTE}{{\r \"a\": 1\r"));
    terminal.shows("> (10 bytes of a paste)");
    go.send(()).expect("the peer waits");
    terminal.shows("hey\u{1b}[0m\r\n");
    terminal.type_in("\n}\n\u{1b}[31m");
    terminal.type_in(&format!("{PASTE_END}.\r"));
    terminal.shows("> {\\n \"a\": 1\\r\\n}\\n\\u{1b}[31m.\r\n");
    serving.join().expect("no panic");
    terminal.shows(PASTE_OFF);
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(terminal.has_lines());
}

#[test]
fn a_line_of_any_size_is_sent_whole() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&["connect", &server.url("/echo")], &[]);
    terminal.shows(PASTE_ON);
    let typed = "x".repeat(100_007);
    let pasted = "y\r".repeat(50_000);
    for (keys, message) in [
        (format!("{typed}!\r"), format!("{typed}!")),
        (
            format!("{PASTE}{pasted}{PASTE_END}!\r"),
            format!("{}!", "y\\n".repeat(50_000)),
        ),
    ] {
        let typing = terminal.type_much(keys);
        // The shown line is cut, and the message is not.
        terminal.shows("... (100");
        terminal.shows(&format!("\u{1b}[36m{message}\u{1b}[0m\r\n"));
        typing.join().expect("no panic");
    }
}

#[test]
fn a_line_that_is_typed_before_there_is_a_connection_is_sent_whole() {
    let (go, wait) = mpsc::sync_channel(1);
    let (url, serving) = peer::serve(move |mut peer| {
        wait.recv().expect("the test goes on");
        peer.open();
        peer.read_long_frame()
    });
    let mut terminal = Terminal::start(&["connect", "--deflate", "off", &url], &[]);
    terminal.loses_lines();
    let typing = terminal.type_much(format!("{}\r", "x".repeat(100_008)));
    go.send(()).expect("the peer waits");
    terminal.shows("... (100008 bytes)");
    assert_eq!(
        serving.join().expect("no panic"),
        "x".repeat(100_008).into_bytes()
    );
    typing.join().expect("no panic");
}

#[test]
fn a_line_that_is_too_long_or_not_utf_8_is_refused_with_an_error() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        assert_eq!(peer.read_frame(), (0x81, b"sent".to_vec()));
        peer.write(b"\x88\x02\x03\xe8");
    });
    let mut terminal = Terminal::start(&["connect", "--deflate", "off", &url], &[]);
    terminal.shows(PASTE_ON);
    let refused = ", and was not sent; press Enter for a new line\r\n";
    // The whole line is refused.
    let long = "x".repeat((16 << 20) + 1000);
    let typing = terminal.type_much(format!("{PASTE}{long}{PASTE_END}more\r"));
    terminal.shows(&format!("sockeye: the line is longer than 16 MiB{refused}"));
    typing.join().expect("no panic");
    terminal.near.write_all(b"a\xffb\r").expect("it is open");
    terminal.shows(&format!("sockeye: the line is not UTF-8{refused}"));
    terminal.type_in("sent\r");
    serving.join().expect("no panic");
}

#[test]
fn a_line_that_a_terminal_cuts_is_refused() {
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        assert_eq!(peer.read_frame(), (0x81, b"short".to_vec()));
        assert_eq!(peer.read_frame(), (0x88, vec![3, 232]));
        peer.write(b"\x88\x02\x03\xe8");
    });
    let variables = [("TERM", "dumb")];
    let mut terminal = Terminal::start(&["connect", "--deflate", "off", &url], &variables);
    let typing = terminal.type_much(format!("short\n{}\n", "x".repeat(10_000)));
    terminal.shows("sockeye: line 2 of stdin may be cut: the terminal takes at most");
    assert_eq!(terminal.exit_code(), Some(1));
    serving.join().expect("no panic");
    typing.join().expect("no panic");
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_z_leaves_the_terminal_to_the_shell_and_fg_takes_it_back() {
    let server = Server::start(&[]);
    // After each stop the shell reads a line.
    let script = "$sockeye; echo stopped; read line; fg; echo again; read line; fg; echo over";
    let mut terminal = Terminal::start_in_shell(&server.url("/echo"), script);
    terminal.shows(PASTE_ON);
    for stopped in ["stopped\r\n", "again\r\n"] {
        terminal.type_in("half");
        terminal.shows("half\r\u{1b}[");
        assert!(!terminal.has_lines());
        terminal.type_in("\u{1a}");
        terminal.shows(&format!("{PASTE_OFF}{ROW}"));
        terminal.shows(stopped);
        assert!(terminal.has_lines());
        terminal.type_in("go\n");
        terminal.shows("\r\u{1b}[J> ");
        terminal.shows(PASTE_ON);
        assert!(!terminal.has_lines());
    }
    terminal.type_in("\r");
    terminal.shows("\u{1b}[36mhalfhalf\u{1b}[0m\r\n");
    terminal.type_in("\u{4}");
    terminal.shows("over\r\n");
    assert!(terminal.has_lines());
}

#[cfg(target_os = "linux")]
#[test]
fn in_the_background_it_goes_on_without_the_terminal_and_can_be_ended() {
    let server = Server::start(&[]);
    // `wait` also returns when the job stops. 0 is the exit code of an orderly end.
    let script = "$sockeye; bg; echo background; kill %1; wait %1; echo over $?";
    let mut terminal = Terminal::start_in_shell(&server.url("/echo"), script);
    terminal.shows(PASTE_ON);
    terminal.type_in("\u{1a}");
    terminal.shows("background\r\n");
    assert!(terminal.has_lines());
    terminal.shows("over 0\r\n");
    assert!(terminal.has_lines());
}

#[cfg(target_os = "linux")]
#[test]
fn every_signal_leaves_the_terminal_as_it_was() {
    for (signal, code) in [("INT", 0), ("TERM", 0), ("HUP", 0), ("QUIT", 131)] {
        let server = Server::start(&[]);
        let mut terminal = Terminal::start_controlling(&["connect", &server.url("/echo")]);
        terminal.type_in("half");
        terminal.shows("> half\r\u{1b}[6C");
        assert!(!terminal.has_lines());
        terminal.signal(signal);
        terminal.shows(PASTE_OFF);
        assert_eq!(terminal.exit_code(), Some(code), "{signal}");
        assert!(terminal.has_lines(), "{signal}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stop_that_no_program_can_see_is_mended_when_it_is_continued() {
    use rustix::termios::{OptionalActions, tcsetattr};

    let server = Server::start(&[]);
    let mut terminal = Terminal::start_controlling(&["connect", &server.url("/echo")]);
    terminal.type_in("half");
    terminal.shows("> half\r\u{1b}[6C");
    terminal.signal("STOP");
    // A shell does the same.
    let mut lines = tcgetattr(&terminal.far).expect("a terminal");
    lines
        .local_modes
        .insert(LocalModes::ICANON | LocalModes::ECHO);
    lines.input_modes.insert(InputModes::ICRNL);
    tcsetattr(&terminal.far, OptionalActions::Now, &lines).expect("a terminal");
    assert!(terminal.has_lines());
    terminal.signal("CONT");
    terminal.shows("\r\u{1b}[J> half\r\u{1b}[6C");
    assert!(!terminal.has_lines());
    terminal.type_in("\u{3}");
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(terminal.has_lines());
}
