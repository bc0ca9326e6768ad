//! Settings of `director.toml` that this version knows, but does not carry out.
//!
//! The schema is ahead of the director. To take a setting and do nothing would be worse than not to know it: a
//! start or a reload with one of these is refused, with all of them named. Who teaches the director one of them
//! deletes its line here.

use fairway_config::{Check, Config, Problem, Service, Via};

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
    refuse(found, at, &[(".via", check.via != Via::default())]);
}

fn of_service(found: &mut Vec<Problem>, at: &str, service: &Service) {
    refuse(found, at, &[(".suspend-on-backup", service.suspend_on_backup)]);
}

#[cfg(test)]
mod tests;
