//! What an instance counts.

use crate::packet::PacketError;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one instance since it was configured. They only grow.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name, in a stable order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// Goes on counting from what another process had; a name that is not known is of another release.
            pub(crate) fn set(&mut self, name: &str, value: u64) {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => {}
                }
            }
        }
    };
}

counters! {
    /// Adverts sent, those with priority 0 included.
    adverts_sent,
    /// Valid adverts of other routers.
    adverts_received,
    /// Adverts with priority 0 sent.
    priority_zero_sent,
    /// Adverts with priority 0 received.
    priority_zero_received,
    /// Transitions to master.
    became_master,
    /// Transitions away from master.
    released_master,
    /// Rounds of neighbour announcements asked for.
    announcements,
    /// Adverts of a lower-ranked master heard while master.
    lower_masters,
    /// Our own adverts, looped back.
    looped,
    /// Dropped: TTL or hop limit other than 255.
    bad_ttl,
    /// Dropped: not sent to the VRRP multicast group, or with unicast to our address.
    bad_destination,
    /// Dropped: not from a unicast peer.
    bad_source,
    /// Dropped: shorter or longer than the packet says.
    bad_length,
    /// Dropped: another version than configured.
    bad_version,
    /// Dropped: not an advertisement.
    bad_type,
    /// Dropped: wrong checksum.
    bad_checksum,
    /// Dropped: an advert interval of zero.
    bad_interval,
    /// Dropped: another virtual router's.
    foreign_vrid,
    /// Dropped: authentication type differs (v2).
    auth_mismatch,
    /// Dropped: wrong password, authentication header or trailer.
    auth_failed,
    /// Dropped: without the authentication header or trailer that is configured.
    auth_missing,
    /// Dropped: a malformed authentication header or trailer.
    auth_malformed,
    /// Dropped: authenticated with a key that is not configured.
    auth_unknown_key,
    /// Dropped: its clock and ours differ by more than the window.
    auth_stale,
    /// Dropped: heard before.
    auth_replayed,
    /// Dropped: advert interval differs (v2).
    interval_mismatch,
    /// Accepted, though its list of addresses differs from ours.
    vip_mismatch,
    /// Accepted, though its IPv4 v3 checksum has the other form than ours.
    checksum_mismatch,
}

impl Counters {
    pub(crate) fn drop_for(&mut self, error: PacketError) {
        let counter = match error {
            PacketError::Ttl(_) => &mut self.bad_ttl,
            PacketError::Destination(_) => &mut self.bad_destination,
            PacketError::Source => &mut self.bad_source,
            PacketError::Length { .. } => &mut self.bad_length,
            PacketError::Version(_) => &mut self.bad_version,
            PacketError::Type(_) => &mut self.bad_type,
            PacketError::Checksum => &mut self.bad_checksum,
            PacketError::Interval => &mut self.bad_interval,
            PacketError::AuthenticationType(_) | PacketError::UnexpectedHeader => &mut self.auth_mismatch,
            PacketError::Password | PacketError::BadSeal => &mut self.auth_failed,
            PacketError::Unsealed => &mut self.auth_missing,
            PacketError::MalformedSeal => &mut self.auth_malformed,
            PacketError::UnknownKey(_) => &mut self.auth_unknown_key,
            PacketError::Stale(_) => &mut self.auth_stale,
            PacketError::Replayed => &mut self.auth_replayed,
        };
        *counter += 1;
    }
}
