//! Netlink framing, read without copying.
//!
//! neli's own decoder copies every attribute and panics on a message whose length field is below the header's
//! size, so received bytes are taken apart here: every length is checked, and what is not understood is an
//! error, never a panic.

use crate::error::DecodeError;

/// `NLMSG_HDRLEN`.
pub(crate) const MESSAGE_HEADER: usize = 16;
/// `GENL_HDRLEN`.
const GENERIC_HEADER: usize = 4;
/// `NLA_HDRLEN`.
const ATTRIBUTE_HEADER: usize = 4;
/// `NLA_TYPE_MASK`: without the flags for nesting and byte order.
const TYPE_MASK: u16 = 0x3fff;

/// One netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind the generic netlink header.
    pub(crate) fn attributes(&self) -> Result<Attributes<'a>, DecodeError> {
        match self.payload.get(GENERIC_HEADER..) {
            Some(rest) => Ok(Attributes(rest)),
            None => Err(DecodeError::Truncated { what: "generic netlink header" }),
        }
    }
}

/// The messages of one datagram. Ends after the first that is malformed.
#[derive(Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let message = self.take();
        if message.is_none() {
            self.0 = &[];
        }
        Some(message.ok_or(DecodeError::Truncated { what: "netlink message" }))
    }
}

impl<'a> Messages<'a> {
    fn take(&mut self) -> Option<Message<'a>> {
        let length = u32::from_ne_bytes(array(self.0, 0)?) as usize;
        let message = Message {
            kind: u16::from_ne_bytes(array(self.0, 4)?),
            flags: u16::from_ne_bytes(array(self.0, 6)?),
            sequence: u32::from_ne_bytes(array(self.0, 8)?),
            payload: self.0.get(MESSAGE_HEADER..length)?,
        };
        self.0 = self.0.get(length.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some(message)
    }
}

/// The attributes of one level: type and payload. Ends after the first that is malformed.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let attribute = self.take();
        if attribute.is_none() {
            self.0 = &[];
        }
        Some(attribute.ok_or(DecodeError::Truncated { what: "netlink attribute" }))
    }
}

impl<'a> Attributes<'a> {
    fn take(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16::from_ne_bytes(array(self.0, 0)?));
        let kind = u16::from_ne_bytes(array(self.0, 2)?) & TYPE_MASK;
        let payload = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// The `N` bytes at `at`, if they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
