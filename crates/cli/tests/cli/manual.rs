//! `sockeye completions` and `sockeye man`.

use crate::program::Program;

#[test]
fn each_shell_is_told_the_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = Program::run(&["completions", shell], "");
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{shell}"
        );
        for option in ["listen", "subprotocol"] {
            assert!(ended.stdout.contains(option), "{shell}: {option}");
        }
    }
    assert_eq!(Program::run(&["completions", "tcsh"], "").code, Some(2));
}

#[test]
fn the_manual_page_has_each_command_with_its_options_and_exit_codes() {
    let ended = Program::run(&["man"], "");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for part in [
        ".TH sockeye 1",
        ".SH SOCKEYE SERVE",
        ".SH SOCKEYE CONNECT",
        ".SH SOCKEYE PUBLISH",
        "subprotocol",
        "Exit codes:",
    ] {
        assert!(ended.stdout.contains(part), "{part}");
    }
}
