//! An SMTP server greets and answers EHLO (RFC 5321); with STARTTLS (RFC 3207) where asked for.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::stream::{Stream, connect};
use super::tls::{Notice, Tls};
use super::{Outcome, Stage, failed};
use crate::target::Target;

/// A reply with all its lines is no longer than this, in bytes. RFC 5321 section 4.5.3.1.5 allows 512 a line.
const REPLY_LIMIT: u64 = 16 * 1024;

/// How the server is spoken to.
#[derive(Debug)]
pub(crate) struct Smtp {
    /// The name we give in EHLO.
    pub(crate) hello: String,
    pub(crate) security: Security,
}

/// When TLS begins.
#[derive(Debug)]
pub(crate) enum Security {
    None,
    /// With the connection (port 465).
    Tls(Tls),
    /// After STARTTLS.
    StartTls(Tls),
}

pub(super) async fn probe(target: Target, spec: &Smtp, stage: &mut Stage) -> Outcome {
    match talk(target, spec, stage).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn talk(target: Target, spec: &Smtp, stage: &mut Stage) -> Result<Outcome, Outcome> {
    let tls = match &spec.security {
        Security::Tls(tls) => Some(tls),
        Security::None | Security::StartTls(_) => None,
    };
    let (stream, mut notice) = match tls {
        Some(_) => Stream::open(target, tls, stage).await?,
        None => (Stream::Plain(connect(target).await?), Notice::default()),
    };
    let mut stream = BufReader::new(stream);
    *stage = Stage("waiting for the greeting");
    expect(&mut stream, "220", "the greeting", *stage).await?;
    hello(&mut stream, spec, stage).await?;
    if let Security::StartTls(tls) = &spec.security {
        *stage = Stage("waiting for the reply to STARTTLS");
        say(&mut stream, "STARTTLS", *stage).await?;
        expect(&mut stream, "220", "STARTTLS", *stage).await?;
        // What came before TLS must not be taken for an answer after it.
        if !stream.buffer().is_empty() {
            return Err(Outcome::Fail("the server talks on after STARTTLS in plain text".into()));
        }
        let Stream::Plain(plain) = stream.into_inner() else {
            return Err(Outcome::Inconclusive("TLS is there already".into()));
        };
        let (encrypted, seen) = tls.negotiate(plain, target, stage).await?;
        notice = seen;
        stream = BufReader::new(encrypted);
        hello(&mut stream, spec, stage).await?;
    }
    *stage = Stage("waiting for the reply to QUIT");
    say(&mut stream, "QUIT", *stage).await?;
    expect(&mut stream, "221", "QUIT", *stage).await?;
    Ok(notice.pass("greets and answers EHLO".into()))
}

async fn hello(stream: &mut BufReader<Stream>, spec: &Smtp, stage: &mut Stage) -> Result<(), Outcome> {
    *stage = Stage("waiting for the reply to EHLO");
    say(stream, &format!("EHLO {}", spec.hello), *stage).await?;
    expect(stream, "250", "EHLO", *stage).await
}

async fn say(stream: &mut BufReader<Stream>, command: &str, stage: Stage) -> Result<(), Outcome> {
    let sent = async {
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| failed(&error, stage))
}

/// Reads a reply of one or more lines that must have `code`.
async fn expect(stream: &mut BufReader<Stream>, code: &str, what: &str, stage: Stage) -> Result<(), Outcome> {
    let mut limited = stream.take(REPLY_LIMIT);
    loop {
        let mut line = Vec::new();
        limited.read_until(b'\n', &mut line).await.map_err(|error| failed(&error, stage))?;
        if line.last() != Some(&b'\n') {
            return Err(Outcome::Fail(if limited.limit() == 0 {
                format!("the reply to {what} is too long").into()
            } else {
                format!("connection closed while {stage}").into()
            }));
        }
        let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if !line.starts_with(code) {
            let shown: String = line.chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(Outcome::Fail(format!("{what}: \"{shown}\" instead of {code}").into()));
        }
        // "250-" goes on, "250 " or "250" is the last line.
        if line.as_bytes().get(code.len()) != Some(&b'-') {
            return Ok(());
        }
    }
}
