//! `/org/fairway/Director1/bfd/<neighbour>`: a BFD session, read-only.

use fairway_config::BfdKey;
use zbus::{Variant, interface};

use super::core::Core;
use super::error::{Error, Result};
use super::level::{Properties, Published, Shared};
use super::path;
use crate::bfd::{BfdCommand, SessionStatus};
use crate::status::Statistics;

/// A BFD session.
#[derive(Debug)]
pub struct BfdSession {
    key: BfdKey,
    state: Shared<SessionStatus>,
    core: Core,
}

#[interface(name = "org.fairway.Director1.BfdSession", introspection_docs = false)]
impl BfdSession {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.key.to_string()
    }

    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.state.get(|s| s.state)
    }

    #[zbus(property)]
    fn remote_state(&self) -> &'static str {
        self.state.get(|s| s.remote_state)
    }

    #[zbus(property)]
    fn diagnostic(&self) -> &'static str {
        self.state.get(|s| s.diagnostic)
    }

    #[zbus(property)]
    fn remote_diagnostic(&self) -> &'static str {
        self.state.get(|s| s.remote_diagnostic)
    }

    #[zbus(property)]
    fn discriminator(&self) -> u32 {
        self.state.get(|s| s.discriminator)
    }

    /// 0 while the neighbour is not heard.
    #[zbus(property)]
    fn remote_discriminator(&self) -> u32 {
        self.state.get(|s| s.remote_discriminator)
    }

    /// Microseconds.
    #[zbus(property)]
    fn transmit_interval(&self) -> u64 {
        self.state.get(|s| s.transmit_interval_us)
    }

    /// Microseconds; 0 while it is unknown.
    #[zbus(property)]
    fn detection_time(&self) -> u64 {
        self.state.get(|s| s.detection_time_us)
    }

    async fn get_statistics(&self) -> Result<Statistics> {
        if !self.core.bfd_status.borrow().contains_key(&self.key) {
            return Err(Error::NotFound(format!("nothing wants a BFD session with {} any more", self.key)));
        }
        let key = self.key.clone();
        Ok(self.core.bfd.ask(|reply| BfdCommand::Statistics { key, reply }).await?)
    }
}

impl Published for SessionStatus {
    type Object = BfdSession;
    type Key = BfdKey;

    fn path(key: &BfdKey) -> String {
        path::bfd(&key.to_string())
    }

    fn object(key: &BfdKey, state: Shared<Self>, core: &Core) -> BfdSession {
        BfdSession { key: key.clone(), state, core: core.clone() }
    }

    fn properties(&self, _key: &BfdKey) -> Properties {
        vec![
            ("State", Variant::from(self.state)),
            ("RemoteState", Variant::from(self.remote_state)),
            ("Diagnostic", Variant::from(self.diagnostic)),
            ("RemoteDiagnostic", Variant::from(self.remote_diagnostic)),
            ("Discriminator", Variant::from(self.discriminator)),
            ("RemoteDiscriminator", Variant::from(self.remote_discriminator)),
            ("TransmitInterval", Variant::from(self.transmit_interval_us)),
            ("DetectionTime", Variant::from(self.detection_time_us)),
        ]
    }
}
