//! Which certificate a client is shown.

use std::collections::HashMap;
use std::sync::Arc;

use reviver_plan::ListenerTls;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureAlgorithm, SignatureScheme};

use super::authority::Minter;
use super::names::names_of;
use super::{TlsError, chain, private_key};

/// A certificate with its key.
#[derive(Debug)]
pub struct Entry {
    key: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
}

impl Entry {
    pub fn new(certificate: &reviver_plan::Certificate, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let refuse = |cause: String| TlsError::Certificate { name: certificate.name.clone(), cause };
        let chain = chain(certificate)?;
        let names = names_of(&chain[0]);
        let key = provider.key_provider.load_private_key(private_key(certificate)?);
        let key = CertifiedKey::new(chain, key.map_err(|e| refuse(format!("key: {e}")))?);
        // Other errors are of certificates that this side need not understand, such as proofs for ACME.
        if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) = key.keys_match() {
            return Err(refuse("the key does not belong to the certificate".to_owned()));
        }
        Ok(Self { key: Arc::new(key), names })
    }

    pub fn of(key: CertifiedKey, names: Vec<Box<str>>) -> Self {
        Self { key: Arc::new(key), names }
    }

    fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }

    /// Whether a client can verify its signatures.
    fn fits(&self, schemes: &[SignatureScheme], suites: &[CipherSuite]) -> bool {
        // TLS 1.2 has the kind of key in the cipher suite.
        let suited = suites.iter().any(|suite| {
            let name = suite.as_str().unwrap_or_default();
            name.starts_with("TLS13_")
                || name.starts_with(if self.is_rsa() { "TLS_ECDHE_RSA" } else { "TLS_ECDHE_ECDSA" })
        });
        suited && self.key.key.choose_scheme(schemes).is_some()
    }
}

type Entries = Vec<Arc<Entry>>;

/// The certificates of a listener by name.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<Box<str>, Entries>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, Entries>,
    default: Entries,
    minter: Option<Minter>,
}

impl Certificates {
    pub fn new(tls: &ListenerTls, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let entries = tls.certificates.iter().map(|c| Entry::new(c, provider).map(Arc::new));
        let mut this = Self::of(entries.collect::<Result<_, _>>()?);
        this.minter = tls.internal.as_ref().map(|authority| Minter::new(authority, provider)).transpose()?;
        Ok(this)
    }

    /// Proofs of control: each for one name, and nothing for any other.
    pub fn proofs(proofs: &[(String, reviver_plan::Certificate)], provider: &CryptoProvider) -> Result<Self, TlsError> {
        let mut this = Self::default();
        for (name, certificate) in proofs {
            let entry = Arc::new(Entry::new(certificate, provider)?);
            this.exact.entry(name.to_ascii_lowercase().into()).or_default().push(entry);
        }
        Ok(this)
    }

    fn of(entries: Entries) -> Self {
        let mut this = Self::default();
        for entry in &entries {
            for name in &entry.names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut this.wildcard, rest),
                    None => (&mut this.exact, &**name),
                };
                table.entry(name.into()).or_default().push(Arc::clone(entry));
            }
            if this.default.first().is_none_or(|first| first.names == entry.names) {
                this.default.push(Arc::clone(entry));
            }
        }
        this
    }

    /// Those that hold the name, else those for any name.
    fn candidates(&self, name: Option<&str>) -> Entries {
        let named = name.and_then(|name| {
            let above = || name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
            self.exact.get(name).or_else(above)
        });
        if let Some(named) = named {
            return named.clone();
        }
        match self.minter.as_ref().and_then(|minter| minter.mint(name)) {
            Some(minted) => vec![minted],
            None => self.default.clone(),
        }
    }

    /// The names that the certificate shown for this one holds.
    pub fn names_shown(&self, name: Option<&str>) -> Vec<Box<str>> {
        self.candidates(name).into_iter().flat_map(|entry| entry.names.clone()).collect()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let candidates = self.candidates(name.as_deref());
        let fits = |entry: &&Arc<Entry>| entry.fits(hello.signature_schemes(), hello.cipher_suites());
        // Signing with RSA costs many times as much.
        let chosen = candidates.iter().filter(|e| !e.is_rsa()).find(fits).or_else(|| candidates.iter().find(fits));
        // With none that fits the handshake fails by the alert that says why.
        let chosen = chosen.or(candidates.first());
        chosen.map(|entry| Arc::clone(&entry.key))
    }
}
