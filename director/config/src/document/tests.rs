//! A text in pieces says what it says as a whole, and what was read before is not read again.

use super::*;

const FULL: &str = include_str!("../../tests/full.toml");

const HEAD: &str = "version = 1\ncluster = \"c\"\nhost = \"h\"\n";

fn service(number: u16) -> String {
    let listen = format!("{{ address = \"192.0.2.1\", port = {number}, protocol = \"tcp\" }}");
    let server = "[[service.real-servers]]\nname = \"r\"\naddress = \"198.51.100.1\"\n";
    format!("[[service]]\nname = \"s{number}\"\nforward = \"nat\"\nlisten = {listen}\n{server}")
}

/// Enough services for several threads.
fn many() -> String {
    let mut text = HEAD.to_owned();
    text.extend((1..=4000).map(service));
    text
}

fn pieces(text: &str) -> Option<Config> {
    in_pieces(text, None, &RandomState::new()).map(|(config, _)| config)
}

#[test]
fn pieces_say_what_the_whole_says() {
    for text in [FULL.to_owned(), many(), HEAD.to_owned(), many().replace('\n', "\r\n")] {
        let whole: Config = toml::from_str(&text).unwrap();
        assert!(pieces(&text).is_some_and(|config| config == whole), "{text:.200}");
        let again = whole.to_toml().unwrap();
        assert!(pieces(&again).is_some_and(|config| config == whole), "{again:.200}");
    }
}

#[test]
fn only_what_has_changed_is_parsed_again() {
    let text = many();
    let before = Document::read(&text, None).unwrap();
    let changed = text.replace("name = \"s77\"\n", "name = \"s77\"\nscheduler = \"rr\"\n");
    let after = Document::read(&changed, Some(&before)).unwrap();
    assert_eq!(**after.config(), toml::from_str(&changed).unwrap());
    let same = |(one, other): &(&Arc<Service>, &Arc<Service>)| Arc::ptr_eq(one, other) && one.name != "s77";
    let services = before.config().services.iter().zip(&after.config().services);
    assert_eq!(services.filter(same).count(), 3999);
    // Their order is that of the text.
    let (head, tail) = text.split_at(HEAD.len());
    let mut turned: Vec<_> = tail.split_inclusive("198.51.100.1\"\n").collect();
    turned.reverse();
    let turned = Document::read(&format!("{head}{}", turned.concat()), Some(&after)).unwrap();
    let names: Vec<_> = turned.config().services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!((names[0], names[3999]), ("s4000", "s1"));
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let text = many();
    let line = text.lines().position(|line| line == "name = \"s1500\"").unwrap() + 1;
    let error = Document::read(&text.replace("\"s1500\"", "1500"), None).unwrap_err().to_string();
    assert!(error.contains(&format!("line {line}")), "{error}");
}

#[test]
fn what_only_looks_like_a_table_is_none() {
    for cluster in ["'''\n[[service]]\n'''", "\"\"\"\n[[failover]]\nname = \\\"\"\"\""] {
        let text = format!("version = 1\ncluster = {cluster}\nhost = \"h\"\n{}", service(80));
        assert_eq!(pieces(&text), None);
        let config = Document::read(&text, None).unwrap();
        assert!(config.config().cluster.contains("]]"), "{}", config.config().cluster);
        assert_eq!(config.config().services.len(), 1);
    }
}

#[test]
fn tables_after_the_services_are_read_as_well() {
    let text = format!("{}[ipvs]\nkeep-on-stop = true\n", many());
    assert_eq!(pieces(&text), None);
    assert!(Document::read(&text, None).unwrap().config().ipvs.keep_on_stop);
}

#[test]
fn services_given_in_two_ways_are_refused() {
    let error = Document::read(&many().replacen("host", "service = [ ]\nhost", 1), None).unwrap_err();
    assert!(matches!(error, Error::Parse(_)), "{error}");
}
