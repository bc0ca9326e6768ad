//! Settings of `director.toml` that this version knows, but does not carry out.
//!
//! The schema is ahead of the director. To take a setting and do nothing would be worse than not to know it: a
//! start or a reload with one of these is refused, with all of them named. Who teaches the director one of them
//! deletes its line here.

use fairway_config::{Check, ChecksRequired, Config, Listen, OnFailure, Probe, Problem, Service, Via};

/// Every setting of `config` that is not carried out, by place.
pub fn settings(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, check) in &config.checks {
        of_check(&mut found, &format!("checks.{name}"), check);
    }
    for service in &config.services {
        of_service(&mut found, &format!("service.{}", service.name), service);
    }
    found
}

/// Adds a problem for each of the keys below `at` that is `given`.
fn refuse(found: &mut Vec<Problem>, at: &str, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, given)| *given) {
        let name = key.trim_start_matches('.');
        let message = format!("{name} is not carried out by this version of the director; remove it");
        found.push(Problem { at: format!("{at}{key}"), message });
    }
}

fn of_check(found: &mut Vec<Problem>, at: &str, check: &Check) {
    let keys = [
        (".jitter", !check.jitter.get().is_zero()),
        (".retry-every", check.retry_every.is_some()),
        (".fast-fail", check.fast_fail),
        (".via", check.via != Via::default()),
    ];
    refuse(found, at, &keys);
    for probe in check.probes() {
        let kind = format!(".{}", probe.name());
        match probe {
            Probe::Tcp(tcp) => {
                let keys = [
                    (".send", tcp.send.is_some()),
                    (".expect", tcp.expect.is_some()),
                    (".tls", tcp.tls.is_some()),
                ];
                refuse(found, &format!("{at}{kind}"), &keys);
            }
            Probe::Http(http) => {
                let keys = [
                    (".method", http.method != fairway_config::HttpMethod::default()),
                    (".digest", http.digest.is_some()),
                    (".http2", http.http2),
                    (".headers", !http.headers.is_empty()),
                    (".tls", http.tls.is_some()),
                ];
                refuse(found, &format!("{at}{kind}"), &keys);
            }
            _ => refuse(found, at, &[(&kind, true)]),
        }
    }
}

fn of_service(found: &mut Vec<Problem>, at: &str, service: &Service) {
    let keys = [
        (".listen.fwmark", matches!(service.listen, Listen::Fwmark { .. })),
        (".checks-required", service.checks_required != ChecksRequired::default()),
        (".on-failure", service.on_failure != OnFailure::default()),
        (".slow-start", service.slow_start.is_some()),
        (".suspend-on-backup", service.suspend_on_backup),
        (".quorum", service.quorum != fairway_config::Quorum::default()),
        (".sorry-server", service.sorry_server.is_some()),
    ];
    refuse(found, at, &keys);
    for server in &service.real_servers {
        let keys = [(".checks", server.checks.is_some()), (".on-failure", server.on_failure.is_some())];
        refuse(found, &format!("{at}.real-servers.{}", server.name), &keys);
    }
}

#[cfg(test)]
mod tests;
