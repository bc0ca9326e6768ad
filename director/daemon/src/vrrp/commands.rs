//! What operators and the rest of the daemon ask of the VRRP thread.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use fairway_config::Tracker;
use fairway_vrrp::{GroupConfig, Input, State, Verdict};

use super::member::Member;
use super::passing::{self, Document};
use super::secrets;
use super::thread::{Passing, Thread};
use crate::descriptors::Named;
use crate::status::{self, Refused, VrrpCommand};

/// What backups are told to wait for while one process follows another: three times this, which is more than a
/// process needs to start on a busy host.
const GAP: Duration = Duration::from_secs(1);
/// When they are told again, in case an advert is lost.
const BRIDGE_AGAIN: Duration = Duration::from_millis(50);

impl Thread {
    /// Carries out the commands that have come.
    pub(super) fn take_in_commands(&mut self) {
        for command in self.inbox.take() {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: VrrpCommand) {
        match command {
            VrrpCommand::Force { group, force, reply } => {
                let force = match force {
                    status::Force::Auto => fairway_vrrp::Force::Auto,
                    status::Force::Master => fairway_vrrp::Force::Master,
                    status::Force::Backup => fairway_vrrp::Force::Backup,
                };
                let allowed = match force {
                    fairway_vrrp::Force::Backup => self.member(&group).and_then(Member::can_let_go),
                    fairway_vrrp::Force::Auto | fairway_vrrp::Force::Master => Ok(()),
                };
                let _ = reply.send(allowed.and_then(|()| self.command(&group, Input::Force(force))));
            }
            VrrpCommand::Failover { group, reply } => {
                let _ = reply.send(self.failover(&group));
            }
            VrrpCommand::Track { group, tracker, of, verdict, detail } => {
                self.track(&group, &tracker, &of, verdict, detail);
            }
            VrrpCommand::Statistics { group, instance, reply } => {
                let _ = reply.send(self.member(&group).and_then(|member| {
                    let none = || {
                        Refused(format!(
                            "group {group} has no instance {}",
                            instance.as_deref().unwrap_or("")
                        ))
                    };
                    member.statistics(instance.as_deref()).ok_or_else(none)
                }));
            }
            VrrpCommand::Reconfigure { groups, reply } => {
                let outcome = if self.stopping.is_some() {
                    Err(stopping())
                } else {
                    secrets::load(groups).map_err(|error| Refused(error.to_string()))
                };
                let _ = reply.send(outcome.map(|groups| self.reconfigure(groups)));
            }
            VrrpCommand::PassOn { reply } if self.stopping.is_none() && self.passing.is_none() => {
                self.bridge();
                self.passing = Some(Passing { at: Instant::now() + BRIDGE_AGAIN, reply });
            }
            VrrpCommand::PassOn { reply } => {
                let _ = reply.send(Err(stopping()));
            }
            VrrpCommand::Stop { reply } if self.stopping.is_none() => {
                self.stopping = Some(reply);
                for member in self.roll.configured_mut() {
                    let outputs = member.group.handle(Instant::now(), Input::Stop);
                    self.kernel.carry_out(member, outputs);
                }
            }
            VrrpCommand::Stop { reply } => {
                let _ = reply.send(Err(stopping()));
            }
        }
    }

    /// Has the backups wait for the next process.
    fn bridge(&mut self) {
        for member in self.roll.configured_mut() {
            let outputs = member.group.handle(Instant::now(), Input::Bridge(GAP));
            self.kernel.carry_out(member, outputs);
        }
    }

    /// Passes on what the next process needs, once the backups know. Returns true when that is done: what comes from
    /// now on is for the next process.
    pub(super) fn pass_on(&mut self) -> bool {
        let Some(passing) = self.passing.take_if(|passing| passing.at <= Instant::now()) else {
            return false;
        };
        self.bridge();
        let passed_on = self.descriptors().map_err(|error| {
            Refused(format!(
                "cannot keep the state for the next process ({error}); it starts as after a crash"
            ))
        });
        let _ = passing.reply.send(passed_on); // who asked may have lost patience
        true
    }

    fn descriptors(&self) -> io::Result<Vec<Named>> {
        let now = Instant::now();
        let saved = |member: &Member| Some((member.name().to_owned(), member.save(now)?));
        let document = Document::new(self.roll.configured().iter().filter_map(saved).collect())?;
        let sockets = self.kernel.sockets.values().map(passing::socket);
        // The state last: who finds it has the sockets too.
        sockets.chain([document.write()]).collect()
    }

    fn failover(&mut self, group: &str) -> Result<(), Refused> {
        let state = self.member(group)?.group.state();
        if state != State::Master {
            return Err(Refused(format!(
                "group {group} is {state} on this director; ask for the failover on the one that is master"
            )));
        }
        self.member(group)?.can_let_go()?;
        self.command(group, Input::Failover)
    }

    /// Passes a result on to its group. A reload may just have removed the tracker, or made another one of it.
    fn track(&mut self, group: &str, tracker: &str, of: &Tracker, verdict: Verdict, detail: String) {
        let Some(member) = self.roll.get_mut(group) else { return };
        if member.group.config().group.track.get(tracker) == Some(of) {
            let input = Input::Track { tracker, verdict, detail };
            let outputs = member.group.handle(Instant::now(), input);
            self.kernel.carry_out(member, outputs);
        }
    }

    fn command(&mut self, group: &str, input: Input<'_>) -> Result<(), Refused> {
        if self.stopping.is_some() {
            return Err(stopping());
        }
        self.member(group)?;
        if let Some(member) = self.roll.get_mut(group) {
            let outputs = member.group.handle(Instant::now(), input);
            self.kernel.carry_out(member, outputs);
        }
        Ok(())
    }

    fn member(&self, group: &str) -> Result<&Member, Refused> {
        self.roll.get(group).ok_or_else(|| {
            let names: Vec<&str> = self.roll.configured().iter().map(Member::name).collect();
            Refused(format!("there is no failover group {group}; there is {}", names.join(", ")))
        })
    }

    /// Takes over a configuration, group by group. Nothing here can fail: what may be missing, such as an
    /// interface, is waited for.
    fn reconfigure(&mut self, groups: Vec<GroupConfig>) {
        self.kernel.update_links();
        self.reconfigured = true;
        let before = self.roll.take_configured().into_iter();
        let mut before: BTreeMap<String, Member> =
            before.map(|member| (member.name().to_owned(), member)).collect();
        let (mut members, mut started, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for config in groups {
            let name = config.group.name.clone();
            members.push(match before.remove(&name) {
                Some(member) => {
                    if *member.group.config() != config {
                        changed.push((name, config));
                    }
                    member
                }
                None => {
                    started.push(name);
                    Member::new(config)
                }
            });
        }
        // A group that comes back, or another one that takes over its virtual routers, goes on where the old
        // one is: the VIPs stay and are adopted. Any other hands over to its peers first.
        let followed = |member: &Member| members.iter().any(|new| shares_router(new, member));
        self.roll.retain_leaving(|member| !followed(member));
        for mut member in before.into_values().filter(|member| !followed(member)) {
            let outputs = member.group.handle(Instant::now(), Input::Stop);
            self.kernel.carry_out(&mut member, outputs);
            self.roll.add_leaving(member);
        }
        self.roll.replace(members);
        self.update_sockets();
        for name in started {
            tracing::info!(group = name, "new failover group");
            self.start_member(&name);
        }
        for (name, config) in changed {
            self.change(&name, config);
        }
        self.drop_departed();
        self.update_sockets();
        self.tell_sources();
    }

    fn change(&mut self, name: &str, config: GroupConfig) {
        let Some(member) = self.roll.get_mut(name) else { return };
        tracing::info!(group = name, "failover group changed");
        let before = member.instances().to_vec();
        let outputs = member.group.handle(Instant::now(), Input::Reconfigure(config));
        member.renumber(&before);
        self.roll.rearrange();
        self.update_sockets();
        let Some(member) = self.roll.get_mut(name) else { return };
        self.kernel.carry_out(member, outputs);
    }
}

fn stopping() -> Refused {
    Refused("the director is stopping".to_owned())
}

/// Whether two groups have a virtual router in common.
fn shares_router(a: &Member, b: &Member) -> bool {
    let routers = |member: &Member| -> Vec<_> {
        member.instances().iter().map(|i| (i.interface.clone(), i.family, i.vrid)).collect()
    };
    let theirs = routers(b);
    routers(a).iter().any(|router| theirs.contains(router))
}
