//! Certificates: good, wrong in every way, and none at all.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fairway_config::{Check, HttpCheck, Period, SmtpCheck, TcpCheck, Tls};
use fairway_health::{Error, Launcher, Outcome, Spec};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::server::{Act, serve};
use super::{LONG, SHORT, fail, pass, run};

/// An authority, and the file that names it.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: std::path::PathBuf,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Two authorities of one name would be told apart by their signatures only.
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let file = std::env::temp_dir().join(format!("fairway-{}-{name}.pem", std::process::id()));
        std::fs::File::create(&file).unwrap().write_all(certificate.pem().as_bytes()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A server's configuration with a certificate for `names`, valid until the first of January of `until`.
    pub(super) fn server(&self, names: &[&str], until: i32, protocols: &[&[u8]]) -> TlsAcceptor {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// TLS that trusts this authority.
    pub(super) fn trusted(&self, name: &str) -> Tls {
        Tls { ca_file: Some(self.file.clone()), sni: Some(name.to_owned()), ..Tls::default() }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.file);
    }
}

/// A web server over TLS that answers every connection.
async fn web(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut request = [0; 1024];
                let _length = stream.read(&mut request).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                stream.shutdown().await
            });
        }
    });
    address
}

fn https(tls: Tls) -> Check {
    Check { http: Some(HttpCheck { tls: Some(tls), ..HttpCheck::default() }), ..Check::default() }
}

#[tokio::test]
async fn a_good_certificate_passes_and_a_wrong_one_fails_for_its_reason() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = web(ours.server(&["shop.example", "127.0.0.1"], 2099, &[])).await;
    assert_eq!(run(good, LONG, https(ours.trusted("shop.example"))).await, pass("status 200"));
    // Without a name the address is what must be in the certificate.
    let unnamed = Tls { sni: None, ..ours.trusted("") };
    assert_eq!(run(good, LONG, https(unnamed)).await, pass("status 200"));
    let by_host = HttpCheck {
        host: Some("shop.example:8443".to_owned()),
        tls: Some(Tls { sni: None, ..ours.trusted("") }),
        ..HttpCheck::default()
    };
    let by_host = Check { http: Some(by_host), ..Check::default() };
    assert_eq!(run(good, LONG, by_host).await, pass("status 200"));

    assert_eq!(
        run(good, LONG, https(ours.trusted("www.example"))).await,
        fail("the certificate is not for www.example; name what it is for with sni")
    );
    let unknown = fail("the certificate's issuer is not trusted; name it with ca-file");
    assert_eq!(run(good, LONG, https(theirs.trusted("shop.example"))).await, unknown);
    let over = web(ours.server(&["shop.example"], 2020, &[])).await;
    assert_eq!(
        run(over, LONG, https(ours.trusted("shop.example"))).await,
        fail("the certificate has expired")
    );
    // Verification is what is left out by verify = false, and nothing else.
    let blind = Tls { verify: false, expiry_warning: Period::from_secs(0), ..Tls::default() };
    assert_eq!(run(over, LONG, https(blind)).await, pass("status 200"));
}

#[tokio::test]
async fn a_certificate_that_ends_soon_passes_with_a_warning() {
    let authority = Authority::new("soon");
    let target = web(authority.server(&["shop.example"], 2099, &[])).await;
    let century = Period::from_secs(100 * 366 * 24 * 3600);
    let tls = Tls { expiry_warning: century, ..authority.trusted("shop.example") };
    let text = "status 200; the certificate expires on 2099-01-01";
    assert_eq!(run(target, LONG, https(tls.clone())).await, Outcome::Warn(text.into()));
    let tcp = TcpCheck { tls: Some(tls), ..TcpCheck::default() };
    let outcome = run(target, LONG, Check { tcp: Some(tcp), ..Check::default() }).await;
    assert_eq!(outcome, Outcome::Warn("connected, TLS; the certificate expires on 2099-01-01".into()));
}

#[tokio::test]
async fn hostile_handshakes_end() {
    let authority = Authority::new("hostile");
    let check = || https(authority.trusted("shop.example"));
    let (target, _server) = serve(Act::Stall).await;
    assert_eq!(run(target, SHORT, check()).await, fail("timed out after 400ms while negotiating TLS"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        plain.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        plain.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _reset = plain.read_to_end(&mut rest).await;
        let (gone, _) = listener.accept().await.unwrap();
        drop(gone);
        // A record that promises 16 KiB and drips them.
        let (mut drip, _) = listener.accept().await.unwrap();
        drip.write_all(&[22, 3, 3, 0x40, 0]).await.unwrap();
        while drip.write_all(&[2]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(run(target, LONG, check()).await, fail("the server does not speak TLS"));
    let outcome = run(target, LONG, check()).await;
    assert!(
        matches!(
            outcome.detail(),
            "connection closed while negotiating TLS" | "connection reset by peer while negotiating TLS"
        ),
        "{outcome:?}"
    );
    assert_eq!(run(target, SHORT, check()).await, fail("timed out after 400ms while negotiating TLS"));
    server.abort();
}

#[tokio::test]
async fn mail_over_tls_from_the_start_or_later() {
    let authority = Authority::new("mail");
    for starttls in [false, true] {
        let acceptor = authority.server(&["mail.example"], 2099, &[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            if starttls {
                stream.write_all(b"220 mail.example ready\r\n").await.unwrap();
                let mut line = [0; 512];
                let _ehlo = stream.read(&mut line).await.unwrap();
                stream.write_all(b"250-mail.example\r\n250 STARTTLS\r\n").await.unwrap();
                let length = stream.read(&mut line).await.unwrap();
                assert_eq!(&line[..length], b"STARTTLS\r\n");
                stream.write_all(b"220 go on\r\n").await.unwrap();
            }
            let mut stream = acceptor.accept(stream).await.unwrap();
            if !starttls {
                stream.write_all(b"220 mail.example ready\r\n").await.unwrap();
            }
            for answer in ["250 mail.example\r\n", "221 bye\r\n"] {
                let mut line = [0; 512];
                assert!(stream.read(&mut line).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let smtp = SmtpCheck { starttls, tls: Some(authority.trusted("mail.example")), helo: None };
        let outcome = run(target, LONG, Check { smtp: Some(smtp), ..Check::default() }).await;
        assert_eq!(outcome, pass("greets and answers EHLO"), "starttls {starttls}");
        server.await.unwrap();
    }
}

#[test]
fn what_is_wrong_with_files_and_names_is_found_before_the_first_probe() {
    let problem = |tls: Tls| match Spec::new(&https(tls), &Launcher::default()) {
        Err(error @ Error::Tls { key: "http.tls", .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let missing = problem(Tls { ca_file: Some("/nonexistent/ca.pem".into()), ..Tls::default() });
    assert!(missing.starts_with("http.tls: ca-file /nonexistent/ca.pem: "), "{missing}");
    let empty = problem(Tls { ca_file: Some("/dev/null".into()), ..Tls::default() });
    assert!(empty.contains("it holds no certificate"), "{empty}");
    let authority = Authority::new("names");
    let name = problem(authority.trusted("not a name"));
    assert!(name.contains("sni \"not a name\" is neither a host name nor an address"), "{name}");
    let identity = Tls {
        certificate_file: Some("/nonexistent/cert.pem".into()),
        key_file: Some("/nonexistent/key.pem".into()),
        ..authority.trusted("shop.example")
    };
    assert!(problem(identity).starts_with("http.tls: /nonexistent/cert.pem: "));
}
