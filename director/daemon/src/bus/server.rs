//! `/org/fairway/Director1/service/<service>/server/<server>`: a real server of a virtual service.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zbus::{Variant, interface};

use super::core::Core;
use super::error::{Error, Result};
use super::level::{Properties, Published, Shared};
use super::path;
use crate::services::after;
use crate::status::{Order, Override, RealServerStatus, Seen, ServicesCommand, Statistics};

/// A real server of one virtual service.
#[derive(Debug)]
pub struct RealServer {
    service: String,
    name: String,
    state: Shared<RealServerStatus>,
    core: Core,
}

impl RealServer {
    /// Names of service and server for a request, unless a reload has just removed them.
    fn present(&self) -> Result<(String, String)> {
        let services = self.core.services_status.borrow();
        if services.get(&self.service).is_some_and(|s| s.real_servers.contains_key(&self.name)) {
            return Ok((self.service.clone(), self.name.clone()));
        }
        Err(Error::NotFound(format!(
            "the server \"{}\" of service \"{}\" is no longer configured",
            self.name, self.service
        )))
    }

    async fn give(&self, order: Order, until: Option<SystemTime>) -> Result<()> {
        let (service, server) = self.present()?;
        let order = Override { order, until, emptied: false };
        let ask = |reply| ServicesCommand::Order { service, server, order, reply };
        Ok(self.core.services.ask(ask).await?)
    }
}

#[interface(name = "org.fairway.Director1.RealServer", introspection_docs = false)]
impl RealServer {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.name
    }

    #[zbus(property)]
    fn address(&self) -> String {
        self.state.get(|s| s.address.to_string())
    }

    #[zbus(property)]
    fn port(&self) -> u16 {
        self.state.get(|s| s.port)
    }

    #[zbus(property)]
    fn forward(&self) -> &'static str {
        self.state.get(|s| s.forward)
    }

    /// As configured.
    #[zbus(property)]
    fn weight(&self) -> u32 {
        self.state.get(|s| s.weight)
    }

    /// In the kernel; 0 when the server is not in the table.
    #[zbus(property)]
    fn effective_weight(&self) -> u32 {
        self.state.get(|s| s.effective_weight.unwrap_or_default())
    }

    #[zbus(property)]
    fn in_table(&self) -> bool {
        self.state.get(|s| s.effective_weight.is_some())
    }

    #[zbus(property)]
    fn health(&self) -> &'static str {
        self.state.get(|s| s.health)
    }

    #[zbus(property)]
    fn detail(&self) -> String {
        self.state.get(|s| s.detail.clone())
    }

    #[zbus(property)]
    fn drained(&self) -> bool {
        self.state.get(RealServerStatus::drained)
    }

    /// The operator's order: `drain`, `drained`, `disable`, `weight N`, or empty.
    #[zbus(property)]
    fn order(&self) -> String {
        self.state.get(order)
    }

    /// Microseconds since the epoch; 0: the order does not end by itself.
    #[zbus(property)]
    fn order_until(&self) -> u64 {
        self.state.get(|s| s.order.as_ref().map_or(0, |order| microseconds(order.until)))
    }

    /// Microseconds since the epoch; 0: a drain waits for its connections as long as they last.
    #[zbus(property)]
    fn drain_deadline(&self) -> u64 {
        self.state.get(|s| s.order.as_ref().map_or(0, |order| microseconds(order.deadline)))
    }

    async fn drain(&self) -> Result<()> {
        self.give(Order::Drain { deadline: None }, None).await
    }

    /// `drain`, `disable` or `weight`; `weight` counts for the last one only. Times are microseconds from now, 0
    /// for none: when a drain takes the server out, and when the order ends by itself.
    #[zbus(name = "SetOrder")]
    async fn set_order(&self, order: &str, weight: u32, deadline: u64, duration: u64) -> Result<()> {
        let now = SystemTime::now();
        let order = match order {
            "drain" => Order::Drain { deadline: after(now, Duration::from_micros(deadline)) },
            "disable" => Order::Disable,
            "weight" if i32::try_from(weight).is_ok() => Order::Weight(weight),
            "weight" => {
                return Err(Error::InvalidArgument(format!("{weight} is too large; use at most 2147483647")));
            }
            other => {
                let text = format!("\"{other}\" is no order; use drain, disable or weight");
                return Err(Error::InvalidArgument(text));
            }
        };
        self.give(order, after(now, Duration::from_micros(duration))).await
    }

    async fn resume(&self) -> Result<()> {
        let (service, server) = self.present()?;
        Ok(self.core.services.ask(|reply| ServicesCommand::Resume { service, server, reply }).await?)
    }

    /// Runs a check once, or all of them where the name is empty: name, `pass`, `fail` or `inconclusive`, what it
    /// saw, and how long that took in microseconds.
    async fn probe(&self, check: String) -> Result<Vec<(String, String, String, u64)>> {
        let (service, server) = self.present()?;
        let ask = |reply| ServicesCommand::Probe { service, server, check, reply };
        let seen = self.core.services.ask(ask).await?;
        let row = |seen: Seen| {
            let took = u64::try_from(seen.took.as_micros()).unwrap_or(u64::MAX);
            (seen.check, seen.outcome.to_owned(), seen.detail, took)
        };
        Ok(seen.into_iter().map(row).collect())
    }

    /// Digests of what an HTTP check gets, as its `digest` takes them.
    async fn digest(&self, check: String) -> Result<Vec<String>> {
        let (service, server) = self.present()?;
        let ask = |reply| ServicesCommand::Digest { service, server, check, reply };
        Ok(self.core.services.ask(ask).await?)
    }

    async fn get_statistics(&self) -> Result<Statistics> {
        let (service, server) = self.present()?;
        let server = Some(server);
        Ok(self.core.services.ask(|reply| ServicesCommand::Statistics { service, server, reply }).await?)
    }
}

fn order(status: &RealServerStatus) -> String {
    match &status.order {
        None => String::new(),
        Some(order) if order.done => "drained".to_owned(),
        Some(order) => order.words.clone(),
    }
}

fn microseconds(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Published for RealServerStatus {
    type Object = RealServer;
    /// Service and server.
    type Key = (String, String);

    fn path((service, name): &Self::Key) -> String {
        path::server(service, name)
    }

    fn object((service, name): &Self::Key, state: Shared<Self>, core: &Core) -> RealServer {
        RealServer { service: service.clone(), name: name.clone(), state, core: core.clone() }
    }

    fn properties(&self, _key: &Self::Key) -> Properties {
        vec![
            ("Address", Variant::from(self.address.to_string())),
            ("Port", Variant::from(self.port)),
            ("Forward", Variant::from(self.forward)),
            ("Weight", Variant::from(self.weight)),
            ("EffectiveWeight", Variant::from(self.effective_weight.unwrap_or_default())),
            ("InTable", Variant::from(self.effective_weight.is_some())),
            ("Health", Variant::from(self.health)),
            ("Detail", Variant::from(self.detail.clone())),
            ("Drained", Variant::from(self.drained())),
            ("Order", Variant::from(order(self))),
            ("OrderUntil", Variant::from(self.order.as_ref().map_or(0, |order| microseconds(order.until)))),
            (
                "DrainDeadline",
                Variant::from(self.order.as_ref().map_or(0, |order| microseconds(order.deadline))),
            ),
        ]
    }
}
