//! What is done with changed files, in order.

use fairway_gen::render::Files;

use crate::sysctls::DIRECTORY as SYSCTLS;

const DIRECTOR: &str = "etc/fairway/director.toml";
const GUE: &str = "etc/fairway/gue-open.batch";
const MODULES: &str = "etc/modules-load.d/";
const NETWORKS: &str = "etc/systemd/network/";
const NETWORKD: &str = "etc/systemd/networkd.conf.d/";
const FIREWALL: &str = "etc/nftables.d/";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A command, and what it is for.
    Command(&'static str, Vec<String>),
    /// The director reads its configuration again, or is started.
    Director,
}

/// What is done before the new files are in force, and after.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// With the old files in place: what ends by them.
    pub before: Vec<Step>,
    /// With the new files in place.
    pub after: Vec<Step>,
}

/// Runs a command; the error is what it says.
pub type Run<'r> = dyn FnMut(&[&str]) -> Result<(), String> + 'r;

fn command(what: &'static str, words: &[&str]) -> Step {
    Step::Command(what, words.iter().map(|&word| word.to_owned()).collect())
}

impl Steps {
    /// What the change from some files to others needs. Kernel modules come first, because sysctls are theirs, then
    /// sysctls, interfaces, the packet filter, tunnels; the director last, because it needs all of them.
    pub fn new(old: &Files, new: &Files, new_secrets: bool) -> Self {
        let of = |files: &Files, start: &str| -> Vec<(String, String)> {
            let all = files.iter().filter(|(path, _)| path.starts_with(start));
            all.map(|(path, text)| (path.clone(), text.clone())).collect()
        };
        let differ = |start: &str| of(old, start) != of(new, start);
        let mut steps = Self::default();
        if old.contains_key(DIRECTOR) && !new.contains_key(DIRECTOR) {
            // While everything it needs is there, it hands over to its peer.
            let words = ["systemctl", "stop", "fairway-director.service"];
            steps.before.push(command("stop the director", &words));
        }
        if differ(GUE) && old.contains_key(GUE) {
            // What closes the ports is in the old files.
            steps
                .before
                .push(command("close the ports of tunnels", &["systemctl", "stop", "fairway-gue.service"]));
        }
        if differ(MODULES) {
            let words = ["systemctl", "restart", "systemd-modules-load.service"];
            steps.after.push(command("load kernel modules", &words));
        }
        if differ(SYSCTLS) {
            let words = ["systemctl", "restart", "systemd-sysctl.service"];
            steps.after.push(command("set sysctls", &words));
        }
        if differ(NETWORKD) {
            let words = ["systemctl", "restart", "systemd-networkd.service"];
            steps.after.push(command("restart networkd", &words));
        } else if differ(NETWORKS) {
            steps.after.push(command("reload networkd", &["networkctl", "reload"]));
        }
        for (path, text) in of(old, NETWORKS) {
            if path.ends_with(".netdev")
                && !new.contains_key(&path)
                && let Some(name) = text.lines().find_map(|line| line.strip_prefix("Name="))
            {
                // networkd makes them and leaves them.
                steps.after.push(command("remove interfaces", &["networkctl", "delete", name]));
            }
        }
        if differ(FIREWALL) {
            let words = ["systemctl", "reload-or-restart", "fairway-nftables.service"];
            steps.after.push(command("reload the firewall", &words));
        }
        if differ(GUE) && new.contains_key(GUE) {
            steps
                .after
                .push(command("open the ports of tunnels", &["systemctl", "start", "fairway-gue.service"]));
        }
        if new.contains_key(DIRECTOR) && (differ(DIRECTOR) || new_secrets) {
            steps.after.push(Step::Director);
        }
        steps
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// For people.
    pub fn describe(&self) -> String {
        let mut words: Vec<_> = self.before.iter().chain(&self.after).map(Step::what).collect();
        words.dedup();
        words.join(", ")
    }
}

impl Step {
    /// For people.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Command(what, _) => what,
            Self::Director => "reload the director",
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// What the command says, with the command.
    pub fn run(&self, run: &mut Run<'_>) -> Result<(), String> {
        let mut say = |words: &[&str]| {
            run(words).map_err(|error| format!("cannot {}: `{}`: {error}", self.what(), words.join(" ")))
        };
        match self {
            Self::Command(_, words) => say(&words.iter().map(String::as_str).collect::<Vec<_>>()),
            // Asked directly, it says why it refuses.
            Self::Director
                if say(&["systemctl", "is-active", "--quiet", "fairway-director.service"]).is_ok() =>
            {
                say(&["fairwayctl", "reload"])
            }
            Self::Director => say(&["systemctl", "start", "fairway-director.service"]),
        }
    }
}
