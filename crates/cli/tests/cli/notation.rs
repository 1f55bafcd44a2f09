//! The notation of messages on stdout and stdin: the output of one program is the input of another.

use crate::program::{Ended, Program, Server};

/// Runs the client against `/echo` with these options.
fn echo(server: &Server, options: &[&str], input: &str) -> Ended {
    let url = server.url("/echo");
    let ended = Program::run(&[&["connect", &url], options].concat(), input);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

/// Returns the values that `--json` prints, one for each message.
fn messages(ended: &Ended) -> Vec<serde_json::Value> {
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Texts that are not JSON.
const TEXTS: [&str; 10] = [
    "a\nb",
    r"a\nb",
    "\"a\nb\"",
    r#"["\x"]"#,
    "C:\\new\\dir",
    "SEND\ndestination:/a\n\n\u{1}",
    "a\r\n",
    "",
    "\u{1b}[2J\u{9b}\u{2028}",
    "not JSON: {\"a\": \"\\n\"}",
];

#[test]
fn each_text_has_a_line_of_its_own_and_is_read_back_from_it() {
    let server = Server::start(&[]);
    let given: Vec<_> = TEXTS.iter().flat_map(|text| ["-m", text]).collect();
    for (output, input) in [(&[][..], "escaped"), (&["--json"], "json")] {
        let printed = echo(&server, &[&given, output].concat(), "").stdout;
        let mut lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.len(), TEXTS.len(), "{printed}");
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), TEXTS.len(), "{printed}");
        let again = echo(&server, &["--input", input, "--json"], &printed);
        assert_eq!(messages(&again), TEXTS, "{input}");
        let again = echo(&server, &[&["--input", input], output].concat(), &printed);
        assert_eq!(again.stdout, printed);
    }
}

#[test]
fn pretty_json_is_one_line_that_jq_reads() {
    let server = Server::start(&[]);
    let pretty = "{\n  \"a\": \"x\\ny\",\n  \"b\": [1, 2.50]\n}\n";
    let printed = echo(&server, &["-m", pretty], "").stdout;
    assert_eq!(printed, "{\"a\":\"x\\ny\",\"b\":[1,2.50]}\n");
    let as_it_came = r#"{ "a": "x\ny", "path": "C:\\new" }"#;
    let printed = echo(&server, &[], as_it_came).stdout;
    assert_eq!(printed, format!("{as_it_came}\n"));
}

#[test]
fn each_line_of_json_is_a_message() {
    let server = Server::start(&[]);
    let input = "\"a\\nb\\u0000\"\n{\"op\": [1]}\n{\"binary\": \"AP8=\"}\n\"\\\"quoted\\\"\"\n";
    let ended = echo(&server, &["--input", "json"], input);
    assert_eq!(
        ended.stdout,
        "a\\nb\\u{0}\n{\"op\": [1]}\nAP8=\n\"quoted\"\n"
    );
    let url = server.url("/echo");
    for line in ["", "hello", "{\"binary\": 1}", "\"\\ud800\""] {
        let ended = Program::run(
            &["connect", "--input", "json", &url],
            &format!("1\n{line}\n2\n"),
        );
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), "1\n"),
            "{line}"
        );
        assert_eq!(ended.stderr, "sockeye: line 2 of stdin is not JSON\n");
    }
    let ended = Program::run(&["connect", "--input", "json", "-m", "hello", &url], "");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(ended.stderr, "sockeye: a --message is not JSON\n");
}

#[test]
fn the_whole_input_is_one_message_of_text_or_bytes() {
    let server = Server::start(&[]);
    let frame = "CONNECT\r\naccept-version:1.2\n\n\0\n";
    let ended = echo(&server, &["--whole", "--json"], frame);
    assert_eq!(messages(&ended), [serde_json::Value::from(frame)]);
    let ended = echo(
        &server,
        &["--whole", "--input", "raw", "--binary", "hex"],
        "a\nb\n",
    );
    assert_eq!(ended.stdout, "610a620a\n");
    let ended = echo(
        &server,
        &["--whole", "--input", "base64", "--binary", "raw"],
        "YQ\nph\n",
    );
    assert_eq!(ended.stdout, "a\na");
    let ended = echo(&server, &["--whole"], "");
    assert_eq!(ended.stdout, "\n");
    let url = server.url("/echo");
    let ended = Program::run(&["connect", "--whole", "--input", "hex", &url], "0");
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "sockeye: stdin is not hexadecimal\n");
    let ended = Program::run(&["connect", "--whole", "-m", "hi", &url], "");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[test]
fn a_line_may_be_the_bytes_of_a_binary_message() {
    let server = Server::start(&[]);
    let ended = echo(&server, &["--input", "raw"], "a\nb");
    assert_eq!(ended.stdout, "YQ==\nYg==\n");
}
