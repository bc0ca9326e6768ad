//! The rules of notifications.

use std::path::Path;
use std::time::Duration;

use super::Found;
use super::check::{absolute, headers, is_odd, tls_problems};
use crate::{Config, Hook, Mail, Notify, Security, Way, Webhook};

/// Nobody waits longer for a message.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn problems(found: &mut Found, config: &Config) {
    for (name, notify) in &config.notify {
        let at = format!("notify.{name}");
        if name.is_empty() {
            found.add(&at, "a notification needs a name");
        }
        let mut ways = notify.ways();
        match (ways.next(), ways.next()) {
            (Some(Way::Hook(hook)), None) => hook_problems(found, &at, hook),
            (Some(Way::Mail(mail)), None) => mail_problems(found, &at, mail),
            (Some(Way::Webhook(webhook)), None) => webhook_problems(found, &at, webhook),
            _ => {
                let ways = Notify::WAYS.join(", ");
                found.add(
                    &at,
                    format!("give exactly one way, such as hook = {{ command = [..] }}: one of {ways}"),
                );
            }
        }
        pace_problems(found, &at, notify);
    }
}

fn pace_problems(found: &mut Found, at: &str, notify: &Notify) {
    for (key, period) in [("collect", notify.collect), ("pause", notify.pause), ("timeout", notify.timeout)] {
        if let Some(period) = period.filter(|period| period.get() > LONGEST) {
            found.add(format!("{at}.{key}"), format!("{period} is too long; use at most 1day"));
        }
    }
    if notify.timeout.is_some_and(|timeout| timeout.get().is_zero()) {
        found.add(format!("{at}.timeout"), "must be longer than zero");
    }
    match (notify.attempts, &notify.hook) {
        (Some(_), Some(_)) => {
            found.add(format!("{at}.attempts"), "a hook is run once for each event; take it out")
        }
        (Some(0), None) => found.add(format!("{at}.attempts"), "must be at least 1"),
        _ => {}
    }
}

fn hook_problems(found: &mut Found, at: &str, hook: &Hook) {
    let at = format!("{at}.hook.command");
    match hook.command.first() {
        None => found.add(&at, "name the program, by absolute path"),
        Some(program) => absolute(found, at.clone(), Some(Path::new(program))),
    }
    if hook.command.iter().any(|word| word.contains('\0')) {
        found.add(at, "must not contain zero bytes");
    }
}

fn mail_problems(found: &mut Found, at: &str, mail: &Mail) {
    let at = |key: &str| format!("{at}.mail.{key}");
    if mail.server.is_empty() || is_odd(&mail.server) {
        found.add(at("server"), "must be a host name or an address");
    }
    if mail.port == Some(0) {
        found.add(at("port"), "0 is no port");
    }
    if mail.to.is_empty() {
        found.add(at("to"), "give at least one address, such as [\"ops@example.org\"]");
    }
    let addresses = [("from", &mail.from)].into_iter().chain(mail.to.iter().map(|to| ("to", to)));
    for (key, address) in addresses {
        let parts =
            address.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if parts.is_none() || is_odd(address) || address.contains(['<', '>', ',']) {
            found.add(at(key), format!("\"{address}\" is no mail address, such as \"ops@example.org\""));
        }
    }
    if mail.helo.as_ref().is_some_and(|helo| helo.is_empty() || is_odd(helo)) {
        found.add(at("helo"), "must be a host name without white space");
    }
    if mail.user.is_some() != mail.password_file.is_some() {
        found.add(at("user"), "user and password-file go together; give both or neither");
    }
    if mail.security == Security::None {
        if mail.user.is_some() {
            found.add(
                at("user"),
                "a password is not sent in the clear; use security = \"starttls\" or \"tls\"",
            );
        }
        if mail.ca_file.is_some() {
            found.add(
                at("ca-file"),
                "has no use without TLS; use security = \"starttls\" or \"tls\", or take it out",
            );
        }
    }
    absolute(found, at("ca-file"), mail.ca_file.as_deref());
    absolute(found, at("password-file"), mail.password_file.as_deref());
}

fn webhook_problems(found: &mut Found, at: &str, webhook: &Webhook) {
    let at = format!("{at}.webhook");
    let url = &webhook.url;
    let rest = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next());
    if authority.is_none_or(str::is_empty) || is_odd(url) || url.contains('#') {
        found.add(
            format!("{at}.url"),
            format!("\"{url}\" is no URL to post to, such as \"https://example.org/hook\""),
        );
    } else if authority.is_some_and(|authority| authority.contains('@')) {
        found.add(
            format!("{at}.url"),
            "a password in a URL shows up in logs; put a line \"Authorization: ...\" into header-file",
        );
    }
    if webhook.tls.is_some() && !url.starts_with("https://") {
        found.add(format!("{at}.tls"), "has no use without https://; take it out");
    }
    headers(found, &at, &webhook.headers);
    absolute(found, format!("{at}.header-file"), webhook.header_file.as_deref());
    tls_problems(found, &at, webhook.tls.as_ref());
}
