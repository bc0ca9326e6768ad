//! Object paths. Names are escaped as `sd_bus_path_encode(3)` does, so that any name fits.

use std::fmt::Write as _;

/// The root object; everything else is below it.
pub const ROOT: &str = "/org/fairway/Director1";

/// One path element for a name: a byte outside `[A-Za-z0-9]`, and a leading digit, becomes `_` and two
/// lower-case hexadecimal digits; the empty name is `_`.
pub fn escape(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut out = String::with_capacity(name.len());
    for (position, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && position > 0) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "_{byte:02x}");
        }
    }
    out
}

/// Path of a failover group.
pub fn group(name: &str) -> String {
    format!("{ROOT}/group/{}", escape(name))
}

/// Path of a VRRP instance.
pub fn instance(group_name: &str, name: &str) -> String {
    format!("{}/instance/{}", group(group_name), escape(name))
}

/// Path of a BFD session.
pub fn bfd(name: &str) -> String {
    format!("{ROOT}/bfd/{}", escape(name))
}

/// Path of a virtual service.
pub fn service(name: &str) -> String {
    format!("{ROOT}/service/{}", escape(name))
}

/// Path of a real server of a virtual service.
pub fn server(service_name: &str, name: &str) -> String {
    format!("{}/server/{}", service(service_name), escape(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of `sd_bus_path_encode` (systemd 252).
    #[test]
    fn names_are_escaped_as_sd_bus_does() {
        for (name, element) in [
            ("", "_"),
            ("edge", "edge"),
            ("Edge9", "Edge9"),
            ("9lives", "_39lives"),
            ("a b", "a_20b"),
            ("web-1", "web_2d1"),
            ("a_b", "a_5fb"),
            ("web.example.org", "web_2eexample_2eorg"),
            ("a/b", "a_2fb"),
            ("é", "_c3_a9"),
            ("J\u{7f}", "J_7f"),
        ] {
            assert_eq!(escape(name), element, "{name:?}");
        }
    }

    #[test]
    fn paths_are_valid_for_any_name() {
        for name in ["", "0", "a b/c", "日本", "__"] {
            for path in [group(name), instance(name, name), service(name), server(name, name)] {
                assert!(zbus::ObjectPath::try_from(path.as_str()).is_ok(), "{path}");
            }
        }
    }
}
