//! The ways events are told: programs, mail, HTTP.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fairway_config::{Mail, Notify, Security, Way, Webhook};
use fairway_health::{Launcher, Post, Program};
use lettre::address::AddressError;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::event::Event;
use super::message::{self, Origin};
use crate::services::launcher;
use crate::vrrp::read_secret;

/// Why somebody cannot be told as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way, or more than one.
    #[error("give exactly one way: {}", Notify::WAYS.join(", "))]
    Way,
    /// A file that is named cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// An address nobody can have.
    #[error("\"{address}\" is no mail address: {source}")]
    Address {
        /// As written.
        address: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// TLS to the mail server cannot be set up.
    #[error("TLS to the mail server: {0}")]
    MailTls(#[from] lettre::transport::smtp::Error),
    /// The webhook cannot be used.
    #[error(transparent)]
    Webhook(#[from] fairway_health::Error),
}

/// A delivery that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why, for people.
    pub why: String,
    /// Whether another attempt may do better.
    pub again: bool,
}

/// A way, ready to be gone.
#[derive(Debug)]
pub enum Delivery {
    /// A program.
    Hook { launcher: Launcher, command: Vec<String> },
    /// Mail.
    Mail { transport: Box<AsyncSmtpTransport<Tokio1Executor>>, from: Mailbox, to: Vec<Mailbox> },
    /// HTTP.
    Webhook(Box<Post>),
}

impl Delivery {
    /// Reads the files that `notify` names.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn new(notify: &Notify) -> Result<Self, Error> {
        match notify.way().ok_or(Error::Way)? {
            Way::Hook(hook) => Ok(Self::Hook { launcher: launcher(), command: hook.command.clone() }),
            Way::Mail(mail) => smtp(mail, notify),
            Way::Webhook(webhook) => post(webhook),
        }
    }

    /// Tells of events: a hook of the first one, which is all it is given.
    ///
    /// # Errors
    /// Why that did not succeed.
    pub async fn deliver(&self, origin: &Origin, events: &[Event]) -> Result<(), Failure> {
        match self {
            Self::Hook { launcher, command } => {
                for event in events {
                    hook(launcher, command, origin, event).await?;
                }
                Ok(())
            }
            Self::Mail { transport, from, to } => {
                let mail = mail(from, to, origin, events)
                    .map_err(|error| Failure { why: error.to_string(), again: false })?;
                match transport.send(mail).await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(Failure { again: !error.is_permanent(), why: causes(&error) }),
                }
            }
            Self::Webhook(post) => {
                let body = message::body(origin, events).to_string().into_bytes();
                match post.json(body).await {
                    Ok(200..=299) => Ok(()),
                    // Too early, too many, or not our fault.
                    Ok(status @ (408 | 425 | 429 | 500..)) => {
                        Err(Failure { why: answered(status), again: true })
                    }
                    Ok(status) => Err(Failure { why: answered(status), again: false }),
                    Err(why) => Err(Failure { why, again: true }),
                }
            }
        }
    }
}

fn answered(status: u16) -> String {
    format!("the answer is status {status}")
}

/// What went wrong and why.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

async fn hook(
    launcher: &Launcher,
    command: &[String],
    origin: &Origin,
    event: &Event,
) -> Result<(), Failure> {
    let program = Program {
        launcher: &launcher.0,
        command,
        environment: message::environment(origin, event),
        input: message::event(origin, event).to_string().into_bytes(),
    };
    match program.run().await {
        Ok(ended) if ended.succeeded() => Ok(()),
        Ok(ended) => Err(Failure { why: ended.words(), again: false }),
        Err(error) => Err(Failure { why: format!("cannot be run: {error}"), again: false }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let readable = |error: io::Error| Error::File {
        path: path.to_owned(),
        problem: format!("{error}; write it, readable by the director"),
    };
    fs::read(path).map_err(readable)
}

fn secret(path: &Path) -> Result<String, Error> {
    let refused = |problem| Error::File { path: path.to_owned(), problem };
    let bytes = read_secret(path).map_err(refused)?;
    String::from_utf8(bytes).map_err(|_| refused("write it as UTF-8 text".to_owned()))
}

fn smtp(mail: &Mail, notify: &Notify) -> Result<Delivery, Error> {
    let mailbox = |address: &String| {
        let parsed = address.parse::<Address>();
        parsed
            .map(|address| Mailbox::new(None, address))
            .map_err(|source| Error::Address { address: address.clone(), source })
    };
    let parameters = || -> Result<TlsParameters, Error> {
        let mut builder = TlsParameters::builder(mail.server.clone());
        if let Some(path) = &mail.ca_file {
            let unusable = |error: &dyn std::fmt::Display| Error::File {
                path: path.clone(),
                problem: format!("{error}; give a PEM file with at least one certificate"),
            };
            builder = builder
                .certificate_store(lettre::transport::smtp::client::CertificateStore::None)
                .add_root_certificate(Certificate::from_pem(&read(path)?).map_err(|error| unusable(&error))?);
        }
        Ok(builder.build_rustls()?)
    };
    let (tls, usual_port) = match mail.security {
        Security::None => (Tls::None, 25),
        Security::Starttls => (Tls::Required(parameters()?), if mail.user.is_some() { 587 } else { 25 }),
        Security::Tls => (Tls::Wrapper(parameters()?), 465),
    };
    let this_host = || {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        name.unwrap_or_else(|| "localhost".to_owned())
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.server)
        .port(mail.port.unwrap_or(usual_port))
        .tls(tls)
        .hello_name(ClientId::Domain(mail.helo.clone().unwrap_or_else(this_host)))
        .timeout(Some(notify.timeout().get()));
    if let (Some(user), Some(path)) = (&mail.user, &mail.password_file) {
        let password = secret(path)?.lines().next().unwrap_or_default().to_owned();
        transport = transport.credentials(Credentials::new(user.clone(), password));
    }
    Ok(Delivery::Mail {
        transport: Box::new(transport.build()),
        from: mailbox(&mail.from)?,
        to: mail.to.iter().map(mailbox).collect::<Result<_, _>>()?,
    })
}

fn mail(
    from: &Mailbox,
    to: &[Mailbox],
    origin: &Origin,
    events: &[Event],
) -> Result<Message, lettre::error::Error> {
    let at = events.first().map_or(std::time::UNIX_EPOCH, |event| event.at);
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // The same for every attempt, so that a message that came through twice is known to be one.
    let id = format!("<{}.{}@{}>", since.as_nanos(), events.len(), from.email.domain());
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(message::subject(origin, events))
        .date_now()
        .message_id(Some(id))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN);
    for to in to {
        builder = builder.to(to.clone());
    }
    builder.body(message::text(events))
}

fn post(webhook: &Webhook) -> Result<Delivery, Error> {
    let mut headers: Vec<(String, String)> = webhook.headers.clone().into_iter().collect();
    if let Some(path) = &webhook.header_file {
        for line in secret(path)?.lines().filter(|line| !line.trim().is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| Error::File {
                path: path.clone(),
                problem: "write lines such as \"Authorization: Bearer ...\"".to_owned(),
            })?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(Delivery::Webhook(Box::new(Post::new(&webhook.url, headers, webhook.tls.as_ref())?)))
}
