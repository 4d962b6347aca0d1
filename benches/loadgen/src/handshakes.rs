//! Connections over TLS 1.3 that make one request each: what a handshake costs.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme, StreamOwned,
};

use crate::Options;
use crate::client::{self, Outcome, bad};

/// Requests TARGET again and again, each time on a new connection with the kind of handshake that is asked for;
/// any other is an error. As wrk does, the client closes once it has its answer.
pub fn load(proxy: SocketAddr, target: &str, host: &str, resumed: bool, options: Options) -> io::Result<Outcome> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let wanted = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    client::run(options, |tally, deadline, share| {
        // tickets are kept with the configuration: one for each thread, so that none takes another's
        let config = Arc::new(configuration(resumed).map_err(io::Error::other)?);
        let mut buffer = vec![0; 64 * 1024];
        if resumed {
            exchange(&config, proxy, &name, &request, &mut buffer)?;
        }
        while tally.requests < share {
            let started = Instant::now();
            if started >= deadline {
                break;
            }
            let (kind, length) = exchange(&config, proxy, &name, &request, &mut buffer)?;
            if kind != Some(wanted) {
                return Err(bad(&format!("a handshake of kind {kind:?}, not {wanted:?}")));
            }
            tally.add(length, started.elapsed());
        }
        Ok(())
    })
}

/// One connection with one request; how the handshake went and the length of the body.
fn exchange(
    config: &Arc<ClientConfig>,
    proxy: SocketAddr,
    name: &ServerName<'static>,
    request: &[u8],
    buffer: &mut [u8],
) -> io::Result<(Option<HandshakeKind>, u64)> {
    let session = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, client::connect(proxy)?);
    stream.write_all(request)?;
    let (head, filled) = client::head(&mut stream, buffer)?;
    let length = client::content_length(&buffer[..head]).ok_or_else(|| bad("a response without Content-Length"))?;
    let mut rest = length.checked_sub((filled - head) as u64).ok_or_else(|| bad("more bytes than Content-Length"))?;
    while rest > 0 {
        match stream.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => rest = rest.checked_sub(count as u64).ok_or_else(|| bad("more bytes than Content-Length"))?,
        }
    }
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok((stream.conn.handshake_kind(), length))
}

/// TLS 1.3 with one suite and one group, so that all proxies do the same work.
fn configuration(resumed: bool) -> Result<ClientConfig, Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = if resumed { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
    Ok(config)
}

/// Believes whatever is shown: the client's work is not what is measured, and it is not to be the bottleneck.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
