//! From a check as it is written to a probe that can run.

use fairway_config::{
    DnsCheck, DnsRecord, DnsTransport, GrpcCheck, HttpCheck, Probe, ScriptCheck, SmtpCheck, TcpCheck, Tls,
    UdpCheck,
};
use hickory_proto::rr::{Name, RecordType};
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use regex::bytes::Regex;

use super::{Error, Kind};
use crate::paths::Paths;
use crate::probe::tls::TlsOptions;
use crate::probe::{agent, dns, file, grpc, http, script, smtp, tcp, tls, udp};

/// What is put in front of the command of a script check, so that it runs with fewer rights than the director:
/// a program and its arguments. Empty, the command runs as it is.
///
/// A launcher ends as the command ends. When nobody reads its output any more, and before it ends, it ends everything
/// that has come of the command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launcher(pub Vec<String>);

pub(super) fn kind(probe: Probe<'_>, launcher: &Launcher) -> Result<Kind, Error> {
    Ok(match probe {
        Probe::Tcp(check) => Kind::Tcp(tcp_probe(check)?),
        Probe::Http(check) => Kind::Http(Box::new(http_probe(check)?)),
        Probe::Grpc(check) => Kind::Grpc(grpc_probe(check)?),
        Probe::Smtp(check) => Kind::Smtp(smtp_probe(check)?),
        Probe::Dns(check) => Kind::Dns(dns_probe(check)?),
        Probe::Udp(check) => Kind::Udp(udp_probe(check)?),
        Probe::Ping(_) => Kind::Ping,
        Probe::Bfd(_) => Kind::Bfd(Paths::default()),
        Probe::Script(check) => Kind::Script(script_probe(check, launcher)),
        Probe::File(check) => Kind::File(file::File { path: check.path.clone() }),
        Probe::Agent(check) => Kind::Agent(agent::Agent { send: bytes(check.send.as_ref()) }),
    })
}

fn bytes(payload: Option<&fairway_config::Payload>) -> Vec<u8> {
    payload.map(|payload| payload.as_bytes().to_vec()).unwrap_or_default()
}

fn pattern(key: &'static str, text: Option<&String>) -> Result<Option<Regex>, Error> {
    let compile =
        |text: &String| Regex::new(text).map_err(|source| Error::Pattern { key, source: Box::new(source) });
    text.map(compile).transpose()
}

fn header(key: &'static str, value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|error| Error::Header {
        key,
        value: value.to_owned(),
        why: error.to_string(),
    })
}

/// TLS as a check says; `host` is the name where the check gives none of its own.
pub(crate) fn tls(
    key: &'static str,
    check: Option<&Tls>,
    host: Option<&String>,
    protocols: &[&[u8]],
) -> Result<Option<tls::Tls>, Error> {
    let Some(check) = check else { return Ok(None) };
    // A host may come with a port, which is not part of the name.
    let named = |host: &String| {
        let authority = host.parse::<hyper::http::uri::Authority>();
        authority
            .map_or_else(|_| host.clone(), |authority| authority.host().trim_matches(['[', ']']).to_owned())
    };
    let options = TlsOptions {
        verify: check.verify,
        ca_file: check.ca_file.clone(),
        server_name: check.sni.clone().or_else(|| host.map(named)),
        identity: check.certificate_file.clone().zip(check.key_file.clone()),
        expiry_warning: check.expiry_warning.get(),
    };
    tls::Tls::new(&options, protocols).map(Some).map_err(|source| Error::Tls { key, source })
}

fn tcp_probe(check: &TcpCheck) -> Result<tcp::Tcp, Error> {
    Ok(tcp::Tcp {
        tls: tls("tcp.tls", check.tls.as_ref(), None, &[])?,
        send: bytes(check.send.as_ref()),
        expect: pattern("tcp.expect", check.expect.as_ref())?,
    })
}

fn http_probe(check: &HttpCheck) -> Result<http::Http, Error> {
    let uri = check.path.parse().map_err(|source| Error::Path { path: check.path.clone(), source })?;
    let named = |(name, value): (&String, &String)| {
        let key = "http.headers";
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| Error::Header {
            key,
            value: name.clone(),
            why: error.to_string(),
        })?;
        Ok((name, header(key, value)?))
    };
    let protocols: &[&[u8]] = if check.http2 { &[tls::HTTP2] } else { &[b"http/1.1"] };
    Ok(http::Http {
        method: Method::from_bytes(check.method.name().as_bytes()).unwrap_or_default(),
        uri,
        host: check.host.as_deref().map(|host| header("http.host", host)).transpose()?,
        headers: check.headers.iter().map(named).collect::<Result<_, _>>()?,
        status: check.status.clone(),
        body: pattern("http.body", check.body.as_ref())?,
        digest: check.digest,
        tls: tls("http.tls", check.tls.as_ref(), check.host.as_ref(), protocols)?,
        http2: check.http2,
    })
}

fn grpc_probe(check: &GrpcCheck) -> Result<grpc::Grpc, Error> {
    Ok(grpc::Grpc {
        service: check.service.clone(),
        authority: check.host.as_deref().map(|host| header("grpc.host", host)).transpose()?,
        tls: tls("grpc.tls", check.tls.as_ref(), check.host.as_ref(), &[tls::HTTP2])?,
    })
}

fn smtp_probe(check: &SmtpCheck) -> Result<smtp::Smtp, Error> {
    let this_host = || {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        name.unwrap_or_else(|| "localhost".to_owned())
    };
    // STARTTLS without a word about TLS is TLS as usual.
    let usual = check.starttls.then(Tls::default);
    let tls = tls("smtp.tls", check.tls.as_ref().or(usual.as_ref()), None, &[])?;
    Ok(smtp::Smtp {
        hello: check.helo.clone().unwrap_or_else(this_host),
        security: match tls {
            None => smtp::Security::None,
            Some(tls) if check.starttls => smtp::Security::StartTls(tls),
            Some(tls) => smtp::Security::Tls(tls),
        },
    })
}

fn dns_probe(check: &DnsCheck) -> Result<dns::Dns, Error> {
    let mut name = Name::from_utf8(&check.name)
        .map_err(|error| Error::DnsName { name: check.name.clone(), why: error.to_string() })?;
    name.set_fqdn(true);
    Ok(dns::Dns {
        name,
        record: match check.record {
            DnsRecord::A => RecordType::A,
            DnsRecord::Aaaa => RecordType::AAAA,
            DnsRecord::Cname => RecordType::CNAME,
            DnsRecord::Mx => RecordType::MX,
            DnsRecord::Ns => RecordType::NS,
            DnsRecord::Ptr => RecordType::PTR,
            DnsRecord::Soa => RecordType::SOA,
            DnsRecord::Srv => RecordType::SRV,
            DnsRecord::Txt => RecordType::TXT,
        },
        tcp: check.transport == DnsTransport::Tcp,
        answer: check.answer.clone(),
    })
}

fn udp_probe(check: &UdpCheck) -> Result<udp::Udp, Error> {
    Ok(udp::Udp { send: bytes(check.send.as_ref()), expect: pattern("udp.expect", check.expect.as_ref())? })
}

fn script_probe(check: &ScriptCheck, launcher: &Launcher) -> script::Script {
    script::Script { launcher: launcher.0.clone(), command: check.command.clone(), weight: check.weight }
}
