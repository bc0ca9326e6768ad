//! Commands and attributes of the family, with the kernel's numbers (`linux/ip_vs.h`).

use neli::consts::genl::{Cmd, NlAttrType};
use neli::neli_enum;

/// Name of the family (`IPVS_GENL_NAME`).
pub(crate) const FAMILY: &str = "IPVS";
/// Version of the family (`IPVS_GENL_VERSION`).
pub(crate) const VERSION: u8 = 1;

/// `AF_INET`.
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u16 = 10;

/// `IPVS_CMD_*`.
#[neli_enum(serialized_type = "u8")]
pub(crate) enum Command {
    NewService = 1,
    SetService = 2,
    DelService = 3,
    GetService = 4,
    NewDest = 5,
    SetDest = 6,
    DelDest = 7,
    GetDest = 8,
    NewDaemon = 9,
    DelDaemon = 10,
    GetDaemon = 11,
    SetConfig = 12,
    GetConfig = 13,
    GetInfo = 15,
    Zero = 16,
}

/// `IPVS_CMD_ATTR_*`, the first level of every command.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum CommandAttr {
    Service = 1,
    Dest = 2,
    Daemon = 3,
    TimeoutTcp = 4,
    TimeoutTcpFin = 5,
    TimeoutUdp = 6,
}

/// `IPVS_SVC_ATTR_*`.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum ServiceAttr {
    Family = 1,
    Protocol = 2,
    Address = 3,
    Port = 4,
    Mark = 5,
    Scheduler = 6,
    Flags = 7,
    Timeout = 8,
    Netmask = 9,
    Stats = 10,
    Engine = 11,
    Stats64 = 12,
}

/// `IPVS_DEST_ATTR_*`.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum DestAttr {
    Address = 1,
    Port = 2,
    Forward = 3,
    Weight = 4,
    UpperThreshold = 5,
    LowerThreshold = 6,
    ActiveConns = 7,
    InactConns = 8,
    PersistConns = 9,
    Stats = 10,
    Family = 11,
    Stats64 = 12,
    TunnelType = 13,
    TunnelPort = 14,
    TunnelFlags = 15,
}

/// `IPVS_STATS_ATTR_*`; in the older 32-bit form bytes are 64 bits wide, the rest 32.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum StatsAttr {
    Conns = 1,
    InPackets = 2,
    OutPackets = 3,
    InBytes = 4,
    OutBytes = 5,
    ConnRate = 6,
    InPacketRate = 7,
    OutPacketRate = 8,
    InByteRate = 9,
    OutByteRate = 10,
}

/// `IPVS_DAEMON_ATTR_*`.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum DaemonAttr {
    State = 1,
    Interface = 2,
    SyncId = 3,
    MaxLength = 4,
    Group = 5,
    Group6 = 6,
    Port = 7,
    Ttl = 8,
}

/// `IP_VS_STATE_*`.
pub(crate) mod sync_state {
    pub(crate) const MASTER: u32 = 1;
    pub(crate) const BACKUP: u32 = 2;
}

/// `IPVS_INFO_ATTR_*`.
#[neli_enum(serialized_type = "u16")]
pub(crate) enum InfoAttr {
    Version = 1,
    ConnTabSize = 2,
}

impl Cmd for Command {}
impl NlAttrType for CommandAttr {}
impl NlAttrType for ServiceAttr {}
impl NlAttrType for DestAttr {}
impl NlAttrType for StatsAttr {}
impl NlAttrType for DaemonAttr {}
impl NlAttrType for InfoAttr {}

/// `IP_VS_CONN_F_*`, the forwarding methods.
pub(crate) mod forward {
    pub(crate) const MASK: u32 = 0x7;
    pub(crate) const MASQ: u8 = 0;
    pub(crate) const TUNNEL: u8 = 2;
    pub(crate) const DROUTE: u8 = 3;
}
