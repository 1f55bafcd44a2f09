//! Tips after a failure: the option, the URL or the command to try next.

use clap::error::ErrorKind;
use sockeye::Error;
use sockeye::client::{ConnectError, ProxyError};
use sockeye::proto::ProtocolError;
use sockeye::proto::handshake::{OfferError, UriError};
use sockeye::tls::rustls::{AlertDescription, CertificateError, Error as Tls};
use sockeye::tls::{FileProblem, TlsError};

use super::failure::Failure;
use crate::time::parse_duration;

/// Returns the tip for a failure. `None` if the failure says it itself, or if no option helps.
pub(super) fn of(failure: &Failure, url: &str) -> Option<String> {
    let tip = match failure {
        Failure::Connect(error) => return of_connect(error, url),
        Failure::Lost(Error::Protocol(ProtocolError::MessageTooBig { .. })) => {
            "--max-size accepts longer messages, for example --max-size=64MiB"
        }
        Failure::Subprotocol(_) => {
            "check the path of the URL: `sockeye serve` has topics at /topics"
        }
        Failure::Tls(TlsError::File {
            problem: FileProblem::NoPrivateKey,
            ..
        }) => "--key names the file of the private key, and --cert the file of the certificate",
        _ => return None,
    };
    Some(tip.to_owned())
}

fn of_connect(error: &ConnectError, url: &str) -> Option<String> {
    let is_secure = url.starts_with("wss:");
    let tip = match error {
        ConnectError::WebSocketUri(UriError::Scheme) => return of_scheme(url),
        ConnectError::WebSocketUri(UriError::Fragment) => {
            "write %23 for a # in the path or query of the URL"
        }
        ConnectError::Tls(error) => of_tls(error)?,
        ConnectError::Proxy(ProxyError::Tls(error)) => of_tls(error)?,
        ConnectError::Proxy(ProxyError::Refused(response)) if response.status() == 407 => {
            "add the user and the password of the proxy: --proxy http://USER:PASSWORD@HOST:PORT"
        }
        ConnectError::Proxy(_) => {
            "--proxy selects another proxy, and --proxy none connects without a proxy"
        }
        ConnectError::Offer(OfferError::FieldReserved(_)) => {
            "leave the field out; --subprotocol and --deflate set it"
        }
        ConnectError::Offer(_) => "--subprotocol names have no spaces, commas, = or /",
        ConnectError::NoResponse if !is_secure => {
            "if the server expects TLS on this port, write wss://"
        }
        ConnectError::Http(error) if error.is_parse() => {
            "check that this is the port of a WebSocket server; -v shows its response"
        }
        ConnectError::Response(_) | ConnectError::Compression(_) => {
            "-v shows the server's response"
        }
        ConnectError::Refused(response) => return of_refusal(response, is_secure),
        ConnectError::Connect(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                "no program listens there; check that the server runs on this host and port"
            }
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                "-4 or -6 uses only one address family, and --proxy a proxy"
            }
            _ if error.to_string().contains("lookup") => {
                "check the host name; --resolve HOST:ADDR sets its address"
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(tip.to_owned())
}

/// Returns the tip for a URL with a wrong scheme. It does not repeat the URL, which may hold a password.
fn of_scheme(url: &str) -> Option<String> {
    Some(match url.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => {
            "write ws:// in place of http://".to_owned()
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            "write wss:// in place of https://".to_owned()
        }
        Some(_) => return None,
        None if parse_duration(url).is_ok() => {
            format!("write the time after an equals sign: --wait={url}")
        }
        None if url.parse::<u32>().is_ok() => {
            format!("write the number after an equals sign: --retry={url}")
        }
        None => "write ws:// before the host, or wss:// for TLS: ws://127.0.0.1:8080/".to_owned(),
    })
}

fn of_tls(error: &TlsError) -> Option<&'static str> {
    Some(match error {
        TlsError::Handshake(Tls::InvalidCertificate(error)) => match error {
            CertificateError::UnknownIssuer => {
                "--cacert FILE trusts the certificates in a file, and --insecure accepts any certificate"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "--sni NAME expects another name, and --insecure accepts any certificate"
            }
            _ => "for a test, --insecure accepts any certificate",
        },
        TlsError::Handshake(Tls::InvalidMessage(_)) | TlsError::Io(_) => {
            "if the server does not speak TLS on this port, write ws://"
        }
        TlsError::Handshake(Tls::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        )) => "--cert FILE and --key FILE send the server a client certificate",
        TlsError::Handshake(Tls::AlertReceived(AlertDescription::UnrecognisedName)) => {
            "--sni NAME asks for another name"
        }
        _ => return None,
    })
}

fn of_refusal(response: &http::Response<bytes::Bytes>, is_secure: bool) -> Option<String> {
    let location = response.headers().get("location");
    let location = location.and_then(|value| value.to_str().ok());
    let body = String::from_utf8_lossy(response.body()).to_ascii_lowercase();
    let tip = match response.status().as_u16() {
        // nginx, Apache and Go answer plain HTTP on a TLS port in this way.
        400 if !is_secure && (body.contains("https") || body.contains("ssl")) => {
            "the server speaks TLS on this port: write wss:// in place of ws://"
        }
        300..=399 => match location {
            Some(location) if !is_secure && location.starts_with("https://") => {
                "the server redirects to TLS: write wss:// in place of ws://"
            }
            Some(_) => {
                "sockeye follows no redirects: connect to the location, with ws:// or wss://"
            }
            None => return None,
        },
        401 => "--bearer or --basic sends credentials",
        403 => "--origin ORIGIN sets the Origin field; --bearer or --basic sends credentials",
        404 | 405 | 200 => "check the path of the URL: the server has no WebSocket endpoint there",
        _ => return None,
    };
    Some(tip.to_owned())
}

/// Replaces an error of the command line if clap's error would mislead or repeat a secret.
pub(crate) fn of_usage(error: clap::Error, arguments: &[String]) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    for (index, (option, value)) in pairs.enumerate() {
        let takes = match option.as_str() {
            "--wait" => value == "forever" || parse_duration(value).is_ok(),
            "--retry" => value.parse::<u32>().is_ok(),
            "-H" | "--header" if value.ends_with(':') => {
                let next = arguments.get(index + 2);
                if next.is_some_and(|next| !next.starts_with('-')) {
                    let text = "the value of --header ends at the first space\n\n  \
                                tip: put it in quotes: --header 'Name: value'";
                    return clap::Error::raw(ErrorKind::UnknownArgument, text);
                }
                false
            }
            _ => false,
        };
        if takes {
            let text =
                format!("the value of {option} needs an equals sign\n\n  tip: {option}={value}");
            return clap::Error::raw(ErrorKind::UnknownArgument, text);
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_another_scheme_or_none_is_mended_without_being_repeated() {
        for (url, part) in [
            ("http://user:secret@host/", "ws:// in place of http://"),
            ("HTTPS://host/", "wss:// in place of https://"),
            ("127.0.0.1:8080", "ws:// before the host"),
            ("localhost:8080/secret", "ws:// before the host"),
            ("host", "ws:// before the host"),
            ("5s", "--wait=5s"),
            ("3", "--retry=3"),
        ] {
            let tip = of_scheme(url).expect("there is one");
            assert!(tip.contains(part) && !tip.contains("secret"), "{tip}");
        }
        assert_eq!(of_scheme("ftp://host/"), None);
    }
}
