//! `sockeye connect` on a terminal: what it prints for a person, who types.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Child;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::{Server, command};

/// A program whose three streams are a terminal. Killed when it is dropped.
struct Terminal {
    near: File,
    child: Child,
    shown: String,
}

impl Terminal {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&near).expect("a terminal");
        unlockpt(&near).expect("a terminal");
        let name = ptsname(&near, Vec::new()).expect("it has a name");
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let far = OpenOptions::new().read(true).write(true).open(name);
        let far = far.expect("it is unlocked");
        let stream = || far.try_clone().expect("a descriptor");
        let child = command(arguments)
            .envs(variables.iter().copied())
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn();
        Self {
            near: near.into(),
            child: child.expect("the program starts"),
            shown: String::new(),
        }
    }

    fn type_in(&mut self, text: &str) {
        self.near.write_all(text.as_bytes()).expect("it is open");
    }

    /// Reads until this is shown, and gives what was shown up to its end.
    fn shows(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                return self.shown.drain(..at + text.len()).collect();
            }
            let mut bytes = [0; 1024];
            let read = self.near.read(&mut bytes).expect("it shows more");
            assert_ne!(read, 0, "the terminal ended: {:?}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_typed_is_answered_in_colour_and_ctrl_d_closes() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&["connect", &server.url("/echo")], &[]);
    terminal.shows("sockeye: connected; Ctrl-D closes\r\n");
    // The terminal shows what is typed by itself; an escape comes back as text.
    terminal.type_in("hi\u{16}\u{1b}[2J\n");
    terminal.shows("\u{1b}[36mhi\\u{1b}[2J\u{1b}[0m\r\n");
    terminal.type_in("\u{4}");
    terminal.shows("sockeye: closed: 1000\r\n");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn no_color_is_obeyed() {
    let server = Server::start(&[]);
    let variables = [("NO_COLOR", "1")];
    let mut terminal = Terminal::start(&["connect", &server.url("/echo")], &variables);
    terminal.shows("Ctrl-D closes\r\n");
    terminal.type_in("hi\n");
    // Once as it was typed, and once as it came.
    let shown = terminal.shows("hi\r\n") + &terminal.shows("hi\r\n");
    assert_eq!(shown, "hi\r\nhi\r\n");
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
