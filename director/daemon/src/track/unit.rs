//! A systemd unit is active, by the system bus.

use std::time::Duration;

use fairway_health::Outcome;
use futures_util::StreamExt as _;
use zbus::connection::Builder;
use zbus::proxy::SignalStream;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Proxy};

/// A bus or a systemd that does not answer within this time counts as missing.
const PATIENCE: Duration = Duration::from_secs(5);

const SYSTEMD: &str = "org.freedesktop.systemd1";

/// Watches one unit. The bus may come and go.
pub(super) struct UnitWatch {
    name: String,
    link: Option<Link>,
}

struct Link {
    /// The unit's properties.
    unit: Proxy<'static>,
    /// Tells of their changes.
    news: SignalStream<'static>,
}

impl UnitWatch {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), link: None }
    }

    pub(super) async fn look(&mut self) -> Outcome {
        let asked = async {
            let link = match self.link.take() {
                Some(link) => link,
                None => Link::new(&connect().await?, &self.name).await?,
            };
            let state = link.active_state().await?;
            self.link = Some(link);
            zbus::Result::Ok(state)
        };
        let state = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => return Outcome::Inconclusive(format!("cannot ask systemd: {error}").into()),
            Err(_) => return Outcome::Inconclusive("systemd does not answer".into()),
        };
        let text = format!("{} is {state}", self.name);
        // A unit that reloads its configuration serves meanwhile.
        match state.as_str() {
            "active" | "reloading" | "refreshing" => Outcome::Pass(text.into()),
            _ => Outcome::Fail(text.into()),
        }
    }

    pub(super) async fn changed(&mut self) {
        let ended = match &mut self.link {
            Some(link) => link.news.next().await.is_none(),
            None => std::future::pending().await,
        };
        if ended {
            self.link = None;
        }
    }
}

async fn connect() -> zbus::Result<Connection> {
    Builder::system().method_timeout(PATIENCE).build().await
}

impl Link {
    async fn new(bus: &Connection, name: &str) -> zbus::Result<Self> {
        let manager = format!("{SYSTEMD}.Manager");
        let manager = Proxy::new(bus, SYSTEMD, "/org/freedesktop/systemd1", manager).await?;
        // Without it systemd tells of no change; each `every` it is asked anyway.
        let _subscribed: zbus::Result<()> = manager.call("Subscribe", &()).await;
        let path: OwnedObjectPath = manager.call("LoadUnit", &(name,)).await?;
        let unit = Proxy::new(bus, SYSTEMD, path, "org.freedesktop.DBus.Properties").await?;
        let news = unit.receive_signal("PropertiesChanged").await?;
        Ok(Self { unit, news })
    }

    async fn active_state(&self) -> zbus::Result<String> {
        let interface = format!("{SYSTEMD}.Unit");
        let state: OwnedVariant = self.unit.call("Get", &(interface.as_str(), "ActiveState")).await?;
        String::try_from(state).map_err(|_| zbus::Error::Failure("ActiveState is no text".to_owned()))
    }
}
