//! What is known of a client from its TLS handshake.

use reviver_policy::Asker;

use crate::{Client, Flow};

/// A client connection's TLS session.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The server name that the client asked for, lower case.
    pub sni: Option<Box<str>>,
    /// Names of the certificate that was shown; `*.` stands for one label. None: it was made for the name asked for.
    pub names: Vec<Box<str>>,
    pub certificate: Option<ClientCertificate>,
    /// Stands for what the listener demanded of clients' certificates.
    pub demand: u64,
}

/// A certificate that a client has shown and that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// As RFC 4514 writes it.
    pub subject: String,
    /// SHA-256, lower-case hexadecimal digits.
    pub fingerprint: String,
}

impl ClientTls {
    /// Whether requests for this host belong on the connection: it is the name that was asked for, or one that the
    /// certificate holds as well, for which browsers reuse connections (RFC 9113, section 9.1.1).
    pub fn serves(&self, host: &[u8]) -> bool {
        let Some(sni) = &self.sni else { return true };
        host.is_empty() || sni.as_bytes() == host || self.names.iter().any(|name| covers(name.as_bytes(), host))
    }
}

/// RFC 9525, section 6.3: a wildcard is the whole first label and stands for exactly one.
fn covers(name: &[u8], host: &[u8]) -> bool {
    match name.strip_prefix(b"*.") {
        Some(rest) => host.iter().position(|b| *b == b'.').is_some_and(|dot| dot > 0 && &host[dot + 1..] == rest),
        None => name == host,
    }
}

impl Client {
    pub(crate) fn asker(&self) -> Asker<'_> {
        let certificate = self.tls.as_ref().and_then(|t| t.certificate.as_ref());
        let certificate = certificate.map(|c| (c.subject.as_str(), c.fingerprint.as_str()));
        Asker { address: self.address, certificate }
    }
}

impl<'s> Flow<'s> {
    pub(crate) fn scheme(&self) -> &'static [u8] {
        if self.client.tls.is_some() { b"https" } else { b"http" }
    }

    pub fn client_tls(&self) -> Option<&ClientTls> {
        self.client.tls.as_deref()
    }

    /// Value of `Strict-Transport-Security`, only ever said over TLS (RFC 6797, section 7.2).
    pub(crate) fn hsts(&self) -> Option<&'s str> {
        self.client.tls.as_ref()?;
        self.snapshot.plan.listeners.get(usize::from(self.record.listener))?.hsts.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_serves_what_its_certificate_holds() {
        let tls = ClientTls {
            sni: Some("a.example".into()),
            names: vec!["a.example".into(), "*.b.example".into()],
            ..ClientTls::default()
        };
        for host in ["a.example", "x.b.example", ""] {
            assert!(tls.serves(host.as_bytes()), "{host}");
        }
        for host in ["c.example", "b.example", "x.y.b.example", ".b.example", "xb.example"] {
            assert!(!tls.serves(host.as_bytes()), "{host}");
        }
        assert!(ClientTls::default().serves(b"any.example"));
    }
}
