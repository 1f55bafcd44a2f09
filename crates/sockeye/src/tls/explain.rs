//! Plain texts for the errors of rustls: each names the mistake in a certificate or a handshake, and the remedy.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys, OtherError};

use super::alpn::ProtocolNames;
use super::rustls;

/// Shows an error of rustls as a fragment with a remedy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Explained<'a> {
    error: &'a Error,
    whose: Whose,
}

/// The owner of the certificate that the error is about.
#[derive(Clone, Copy, Debug)]
enum Whose {
    /// The certificate of a configuration.
    Own,
    /// The certificate that the other side showed in a handshake.
    Peer,
}

impl<'a> Explained<'a> {
    pub(super) fn of_peer(error: &'a Error) -> Self {
        let whose = Whose::Peer;
        Self { error, whose }
    }

    pub(super) fn of_configuration(error: &'a Error) -> Self {
        let whose = Whose::Own;
        Self { error, whose }
    }
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            Error::InvalidCertificate(error) => {
                f.write_str(match self.whose {
                    Whose::Own => "the certificate ",
                    Whose::Peer => "the peer's certificate ",
                })?;
                write_certificate(f, error)
            }
            Error::InvalidMessage(_) => f.write_str(
                "the peer does not speak TLS on this port; a server without TLS has a ws:// URL",
            ),
            Error::NoCertificatesPresented => f.write_str("the peer showed no certificate"),
            Error::PeerIncompatible(what) => write!(
                f,
                "the peer has no TLS version or cipher in common with this side, which speaks \
                 TLS 1.2 and 1.3 ({what:?})"
            ),
            Error::AlertReceived(alert) => write_alert(f, *alert),
            Error::NoApplicationProtocol => {
                write!(f, "the peer does not offer {} by ALPN", ProtocolNames)
            }
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => f.write_str(
                "the private key is not that of the certificate; give the pair that belongs together",
            ),
            // The only use of this variant is a system without root certificates.
            Error::General(text) if text.starts_with("No CA certificates") => f.write_str(
                "this system has no root certificates; install them (on Debian: ca-certificates), \
                 or name the file of the ones to trust",
            ),
            error => error.fmt(f),
        }
    }
}

/// Continues a sentence that begins with the certificate.
fn write_certificate(f: &mut fmt::Formatter<'_>, error: &CertificateError) -> fmt::Result {
    use CertificateError as E;
    match error {
        E::Expired => f.write_str("has expired; renew it"),
        E::ExpiredContext { time, not_after } => write!(
            f,
            "expired on {}, and this machine's clock says {}; renew the certificate, or set \
             the clock",
            Date(*not_after),
            Date(*time)
        ),
        E::NotValidYet => f.write_str("is not valid yet; check this machine's clock"),
        E::NotValidYetContext { time, not_before } => write!(
            f,
            "is not valid before {}, and this machine's clock says {}; set the clock, or wait",
            Date(*not_before),
            Date(*time)
        ),
        E::Revoked => f.write_str("is revoked by its authority; replace it"),
        E::UnhandledCriticalExtension => f.write_str(CRITICAL_EXTENSION),
        E::UnknownIssuer => f.write_str(
            "is not issued by a trusted authority; trust the authority's certificate, or have the \
             peer send the certificates between its own and a trusted one",
        ),
        E::UnknownRevocationStatus => f.write_str(
            "may be revoked: no revocation list of its authority is known; configure that list",
        ),
        E::ExpiredRevocationList => {
            f.write_str("may be revoked: the revocation list has expired; fetch a new list")
        }
        E::ExpiredRevocationListContext { next_update, .. } => write!(
            f,
            "may be revoked: the revocation list expired on {}; fetch a new list",
            Date(*next_update)
        ),
        E::BadSignature => f.write_str(
            "or the handshake has a signature that does not fit the key; trust the authority's \
             present certificate, and use RSA of 2048 bits or more, ECDSA or Ed25519",
        ),
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            write_unsupported_signature(f)
        }
        E::NotValidForName => f.write_str(
            "is not for this host; connect to a name that stands in its subjectAltName, or issue \
             a certificate for the host",
        ),
        E::NotValidForNameContext {
            expected,
            presented,
        } => write_names(f, &expected.to_str(), presented),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => write_purpose(f),
        E::InvalidOcspResponse => {
            f.write_str("came with an OCSP response that is not valid; renew the response")
        }
        E::BadEncoding => f.write_str("is malformed; issue a new certificate"),
        E::ApplicationVerificationFailure => {
            f.write_str("is refused by the verifier of this program")
        }
        E::Other(other) => write_other(f, other),
        // rustls still makes this one of its deprecated variants.
        error if format!("{error:?}") == "UnsupportedSignatureAlgorithm" => {
            write_unsupported_signature(f)
        }
        error => write!(f, "is not accepted: {error}"),
    }
}

/// Continues the sentence for the errors that have no variant in rustls.
fn write_other(f: &mut fmt::Formatter<'_>, OtherError(error): &OtherError) -> fmt::Result {
    use webpki::Error as E;
    let Some(webpki) = error.downcast_ref::<E>() else {
        // An error of the platform's verifier, which does not export its type.
        if error.to_string() == "certificate had invalid extensions" {
            return write_purpose(f);
        }
        write!(f, "is not accepted: {error}")?;
        return write_sources(f, &**error);
    };
    match webpki {
        E::CaUsedAsEndEntity => f.write_str(
            "is that of an authority (CA:TRUE) and cannot be a server's own; issue one with \
             CA:FALSE (openssl req -x509 -addext basicConstraints=critical,CA:FALSE -addext \
             subjectAltName=DNS:HOST)",
        ),
        E::EndEntityUsedAsCa => f.write_str(
            "is issued by a certificate that is not an authority's (CA:FALSE); have an authority \
             issue it",
        ),
        E::PathLenConstraintViolated => f.write_str(
            "has more authorities above it than one of them allows (pathlen); issue it by an \
             authority nearer to the root",
        ),
        E::NameConstraintViolation => f.write_str(
            "has a name that its authority may not issue certificates for; have another authority \
             issue it",
        ),
        E::UnsupportedCertVersion => f.write_str(
            "is not of X.509 version 3; issue one of version 3, which has a subjectAltName",
        ),
        E::InvalidSerialNumber => f.write_str(
            "has a serial number that is negative, zero or longer than 20 bytes; issue a new \
             certificate",
        ),
        E::EmptyEkuExtension => write_purpose(f),
        E::UnsupportedCriticalExtension => f.write_str(CRITICAL_EXTENSION),
        E::ExtensionValueInvalid | E::MalformedExtensions | E::SignatureAlgorithmMismatch => {
            write!(f, "is malformed ({webpki:?}); issue a new certificate")
        }
        E::MaximumNameConstraintComparisonsExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded => f.write_str(
            "has too many certificates above it; have the peer send only those up to the root",
        ),
        error => write!(f, "is not accepted ({error:?}); issue a new certificate"),
    }
}

fn write_sources(f: &mut fmt::Formatter<'_>, error: &(dyn StdError + 'static)) -> fmt::Result {
    let mut source = error.source();
    while let Some(error) = source {
        write!(f, ": {error}")?;
        source = error.source();
    }
    Ok(())
}

fn write_unsupported_signature(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(
        "or the handshake is signed by an unsupported algorithm, for example SHA-1; issue a \
         certificate with SHA-256, and RSA of 2048 bits or more, ECDSA or Ed25519",
    )
}

fn write_purpose(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(
        "is not for this purpose; issue one with the extendedKeyUsage serverAuth, for a client \
         clientAuth",
    )
}

fn write_names(f: &mut fmt::Formatter<'_>, expected: &str, presented: &[String]) -> fmt::Result {
    write!(f, "is not for {expected}")?;
    if presented.is_empty() {
        return f.write_str(
            ", and has no names at all; issue one with subjectAltName (openssl: -addext \
             subjectAltName=DNS:HOST)",
        );
    }
    f.write_str(" but for ")?;
    for (index, name) in presented.iter().take(MAX_NAMES).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // webpki writes `DnsName("host")`, and copies the certificate's bytes unescaped.
        let name = name.strip_prefix("DnsName(\"").unwrap_or(name);
        let name = name.strip_suffix("\")").unwrap_or(name);
        write!(f, "{comma}{}", name.escape_debug())?;
    }
    if presented.len() > MAX_NAMES {
        write!(f, " and {} more", presented.len() - MAX_NAMES)?;
    }
    f.write_str("; connect to such a name, or issue a certificate for the host")
}

fn write_alert(f: &mut fmt::Formatter<'_>, alert: AlertDescription) -> fmt::Result {
    use AlertDescription as A;
    f.write_str(match alert {
        A::CertificateRequired => {
            "the peer asks for a certificate of this side; configure one with its private key"
        }
        A::UnknownCA => {
            "the peer does not know the authority of this side's certificate; use one that the peer \
             trusts"
        }
        A::BadCertificate
        | A::CertificateExpired
        | A::CertificateRevoked
        | A::CertificateUnknown
        | A::UnsupportedCertificate
        | A::AccessDenied
        | A::DecryptError => {
            return write!(
                f,
                "the peer does not accept this side's certificate (alert {alert:?}); use one that \
                 the peer trusts"
            );
        }
        A::ProtocolVersion => {
            "the peer speaks neither TLS 1.2 nor TLS 1.3; this side supports no older version"
        }
        A::HandshakeFailure | A::InsufficientSecurity => {
            "the peer refused the handshake: there is no common cipher, or the peer asks for a \
             certificate of this side"
        }
        A::UnrecognisedName => "the peer has no certificate for the name that this side asked for (SNI)",
        A::NoApplicationProtocol => {
            return write!(f, "the peer does not accept {} by ALPN", ProtocolNames);
        }
        _ => return write!(f, "the peer ended the handshake with the alert {alert:?}"),
    })
}

const CRITICAL_EXTENSION: &str =
    "has a critical extension that is not supported here; issue a certificate without it";

/// Shows a moment as HTTP writes it; beyond the year 9999 as the seconds since 1970.
struct Date(UnixTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        if secs >= YEAR_10000 {
            return write!(f, "{secs} s after 1970");
        }
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        f.write_str(&httpdate::fmt_http_date(date))
    }
}

/// The first second of the year 10000. `httpdate` panics from there on.
const YEAR_10000: u64 = 253_402_300_800;

/// The most names of a certificate that an error shows.
const MAX_NAMES: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;

    use super::*;

    fn said(error: CertificateError) -> String {
        Explained::of_peer(&Error::InvalidCertificate(error)).to_string()
    }

    fn webpki(error: webpki::Error) -> CertificateError {
        CertificateError::Other(OtherError(Arc::new(error)))
    }

    #[test]
    fn each_error_of_a_certificate_is_a_sentence_with_a_remedy() {
        use webpki::Error as W;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(784_111_740));
        for error in [
            CertificateError::ApplicationVerificationFailure,
            CertificateError::BadEncoding,
            CertificateError::BadSignature,
            CertificateError::Expired,
            CertificateError::ExpiredRevocationList,
            CertificateError::InvalidOcspResponse,
            CertificateError::InvalidPurpose,
            CertificateError::NotValidForName,
            CertificateError::NotValidYet,
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationListContext {
                time,
                next_update: time,
            },
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: Vec::new(),
                supported_algorithms: Vec::new(),
            },
            #[allow(deprecated, reason = "rustls still makes it")]
            CertificateError::UnsupportedSignatureAlgorithm,
            webpki(W::CaUsedAsEndEntity),
            webpki(W::EmptyEkuExtension),
            webpki(W::EndEntityUsedAsCa),
            webpki(W::ExtensionValueInvalid),
            webpki(W::InvalidSerialNumber),
            webpki(W::MaximumPathDepthExceeded),
            webpki(W::NameConstraintViolation),
            webpki(W::PathLenConstraintViolated),
            webpki(W::UnsupportedCertVersion),
            webpki(W::UnsupportedCriticalExtension),
        ] {
            let said = said(error);
            assert!(said.starts_with("the peer's certificate "), "{said}");
            for code in ["Other", "{", "Error", "is not accepted"] {
                assert!(!said.contains(code), "{said}");
            }
        }
    }

    #[test]
    fn dates_are_those_of_a_calendar_and_none_is_beyond_it() {
        let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let expired = CertificateError::ExpiredContext {
            time: at(1_800_000_000),
            not_after: at(784_111_740),
        };
        let start = "the peer's certificate expired on Sun, 06 Nov 1994 08:49:00 GMT, and this \
                     machine's clock says Fri, 15 Jan 2027 08:00:00 GMT; ";
        assert!(said(expired).starts_with(start));
        assert_eq!(
            Date(at(YEAR_10000 - 1)).to_string(),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
        let beyond = CertificateError::NotValidYetContext {
            time: at(0),
            not_before: at(u64::MAX),
        };
        assert!(said(beyond).contains("before 18446744073709551615 s after 1970"));
    }

    #[test]
    fn the_names_of_a_certificate_are_shown_without_harm_and_not_all_of_many() {
        let names = |presented: &[&str]| {
            said(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("chat.example").unwrap(),
                presented: presented.iter().copied().map(str::to_owned).collect(),
            })
        };
        let few = names(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]);
        let start = "the peer's certificate is not for chat.example but for a.example, \
                     IpAddress(127.0.0.1); ";
        assert!(few.starts_with(start), "{few}");
        let wild = names(&["DnsName(\"\u{1b}[2J\")"; 6]);
        assert!(wild.contains("\\u{1b}[2J and 2 more;"), "{wild}");
        assert!(!wild.contains('\u{1b}'));
        assert!(names(&[]).contains("has no names at all; issue one with subjectAltName"));
    }

    #[test]
    fn the_texts_for_a_peers_alerts_name_its_demand() {
        let said = |alert| Explained::of_peer(&Error::AlertReceived(alert)).to_string();
        let asks = said(AlertDescription::CertificateRequired);
        assert!(
            asks.starts_with("the peer asks for a certificate"),
            "{asks}"
        );
        let old = said(AlertDescription::ProtocolVersion);
        assert!(old.contains("neither TLS 1.2 nor TLS 1.3"), "{old}");
        let bad = said(AlertDescription::BadCertificate);
        assert!(bad.contains("(alert BadCertificate)"), "{bad}");
        let alpn = said(AlertDescription::NoApplicationProtocol);
        assert_eq!(alpn, "the peer does not accept http/1.1 by ALPN");
        let not_offered = Explained::of_peer(&Error::NoApplicationProtocol).to_string();
        assert_eq!(not_offered, "the peer does not offer http/1.1 by ALPN");
        let other = said(AlertDescription::InternalError);
        assert!(other.ends_with("the alert InternalError"), "{other}");
    }

    #[test]
    fn an_error_of_a_verifier_of_the_programs_own_is_shown_with_its_sources() {
        let own = std::io::Error::other("not pinned");
        let error = CertificateError::Other(OtherError(Arc::new(own)));
        assert_eq!(
            said(error),
            "the peer's certificate is not accepted: not pinned"
        );
    }
}
