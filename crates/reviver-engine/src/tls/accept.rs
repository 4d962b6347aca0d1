//! The handshake with a client.

use std::io;
use std::sync::Arc;

use reviver_flow::{ClientTls, Slug};
use rustls::server::Acceptor;
use rustls::{AlertDescription, CertificateError, PeerIncompatible, ProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, TlsStream};

use super::names::client_certificate;
use super::{ACME, H2, ListenerContext};

/// Why there is no connection.
#[derive(Debug)]
pub struct Refused {
    pub slug: Slug,
    /// The alert that was received or sent.
    pub detail: &'static str,
}

/// A client whose handshake is done.
pub struct Accepted {
    pub stream: Box<TlsStream<TcpStream>>,
    pub tls: ClientTls,
    pub http2: bool,
}

/// Shakes hands. None for one that only proved control over a name.
pub async fn accept(context: &ListenerContext, stream: TcpStream) -> Result<Option<Accepted>, Refused> {
    let stream = match &context.challenges {
        None => TlsAcceptor::from(Arc::clone(&context.config)).accept(stream).await,
        Some(challenges) => {
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(|e| refused(&e))?;
            let proves = start.client_hello().alpn().is_some_and(|mut offered| offered.any(|p| p == ACME));
            if proves {
                // The server that asked needs no more than the handshake.
                return match start.into_stream(Arc::clone(challenges)).await {
                    Ok(_) => Ok(None),
                    Err(error) => Err(refused(&error)),
                };
            }
            start.into_stream(Arc::clone(&context.config)).await
        }
    };
    let stream = stream.map_err(|e| refused(&e))?;
    let session = stream.get_ref().1;
    let sni = session.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
    let tls = ClientTls {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        names: if sni.is_some() { context.certificates.names_shown(sni.as_deref()) } else { Vec::new() },
        sni,
        demand: context.demand,
        certificate: session.peer_certificates().and_then(|chain| client_certificate(chain.first()?)),
    };
    let http2 = session.alpn_protocol() == Some(H2);
    Ok(Some(Accepted { stream: Box::new(TlsStream::Server(stream)), tls, http2 }))
}

/// The alert behind an error of a stream.
pub fn alert_of(error: &io::Error) -> Option<&'static str> {
    error.get_ref()?.downcast_ref::<rustls::Error>().map(alert)
}

fn refused(error: &io::Error) -> Refused {
    let ended = if error.kind() == io::ErrorKind::UnexpectedEof { "closed" } else { "connection_lost" };
    let detail = alert_of(error).unwrap_or(ended);
    Refused { slug: Slug::TlsHandshakeFailed, detail }
}

/// The alert of RFC 8446, section 6, that an error came by or led to.
fn alert(error: &rustls::Error) -> &'static str {
    use rustls::Error as E;
    match error {
        E::AlertReceived(alert) => alert_name(*alert),
        E::NoApplicationProtocol => "no_application_protocol",
        E::NoCertificatesPresented => "certificate_required",
        E::InvalidCertificate(error) => certificate_alert(error),
        E::PeerIncompatible(PeerIncompatible::Tls12NotOffered | PeerIncompatible::Tls12NotOfferedOrEnabled) => {
            "protocol_version"
        }
        E::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => "protocol_version",
        E::PeerIncompatible(_) => "handshake_failure",
        E::PeerMisbehaved(_) => "illegal_parameter",
        E::InappropriateMessage { .. } | E::InappropriateHandshakeMessage { .. } => "unexpected_message",
        E::InvalidMessage(_) => "decode_error",
        E::DecryptError => "bad_record_mac",
        E::General(text) if text.contains("no server certificate chain resolved") => "access_denied",
        _ => "internal_error",
    }
}

fn certificate_alert(error: &CertificateError) -> &'static str {
    alert_name(AlertDescription::from(error.clone()))
}

fn alert_name(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CloseNotify => "close_notify",
        A::UnexpectedMessage => "unexpected_message",
        A::BadRecordMac => "bad_record_mac",
        A::RecordOverflow => "record_overflow",
        A::HandshakeFailure => "handshake_failure",
        A::NoCertificate => "no_certificate",
        A::BadCertificate => "bad_certificate",
        A::UnsupportedCertificate => "unsupported_certificate",
        A::CertificateRevoked => "certificate_revoked",
        A::CertificateExpired => "certificate_expired",
        A::CertificateUnknown => "certificate_unknown",
        A::IllegalParameter => "illegal_parameter",
        A::UnknownCA => "unknown_ca",
        A::AccessDenied => "access_denied",
        A::DecodeError => "decode_error",
        A::DecryptError => "decrypt_error",
        A::ProtocolVersion => "protocol_version",
        A::InsufficientSecurity => "insufficient_security",
        A::InternalError => "internal_error",
        A::InappropriateFallback => "inappropriate_fallback",
        A::UserCanceled => "user_canceled",
        A::MissingExtension => "missing_extension",
        A::UnrecognisedName => "unrecognized_name",
        A::CertificateRequired => "certificate_required",
        A::NoApplicationProtocol => "no_application_protocol",
        _ => "alert",
    }
}
