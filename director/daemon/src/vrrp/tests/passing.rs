use std::net::UdpSocket;

use super::*;

/// As the first release wrote it, for this moment and namespace.
fn first_release() -> String {
    let (now, namespace) = (uptime().unwrap(), network_namespace().unwrap());
    format!(
        r#"{{"version": 1, "readable-by": 1, "saved-at": {now}, "network-namespace": {namespace},
            "groups": {{"edge": {{"since": 1750000000000000, "counters": {{"lan": {{"stalls": 3}}}},
                "machine": {{"phase": "backup", "routers": []}}}}}}}}"#
    )
}

fn file(text: &str) -> Named {
    let mut file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(text.as_bytes()).unwrap();
    (STATE.to_owned(), file.into())
}

fn read(text: &str) -> Result<(Document, Duration), Unusable> {
    Document::read(file(text).1)
}

#[test]
fn what_is_written_is_read_again() {
    let groups = serde_json::from_str::<Document>(&first_release()).unwrap().groups;
    let document = Document::new(groups).unwrap();
    let (name, descriptor) = document.write().unwrap();
    assert_eq!(name, "vrrp-state");
    let (again, age) = Document::read(descriptor).unwrap();
    assert_eq!(again, document);
    assert!(age < OLDEST_STATE);
}

#[test]
fn the_first_release_is_understood() {
    let (document, _) = read(&first_release()).unwrap();
    assert_eq!(document.groups["edge"].counters["lan"]["stalls"], 3);
}

#[test]
fn a_later_release_is_understood_as_long_as_it_says_so() {
    // It has added something, and taken nothing away that this release needs.
    let later = first_release()
        .replace(r#""version": 1"#, r#""version": 2, "more": {"of": ["this"]}"#)
        .replace(r#""since""#, r#""and": 1, "since""#)
        .replace(r#""phase""#, r#""that": null, "phase""#);
    assert_eq!(read(&later).unwrap().0.groups, read(&first_release()).unwrap().0.groups);
    // Another form altogether.
    for (version, by) in [(2, 2), (7, 6)] {
        let text = format!(r#"{{"version": {version}, "readable-by": {by}, "machines": 5}}"#);
        assert!(matches!(read(&text), Err(Unusable::Version(found)) if found == version));
    }
    // One that was never released.
    assert!(matches!(read(r#"{"version": 0, "readable-by": 0}"#), Err(Unusable::Version(0))));
}

#[test]
fn what_makes_no_sense_is_not_used() {
    let text = first_release();
    for damaged in
        ["", "{}", "null", "\u{0}\u{0}", &text[..text.len() / 2], &text.replace("backup", "asleep")]
    {
        assert!(matches!(read(damaged), Err(Unusable::Damaged(_))), "{damaged}");
    }
    let (now, namespace) = (uptime().unwrap(), network_namespace().unwrap());
    let of = |saved_at: u64, namespace: u64| {
        format!(
            r#"{{"version": 1, "readable-by": 1, "saved-at": {saved_at}, "network-namespace": {namespace},
                "groups": {{}}}}"#
        )
    };
    assert!(read(&of(now, namespace)).is_ok());
    assert!(matches!(read(&of(now, namespace + 1)), Err(Unusable::Namespace)));
    assert!(matches!(read(&of(now + 100_000_000, namespace)), Err(Unusable::Old(_))), "before the boot");
    assert!(
        matches!(read(&of(now.saturating_sub(100_000_000), namespace)), Err(Unusable::Old(_)))
            || now < 100_000_000
    );
}

#[test]
fn without_a_state_sockets_are_of_no_use() {
    let socket = || (SOCKET.to_owned(), UdpSocket::bind("127.0.0.1:0").unwrap().into());
    let inheritance = Inheritance::take(vec![socket(), file("{}")]);
    assert!(inheritance.state.is_none() && inheritance.sockets.is_empty());
    let inheritance = Inheritance::take(vec![socket()]);
    assert!(inheritance.state.is_none() && inheritance.sockets.is_empty());
}

#[test]
fn a_socket_that_is_none_of_vrrp_is_closed() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let error = AdvertSocket::inherit(socket.into()).unwrap_err();
    assert_eq!(error.to_string(), "not of VRRP");
    let other = ("of another release".to_owned(), UdpSocket::bind("127.0.0.1:0").unwrap().into());
    let inheritance = Inheritance::take(vec![file(&first_release()), other]);
    assert!(inheritance.state.is_some() && inheritance.sockets.is_empty());
}

#[test]
fn times_of_day_survive() {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_750_000_000_123_456);
    assert_eq!(time_of_day(since_epoch(time)), time);
}
