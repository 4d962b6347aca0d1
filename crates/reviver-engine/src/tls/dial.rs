//! The handshake with a server.

use std::io;
use std::sync::Arc;

use reviver_flow::Slug;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::accept::alert_of;
use super::{
    ClientConfig, CryptoProvider, H2, HTTP1, TlsError, TlsVersion, UpstreamProtocol, UpstreamTls, chain, misplaced,
    private_key, roots, system_roots, versions,
};

/// A pool's TLS.
pub struct PoolContext {
    config: Arc<ClientConfig>,
    /// The same for HTTP/1.1 alone.
    http1: Arc<ClientConfig>,
    /// None: the host of the server's address.
    server_name: Option<ServerName<'static>>,
}

pub fn context(
    tls: &UpstreamTls,
    protocol: UpstreamProtocol,
    provider: &Arc<CryptoProvider>,
) -> Result<PoolContext, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions(tls.min_version))
        .map_err(|e| misplaced(&tls.at, e))?;
    let builder = match &tls.roots {
        _ if tls.insecure => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(Arc::clone(provider))))
        }
        Some(pem) => builder.with_root_certificates(roots(&tls.at, pem)?),
        None => builder.with_root_certificates(system_roots()),
    };
    let mut config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(own) => builder
            .with_client_auth_cert(chain(own)?, private_key(own)?)
            .map_err(|e| TlsError::Certificate { name: own.name.clone(), cause: e.to_string() })?,
    };
    config.alpn_protocols = match protocol {
        UpstreamProtocol::Auto => vec![H2.to_vec(), HTTP1.to_vec()],
        UpstreamProtocol::Http1 => vec![HTTP1.to_vec()],
        UpstreamProtocol::Http2 => vec![H2.to_vec()],
    };
    let mut http1 = config.clone();
    http1.alpn_protocols = vec![HTTP1.to_vec()];
    let name = |name: &String| ServerName::try_from(name.clone()).map_err(|e| misplaced(&tls.at, e));
    Ok(PoolContext {
        config: Arc::new(config),
        http1: Arc::new(http1),
        server_name: tls.server_name.as_ref().map(name).transpose()?,
    })
}

pub fn undemanding(provider: &Arc<CryptoProvider>) -> Result<PoolContext, TlsError> {
    let tls = UpstreamTls {
        at: String::new(),
        roots: None,
        server_name: None,
        certificate: None,
        insecure: true,
        min_version: TlsVersion::Tls12,
    };
    let mut context = context(&tls, UpstreamProtocol::Http1, provider)?;
    Arc::make_mut(&mut context.config).alpn_protocols.clear();
    Ok(context)
}

/// Shakes hands with the server at `host`; tells whether it speaks HTTP/2, which `http1` does not offer it.
pub async fn connect(
    context: &PoolContext,
    host: &str,
    http1: bool,
    stream: TcpStream,
) -> Result<(Box<TlsStream<TcpStream>>, bool), Unreachable> {
    let name = match &context.server_name {
        Some(name) => name.clone(),
        None => {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            ServerName::try_from(host).map_err(|_| Unreachable { slug: Slug::TlsError, detail: "server_name" })?
        }
    };
    let config = if http1 { &context.http1 } else { &context.config };
    match TlsConnector::from(Arc::clone(config)).connect(name, stream).await {
        Ok(stream) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(H2);
            Ok((Box::new(TlsStream::Client(stream)), http2))
        }
        Err(error) => Err(unreachable(&error)),
    }
}

/// Why there is no connection to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable {
    pub slug: Slug,
    pub detail: &'static str,
}

impl From<Slug> for Unreachable {
    fn from(slug: Slug) -> Self {
        Self { slug, detail: "" }
    }
}

fn unreachable(error: &io::Error) -> Unreachable {
    let certificate = |detail| Unreachable { slug: Slug::TlsCertificate, detail };
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(error)) => certificate(flaw(error)),
        Some(rustls::Error::NoCertificatesPresented) => certificate("no_certificate"),
        _ => Unreachable { slug: Slug::TlsError, detail: alert_of(error).unwrap_or("connection_lost") },
    }
}

/// What is wrong with a server's certificate.
fn flaw(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "not_valid_yet",
        E::Revoked => "revoked",
        E::UnknownIssuer => "unknown_issuer",
        E::NotValidForName | E::NotValidForNameContext { .. } => "wrong_name",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "wrong_purpose",
        E::BadSignature => "bad_signature",
        _ => "not_valid",
    }
}

/// Takes any certificate, as the configuration spells out. Signatures still have to be right.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
