//! TLS on both sides, by rustls.
//!
//! Rule 1: contexts are built once per plan, before it is in force, and shared by all cores. Rule 2: what outlives a
//! plan (ticket keys, upstream sessions) is taken over only where all that decides about trust is the same.

mod accept;
mod authority;
mod certificates;
mod dial;
mod names;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use reviver_plan::{ListenerTls, Plan, TlsVersion, UpstreamProtocol, UpstreamTls};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use accept::{accept, alert_of};
pub use certificates::Certificates;
pub use dial::{PoolContext, Unreachable, connect};

/// Sessions of TLS 1.2 clients without tickets that a listener remembers.
const SESSIONS: usize = 10_000;
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// RFC 8737, section 6.2.
const ACME: &[u8] = b"acme-tls/1";

/// What is wrong with keys or certificates of a plan.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{name}: {cause}")]
    Certificate { name: String, cause: String },
    #[error("{at}: {cause}")]
    Place { at: String, cause: String },
}

fn misplaced(at: &str, cause: impl ToString) -> TlsError {
    TlsError::Place { at: at.to_owned(), cause: cause.to_string() }
}

/// A listener's TLS.
pub struct ListenerContext {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    /// For servers that check control over a name; none while no check is under way.
    challenges: Option<Arc<ServerConfig>>,
    tickets: Arc<dyn ProducesTickets>,
    /// Equal where the same is demanded of clients.
    pub demand: u64,
}

/// All TLS of a plan.
#[derive(Default)]
pub struct Contexts {
    pub listeners: Vec<Option<Arc<ListenerContext>>>,
    pub pools: Vec<Option<Arc<PoolContext>>>,
}

impl Contexts {
    /// Builds what the plan needs; `old` is what has been in force, with its plan.
    pub fn build(plan: &Plan, old: Option<(&Plan, &Self)>) -> Result<Self, TlsError> {
        let provider = provider();
        let listeners = plan.listeners.iter().map(|listener| {
            let Some(tls) = &listener.tls else { return Ok(None) };
            let known = old.and_then(|(plan, contexts)| {
                let index = plan.listeners.iter().position(|l| l.name == listener.name)?;
                Some((plan.listeners[index].tls.as_ref()?, contexts.listeners.get(index)?.as_ref()?))
            });
            // Tickets hold what was verified of the client: they are good only for the same demands.
            let tickets =
                known.filter(|(_, old)| old.demand == demand_of(tls.client.as_ref())).map(|(_, c)| &c.tickets);
            ListenerContext::new(plan, tls, listener.http2, tickets, &provider).map(|c| Some(Arc::new(c)))
        });
        let listeners = listeners.collect::<Result<_, _>>()?;
        let pools = plan.reverse.iter().flat_map(|r| &r.pools).map(|pool| {
            let Some(tls) = &pool.tls else { return Ok(None) };
            let known = old.and_then(|(plan, contexts)| {
                let pools = &plan.reverse.as_ref()?.pools;
                let index = pools.iter().position(|p| p.name == pool.name)?;
                let same = pools[index].tls.as_ref() == Some(tls)
                    && pools[index].protocol == pool.protocol
                    && pools[index].proxy_protocol.is_some() == pool.proxy_protocol.is_some();
                contexts.pools.get(index)?.as_ref().filter(|_| same)
            });
            match known {
                Some(context) => Ok(Some(Arc::clone(context))),
                None => {
                    // A connection that names one client carries no other's streams.
                    let single = pool.proxy_protocol.is_some();
                    let protocol = if single { UpstreamProtocol::Http1 } else { pool.protocol };
                    dial::context(tls, protocol, &provider).map(|c| Some(Arc::new(c)))
                }
            }
        });
        Ok(Self { listeners, pools: pools.collect::<Result<_, _>>()? })
    }
}

impl ListenerContext {
    fn new(
        plan: &Plan,
        tls: &ListenerTls,
        http2: bool,
        tickets: Option<&Arc<dyn ProducesTickets>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let tickets = match tickets {
            Some(tickets) => Arc::clone(tickets),
            // Its keys change every six hours; the ones before are still read.
            None => rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|e| misplaced(&tls.at, e))?,
        };
        let certificates = Arc::new(Certificates::new(tls, provider)?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions(tls.min_version))
            .map_err(|e| misplaced(&tls.at, e))?;
        let builder = match &tls.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let roots = Arc::new(roots(&client.at, &client.roots)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
                let verifier = if client.required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|e| misplaced(&client.at, e))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as _);
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.ticketer = Arc::clone(&tickets);
        config.alpn_protocols = if http2 { vec![H2.to_vec(), HTTP1.to_vec()] } else { vec![HTTP1.to_vec()] };
        let challenges = match plan.challenges.alpn.as_slice() {
            [] => None,
            proofs => {
                let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
                    .with_safe_default_protocol_versions()
                    .map_err(|e| misplaced(&tls.at, e))?
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(Certificates::proofs(proofs, provider)?));
                config.alpn_protocols = vec![ACME.to_vec()];
                Some(Arc::new(config))
            }
        };
        let demand = demand_of(tls.client.as_ref());
        Ok(Self { config: Arc::new(config), certificates, challenges, tickets, demand })
    }
}

/// For servers of which no more is known than that they speak TLS: any certificate, and no protocol above.
pub fn undemanding() -> Result<PoolContext, TlsError> {
    dial::undemanding(&provider())
}

fn demand_of(client: Option<&reviver_plan::ClientAuthority>) -> u64 {
    let mut hasher = DefaultHasher::new();
    client.map(|client| (&client.roots, client.required)).hash(&mut hasher);
    hasher.finish()
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

fn versions(least: TlsVersion) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static ONLY_13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match least {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => ONLY_13,
    }
}

/// Authorities from PEM text.
fn roots(at: &str, pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| misplaced(at, "is not PEM text"))?;
        roots.add(certificate).map_err(|e| misplaced(at, e))?;
    }
    if roots.is_empty() { Err(misplaced(at, "holds no certificate")) } else { Ok(roots) }
}

/// The authorities that the system trusts, read once.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        // Without any, every verification fails and says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(read))
}

fn chain(certificate: &reviver_plan::Certificate) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |cause: String| TlsError::Certificate { name: certificate.name.clone(), cause };
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    // What the reader says of a malformed file may quote it, and a key may stand there too.
    let chain = chain.map_err(|_| refuse("is not PEM text".to_owned()))?;
    if chain.is_empty() { Err(refuse("holds no certificate".to_owned())) } else { Ok(chain) }
}

fn private_key(certificate: &reviver_plan::Certificate) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())
        .map_err(|_| TlsError::Certificate { name: certificate.name.clone(), cause: "is not a private key".to_owned() })
}
