//! The thread that makes the checks. It has nobody to wait for: neither a bus with ten thousand objects to show nor a
//! configuration that is being read delays a probe, and a probe that ends wakes no other thread unless its verdict is
//! a new one.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tracing::warn;

/// Ends the thread when it is dropped, and with it all checks.
#[derive(Debug)]
pub(super) struct Prober {
    runtime: Handle,
    _alive: Option<oneshot::Sender<()>>,
}

impl Prober {
    /// Starts the thread. Without one the checks run where this is called.
    pub(super) fn start() -> Self {
        spawn().unwrap_or_else(|error| {
            warn!(%error, "no thread of their own for the health checks: other work of the director may delay them");
            Self { runtime: Handle::current(), _alive: None }
        })
    }

    /// Where the checks are to run.
    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

fn spawn() -> io::Result<Prober> {
    let runtime = Builder::new_current_thread().enable_all().thread_name("checks").build()?;
    let handle = runtime.handle().clone();
    let (alive, ended) = oneshot::channel::<()>();
    thread::Builder::new().name("checks".to_owned()).spawn(move || {
        let _ended = runtime.block_on(ended);
        // A file that cannot be read does not hold up the end.
        runtime.shutdown_background();
    })?;
    Ok(Prober { runtime: handle, _alive: Some(alive) })
}
