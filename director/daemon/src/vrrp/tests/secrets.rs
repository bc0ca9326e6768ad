use super::*;

/// A secret file with this content and mode.
fn file(content: &str, mode: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn takes_the_first_line() {
    for (content, line) in
        [("secret\n", "secret"), ("12345678\r\nmore\n", "12345678"), (" x", " x"), ("", "")]
    {
        assert_eq!(first_line(file(content, 0o640).path()).unwrap(), line.as_bytes());
    }
    assert_eq!(password(b"secret").unwrap(), *b"secret\0\0");
}

#[test]
fn refuses_what_is_no_password() {
    assert!(password(b"").unwrap_err().contains("empty"));
    assert!(password(b"123456789").unwrap_err().contains("9 bytes"));
}

#[test]
fn refuses_what_everybody_can_read() {
    for mode in [0o644, 0o604, 0o602, 0o641] {
        let error = first_line(file("secret", mode).path()).unwrap_err();
        assert!(error.contains(&format!("mode {mode:04o}")) && error.contains("chmod 0640"), "{error}");
    }
}

#[test]
fn keys_are_digits_or_bytes() {
    let bytes = [b'k'; 32];
    assert_eq!(key(&bytes).unwrap(), bytes);
    assert_eq!(key(format!("hex:{}", "0aF9".repeat(16)).as_bytes()).unwrap(), [0x0a, 0xf9].repeat(16));
    for (line, says) in [
        (&b"hex:0g"[..], "hex digits"),
        (b"hex:123", "hex digits"),
        (b"hex:0123", "2 bytes"),
        (&[b'k'; 31], "31 bytes"),
        (&[b'k'; 65], "65 bytes"),
    ] {
        let error = key(line).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
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
    assert!(matches!(&error, Error::Secret { instance, .. } if instance == "edge-lan"));
    let text = error.to_string();
    for part in ["edge-lan", "/nonexistent/edge.key", "No such file", "readable by the director"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}
