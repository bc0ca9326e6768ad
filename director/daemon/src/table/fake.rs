//! A kernel for tests: a table in memory that is as strict as the real one, and can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use fairway_ipvs::{
    DestinationCounters, Errno, Error, Failure, Info, Operation, Service, ServiceKey, Settings, Statistics,
    Table, Timeouts,
};

use super::kernel::{Connect, Kernel};

/// The fake kernel's insides.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What it holds.
    pub(crate) table: Table,
    /// Timeouts in force.
    pub(crate) timeouts: Timeouts,
    /// IPVS is not there.
    pub(crate) missing: bool,
    /// Schedulers it does not have.
    pub(crate) unknown_schedulers: BTreeSet<String>,
    /// Every operation it was asked for, in order.
    pub(crate) log: Vec<Operation>,
    /// How often the whole table was read.
    pub(crate) dumps: usize,
    /// What a service's operations are refused with, and how often yet.
    pub(crate) refuse: BTreeMap<ServiceKey, (Errno, usize)>,
    /// It lets nobody in.
    pub(crate) not_permitted: bool,
    /// How many lists of operations it was given.
    pub(crate) applied: usize,
    /// Servers have no connections; otherwise each has one.
    pub(crate) idle: bool,
    /// Services whose counters were set to zero.
    pub(crate) zeroed: Vec<ServiceKey>,
    /// The next `apply` loses answers, as when the socket's buffer overflows, after half of its operations.
    pub(crate) lose_answers: bool,
}

/// A fake kernel; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeKernel(Arc<Mutex<State>>);

impl FakeKernel {
    /// Its insides.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }
}

impl Connect for FakeKernel {
    type Kernel = Self;

    fn connect(&mut self) -> Result<Self, Error> {
        let state = self.state();
        match *state {
            State { missing: true, .. } => Err(Error::NoIpvs),
            State { not_permitted: true, .. } => Err(Error::NotPermitted),
            _ => Ok(self.clone()),
        }
    }
}

impl State {
    fn carry_out(&mut self, operation: &Operation) -> Result<(), Errno> {
        if let Some((errno, times @ 1..)) = self.refuse.get_mut(operation.service()) {
            *times -= 1;
            return Err(*errno);
        }
        match operation {
            Operation::AddService { service, settings } => {
                self.scheduler(settings)?;
                if self.table.contains_key(service) {
                    return Err(Errno::EEXIST);
                }
                self.table.insert(*service, Arc::new(Service::new(*settings)));
            }
            Operation::SetService { service, settings } => {
                self.scheduler(settings)?;
                self.service(service)?.settings = *settings;
            }
            Operation::DeleteService { service } => {
                self.table.remove(service).ok_or(Errno::ESRCH)?;
            }
            Operation::AddDestination { service, key, destination } => {
                let service = self.service(service)?;
                if service.destinations.contains_key(key) {
                    return Err(Errno::EEXIST);
                }
                service.destinations.insert(*key, *destination);
            }
            Operation::SetDestination { service, key, destination } => {
                *self.service(service)?.destinations.get_mut(key).ok_or(Errno::ENOENT)? = *destination;
            }
            Operation::DeleteDestination { service, key } => {
                self.service(service)?.destinations.remove(key).ok_or(Errno::ENOENT)?;
            }
        }
        Ok(())
    }

    fn scheduler(&self, settings: &Settings) -> Result<(), Errno> {
        if self.unknown_schedulers.contains(settings.scheduler.as_str()) {
            Err(Errno::ENOENT)
        } else {
            Ok(())
        }
    }

    fn service(&mut self, key: &ServiceKey) -> Result<&mut Service, Errno> {
        self.table.get_mut(key).map(Arc::make_mut).ok_or(Errno::ESRCH)
    }
}

impl Kernel for FakeKernel {
    fn info(&mut self) -> Result<Info, Error> {
        Ok(Info { version: 0x01_02_01, connection_table_size: 4096 })
    }

    fn dump(&mut self) -> Result<Table, Error> {
        let mut state = self.state();
        state.dumps += 1;
        if state.missing { Err(Error::NoIpvs) } else { Ok(state.table.clone()) }
    }

    fn services(&mut self) -> Result<BTreeMap<ServiceKey, Settings>, Error> {
        Ok(self.state().table.iter().map(|(key, service)| (*key, service.settings)).collect())
    }

    fn service(&mut self, key: &ServiceKey) -> Result<Option<Service>, Error> {
        Ok(self.state().table.get(key).map(|service| Service::clone(service)))
    }

    fn statistics(&mut self, key: &ServiceKey) -> Result<Option<Statistics>, Error> {
        let state = self.state();
        let Some(service) = state.table.get(key) else { return Ok(None) };
        let counters = DestinationCounters {
            active_connections: u32::from(!state.idle),
            ..DestinationCounters::default()
        };
        let destinations = service.destinations.keys().map(|key| (*key, counters));
        Ok(Some(Statistics { destinations: destinations.collect(), ..Statistics::default() }))
    }

    fn zero(&mut self, key: &ServiceKey) -> Result<bool, Error> {
        let mut state = self.state();
        state.zeroed.push(*key);
        Ok(state.table.contains_key(key))
    }

    fn timeouts(&mut self) -> Result<Timeouts, Error> {
        Ok(self.state().timeouts)
    }

    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Error> {
        let mut state = self.state();
        state.timeouts = Timeouts {
            tcp: timeouts.tcp.or(state.timeouts.tcp),
            tcp_fin: timeouts.tcp_fin.or(state.timeouts.tcp_fin),
            udp: timeouts.udp.or(state.timeouts.udp),
        };
        Ok(())
    }

    fn apply(&mut self, operations: &[Operation]) -> Result<Vec<Failure>, Error> {
        let mut state = self.state();
        state.applied += 1;
        let lose = std::mem::take(&mut state.lose_answers);
        let mut failures = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            if lose && index >= operations.len() / 2 {
                return Err(Error::Receive(Errno::ENOBUFS.into()));
            }
            state.log.push(operation.clone());
            if let Err(errno) = state.carry_out(operation) {
                failures.push(Failure { index, operation: operation.clone(), errno, message: None });
            }
        }
        Ok(failures)
    }
}
