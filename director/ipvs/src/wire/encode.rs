//! Requests, written one after the other into one buffer.
//!
//! Headers, flags, commands, attribute types and values are neli's types. Its `Nlattr` wants every payload as
//! a buffer of its own, which for a large table is a hundred thousand allocations; so attributes are written
//! in place here and their lengths filled in afterwards.

use std::io::Cursor;
use std::net::IpAddr;

use neli::ToBytes;
use neli::consts::genl::{Cmd, CtrlAttr, CtrlCmd, NlAttrType};
use neli::consts::nl::NlmF;
use neli::err::SerError;
use neli::genl::{Genlmsghdr, GenlmsghdrBuilder, NoUserHeader};
use neli::nl::{NlPayload, Nlmsghdr, NlmsghdrBuilder};

use super::constants::{
    AF_INET, AF_INET6, Command, CommandAttr, DaemonAttr, DestAttr, FAMILY, ServiceAttr, VERSION, forward,
    sync_state as state,
};
use crate::model::{
    Destination, DestinationKey, Family, Flags, Forward, Netmask, ServiceKey, Settings, SyncDaemon, SyncRole,
    Timeouts, Tunnel,
};
use crate::plan::Operation;

/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;
/// `GENL_ID_CTRL`, the family that knows the others.
const CONTROLLER: u16 = 0x10;

/// A growing buffer of requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    buffer: Cursor<Vec<u8>>,
}

type Written = Result<(), SerError>;

impl Requests {
    /// The encoded requests.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get_ref()
    }

    /// Forgets the requests, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.buffer.get_mut().clear();
        self.buffer.set_position(0);
    }

    /// Asks the controller for the family's number.
    pub(crate) fn get_family(&mut self, sequence: u32) -> Written {
        self.message(CONTROLLER, CtrlCmd::Getfamily, NlmF::REQUEST, sequence, |out| {
            out.attribute(CtrlAttr::FamilyName, &FAMILY)
        })
    }

    /// A command without attributes: `GetInfo`, `GetConfig`, a dump of all services.
    pub(crate) fn get(&mut self, family: u16, command: Command, flags: NlmF, sequence: u32) -> Written {
        self.message(family, command, flags, sequence, |_| Ok(()))
    }

    /// A command about one service: `GetService`, a dump of its destinations.
    pub(crate) fn get_of(
        &mut self,
        family: u16,
        command: Command,
        flags: NlmF,
        sequence: u32,
        key: &ServiceKey,
    ) -> Written {
        self.message(family, command, flags, sequence, |out| {
            out.nest(CommandAttr::Service, |out| out.service_key(key))
        })
    }

    /// Sets the timeouts that are given.
    pub(crate) fn set_timeouts(&mut self, family: u16, sequence: u32, timeouts: &Timeouts) -> Written {
        self.message(family, Command::SetConfig, NlmF::REQUEST | NlmF::ACK, sequence, |out| {
            let of = [
                (CommandAttr::TimeoutTcp, timeouts.tcp),
                (CommandAttr::TimeoutTcpFin, timeouts.tcp_fin),
                (CommandAttr::TimeoutUdp, timeouts.udp),
            ];
            for (kind, seconds) in of {
                if let Some(seconds) = seconds {
                    out.attribute(kind, &seconds.get())?;
                }
            }
            Ok(())
        })
    }

    /// Starts a synchronisation daemon.
    pub(crate) fn start_sync(&mut self, family: u16, sequence: u32, daemon: &SyncDaemon) -> Written {
        self.message(family, Command::NewDaemon, NlmF::REQUEST | NlmF::ACK, sequence, |out| {
            out.nest(CommandAttr::Daemon, |out| {
                out.attribute(DaemonAttr::State, &sync_state(daemon.role))?;
                out.attribute(DaemonAttr::Interface, &daemon.interface.as_str())?;
                out.attribute(DaemonAttr::SyncId, &daemon.id)?;
                if let Some(length) = daemon.max_length {
                    out.attribute(DaemonAttr::MaxLength, &length)?;
                }
                match daemon.group {
                    Some(IpAddr::V4(group)) => out.attribute(DaemonAttr::Group, &group.octets())?,
                    Some(IpAddr::V6(group)) => out.attribute(DaemonAttr::Group6, &group.octets())?,
                    None => {}
                }
                if let Some(port) = daemon.port {
                    out.attribute(DaemonAttr::Port, &port)?;
                }
                if let Some(ttl) = daemon.ttl {
                    out.attribute(DaemonAttr::Ttl, &ttl)?;
                }
                Ok(())
            })
        })
    }

    /// Stops the synchronisation daemon of a role.
    pub(crate) fn stop_sync(&mut self, family: u16, sequence: u32, role: SyncRole) -> Written {
        self.message(family, Command::DelDaemon, NlmF::REQUEST | NlmF::ACK, sequence, |out| {
            out.nest(CommandAttr::Daemon, |out| out.attribute(DaemonAttr::State, &sync_state(role)))
        })
    }

    /// One operation. Without acknowledgement: the kernel then answers only what fails.
    pub(crate) fn operation(&mut self, family: u16, sequence: u32, operation: &Operation) -> Written {
        let command = match operation {
            Operation::AddService { .. } => Command::NewService,
            Operation::SetService { .. } => Command::SetService,
            Operation::DeleteService { .. } => Command::DelService,
            Operation::AddDestination { .. } => Command::NewDest,
            Operation::SetDestination { .. } => Command::SetDest,
            Operation::DeleteDestination { .. } => Command::DelDest,
        };
        self.message(family, command, NlmF::REQUEST, sequence, |out| match operation {
            Operation::AddService { service, settings } | Operation::SetService { service, settings } => out
                .nest(CommandAttr::Service, |out| {
                    out.service_key(service)?;
                    out.settings(service.family(), settings)
                }),
            Operation::DeleteService { service } => {
                out.nest(CommandAttr::Service, |out| out.service_key(service))
            }
            Operation::AddDestination { service, key, destination }
            | Operation::SetDestination { service, key, destination } => {
                out.nest(CommandAttr::Service, |out| out.service_key(service))?;
                out.nest(CommandAttr::Dest, |out| {
                    out.destination_key(service.family(), key)?;
                    out.destination(destination)
                })
            }
            Operation::DeleteDestination { service, key } => {
                out.nest(CommandAttr::Service, |out| out.service_key(service))?;
                out.nest(CommandAttr::Dest, |out| out.destination_key(service.family(), key))
            }
        })
    }

    fn service_key(&mut self, key: &ServiceKey) -> Written {
        self.attribute(ServiceAttr::Family, &family_number(key.family()))?;
        match key {
            ServiceKey::Address { address, port, protocol } => {
                self.attribute(ServiceAttr::Protocol, &protocol.0)?;
                self.attribute(ServiceAttr::Address, &union(*address))?;
                self.attribute(ServiceAttr::Port, &port.to_be_bytes())
            }
            ServiceKey::Mark { mark, .. } => self.attribute(ServiceAttr::Mark, &mark.get()),
        }
    }

    fn settings(&mut self, family: Family, settings: &Settings) -> Written {
        self.attribute(ServiceAttr::Scheduler, &settings.scheduler.as_str())?;
        if let Some(engine) = &settings.engine {
            self.attribute(ServiceAttr::Engine, &engine.as_str())?;
        }
        let mut bits = settings.flags.bits();
        let mut timeout = 0;
        let mut netmask = Netmask::host(family);
        if let Some(persistence) = &settings.persistence {
            bits |= Flags::PERSISTENT;
            timeout = persistence.timeout;
            netmask = persistence.netmask;
        }
        // struct ip_vs_flags: the flags, and which of them to change: all.
        let flags = u64::from_ne_bytes(concat(bits.to_ne_bytes(), u32::MAX.to_ne_bytes()));
        self.attribute(ServiceAttr::Flags, &flags)?;
        self.attribute(ServiceAttr::Timeout, &timeout)?;
        match netmask {
            Netmask::V4(mask) => self.attribute(ServiceAttr::Netmask, &mask.octets()),
            Netmask::V6(length) => self.attribute(ServiceAttr::Netmask, &length),
        }
    }

    fn destination_key(&mut self, service: Family, key: &DestinationKey) -> Written {
        self.attribute(DestAttr::Address, &union(key.address))?;
        self.attribute(DestAttr::Port, &key.port.to_be_bytes())?;
        // Without it the kernel takes the service's family; only tunnels may differ.
        let family = Family::of(key.address);
        if family != service {
            self.attribute(DestAttr::Family, &family_number(family))?;
        }
        Ok(())
    }

    fn destination(&mut self, destination: &Destination) -> Written {
        let method = match destination.forward {
            Forward::Nat => forward::MASQ,
            Forward::Direct => forward::DROUTE,
            Forward::Tunnel(_) => forward::TUNNEL,
            Forward::Other(method) => method,
        };
        self.attribute(DestAttr::Forward, &u32::from(method))?;
        self.attribute(DestAttr::Weight, &destination.weight)?;
        self.attribute(DestAttr::UpperThreshold, &destination.upper_threshold)?;
        self.attribute(DestAttr::LowerThreshold, &destination.lower_threshold)?;
        match destination.forward {
            // Plain IP in IP is what absent attributes mean, and all that kernels before 5.2 know.
            Forward::Tunnel(tunnel) if tunnel != Tunnel::default() => {
                self.attribute(DestAttr::TunnelType, &tunnel.encapsulation.0)?;
                self.attribute(DestAttr::TunnelPort, &tunnel.port.to_be_bytes())?;
                self.attribute(DestAttr::TunnelFlags, &tunnel.flags.0)
            }
            _ => Ok(()),
        }
    }

    /// Writes a message: neli's headers, then what `attributes` writes, then the length.
    fn message<C: Cmd>(
        &mut self,
        family: u16,
        command: C,
        flags: NlmF,
        sequence: u32,
        attributes: impl FnOnce(&mut Self) -> Written,
    ) -> Written {
        let start = self.position();
        let generic: Genlmsghdr<C, u16, NoUserHeader> = GenlmsghdrBuilder::default()
            .cmd(command)
            .version(VERSION)
            .build()
            .map_err(|e| SerError::new(e.to_string()))?;
        let header: Nlmsghdr<u16, _> = NlmsghdrBuilder::default()
            .nl_type(family)
            .nl_flags(flags)
            .nl_seq(sequence)
            .nl_payload(NlPayload::Payload(generic))
            .build()
            .map_err(|e| SerError::new(e.to_string()))?;
        header.to_bytes(&mut self.buffer)?;
        attributes(self)?;
        let length =
            u32::try_from(self.position() - start).map_err(|_| SerError::new("message longer than 4 GiB"))?;
        self.patch(start, &length.to_ne_bytes());
        Ok(())
    }

    fn attribute(&mut self, kind: impl NlAttrType, payload: &impl ToBytes) -> Written {
        let start = self.position();
        0u16.to_bytes(&mut self.buffer)?;
        kind.to_bytes(&mut self.buffer)?;
        payload.to_bytes(&mut self.buffer)?;
        self.close(start)?;
        // The length is without the padding that follows.
        self.pad()
    }

    fn nest(&mut self, kind: impl NlAttrType, inner: impl FnOnce(&mut Self) -> Written) -> Written {
        let start = self.position();
        0u16.to_bytes(&mut self.buffer)?;
        let kind: u16 = kind.into();
        (kind | NESTED).to_bytes(&mut self.buffer)?;
        inner(self)?;
        self.close(start)
    }

    fn close(&mut self, start: usize) -> Written {
        let length = u16::try_from(self.position() - start)
            .map_err(|_| SerError::new("attribute longer than 64 KiB"))?;
        self.patch(start, &length.to_ne_bytes());
        Ok(())
    }

    fn pad(&mut self) -> Written {
        let missing = self.position().next_multiple_of(4) - self.position();
        (&[0u8; 3][..missing]).to_bytes(&mut self.buffer)
    }

    fn position(&self) -> usize {
        self.buffer.get_ref().len()
    }

    fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.buffer.get_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// `union nf_inet_addr`: 16 bytes, an IPv4 address in the first four.
fn union(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

const fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

const fn concat(low: [u8; 4], high: [u8; 4]) -> [u8; 8] {
    let [a, b, c, d] = low;
    let [e, f, g, h] = high;
    [a, b, c, d, e, f, g, h]
}

/// `IP_VS_STATE_*` of a role.
const fn sync_state(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => state::MASTER,
        SyncRole::Backup => state::BACKUP,
    }
}
