//! A local authority that mints certificates by name, for development.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::certificates::Entry;
use super::{TlsError, chain};

/// Certificates that are remembered; beyond it all are forgotten and minted anew.
const KEPT: usize = 1024;
const LIFE: time::Duration = time::Duration::days(30);
/// A certificate is minted anew when it has served so long.
const RENEWED_AFTER: Duration = Duration::from_secs(15 * 24 * 3600);
/// Longer names exist, but none that a certificate may hold.
const MAX_NAME: usize = 253;

/// When it was minted, and what.
type Minted = (Instant, Arc<Entry>);

/// Mints certificates for the names that clients ask for. All have one key, made at the start.
pub struct Minter {
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
    leaf: KeyPair,
    key: Arc<dyn SigningKey>,
    minted: Mutex<HashMap<Box<str>, Minted>>,
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Minter")
    }
}

impl Minter {
    pub fn new(authority: &reviver_plan::Certificate, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let refuse = |cause: String| TlsError::Certificate { name: authority.name.clone(), cause };
        let certificate = chain(authority)?.swap_remove(0);
        let issuer_key = KeyPair::from_pem(&authority.key).map_err(|_| refuse("is not a private key".to_owned()))?;
        // A wrong pair would be noticed by no one but the clients.
        if !holds_key(&certificate, &issuer_key) {
            return Err(refuse("the key does not belong to the certificate".to_owned()));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, issuer_key).map_err(|e| refuse(e.to_string()))?;
        let leaf = KeyPair::generate().map_err(|e| refuse(e.to_string()))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.serialize_der()));
        let key = provider.key_provider.load_private_key(der).map_err(|e| refuse(e.to_string()))?;
        Ok(Self { issuer, authority: certificate, leaf, key, minted: Mutex::default() })
    }

    /// A certificate for the name; without one, for this machine.
    pub fn mint(&self, name: Option<&str>) -> Option<Arc<Entry>> {
        let name = name.unwrap_or("localhost");
        if name.len() > MAX_NAME {
            return None;
        }
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, entry)) = minted.get(name)
            && since.elapsed() < RENEWED_AFTER
        {
            return Some(Arc::clone(entry));
        }
        let entry = Arc::new(self.sign(name)?);
        if minted.len() >= KEPT {
            minted.clear();
        }
        minted.insert(name.into(), (Instant::now(), Arc::clone(&entry)));
        Some(entry)
    }

    fn sign(&self, name: &str) -> Option<Entry> {
        let mut names = vec![name.to_owned()];
        if name == "localhost" {
            names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
        }
        let mut params = CertificateParams::new(names.clone()).ok()?;
        params.distinguished_name = DistinguishedName::new();
        // RFC 5280, appendix A.1: ub-common-name.
        if name.len() <= 64 {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // Clocks of clients may be behind.
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(1);
        params.not_after = now + LIFE;
        let certificate = params.signed_by(&self.leaf, &self.issuer).ok()?;
        let chain = vec![certificate.der().clone(), self.authority.clone()];
        let names = names.into_iter().map(String::into_boxed_str).collect();
        Some(Entry::of(CertifiedKey::new(chain, Arc::clone(&self.key)), names))
    }
}

fn holds_key(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().raw == key.subject_public_key_info())
}
