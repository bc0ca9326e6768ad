//! The rules of health checks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::Found;
use super::bfd::interval_problems;
use crate::{
    BfdCheck, Check, HttpCheck, HttpMethod, Probe, ProbeTransport, ScriptCheck, SmtpCheck, Tls, Via,
};

pub(super) fn problems(found: &mut Found, name: &str, check: &Check) {
    let at = |key: &str| format!("checks.{name}{key}");
    let mut probes = check.probes();
    match (probes.next(), probes.next()) {
        (Some(probe), None) => probe_problems(found, &at(""), check, probe),
        _ => {
            let kinds = Check::KINDS.join(", ");
            found.add(at(""), format!("give exactly one probe, such as tcp = {{}}: one of {kinds}"));
        }
    }
    if check.timeout.get().is_zero() {
        found.add(at(".timeout"), "must be longer than zero");
    }
    let paces = [(".every", Some(check.every)), (".retry-every", check.retry_every)];
    for (key, pace) in paces {
        if let Some(pace) = pace.filter(|pace| pace.get() < Duration::from_millis(10)) {
            found.add(at(key), format!("{pace} is too short; use at least 10ms"));
        }
    }
    if check.jitter > check.every {
        found.add(at(".jitter"), format!("{} is longer than every = \"{}\"", check.jitter, check.every));
    }
    for (key, value) in [(".rise", check.rise), (".fall", check.fall)] {
        if value == 0 {
            found.add(at(key), "must be at least 1");
        }
    }
    if check.port == Some(0) {
        found.add(at(".port"), "0 is no port");
    }
}

/// White space and control characters have no place in names and paths.
pub(super) fn is_odd(text: &str) -> bool {
    text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn probe_problems(found: &mut Found, at: &str, check: &Check, probe: Probe<'_>) {
    let kind = probe.name();
    if check.port.is_some() && probe.transport() == ProbeTransport::None {
        found.add(format!("{at}.port"), format!("{kind} has no port; take it out"));
    }
    if check.via == Via::Vip
        && matches!(
            probe,
            Probe::Ping(_) | Probe::Bfd(_) | Probe::Script(_) | Probe::File(_) | Probe::Agent(_)
        )
    {
        found.add(format!("{at}.via"), format!("{kind} does not take a way to the VIP; take it out"));
    }
    let at = format!("{at}.{kind}");
    match probe {
        Probe::Tcp(tcp) => tls_problems(found, &at, tcp.tls.as_ref()),
        Probe::Http(http) => http_problems(found, &at, http),
        Probe::Grpc(grpc) => {
            host_problems(found, &at, grpc.host.as_deref());
            if is_odd(&grpc.service) {
                found.add(format!("{at}.service"), "must be a service name without white space");
            }
            tls_problems(found, &at, grpc.tls.as_ref());
        }
        Probe::Smtp(smtp) => smtp_problems(found, &at, smtp),
        Probe::Dns(dns) => {
            if dns.name.is_empty() || dns.name.len() > 254 || is_odd(&dns.name) {
                found.add(format!("{at}.name"), "must be a domain name, such as \"example.org\"");
            }
        }
        Probe::Script(script) => script_problems(found, &at, script),
        Probe::File(file) => absolute(found, format!("{at}.path"), Some(&file.path)),
        Probe::Agent(_) => {
            if check.port.is_none() {
                found.add(&at, "say with port = .. where the agent listens, which is not where clients go");
            }
        }
        Probe::Bfd(bfd) => bfd_problems(found, &at, check, bfd),
        Probe::Udp(_) | Probe::Ping(_) => {}
    }
}

fn bfd_problems(found: &mut Found, at: &str, check: &Check, bfd: &BfdCheck) {
    interval_problems(found, at, (bfd.min_tx, bfd.min_rx), (bfd.multiplier, bfd.hops));
    let usual = Check::default();
    let counts = [
        ("timeout", check.timeout != usual.timeout),
        ("rise", check.rise != usual.rise),
        ("fall", check.fall != usual.fall),
    ];
    for (key, given) in counts {
        if given {
            let at = format!("{}{key}", at.strip_suffix("bfd").unwrap_or(at));
            found.add(at, "has no use with bfd, which does the counting (min-rx, multiplier); take it out");
        }
    }
}

fn http_problems(found: &mut Found, at: &str, http: &HttpCheck) {
    if !http.path.starts_with('/') || is_odd(&http.path) {
        found.add(
            format!("{at}.path"),
            format!("\"{}\" must start with \"/\" and hold no white space", http.path),
        );
    }
    if http.status.is_empty() || !http.status.iter().all(|range| range.exists()) {
        found.add(format!("{at}.status"), "list the status codes that pass, each from 100 to 599");
    }
    host_problems(found, at, http.host.as_deref());
    if http.method == HttpMethod::Head {
        for (key, given) in [("body", http.body.is_some()), ("digest", http.digest.is_some())] {
            if given {
                found.add(
                    format!("{at}.{key}"),
                    "there is no body in the answer to HEAD; use method = \"GET\"",
                );
            }
        }
    }
    headers(found, at, &http.headers);
    tls_problems(found, at, http.tls.as_ref());
}

/// Headers that are given besides those that every request has.
pub(super) fn headers(found: &mut Found, at: &str, headers: &BTreeMap<String, String>) {
    for (name, value) in headers {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            found.add(format!("{at}.headers"), format!("\"{name}\" is no header name"));
        } else if ["host", "connection", "content-length", "transfer-encoding"]
            .contains(&name.to_ascii_lowercase().as_str())
        {
            let remedy = if name.eq_ignore_ascii_case("host") { "; use host = .." } else { "" };
            found.add(format!("{at}.headers"), format!("{name} is set by the director itself{remedy}"));
        }
        if value.contains(char::is_control) {
            found.add(format!("{at}.headers"), format!("the value of {name} has control characters"));
        }
    }
}

fn smtp_problems(found: &mut Found, at: &str, smtp: &SmtpCheck) {
    if smtp.helo.as_ref().is_some_and(|helo| helo.is_empty() || is_odd(helo)) {
        found.add(format!("{at}.helo"), "must be a host name without white space");
    }
    tls_problems(found, at, smtp.tls.as_ref());
}

fn script_problems(found: &mut Found, at: &str, script: &ScriptCheck) {
    match script.command.first() {
        None => found.add(format!("{at}.command"), "name the program, by absolute path"),
        Some(program) => absolute(found, format!("{at}.command"), Some(Path::new(program))),
    }
    if script.command.iter().any(|word| word.contains('\0')) {
        found.add(format!("{at}.command"), "must not contain zero bytes");
    }
}

fn host_problems(found: &mut Found, at: &str, host: Option<&str>) {
    if host.is_some_and(|host| host.is_empty() || is_odd(host)) {
        found.add(format!("{at}.host"), "must be a host name without white space");
    }
}

pub(super) fn tls_problems(found: &mut Found, at: &str, tls: Option<&Tls>) {
    let Some(tls) = tls else { return };
    if tls.sni.as_ref().is_some_and(|name| name.is_empty() || is_odd(name)) {
        found.add(format!("{at}.tls.sni"), "must be a host name without white space");
    }
    if !tls.verify && tls.ca_file.is_some() {
        found.add(format!("{at}.tls.ca-file"), "has no use with verify = false; take one of the two out");
    }
    if tls.certificate_file.is_some() != tls.key_file.is_some() {
        found.add(format!("{at}.tls"), "certificate-file and key-file go together; give both or neither");
    }
    let files =
        [("ca-file", &tls.ca_file), ("certificate-file", &tls.certificate_file), ("key-file", &tls.key_file)];
    for (key, file) in files {
        absolute(found, format!("{at}.tls.{key}"), file.as_deref());
    }
}

pub(super) fn absolute(found: &mut Found, at: String, path: Option<&Path>) {
    if let Some(path) = path.filter(|path| !path.is_absolute()) {
        found.add(at, format!("\"{}\" must be an absolute path, starting with \"/\"", path.display()));
    }
}
