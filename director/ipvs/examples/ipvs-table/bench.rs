//! Times of loading and reading a large table.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_ipvs::{
    Client, Destination, DestinationKey, Forward, Name, Protocol, Service, ServiceKey, Settings, Table, plan,
};

use crate::Outcome;

const ROUNDS: usize = 3;

/// `services` services with `servers` servers each: loads, reads, changes one weight, and deletes, some times
/// over. Other services stay.
pub fn run(services: &str, servers: &str) -> Outcome {
    let (services, servers): (u32, u32) = (services.parse()?, servers.parse()?);
    for _ in 0..ROUNDS {
        round(services, servers)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn round(services: u32, servers: u32) -> Result<(), Box<dyn std::error::Error>> {
    let scheduler = Name::new("wrr")?;
    let (desired, made) = timed(|| table(services, servers, scheduler));
    let (client, connected) = timed(Client::connect);
    let mut client = client?;
    let (observed, empty) = timed(|| client.dump());
    let observed = observed?;
    let owned: BTreeSet<_> = desired.keys().copied().collect();
    let (operations, planned) = timed(|| plan(&desired, &observed, &owned));
    let (failures, loaded) = timed(|| client.apply(&operations));
    let refused = failures?.len();
    let (full, read) = timed(|| client.dump());
    let full = full?;
    let left = plan(&desired, &full, &owned).len();

    let mut changed = desired.clone();
    if let Some(service) = changed.values_mut().next() {
        for destination in Arc::make_mut(service).destinations.values_mut().take(1) {
            destination.weight += 1;
        }
    }
    let (_, one) = timed(|| client.apply(&plan(&changed, &desired, &owned)));
    let deletions = plan(&Table::new(), &changed, &owned);
    let (gone, deleted) = timed(|| client.apply(&deletions));
    println!(
        "{} operations: table {} ms, connect {} ms, first dump {} ms, plan {} ms, load {} ms ({refused} refused), \
         full dump {} ms ({left} to do), one weight {} ms, delete {} ms ({} refused)",
        operations.len(),
        ms(made),
        ms(connected),
        ms(empty),
        ms(planned),
        ms(loaded),
        ms(read),
        ms(one),
        ms(deleted),
        gone?.len(),
    );
    Ok(())
}

fn table(services: u32, servers: u32, scheduler: Name) -> Table {
    let address = |base: [u8; 4], offset: u32| Ipv4Addr::from_bits(u32::from_be_bytes(base) + offset).into();
    let service = |i: u32| {
        let mut service = Service::new(Settings::new(scheduler));
        for j in 0..servers {
            let key = DestinationKey { address: address([10, 64, 0, 1], i * servers + j), port: 80 };
            service.destinations.insert(key, Destination::new(Forward::Direct, 1));
        }
        let key =
            ServiceKey::Address { address: address([10, 1, 0, 1], i), port: 80, protocol: Protocol::TCP };
        (key, Arc::new(service))
    };
    (0..services).map(service).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}
