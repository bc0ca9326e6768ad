//! One netlink socket to the kernel's IPVS.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use neli::consts::nl::{NlmF, Nlmsg};
use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use tracing::debug;

use crate::error::{Error, Failure};
use crate::model::{
    Destination, DestinationCounters, DestinationKey, Info, Service, ServiceKey, Settings, Statistics,
    SyncDaemon, SyncRole, Table, Timeouts,
};
use crate::plan::Operation;
use crate::wire::constants::Command;
use crate::wire::decode;
use crate::wire::encode::Requests;
use crate::wire::read::{Message, Messages};

/// Operations in one send. Their errors must fit the receive buffer (208 KiB unless the administrator says
/// otherwise) because nobody reads while the kernel works: 256 errors do, 512 do not. Larger batches are no
/// faster.
const BATCH: usize = 128;
/// Room for one datagram. The kernel sizes the datagrams of a dump by the reader's buffer, from 4 to 32 KiB;
/// small ones cost it less for dumps as small as the servers of one service.
const RECEIVE: usize = 8 << 10;

/// A connection to the kernel's IPVS in the network namespace it was made in.
///
/// All methods block only as long as the kernel works: netlink answers are there when the request has been
/// sent, so nothing here waits. After an [`Error`] make a new one: answers may be left over, and a reloaded
/// module has another family number.
pub struct Client {
    socket: NlSocket,
    family: u16,
    sequence: u32,
    requests: Requests,
    received: Vec<u8>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("family", &self.family).field("sequence", &self.sequence).finish()
    }
}

impl Client {
    /// Opens a socket and asks the kernel for its IPVS.
    ///
    /// # Errors
    /// [`Error::NoIpvs`] when the module is not loaded; [`Error::Open`] when there is no socket to be had.
    pub fn connect() -> Result<Self, Error> {
        let socket = NlSocket::connect(NlFamily::Generic, None, Groups::empty()).map_err(Error::Open)?;
        // Words in errors are a help, not a need: kernels before 4.12 have none.
        if let Err(error) = socket.enable_ext_ack(true) {
            debug!(%error, "no extended acknowledgements");
        }
        let mut client = Self {
            socket,
            family: 0,
            sequence: 0,
            requests: Requests::default(),
            received: vec![0; RECEIVE],
        };
        let sequence = client.begin();
        client.requests.get_family(sequence)?;
        let what = "find the IPVS family";
        client.family =
            client.exchange(what, false, decode::family_id)?.pop().ok_or(Error::NoAnswer(what))?;
        Ok(client)
    }

    /// Version and size of the kernel's IPVS.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn info(&mut self) -> Result<Info, Error> {
        let sequence = self.begin();
        self.requests.get(self.family, Command::GetInfo, NlmF::REQUEST, sequence)?;
        let what = "read the IPVS version";
        self.exchange(what, false, decode::info)?.pop().ok_or(Error::NoAnswer(what))
    }

    /// The connection timeouts in force.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        let sequence = self.begin();
        self.requests.get(self.family, Command::GetConfig, NlmF::REQUEST, sequence)?;
        let what = "read the IPVS timeouts";
        self.exchange(what, false, decode::timeouts)?.pop().ok_or(Error::NoAnswer(what))
    }

    /// Sets the timeouts that are given and leaves the others.
    ///
    /// # Errors
    /// [`Error::Refused`] when one is too large for the kernel.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Error> {
        let sequence = self.begin();
        self.requests.set_timeouts(self.family, sequence, timeouts)?;
        self.exchange("set the IPVS timeouts", false, |_| Ok(())).map(drop)
    }

    /// The kernel's synchronisation daemons that are running: one of each role at most.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, Error> {
        let sequence = self.begin();
        self.requests.get(self.family, Command::GetDaemon, NlmF::REQUEST | NlmF::DUMP, sequence)?;
        self.exchange("read the IPVS synchronisation daemons", true, decode::sync_daemon)
    }

    /// Starts a synchronisation daemon.
    ///
    /// # Errors
    /// [`Error::Refused`] when its role is taken, or its interface is missing or has no IPv4 address.
    pub fn start_sync(&mut self, daemon: &SyncDaemon) -> Result<(), Error> {
        let sequence = self.begin();
        self.requests.start_sync(self.family, sequence, daemon)?;
        self.exchange("start an IPVS synchronisation daemon", false, |_| Ok(())).map(drop)
    }

    /// Stops the synchronisation daemon of a role.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is none.
    pub fn stop_sync(&mut self, role: SyncRole) -> Result<(), Error> {
        let sequence = self.begin();
        self.requests.stop_sync(self.family, sequence, role)?;
        self.exchange("stop an IPVS synchronisation daemon", false, |_| Ok(())).map(drop)
    }

    /// All services, without their destinations.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn services(&mut self) -> Result<BTreeMap<ServiceKey, Settings>, Error> {
        let sequence = self.begin();
        self.requests.get(self.family, Command::GetService, NlmF::REQUEST | NlmF::DUMP, sequence)?;
        let services = self.exchange("read the IPVS services", true, decode::service)?;
        Ok(services.into_iter().map(|(key, settings, _)| (key, settings)).collect())
    }

    /// One service with its destinations; `None` if the kernel does not have it.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn service(&mut self, key: &ServiceKey) -> Result<Option<Service>, Error> {
        let Some((settings, _)) = self.settings_and_counters(key)? else { return Ok(None) };
        let destinations =
            self.destinations(key)?.into_iter().map(|(key, destination, _)| (key, destination));
        Ok(Some(Service { settings, destinations: destinations.collect() }))
    }

    /// The whole table: a dump of the services, and one of each service's destinations.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn dump(&mut self) -> Result<Table, Error> {
        let mut table = Table::new();
        for (key, settings) in self.services()? {
            let destinations =
                self.destinations(&key)?.into_iter().map(|(key, destination, _)| (key, destination));
            table.insert(key, Arc::new(Service { settings, destinations: destinations.collect() }));
        }
        Ok(table)
    }

    /// Counters of a service and its destinations; `None` if the kernel does not have it.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn statistics(&mut self, key: &ServiceKey) -> Result<Option<Statistics>, Error> {
        let Some((_, service)) = self.settings_and_counters(key)? else { return Ok(None) };
        let destinations = self.destinations(key)?.into_iter().map(|(key, _, counters)| (key, counters));
        Ok(Some(Statistics { service, destinations: destinations.collect() }))
    }

    /// Sets the counters of a service and its destinations to zero. Returns whether the kernel has the service.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked.
    pub fn zero(&mut self, key: &ServiceKey) -> Result<bool, Error> {
        let sequence = self.begin();
        self.requests.get_of(self.family, Command::Zero, NlmF::REQUEST | NlmF::ACK, sequence, key)?;
        match self.exchange("zero the counters of an IPVS service", false, |_| Ok(())) {
            Ok(_) => Ok(true),
            Err(Error::Refused { errno: Errno::ESRCH, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Carries out `operations` in order and returns those the kernel refused, in order.
    ///
    /// A refusal does not stop the rest: what depends on a refused operation is refused too.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be talked to; then it is unknown which operations were carried out.
    pub fn apply(&mut self, operations: &[Operation]) -> Result<Vec<Failure>, Error> {
        let mut failures = Vec::new();
        for (batch, operations) in operations.chunks(BATCH).enumerate() {
            let first = self.begin();
            for (offset, operation) in operations.iter().enumerate() {
                self.requests.operation(self.family, first.wrapping_add(offset as u32), operation)?;
            }
            self.sequence = first.wrapping_add(operations.len() as u32);
            self.send()?;
            // The kernel works while it takes the batch: all errors there will be are there now.
            while let Some(length) = self.receive()? {
                for message in Messages(&self.received[..length]) {
                    let message = message?;
                    let offset = message.sequence.wrapping_sub(first) as usize;
                    let Some(operation) = operations.get(offset) else { continue };
                    if message.kind != u16::from(Nlmsg::Error) {
                        continue;
                    }
                    let answer = decode::answer(&message)?;
                    if answer.errno != 0 {
                        failures.push(Failure {
                            index: batch * BATCH + offset,
                            operation: operation.clone(),
                            errno: Errno::from_raw(answer.errno),
                            message: answer.message,
                        });
                    }
                }
            }
        }
        Ok(failures)
    }

    fn settings_and_counters(
        &mut self,
        key: &ServiceKey,
    ) -> Result<Option<(Settings, crate::model::Counters)>, Error> {
        let sequence = self.begin();
        self.requests.get_of(self.family, Command::GetService, NlmF::REQUEST, sequence, key)?;
        match self.exchange("read an IPVS service", false, decode::service) {
            Ok(mut found) => Ok(found.pop().map(|(_, settings, counters)| (settings, counters))),
            Err(Error::Refused { errno: Errno::ESRCH, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn destinations(
        &mut self,
        key: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Destination, DestinationCounters)>, Error> {
        let sequence = self.begin();
        self.requests.get_of(self.family, Command::GetDest, NlmF::REQUEST | NlmF::DUMP, sequence, key)?;
        let family = key.family();
        self.exchange("read the servers of an IPVS service", true, |message| {
            decode::destination(message, family)
        })
    }

    /// Starts a new exchange: empties the request buffer and takes the next sequence number.
    fn begin(&mut self) -> u32 {
        self.requests.clear();
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends the one request in the buffer and collects its answers.
    fn exchange<T>(
        &mut self,
        what: &'static str,
        dump: bool,
        decode: impl Fn(&Message<'_>) -> Result<T, crate::error::DecodeError>,
    ) -> Result<Vec<T>, Error> {
        self.send()?;
        let mut answers = Vec::new();
        loop {
            let length = self.receive()?.ok_or(Error::NoAnswer(what))?;
            for message in Messages(&self.received[..length]) {
                let message = message?;
                if message.sequence != self.sequence {
                    continue;
                }
                match Nlmsg::from(message.kind) {
                    Nlmsg::Error => {
                        let errno = decode::answer(&message)?.errno;
                        return match Errno::from_raw(errno) {
                            _ if errno == 0 => Ok(answers),
                            Errno::EPERM => Err(Error::NotPermitted),
                            // Of these requests this is all that can be missing: the family itself.
                            Errno::ENOENT => Err(Error::NoIpvs),
                            errno => Err(Error::Refused { what, errno }),
                        };
                    }
                    Nlmsg::Done => return Ok(answers),
                    Nlmsg::UnrecognizedConst(_) => answers.push(decode(&message)?),
                    _ => {}
                }
            }
            if !dump && !answers.is_empty() {
                return Ok(answers);
            }
        }
    }

    fn send(&self) -> Result<(), Error> {
        loop {
            match self.socket.send(self.requests.bytes(), Msg::empty()) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Error::NotPermitted);
                }
                Err(error) => return Err(Error::Send(error)),
            }
        }
    }

    /// The length of the next datagram, which is then in `received`; `None` if there is none.
    fn receive(&mut self) -> Result<Option<usize>, Error> {
        loop {
            match self.socket.recv(&mut self.received[..], Msg::DONTWAIT | Msg::TRUNC) {
                Ok((length, _)) if length > self.received.len() => {
                    return Err(Error::Receive(io::Error::from(Errno::EMSGSIZE)));
                }
                Ok((length, _)) => return Ok(Some(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Receive(error)),
            }
        }
    }
}
