use super::*;

#[test]
fn takes_the_first_line() {
    assert_eq!(first_line(b"secret\n").unwrap(), *b"secret\0\0");
    assert_eq!(first_line(b"12345678\r\nmore\n").unwrap(), *b"12345678");
    assert_eq!(first_line(b" x").unwrap(), *b" x\0\0\0\0\0\0");
}

#[test]
fn refuses_what_is_no_password() {
    assert!(first_line(b"").unwrap_err().contains("empty"));
    assert!(first_line(b"\nsecret\n").unwrap_err().contains("empty"));
    assert!(first_line(b"123456789\n").unwrap_err().contains("9 bytes"));
}

#[test]
fn the_error_names_instance_file_and_remedy() {
    let text = r#"
        version = 1
        cluster = "c"
        host = "h"
        [[failover]]
        name = "edge"
        [[failover.instance]]
        name = "edge-lan"
        interface = "eth0"
        family = "ipv4"
        vrid = 1
        version = 2
        priority = 100
        advert-interval = "1s"
        auth = { pass = { key-file = "/nonexistent/edge.key" } }
        virtual-ips = [{ address = "10.0.0.100" }]
    "#;
    let config = fairway_config::Config::from_toml(text).unwrap();
    let error = load(config.failover).unwrap_err();
    assert!(matches!(&error, Error::Password { instance, .. } if instance == "edge-lan"));
    let text = error.to_string();
    for part in ["edge-lan", "/nonexistent/edge.key", "No such file", "1 to 8 bytes"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}
