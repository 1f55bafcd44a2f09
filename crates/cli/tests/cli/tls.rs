//! `sockeye serve --cert --key` and `sockeye connect wss://…`, with certificates of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::program::Program;

/// A self-signed certificate for the loopback, and its key, in files.
struct Identity {
    cert: PathBuf,
    key: PathBuf,
}

impl Identity {
    fn new(name: &str) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("names that may be in a certificate");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let identity = Self {
            cert: folder.join(format!("{name}-{}.pem", std::process::id())),
            key: folder.join(format!("{name}-{}.key", std::process::id())),
        };
        fs::write(&identity.cert, cert.pem()).expect("cargo makes the folder");
        fs::write(&identity.key, signing_key.serialize_pem()).expect("cargo makes the folder");
        identity
    }

    fn cert(&self) -> &str {
        self.cert.to_str().expect("UTF-8")
    }

    fn key(&self) -> &str {
        self.key.to_str().expect("UTF-8")
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.cert);
        let _ = fs::remove_file(&self.key);
    }
}

#[test]
fn a_talk_over_tls_with_a_server_whose_certificate_is_trusted() {
    let identity = Identity::new("talk");
    let (cert, key) = (identity.cert(), identity.key());
    let mut server = Program::start(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--cert",
        cert,
        "--key",
        key,
    ]);
    let url = server.line();
    let addr = url.strip_prefix("https://").expect("TLS is announced");

    let url = format!("wss://{addr}echo");
    let mut talk = Program::start(&["connect", "--cacert", cert, &url]);
    talk.say("hello\n");
    assert_eq!(talk.line(), "hello");
    talk.end_input();
    let ended = talk.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    // The system does not trust the certificate, and the error says so.
    let ended = Program::run(&["connect", &url], "");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .contains("the peer's certificate is not issued by a trusted authority"),
        "{}",
        ended.stderr
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let identity = Identity::new("files");
    let other = Identity::new("other");
    let serve = |cert, key| {
        let ended = Program::run(
            &[
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--cert",
                cert,
                "--key",
                key,
            ],
            "",
        );
        assert_eq!(ended.code, Some(1));
        ended.stderr
    };
    let said = serve("no-such.pem", identity.key());
    assert!(
        said.contains("cannot serve over TLS: cannot use no-such.pem: "),
        "{said}"
    );
    let said = serve(identity.cert(), identity.cert());
    assert!(said.contains("the file holds no private key"), "{said}");
    let said = serve(identity.cert(), other.key());
    assert!(said.contains("invalid TLS configuration"), "{said}");

    let ended = Program::run(
        &["connect", "--cacert", identity.key(), "wss://localhost"],
        "",
    );
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("the file holds no certificate"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_certificate_and_its_key_go_together() {
    for one in ["--cert", "--key"] {
        let ended = Program::run(&["serve", one, "file.pem"], "");
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    }
}

#[test]
fn whom_to_trust_and_which_name_to_ask_for_may_be_said() {
    let identity = Identity::new("trust");
    let (cert, key) = (identity.cert(), identity.key());
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let mut server = Program::start(&[&listen[..], &["--cert", cert, "--key", key]].concat());
    let url = server.line();
    let url = url.replace("https://", "wss://") + "echo";
    let run =
        |options: &[&str]| Program::run(&[&["connect", &url, "-m", "hi"], options].concat(), "");
    for options in [
        &["--insecure"][..],
        &["--insecure", "--sni", "elsewhere.example"],
        &["--cacert", cert, "--sni", "localhost"],
        // The server does not ask for the client certificate.
        &["--cacert", cert, "--cert", cert, "--key", key],
    ] {
        let ended = run(options);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), "hi\n"),
            "{}",
            ended.stderr
        );
    }
    let ended = run(&["--cacert", cert, "--sni", "elsewhere.example"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .contains("the peer's certificate is not for elsewhere.example but for localhost"),
        "{}",
        ended.stderr
    );
    for options in [
        &["--cert", cert][..],
        &["--key", key],
        &["--insecure", "--cacert", cert],
    ] {
        assert_eq!(run(options).code, Some(2), "{options:?}");
    }
}
