//! TLS under a probe: verified unless the check says otherwise, and never resumed, so that every probe sees the
//! certificate the server presents now.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::stream::Stream;
use super::{Outcome, Stage, failed};
use crate::target::Target;

/// HTTP/2 in the words of ALPN (RFC 9113 section 3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

/// How a probe speaks TLS.
#[derive(Debug)]
pub(crate) struct TlsOptions {
    /// Whether the certificate must be good; otherwise any is taken.
    pub(crate) verify: bool,
    /// Issuers that are trusted, PEM; instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The name asked for and verified; without one it is the server's address.
    pub(crate) server_name: Option<String>,
    /// Files with our own certificate and its key, PEM.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Warn when the certificate expires within this time; zero never warns.
    pub(crate) expiry_warning: Duration,
}

/// Why TLS cannot be set up as the check says.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with the issuers cannot be used.
    #[error("ca-file {path}: {why}; give a readable PEM file with at least one certificate")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Our own certificate or its key cannot be used.
    #[error("{path}: {why}; give a readable PEM file")]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system has no trusted issuers.
    #[error("this system has no trusted certificates: install ca-certificates, or give ca-file")]
    NoRoots,
    /// The name is neither a host name nor an address.
    #[error("sni \"{0}\" is neither a host name nor an address")]
    ServerName(String),
    /// The library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The verifier cannot be built from the issuers.
    #[error("TLS cannot be set up: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// [`TlsOptions`], ready to use.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
    expiry_warning: Duration,
}

/// Something about a certificate that people should know while it still works.
#[derive(Debug, Default)]
pub(super) struct Notice(Option<String>);

impl Notice {
    /// A pass with this text, or, if there is something to know, a warning.
    pub(super) fn pass(self, text: Cow<'static, str>) -> Outcome {
        match self.0 {
            None => Outcome::Pass(text),
            Some(notice) => Outcome::Warn(format!("{text}; {notice}").into()),
        }
    }
}

impl Tls {
    /// Reads the issuers and prepares everything that does not depend on the server.
    pub(crate) fn new(options: &TlsOptions, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let provider = provider();
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let verifier: Arc<dyn ServerCertVerifier> = if options.verify {
            let roots = match &options.ca_file {
                Some(path) => Arc::new(roots_of(path)?),
                None => system_roots()?,
            };
            WebPkiServerVerifier::builder_with_provider(roots, provider).build()?
        } else {
            Arc::new(Anything(provider))
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let bad = |path: &Path, error: &dyn std::fmt::Display| TlsError::Identity {
                    path: path.to_owned(),
                    why: error.to_string(),
                };
                let chain = CertificateDer::pem_file_iter(certificates)
                    .and_then(Iterator::collect)
                    .map_err(|error| bad(certificates, &error))?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| bad(key, &error))?
            }
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = match &options.server_name {
            Some(name) => {
                Some(ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName(name.clone()))?)
            }
            None => None,
        };
        Ok(Self { config: Arc::new(config), name, expiry_warning: options.expiry_warning })
    }

    /// Negotiates TLS on a connection.
    pub(super) async fn negotiate(
        &self,
        plain: TcpStream,
        target: Target,
        stage: &mut Stage,
    ) -> Result<(Stream, Notice), Outcome> {
        *stage = Stage::TLS;
        let name = self.name.clone().unwrap_or_else(|| ServerName::from(target.address.ip()));
        let shown = name.to_str().into_owned();
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, plain)
            .await
            .map_err(|error| refused(&error, &shown))?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let notice = Notice(certificate.and_then(|certificate| self.expires_soon(certificate)));
        // HTTP/1.1 is what is spoken without a word about it; HTTP/2 is not.
        if self.config.alpn_protocols.first().is_some_and(|wanted| wanted == HTTP2)
            && session.alpn_protocol() != Some(HTTP2)
        {
            return Err(Outcome::Fail("the server does not offer HTTP/2 in TLS (ALPN h2)".into()));
        }
        Ok((Stream::Tls(Box::new(stream)), notice))
    }

    fn expires_soon(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        if self.expiry_warning.is_zero() {
            return None;
        }
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let end = parsed.validity().not_after;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.expiry_warning;
        (end.timestamp() < i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
            .then(|| format!("the certificate expires on {}", end.to_datetime().date()))
    }
}

/// What went wrong while TLS was negotiated, in words that do not change from probe to probe.
fn refused(error: &std::io::Error, name: &str) -> Outcome {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return Outcome::Fail("connection closed while negotiating TLS".into());
        }
        return failed(error, Stage::TLS);
    };
    let text = match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => {
                "the certificate's issuer is not trusted; name it with ca-file".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate is not for {name}; name what it is for with sni")
            }
            other => format!("the certificate is not acceptable: {other}"),
        },
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        rustls::Error::AlertReceived(alert) => format!("the server refuses TLS: alert {alert:?}"),
        other => format!("TLS failed: {other}"),
    };
    Outcome::Fail(text.into())
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// The system's issuers; read once, they are many.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(Arc::clone(roots)) }
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let bad = |why: String| TlsError::CaFile { path: path.to_owned(), why };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        store.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if store.is_empty() { Err(bad("it holds no certificate".to_owned())) } else { Ok(store) }
}

/// Takes any certificate; still makes the server prove that it has the key.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
