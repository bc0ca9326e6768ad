//! One refusal per rule of notifications.

use super::*;

fn notify<'c>(config: &'c mut Config, name: &str) -> &'c mut Notify {
    config.notify.get_mut(name).unwrap()
}

fn mail(config: &mut Config) -> &mut Mail {
    notify(config, "oncall").mail.as_mut().unwrap()
}

fn webhook(config: &mut Config) -> &mut Webhook {
    notify(config, "chat").webhook.as_mut().unwrap()
}

rule!(there_is_a_way, "notify.move", |c| notify(c, "move").hook = None);
rule!(there_is_one_way, "notify.move", |c| {
    notify(c, "move").webhook = c.notify["chat"].webhook.clone();
});
rule!(a_hook_is_named_by_its_path, "notify.move.hook.command", |c| {
    notify(c, "move").hook.as_mut().unwrap().command[0] = "moved".into();
});
rule!(a_hook_is_named, "notify.move.hook.command", |c| {
    notify(c, "move").hook.as_mut().unwrap().command.clear();
});
rule!(a_hook_runs_once, "notify.move.attempts", |c| notify(c, "move").attempts = Some(2));
rule!(a_message_is_tried, "notify.oncall.attempts", |c| notify(c, "oncall").attempts = Some(0));
rule!(a_delivery_takes_time, "notify.oncall.timeout", |c| {
    notify(c, "oncall").timeout = Some(Period::from_secs(0));
});
rule!(nobody_waits_for_ever, "notify.oncall.pause", |c| {
    notify(c, "oncall").pause = Some(Period::from_secs(90_000));
});
rule!(mail_has_receivers, "notify.oncall.mail.to", |c| mail(c).to.clear());
rule!(mail_goes_to_addresses, "notify.oncall.mail.to", |c| mail(c).to[0] = "Ops <ops@example.org>".into());
rule!(mail_comes_from_an_address, "notify.oncall.mail.from", |c| mail(c).from = "lb1".into());
rule!(mail_goes_through_a_server, "notify.oncall.mail.server", |c| mail(c).server = "a b".into());
rule!(a_user_has_a_password, "notify.oncall.mail.user", |c| mail(c).password_file = None);
rule!(a_password_is_not_sent_in_the_clear, "notify.oncall.mail.user", |c| {
    mail(c).security = Security::None;
    mail(c).ca_file = None;
});
rule!(a_webhook_has_a_url, "notify.chat.webhook.url", |c| webhook(c).url = "https://".into());
rule!(a_url_holds_no_password, "notify.chat.webhook.url", |c| {
    webhook(c).url = "https://lb:secret@chat.example.org/".into();
});
rule!(tls_is_for_https, "notify.chat.webhook.tls", |c| webhook(c).url = "http://chat.example.org/".into());
rule!(headers_are_ours_to_set, "notify.chat.webhook.headers", |c| {
    webhook(c).headers.insert("Host".into(), "example.org".into());
});
