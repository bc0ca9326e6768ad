//! The values of checks that are more than text and numbers.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidValue;

/// Implements the conversions that serde needs from `FromStr` and `Display`.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidValue;

            fn try_from(text: String) -> Result<Self, InvalidValue> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

/// Bytes to send, written as text, or as `"hex:00ff"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Payload(Vec<u8>);

as_text!(Payload);

impl Payload {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

const HEX: &str = "hex:";

impl FromStr for Payload {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.strip_prefix(HEX) {
            None => Ok(Self(text.as_bytes().to_vec())),
            Some(digits) => unhex(digits).map(Self).ok_or_else(|| {
                InvalidValue(format!(
                    "\"{text}\" is not made of bytes; write two hexadecimal digits for each, \"hex:0d0a\""
                ))
            }),
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(&self.0) {
            Ok(text) if !text.starts_with(HEX) => f.write_str(text),
            _ => write!(f, "{HEX}{}", hex(&self.0)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// The digest of a body: `"sha256:9f86..."` or `"md5:d41d..."`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// MD5, as keepalived's `genhash` prints it. It finds accidents, not attacks.
    Md5([u8; 16]),
}

as_text!(Digest);

impl FromStr for Digest {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let digest = match text.split_once(':') {
            Some(("sha256", digits)) => {
                unhex(digits).and_then(|bytes| Some(Self::Sha256(bytes.try_into().ok()?)))
            }
            Some(("md5", digits)) => unhex(digits).and_then(|bytes| Some(Self::Md5(bytes.try_into().ok()?))),
            _ => None,
        };
        digest.ok_or_else(|| {
            InvalidValue(format!(
                "\"{text}\" is not a digest; write \"sha256:\" and 64 hexadecimal digits, or \"md5:\" and 32"
            ))
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(bytes) => write!(f, "sha256:{}", hex(bytes)),
            Self::Md5(bytes) => write!(f, "md5:{}", hex(bytes)),
        }
    }
}

/// HTTP status codes that follow each other: `200`, or `"200-299"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "StatusForm", into = "StatusForm")]
pub struct StatusRange {
    first: u16,
    last: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a status code, or a range of them such as \"200-299\"")]
enum StatusForm {
    One(u16),
    Range(String),
}

impl StatusRange {
    /// One code.
    pub const fn one(code: u16) -> Self {
        Self { first: code, last: code }
    }

    /// Whether a code is in the range.
    pub const fn contains(self, code: u16) -> bool {
        self.first <= code && code <= self.last
    }

    /// Whether all its codes can occur: 100 to 599.
    pub(crate) const fn exists(self) -> bool {
        100 <= self.first && self.first <= self.last && self.last <= 599
    }
}

impl FromStr for StatusRange {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => Ok(Self { first, last }),
            _ => Err(InvalidValue(format!(
                "\"{text}\" is no range of status codes; write the first and the last one, \"200-299\""
            ))),
        }
    }
}

impl TryFrom<StatusForm> for StatusRange {
    type Error = InvalidValue;

    fn try_from(form: StatusForm) -> Result<Self, InvalidValue> {
        match form {
            StatusForm::One(code) => Ok(Self::one(code)),
            StatusForm::Range(text) => text.parse(),
        }
    }
}

impl From<StatusRange> for StatusForm {
    fn from(range: StatusRange) -> Self {
        if range.first == range.last { Self::One(range.first) } else { Self::Range(range.to_string()) }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Methods a check can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`: no body comes back.
    Head,
    /// `OPTIONS`.
    Options,
    /// `POST`, with an empty body.
    Post,
}

impl HttpMethod {
    /// The method as it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Types of DNS records a check can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsRecord {
    /// IPv4 address.
    #[default]
    A,
    /// IPv6 address.
    Aaaa,
    /// Alias.
    Cname,
    /// Mail exchanger.
    Mx,
    /// Name server.
    Ns,
    /// Name of an address.
    Ptr,
    /// Start of a zone.
    Soa,
    /// Location of a service.
    Srv,
    /// Text.
    Txt,
}

/// How a DNS query travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsTransport {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
}

impl DnsTransport {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
