//! What proves that an advert comes from a router that knows the secret, and that it is not an old one.
//!
//! | kind | where | covers | replay |
//! |---|---|---|---|
//! | password | in the v2 message | nothing | no protection |
//! | authentication header | IP protocol 51 before the v2 message | IP header and message | counter |
//! | trailer | behind the v3 message | source address and message | clock and counter |

mod header;
mod trailer;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use fairway_config::{Auth, HmacMode, Instance, VrrpVersion};

use crate::packet::Authentication;
use crate::saved::SavedSeal;
pub(crate) use header::{HeaderSeal, message};
pub(crate) use trailer::TrailerSeal;

/// Length of a password, and of the key of an authentication header.
pub const PASSWORD: usize = 8;
/// More senders than this on one network is somebody playing games.
const MAX_SENDERS: usize = 8;

/// The secret of an instance.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A v2 password or the key of an authentication header, padded with zeros.
    Password([u8; PASSWORD]),
    /// Keys of trailers by their number.
    Keys(Vec<(u8, Vec<u8>)>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How a message travels behind the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// IP protocol 112: it is the message.
    Vrrp,
    /// IP protocol 51 (RFC 4302): an authentication header comes before it. IPv4 without options.
    Header {
        /// The identification field of the IP header, which the header covers.
        identification: u16,
    },
}

/// How an instance seals its adverts and checks those of others.
#[derive(Debug, Clone)]
pub(crate) enum Seal {
    /// Nothing but what is in the message.
    Message(Authentication),
    Header(HeaderSeal),
    Trailer(TrailerSeal),
}

impl Seal {
    /// A secret that is missing counts as empty: nothing proves anything with it.
    pub(crate) fn new(config: &Instance, secret: Option<&Secret>) -> Self {
        let password = match secret {
            Some(Secret::Password(password)) => *password,
            _ => [0; PASSWORD],
        };
        match &config.auth {
            None => Self::Message(Authentication::None),
            Some(Auth::Pass(_)) => Self::Message(Authentication::Password(password)),
            Some(Auth::Ah(_)) => Self::Header(HeaderSeal::new(password)),
            Some(Auth::Hmac(hmac)) => {
                let keys = match secret {
                    Some(Secret::Keys(keys)) => keys.clone(),
                    _ => Vec::new(),
                };
                let window = hmac.window_for(config.advert_interval);
                Self::Trailer(TrailerSeal::new(keys, hmac.active, hmac.mode, window.get()))
            }
        }
    }

    /// Takes over what `before` knows about senders and its own last number, if the secret is still the same.
    pub(crate) fn follow(&mut self, before: &Self) {
        match (self, before) {
            (Self::Header(seal), Self::Header(before)) => seal.follow(before),
            (Self::Trailer(seal), Self::Trailer(before)) => seal.follow(before),
            _ => {}
        }
    }

    /// As it is passed on to the next process.
    pub(crate) fn save(&self) -> Option<SavedSeal> {
        match self {
            Self::Message(_) => None,
            Self::Header(seal) => Some(seal.save()),
            Self::Trailer(seal) => Some(seal.save()),
        }
    }

    /// Goes on from what another process knew, if the secret is still the same.
    pub(crate) fn adopt(&mut self, saved: &SavedSeal) {
        match self {
            Self::Message(_) => {}
            Self::Header(seal) => seal.adopt(saved),
            Self::Trailer(seal) => seal.adopt(saved),
        }
    }

    /// What the message itself carries.
    pub(crate) fn authentication(&self) -> Authentication {
        match self {
            Self::Message(authentication) => *authentication,
            Self::Header(_) => Authentication::Header,
            Self::Trailer(_) => Authentication::None,
        }
    }

    /// Whether adverts are sent with a trailer.
    pub(crate) fn appends(&self) -> bool {
        matches!(self, Self::Trailer(seal) if seal.mode() != HmacMode::ReceiveOnly)
    }
}

/// Remembers the last number of each sender, the most recent ones only.
#[derive(Debug, Clone, Default)]
struct Senders<N>(Vec<(IpAddr, N)>);

impl<N: Copy> Senders<N> {
    fn last(&self, source: IpAddr) -> Option<N> {
        self.0.iter().find(|(sender, _)| *sender == source).map(|(_, number)| *number)
    }

    fn heard(&mut self, source: IpAddr, number: N) {
        self.0.retain(|(sender, _)| *sender != source);
        if self.0.len() >= MAX_SENDERS {
            self.0.remove(0);
        }
        self.0.push((source, number));
    }
}

/// What a trailer is checked against besides its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    pub(crate) source: IpAddr,
    pub(crate) version: VrrpVersion,
    pub(crate) vrid: u8,
    /// UTC since the Unix epoch.
    pub(crate) clock: Duration,
}

/// Splits a message from the trailer behind it, if it has exactly the length of one with a trailer.
pub(crate) fn split_trailer(payload: &[u8], source: IpAddr) -> Option<(&[u8], &[u8; trailer::LENGTH])> {
    let count = usize::from(*payload.get(3)?);
    let message = crate::packet::message_length(*payload.first()? >> 4, count, source)?;
    let (message, trailer) = payload.split_at_checked(message)?;
    Some((message, trailer.try_into().ok()?))
}
