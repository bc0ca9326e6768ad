//! The commands.

mod diff;
mod explain;
mod import;
mod init;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use fairway_gen::output::{self, write_trees};
use fairway_gen::render::{Files, Renderer};
use fairway_gen::{Plans, Report, Topology};

/// One topology file into every host's configuration.
#[derive(Debug, Parser)]
#[command(name = "fairway-gen", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a topology and say what is wrong with it.
    Check {
        /// The topology file.
        topology: PathBuf,
    },
    /// Generate the files of one host.
    Host {
        /// The topology file.
        topology: PathBuf,
        /// The host.
        host: String,
        #[command(flatten)]
        out: Out,
    },
    /// Generate the files of one host, which must be a director.
    Director {
        /// The topology file.
        topology: PathBuf,
        /// The host.
        #[arg(long)]
        host: String,
        #[command(flatten)]
        out: Out,
    },
    /// Generate the files of one host, which must be a real server.
    RealServer {
        /// The topology file.
        topology: PathBuf,
        /// The host.
        #[arg(long)]
        host: String,
        #[command(flatten)]
        out: Out,
    },
    /// Generate the files of all hosts, each below a directory of its name.
    All {
        /// The topology file.
        topology: PathBuf,
        #[command(flatten)]
        out: Out,
    },
    /// Show what would change on a host, as a unified diff; exit 1 if anything would, 2 on errors.
    Diff {
        /// The topology file.
        topology: PathBuf,
        /// The host.
        #[arg(long)]
        host: String,
        /// Where the host's files are: "/" on the host itself.
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
    /// Show which lines of which files are there because of a service or virtual IP, and why.
    Explain {
        /// The topology file.
        topology: PathBuf,
        /// Name of a service or virtual IP, or an address.
        name: String,
    },
    /// Draw the topology: networks, hosts, virtual IPs and services.
    Diagram {
        /// The topology file.
        topology: PathBuf,
        /// What the picture is made of.
        #[arg(long, default_value = "svg")]
        format: Format,
    },
    /// Write a commented topology to start from.
    Init {
        /// How packets reach the real servers.
        #[arg(long)]
        kind: init::Kind,
        /// The file, which must not be there yet.
        #[arg(default_value = "topology.toml")]
        topology: PathBuf,
    },
    /// Make a topology of keepalived.conf, on standard output; what is not carried over is listed on standard error.
    Import {
        /// The configuration of one director.
        config: PathBuf,
        /// That director's name.
        #[arg(long, default_value = "lb1")]
        host: String,
        /// The name of another director, and its configuration.
        #[arg(long, value_name = "NAME=FILE")]
        host_config: Vec<import::HostConfig>,
    },
    /// Print the JSON Schema of topology files, for editors.
    Schema,
    /// Print what a shell needs to complete these commands.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command.
    Man {
        /// The directory, which must be there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Forms of the diagram.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A picture that browsers show.
    Svg,
    /// Text that some forges and editors draw.
    Mermaid,
}

#[derive(Debug, Args)]
struct Out {
    /// Write below this directory instead of to standard output; only files that change are replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The topology file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A new topology file or manual page cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Create {
        /// The file, or the directory of the pages.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The topology is refused; the report is complete.
    #[error("{0}")]
    Topology(Report),
    /// The host, service or virtual IP is not there or not what it was said to be.
    #[error("{0}")]
    Name(String),
    /// A configuration cannot be imported.
    #[error(transparent)]
    Import(#[from] fairway_gen::import::Error),
    /// A file cannot be rendered.
    #[error(transparent)]
    Render(#[from] fairway_gen::render::Error),
    /// A generated file cannot be read or written.
    #[error(transparent)]
    File(#[from] output::Error),
    /// Standard output is gone.
    #[error("cannot write to standard output: {0}")]
    Stdout(#[from] std::io::Error),
}

/// What a host must be for a command to go on.
#[derive(Clone, Copy)]
enum Role {
    Any,
    Director,
    RealServer,
}

impl Cli {
    /// The exit code when the command fails: `diff` says with 1 that there are differences.
    pub fn failure(&self) -> ExitCode {
        ExitCode::from(if matches!(self.command, Command::Diff { .. }) { 2 } else { 1 })
    }

    /// Runs the command.
    ///
    /// # Errors
    /// See [`Error`]. Warnings go to standard error at once.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            Command::Check { topology } => check(&topology),
            Command::Host { topology, host, out } => one(&topology, &host, Role::Any, out),
            Command::Director { topology, host, out } => one(&topology, &host, Role::Director, out),
            Command::RealServer { topology, host, out } => one(&topology, &host, Role::RealServer, out),
            Command::All { topology, out } => all(&topology, out),
            Command::Explain { topology, name } => explain::run(&topology, &name),
            Command::Diagram { topology, format } => diagram(&topology, format),
            Command::Init { kind, topology } => init::run(kind, &topology),
            Command::Import { config, host, host_config } => import::run(config, host, host_config),
            Command::Schema => Ok(writeln!(std::io::stdout(), "{:#}", fairway_gen::schema::json_schema())?),
            Command::Completions { shell } => completions(shell),
            Command::Man { out } => man(&out),
            Command::Diff { topology, host, root } => {
                return if diff::run(&topology, &host, &root)? {
                    Ok(ExitCode::from(1))
                } else {
                    Ok(ExitCode::SUCCESS)
                };
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// How reports look on standard error.
pub fn print_report(report: &Report) {
    let theme = if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        miette::GraphicalTheme::unicode()
    } else {
        miette::GraphicalTheme::unicode_nocolor()
    };
    eprint!("{}", report.render(theme, 110));
}

fn load(path: &Path) -> Result<Topology, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let (topology, warnings) = Topology::load(&path.display().to_string(), &text).map_err(Error::Topology)?;
    print_report(&warnings);
    Ok(topology)
}

fn check(path: &Path) -> Result<(), Error> {
    let topology = load(path)?;
    let plans = Plans::new(&topology);
    let renderer = Renderer::new();
    let (mut directors, mut servers) = (0, 0);
    for host in plans.hosts() {
        files(&plans, &renderer, host)?;
        directors += usize::from(plans.is_director(host));
        servers += usize::from(plans.is_real_server(host));
    }
    writeln!(
        std::io::stdout(),
        "{}: cluster {}: {} hosts ({directors} directors, {servers} real servers), {} failover groups, {} services",
        path.display(),
        topology.cluster,
        topology.hosts.len(),
        topology.groups.len(),
        topology.services.len()
    )?;
    for (name, group) in &topology.groups {
        for instance in &group.instances {
            writeln!(
                std::io::stdout(),
                "  {name}: instance {} in network {}: {}, VRID {}",
                instance.name,
                instance.network,
                instance.family,
                instance.vrid
            )?;
        }
    }
    Ok(())
}

fn files(plans: &Plans<'_>, renderer: &Renderer, host: &str) -> Result<Files, Error> {
    let plan = plans.host(host).ok_or_else(|| {
        let hosts: Vec<&str> = plans.hosts().collect();
        Error::Name(format!(
            "there is no host \"{host}\" in the topology; the hosts are {}",
            hosts.join(", ")
        ))
    })?;
    Ok(renderer.files(&plan)?)
}

fn one(path: &Path, host: &str, role: Role, out: Out) -> Result<(), Error> {
    let topology = load(path)?;
    let plans = Plans::new(&topology);
    let files = files(&plans, &Renderer::new(), host)?;
    match role {
        Role::Director if !plans.is_director(host) => {
            return Err(Error::Name(format!(
                "{host} is not a director: no failover group and no service names it as one"
            )));
        }
        Role::RealServer if !plans.is_real_server(host) => {
            return Err(Error::Name(format!("{host} is not a real server: no service names it as one")));
        }
        _ => {}
    }
    match out.out {
        Some(directory) => write(&[(directory, files)], true),
        None => print("", &files),
    }
}

fn all(path: &Path, out: Out) -> Result<(), Error> {
    let topology = load(path)?;
    let plans = Plans::new(&topology);
    let renderer = Renderer::new();
    // Everything is rendered before anything is written.
    let rendered: Vec<(&str, Files)> = plans
        .hosts()
        .map(|host| Ok((host, files(&plans, &renderer, host)?)))
        .collect::<Result<_, Error>>()?;
    match out.out {
        Some(directory) => {
            let trees: Vec<_> =
                rendered.into_iter().map(|(host, files)| (directory.join(host), files)).collect();
            write(&trees, false)
        }
        None => rendered.iter().try_for_each(|(host, files)| print(&format!("{host}/"), files)),
    }
}

fn diagram(path: &Path, format: Format) -> Result<(), Error> {
    let topology = load(path)?;
    let picture = match format {
        Format::Svg => fairway_gen::diagram::svg(&topology),
        Format::Mermaid => fairway_gen::diagram::mermaid(&topology),
    };
    Ok(std::io::stdout().write_all(picture.as_bytes())?)
}

fn completions(shell: clap_complete::Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fairway-gen", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

fn man(directory: &Path) -> Result<(), Error> {
    let failed = |source| Error::Create { path: directory.to_owned(), source };
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)
}

/// Prints files under headers.
fn print(prefix: &str, files: &Files) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    for (path, text) in files {
        writeln!(stdout, "==> {prefix}{path} <==\n{text}")?;
    }
    Ok(())
}

/// Writes trees of files and says what changed.
fn write(trees: &[(PathBuf, Files)], sync: bool) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    for ((directory, _), changes) in trees.iter().zip(write_trees(trees, sync)?) {
        for (verb, paths) in [("wrote", &changes.written), ("removed", &changes.removed)] {
            for path in paths {
                writeln!(stdout, "{verb} {}", directory.join(path).display())?;
            }
        }
    }
    Ok(())
}
