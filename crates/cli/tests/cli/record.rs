//! `sockeye connect --record`: the content of the file, and secrets that it must not have.

use std::fs;

use crate::option::TestFile;
use crate::peer;
use crate::program::Program;

#[test]
fn a_file_that_exists_is_refused_and_stays_as_it_was() {
    let file = TestFile::new("record-exists");
    fs::write(file.path(), "mine\n").expect("cargo makes the folder");
    // No server listens there: the client refuses the file before it connects.
    let url = "ws://127.0.0.1:1/";
    for path in [file.path(), "/dev/null", "/"] {
        let ended = Program::run(&["connect", "--record", path, url], "hi\n");
        assert_eq!(ended.code, Some(1), "{path}");
        let said = format!(
            "sockeye: cannot record in {path}: the file exists; choose another name, or remove it\n"
        );
        assert_eq!(ended.stderr, said);
    }
    assert_eq!(file.read(), "mine\n");
}

#[cfg(unix)]
#[test]
fn a_link_is_not_followed() {
    let (file, link) = (TestFile::new("record-target"), TestFile::new("record-link"));
    std::os::unix::fs::symlink(file.path(), link.path()).expect("cargo makes the folder");
    let ended = Program::run(
        &["connect", "--record", link.path(), "ws://127.0.0.1:1/"],
        "",
    );
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the file exists"), "{}", ended.stderr);
    assert!(fs::metadata(file.path()).is_err());
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_a_record_and_it_has_no_credentials() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Stdio;

    use crate::program::{Server, command};

    let server = Server::start(&[]);
    let file = TestFile::new("record-secret");
    let url = format!("ws://user:SECRET@{}/echo?token=SECRET", server.addr);
    let program = command(&["connect", "--record", file.path(), "-m", "hi", &url]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "umask 0; exec \"$@\"", "sh"]);
    shell.arg(program.get_program()).args(program.get_args());
    shell.args(["-H", "Cookie: SECRET", "-H", "X-Key: SECRET"]);
    let ended = shell.stdin(Stdio::null()).output().expect("sh starts");
    assert_eq!(ended.status.code(), Some(0));
    let mode = fs::metadata(file.path())
        .expect("it is written")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let record = file.read();
    assert!(!record.contains("SECRET"), "{record}");
    let opened = format!("\"event\":\"opened\",\"url\":\"ws://{}/echo\"", server.addr);
    assert!(record.contains(&opened), "{record}");
}

#[test]
fn characters_that_a_terminal_obeys_are_escaped_in_a_record() {
    let file = TestFile::new("record-escape");
    let (url, serving) = peer::serve(|mut peer| {
        peer.open();
        let text = "\u{9b}2J\u{202e}x\u{feff}";
        let reason = "\u{2066}bye";
        let frame = |kind: u8, payload: &[u8]| {
            let len = u8::try_from(payload.len()).expect("short");
            [&[kind, len], payload].concat()
        };
        peer.write(&frame(0x81, text.as_bytes()));
        peer.write(&frame(0x88, &[&[3, 232], reason.as_bytes()].concat()));
        peer.read_to_end();
    });
    let ended = Program::run(&["connect", "--wait", "--record", file.path(), &url], "");
    serving.join().expect("no panic");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let record = file.read();
    assert!(record.is_ascii(), "{record}");
    assert!(
        record.contains(r#""text":"\u009b2J\u202ex\ufeff""#),
        "{record}"
    );
    assert!(record.contains(r#""reason":"\u2066bye""#), "{record}");
}
