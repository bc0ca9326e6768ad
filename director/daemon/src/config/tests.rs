//! What an operator is told about a configuration that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

const GOOD: &str = r#"version = 1
cluster = "shop"
host = "lb1"

[checks.alive]
tcp = {}

[[failover]]
name = "edge"

[[failover.instance]]
name = "edge-public"
interface = "eth0"
family = "ipv4"
vrid = 51
version = 2
priority = 200
advert-interval = "1s"
auth = { pass = { key-file = "KEY" } }
virtual-ips = [{ address = "192.0.2.1" }]

[[service]]
name = "web"
listen = { address = "192.0.2.1", port = 80, protocol = "tcp" }
checks = ["alive"]
real-servers = [
  { name = "web1", address = "192.0.2.71", port = 80, forward = "direct" },
  { name = "web2", address = "192.0.2.72", port = 80, forward = "direct" },
]
"#;

/// A directory with a good configuration and its key file.
fn directory(edit: impl Fn(&str) -> String) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("edge.key");
    fs::write(&key, "secret\nignored\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let path = dir.path().join("director.toml");
    fs::write(&path, edit(&GOOD.replace("KEY", key.to_str().unwrap()))).unwrap();
    (dir, path)
}

fn refusal(edit: impl Fn(&str) -> String) -> (String, TempDir) {
    let (dir, path) = directory(edit);
    (load(&path, None).unwrap_err().to_string(), dir)
}

#[test]
fn a_good_file_loads() {
    let (_dir, path) = directory(str::to_owned);
    assert_eq!(load(&path, None).unwrap().config().host, "lb1");
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let error = load(Path::new("/nonexistent/director.toml"), None).unwrap_err();
    assert!(matches!(error, Error::Read { .. }));
    let text = error.to_string();
    assert!(text.starts_with("cannot read /nonexistent/director.toml: "), "{text}");
    assert!(text.ends_with("write it with fairway-gen, or name another file with --config"), "{text}");
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("director.toml");
    fs::write(&path, b"host = \"\xff\"").unwrap();
    let text = load(&path, None).unwrap_err().to_string();
    assert!(text.ends_with("write it as UTF-8 text"), "{text}");
}

#[test]
fn bad_toml_names_file_line_and_key() {
    let (text, dir) = refusal(|good| good.replace("vrid = 51", "vrid = 51\ncolour = 3"));
    assert!(text.starts_with(dir.path().join("director.toml").to_str().unwrap()), "{text}");
    assert!(text.contains("line 16") && text.contains("unknown field `colour`"), "{text}");
}

#[test]
fn every_broken_rule_is_named_with_its_line() {
    let (text, dir) = refusal(|good| {
        good.replace("advert-interval = \"1s\"", "advert-interval = \"10ms\"")
            .replace("checks = [\"alive\"]", "checks = [\"absent\"]")
            .replace("\"192.0.2.72\", port = 80", "\"192.0.2.72\", port = 81")
    });
    let file = dir.path().join("director.toml");
    let file = file.display();
    let starts: Vec<_> = text.lines().map(|l| l.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(
        starts,
        [
            format!("{file}:18: failover.edge.instance.edge-public.advert-interval"),
            format!("{file}:25: service.web.checks"),
            format!("{file}:28: service.web.real-servers.web2.port"),
        ]
    );
}

#[test]
fn of_two_things_with_one_name_the_second_is_pointed_at() {
    let (text, _dir) = refusal(|good| {
        format!(
            "{good}\n[[service]]\nname = \"web\"\nlisten = {{ address = \"192.0.2.1\", port = 81, protocol = \"tcp\" }}\n"
        )
    });
    assert!(text.contains("director.toml:31: service.web: this service is given twice"), "{text}");
}

#[test]
fn a_name_with_dots_is_still_found() {
    let (text, _dir) = refusal(|good| {
        good.replace("name = \"web\"", "name = \"web.example.org\"").replace("[\"alive\"]", "[\"absent\"]")
    });
    assert!(text.contains("director.toml:25: service.web.example.org.checks"), "{text}");
}

#[test]
fn a_password_file_must_be_there_and_fit() {
    let (dir, path) = directory(str::to_owned);
    for content in [None, Some(""), Some("ninebytes\n")] {
        match content {
            None => fs::remove_file(dir.path().join("edge.key")).unwrap(),
            Some(content) => {
                let key = dir.path().join("edge.key");
                fs::write(&key, content).unwrap();
                fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
        let error = load(&path, None).unwrap_err();
        assert!(matches!(error, Error::Failover { source: vrrp::Error::Secret { .. }, .. }), "{error}");
        let text = error.to_string();
        for part in ["director.toml: instance edge-public: ", "edge.key", "write "] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}

#[test]
fn a_pattern_that_is_none_is_found_before_anything_runs() {
    let (text, _dir) = refusal(|good| good.replace("tcp = {}", "http = { body = \"(\" }"));
    assert!(text.contains("director.toml: ") && text.contains("alive"), "{text}");
}
