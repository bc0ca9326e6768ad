//! What happens when an operator applies a topology: it is checked, its effects on all hosts are shown, and it comes
//! into force on this one, or everything stays as it was.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fairway_config::provision::{Provision, Source, State};
use fairway_gen::Topology;
use fairway_gen::render::Files;
use nix::fcntl::{Flock, FlockArg};

use crate::boot::describe;
use crate::keep;
use crate::machine::Machine;
use crate::places::Places;
use crate::plan::{Parts, Plan, parts};
use crate::prepared::Prepared;
use crate::source::{Given, Secrets};
use crate::steps::{Run, Steps};
use crate::sysctls;
use crate::tell;
use crate::tree::Trees;

/// How a topology is applied.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The file; `-` is standard input.
    pub topology: PathBuf,
    /// Secrets that replace those in force.
    pub secrets: Option<PathBuf>,
    /// Only show what would change.
    pub dry_run: bool,
    /// Do not ask.
    pub yes: bool,
    /// Show every changed line.
    pub diff: bool,
}

/// Applies a topology.
///
/// # Errors
/// What is wrong, and what is in force now.
pub fn apply(places: &Places, wish: &Wish, run: &mut Run<'_>) -> anyhow::Result<()> {
    if places.is_machine() && !nix::unistd::geteuid().is_root() {
        bail!("this reads secrets and changes the machine: run it as root (sudo fairwayctl apply ...)");
    }
    let trees = Trees::new(places);
    let before = tell::read_record(places);
    let Some(before) = before.filter(|_| places.fairway().is_dir()) else {
        bail!(
            "this machine is no appliance: fairway-provision.service did not run. Generate its files with `fairway-gen \
             host TOPOLOGY HOST --out /`; on NixOS change services.fairway.topology"
        );
    };
    let _lock = lock(places)?;
    let old_tree = trees.current();
    let name = if wish.topology == Path::new("-") {
        "standard input".to_owned()
    } else {
        wish.topology.display().to_string()
    };
    let text = read(&wish.topology).with_context(|| format!("cannot read {name}"))?;
    let secrets = match &wish.secrets {
        Some(directory) => secrets_of(directory)?,
        None => old_tree.as_ref().map_or(Ok(Secrets::new()), |tree| secrets_of(&tree.join("secrets")))?,
    };
    let new_secrets = match &old_tree {
        Some(tree) => secrets_of(&tree.join("secrets"))? != secrets,
        None => false,
    };

    let (topology, warnings) = Topology::load(&name, &text).map_err(|report| refusal(&report.lines()))?;
    for warning in warnings.lines() {
        eprintln!("warning: {warning}");
    }
    let host = Some(before.host.clone()).filter(|host| !host.is_empty());
    let given = Given { source: Source::Applied, name, text, secrets, host };
    let prepared = Prepared::new(given, &Machine::look(places)).map_err(|broken| refusal(&broken.errors))?;

    let plan = Plan::new(running(places), parts(&topology)?);
    let mut out = io::stdout();
    writeln!(out, "{}", plan.render(&prepared.host, wish.diff).trim_end())?;
    if wish.dry_run {
        return Ok(());
    }
    if !wish.yes && io::stdin().is_terminal() && !confirmed(&prepared.host)? {
        bail!("nothing was changed");
    }
    let old_files =
        old_tree.as_ref().map_or_else(|| Ok(Files::new()), |tree| files_of(&tree.join("files")))?;
    check(places, &prepared, new_secrets, run)?;
    switch(places, old_tree.as_deref(), &old_files, &prepared, new_secrets, run)?;
    record(places, &before, &prepared);
    writeln!(out, "{} is in force on {}", &prepared.sha256[..12], prepared.host)?;
    let others = plan.others(&prepared.host);
    if !others.is_empty() {
        writeln!(out, "now on the others, in this order: {}", others.join(", "))?;
    }
    Ok(())
}

/// Puts a topology's files in force and has everything read them; if something refuses, the old ones.
fn switch(
    places: &Places,
    old_tree: Option<&Path>,
    old_files: &Files,
    prepared: &Prepared,
    new_secrets: bool,
    run: &mut Run<'_>,
) -> anyhow::Result<()> {
    const UNWRITTEN: &str = "the files cannot be written; nothing was changed";
    let trees = Trees::new(places);
    let tree = trees.write(prepared).context(UNWRITTEN)?;
    sysctls::remember(places, old_files, &prepared.files).context(UNWRITTEN)?;
    let steps = Steps::new(old_files, &prepared.files, new_secrets);
    let done = steps
        .before
        .iter()
        .try_for_each(|step| step.run(run))
        .and_then(|()| trees.switch(&tree).map_err(|error| error.to_string()))
        .and_then(|()| {
            // Before the others are set: what another file says of these counts again then.
            sysctls::reset(places, old_files, &prepared.files)
                .map_err(|error| format!("cannot reset sysctls: {error}"))
        })
        .and_then(|()| steps.after.iter().try_for_each(|step| step.run(run)));
    let Err(error) = done else {
        trees.tidy(&[&tree]);
        return Ok(());
    };
    let Some(old_tree) = old_tree else {
        bail!("{error}\nthere was no topology before: this one stays; correct it and apply again");
    };
    let mut problems = Vec::new();
    problems.extend(trees.switch(old_tree).err().map(|error| error.to_string()));
    problems.extend(sysctls::reset(places, &prepared.files, old_files).err().map(|error| error.to_string()));
    let back = Steps::new(&prepared.files, old_files, new_secrets);
    // What failed may have been half done, so everything is tried.
    problems.extend(back.before.iter().chain(&back.after).filter_map(|step| step.run(run).err()));
    trees.tidy(&[old_tree]);
    match problems.len() {
        0 => bail!("{error}\nthe topology before is in force again"),
        _ => bail!("{error}\nthe files of the topology before are back, but: {}", problems.join("; ")),
    }
}

/// Asks the director whether it could use its configuration. New secrets are not where it would look for them yet.
fn check(places: &Places, prepared: &Prepared, new_secrets: bool, run: &mut Run<'_>) -> anyhow::Result<()> {
    let Some(text) = prepared.files.get("etc/fairway/director.toml").filter(|_| !new_secrets) else {
        return Ok(());
    };
    let mut file = tempfile::NamedTempFile::new_in(places.fairway())?;
    file.write_all(text.as_bytes())?;
    let path = file.path().display().to_string();
    run(&["fairway-director", "check", "--config", &path]).map_err(|error| {
        anyhow::anyhow!("the director would refuse its configuration; nothing was changed:\n{error}")
    })
}

/// The topology stays for the next boot, and `fairwayctl` shows it.
fn record(places: &Places, before: &Provision, prepared: &Prepared) {
    let mut record = Provision {
        state: State::Ok,
        given: before.given.clone(),
        time: tell::now(),
        ..Provision::default()
    };
    describe(&mut record, prepared);
    let given = Some(before.given.as_str()).filter(|given| !given.is_empty());
    if let Err(error) = keep::write(places, prepared, given) {
        let warning = format!(
            "it could not be kept: {error}; the next boot takes what it is given, or the last one kept"
        );
        eprintln!("warning: {warning}");
        record.warnings.push(warning);
    }
    tell::tell(places, &record);
    if let Err(error) = tell::write_record(places, &record) {
        eprintln!("warning: {error}");
    }
}

pub(crate) fn lock(places: &Places) -> anyhow::Result<Flock<File>> {
    let path = places.fairway().join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, _)| anyhow::anyhow!("another topology is being applied: wait until that is done"))
}

fn read(path: &Path) -> io::Result<String> {
    if path != Path::new("-") {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn refusal(errors: &[String]) -> anyhow::Error {
    anyhow::anyhow!("the topology is refused; nothing was changed:\n{}", errors.join("\n"))
}

/// What the topology in force makes of all hosts; nothing where there is none that this release reads.
fn running(places: &Places) -> Parts {
    let text = fs::read_to_string(places.fairway().join("topology.toml")).unwrap_or_default();
    let loaded = Topology::load("topology.toml", &text).ok();
    loaded.and_then(|(topology, _)| parts(&topology).ok()).unwrap_or_default()
}

fn confirmed(host: &str) -> io::Result<bool> {
    print!("apply to {host}? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn secrets_of(directory: &Path) -> anyhow::Result<Secrets> {
    let failed = || format!("cannot read the secrets in {}", directory.display());
    let mut secrets = Secrets::new();
    for entry in fs::read_dir(directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if let Ok(name) = entry.file_name().into_string() {
            secrets.insert(name, fs::read(entry.path()).with_context(failed)?);
        }
    }
    Ok(secrets)
}

/// All files below a directory.
pub(crate) fn files_of(root: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        let failed = || format!("cannot read {}", directory.display());
        for entry in fs::read_dir(&directory).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let below = path.strip_prefix(root).expect("it is below").display().to_string();
            files.insert(below, text);
        }
    }
    Ok(files)
}
