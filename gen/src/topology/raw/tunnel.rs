//! `tunnel` as written.

use fairway_config::{Tunnel, TunnelChecksum, TunnelKind};
use serde_spanned::Spanned;

use super::super::GUE_PORT;
use crate::reader::Value;
use crate::report::{Problems, Rule};

/// `tunnel`.
#[derive(Debug)]
pub struct RawTunnel {
    /// The settings.
    pub tunnel: Tunnel,
    /// `port`.
    pub port: Option<Spanned<i64>>,
    /// `checksum`.
    pub checksum: Option<Spanned<TunnelChecksum>>,
}

const KINDS: [(&str, TunnelKind); 3] =
    [("ipip", TunnelKind::Ipip), ("gre", TunnelKind::Gre), ("gue", TunnelKind::Gue)];

pub(super) fn read_tunnel(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<RawTunnel>> {
    let (kind, port, checksum) = if value.is_table() {
        let mut table = value.table(problems, "a table such as { type = \"gue\", port = 6080 }")?;
        let kind = table.required(problems, "type", "type = \"ipip\", \"gre\" or \"gue\"");
        let kind = kind.and_then(|v| v.choice(problems, Rule::BadValue, &KINDS));
        let port = table.optional("port").and_then(|v| v.integer(problems, 1..=65535));
        let checksum = table.optional("checksum").and_then(|v| {
            let words = [
                ("none", TunnelChecksum::None),
                ("full", TunnelChecksum::Full),
                ("remote", TunnelChecksum::Remote),
            ];
            v.choice(problems, Rule::BadValue, &words)
        });
        table.finish(problems);
        (kind, port, checksum)
    } else {
        (value.choice(problems, Rule::BadValue, &KINDS), None, None)
    };
    let kind = *kind?.get_ref();
    let written = port.as_ref().and_then(|p| u16::try_from(*p.get_ref()).ok());
    let usual = (kind == TunnelKind::Gue).then_some(GUE_PORT);
    let tunnel = Tunnel {
        kind,
        port: written.or(usual),
        checksum: checksum.as_ref().map_or(TunnelChecksum::None, |c| *c.get_ref()),
    };
    Some(Spanned::new(value.span.clone(), RawTunnel { tunnel, port, checksum }))
}
