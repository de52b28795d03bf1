//! What a server's certificate says of itself, and why one is refused.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, OtherError};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode, asn1::OctetString};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use super::Obstacle;

/// The longest name that is shown; they come from strangers.
const LONGEST_NAME: usize = 200;

/// The most host names of a certificate that are kept; those of large sites have hundreds.
const MOST_HOSTS: usize = 20;

/// The parts of a certificate that tell people whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, such as `CN=pw.example.com,O=Example`.
    pub subject: String,
    /// Who vouches for it. Where a proxy opens TLS, this names the proxy's maker or the company.
    pub issuer: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// The hosts and addresses it is for, as many as are worth showing.
    pub hosts: Vec<String>,
}

impl Certificate {
    /// Reads the encoded form; `None` where it is none.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        // The raw profile takes what the strict one refuses, such as the serial numbers some proxies make.
        let certificate = CertificateInner::<Raw>::from_der(der).ok()?;
        let body = certificate.tbs_certificate();
        let validity = body.validity();
        let moment = |time: x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
            Timestamp::from_second(seconds).ok()
        };
        let hosts = match body.get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().filter_map(host).take(MOST_HOSTS).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        Some(Self {
            subject: shown(body.subject()),
            issuer: shown(body.issuer()),
            not_before: moment(validity.not_before)?,
            not_after: moment(validity.not_after)?,
            hosts,
        })
    }

    /// True where nobody but its owner vouches for it.
    pub fn is_signed_by_itself(&self) -> bool {
        self.subject == self.issuer
    }
}

fn host(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(octets) => address(octets),
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

fn address(octets: &OctetString) -> Option<String> {
    let bytes = octets.as_bytes();
    let four = || <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    four().or_else(sixteen).map(|address| address.to_string())
}

fn shown(name: &Name) -> String {
    let text: String = name.to_string();
    let shown: String = text
        .chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST_NAME)
        .collect();
    if shown.is_empty() {
        "(no name)".to_owned()
    } else {
        shown
    }
}

/// Why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// Nobody this machine trusts vouches for it: a private authority, or a proxy that opens TLS.
    UnknownIssuer,
    /// It is over; so is one above it where its own end is still ahead.
    Expired(Timestamp),
    /// It begins later.
    NotYetValid(Timestamp),
    /// It is for other hosts.
    WrongHost,
    /// Anything else, in the verifier's words.
    Other(String),
}

impl Distrust {
    /// What the verifier's `error` about a certificate means; `alone` if the certificate is signed by itself.
    pub(super) fn of(error: &CertificateError, alone: bool) -> Self {
        let moment = |time: &UnixTime| {
            let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
        };
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(moment(not_after)),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid(moment(not_before)),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongHost
            }
            // The verifier's own errors have no names here, only texts.
            CertificateError::Other(OtherError(inner)) => match inner.to_string().as_str() {
                // An authority's own is looked at no further; in the bundle it would be accepted.
                "CaUsedAsEndEntity" if alone => Self::UnknownIssuer,
                "CaUsedAsEndEntity" => {
                    Self::Other("it is an authority's own (CA:TRUE), and no server's".to_owned())
                }
                "UnsupportedCertVersion" => Self::Other("it is of an old version (X.509 v1)".to_owned()),
                words => Self::Other(words.to_owned()),
            },
            // The enum is open, and the verifier says the rest well enough.
            other => Self::Other(other.to_string()),
        }
    }
}

/// A certificate that was refused in a handshake; travels through rustls as its own error.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// The name it was shown for: a server, or an https proxy.
    pub(super) host: String,
    /// What it says, if it can be read.
    pub(super) certificate: Option<Certificate>,
    /// Why it is refused.
    pub(super) why: Distrust,
}

impl Refused {
    /// True if it was shown for the host of `authority`.
    pub(super) fn is_of(&self, authority: &str) -> bool {
        let rest = authority.trim_start_matches('[').strip_prefix(self.host.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ']']))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(certificate) = &self.certificate else {
            return write!(f, "its certificate cannot be read ({:?})", self.why);
        };
        if certificate.is_signed_by_itself() {
            write!(
                f,
                "its certificate is signed by itself ({:?})",
                certificate.subject
            )?;
        } else {
            write!(f, "its certificate is issued by {:?}", certificate.issuer)?;
        }
        let day = |moment: &Timestamp| TimeZone::UTC.to_datetime(*moment).date();
        match &self.why {
            Distrust::UnknownIssuer => write!(f, ", {}", Obstacle::UnknownIssuer.phrase()),
            Distrust::Expired(end) => {
                let whose = if *end < certificate.not_after {
                    "rests on one that "
                } else {
                    ""
                };
                write!(f, " and {whose}{} {}", Obstacle::Expired.phrase(), day(end))
            }
            Distrust::NotYetValid(begin) => {
                write!(f, " and {} {}", Obstacle::NotYetValid.phrase(), day(begin))
            }
            Distrust::WrongHost => {
                let hosts = match certificate.hosts.as_slice() {
                    [] => "none".to_owned(),
                    hosts => hosts.join(", "),
                };
                write!(f, " and {} ({hosts})", Obstacle::WrongHost.phrase())
            }
            Distrust::Other(words) => write!(f, " and cannot be accepted: {words}"),
        }
    }
}

impl std::error::Error for Refused {}
