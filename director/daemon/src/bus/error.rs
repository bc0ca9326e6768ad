//! What a D-Bus caller is told when a request fails.

use crate::status::Refused;

/// Errors named `org.fairway.Director1.Error.*`; the text says what to do.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.fairway.Director1.Error")]
pub enum Error {
    /// The transport failed.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The object has been removed by a reload.
    NotFound(String),
    /// An argument has no meaning.
    InvalidArgument(String),
    /// The new configuration cannot be used; the last good one keeps running.
    ReloadFailed(String),
    /// The director cannot or will not do it now.
    Refused(String),
}

impl From<Refused> for Error {
    fn from(Refused(text): Refused) -> Self {
        Self::Refused(text)
    }
}

/// Result of a D-Bus method.
pub type Result<T> = std::result::Result<T, Error>;
