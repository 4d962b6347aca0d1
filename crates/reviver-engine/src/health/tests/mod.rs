//! What the tests of checks share: servers on loopback that do as they are told, and targets for them.

mod by_grpc;
mod by_http;
mod plain;
mod run;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use reviver_plan::Plan;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::target::{Checks, Settings, Target};
use super::{Means, check};
use crate::resolve::Resolver;
use crate::tls::Contexts;

/// Runs on one thread, as a core does.
fn on_a_core(test: impl Future<Output = ()> + 'static) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build_local(Default::default()).unwrap().block_on(test);
}

/// A check with every default; `changes` replaces whole keys.
fn health(check: Value, changes: Value) -> Value {
    let mut health = json!({
        "at": "t.yaml:20", "check": check, "port": null, "every_ms": 3_600_000, "down_every_ms": 3_600_000,
        "timeout_ms": 10_000, "rise": 1, "fall": 1, "jitter": 0
    });
    health.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    health
}

/// `GET /healthz`, 200 to 399; `changes` replaces whole keys.
fn http_check(changes: Value) -> Value {
    let mut check = json!({
        "method": "GET", "path": "/healthz", "host": null, "headers": [], "statuses": [[200, 399]],
        "expect_headers": [], "body": null
    });
    check.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({ "http": check })
}

/// A plan of one pool.
fn plan(servers: &[&str], health: Value, changes: Value) -> Plan {
    let mut halves = reviver_testkit::reverse(servers);
    if let Some(pool) = halves["reverse"]["pools"][0].as_object_mut() {
        pool.insert("health".to_owned(), health);
        pool.extend(changes.as_object().unwrap().clone());
    }
    reviver_testkit::plan(halves)
}

/// One server as it would be checked.
struct Subject {
    target: Target,
    means: Means,
}

impl Subject {
    fn new(address: &str, health: Value, changes: Value) -> Self {
        let plan = plan(&[address], health, changes);
        let contexts = Contexts::build(&plan, None).unwrap();
        let pool = &plan.reverse.as_ref().unwrap().pools[0];
        let settings = Settings::of(pool, pool.health.as_ref().unwrap());
        let means = Means {
            resolver: Rc::new(Resolver::new(&plan.resolver)),
            tls: contexts.pools[0].clone(),
            scratches: Rc::default(),
        };
        Self { target: Target::new(&Rc::new(Checks::new(settings)), &pool.servers[0]), means }
    }

    async fn check(&self) -> Result<(), String> {
        check(&self.target, &self.means).await.unwrap()
    }

    async fn complaint(&self) -> String {
        self.check().await.unwrap_err()
    }
}

/// What a server does next on a connection; behind the last it closes.
#[derive(Clone)]
enum Step {
    /// Reads a head and sends this.
    Answer(Vec<u8>),
    /// Reads a head and closes.
    Leave,
    /// Reads a head and says nothing more, ever.
    Hold,
}

/// Reads a head and sends this.
fn answer(text: impl AsRef<[u8]>) -> Step {
    Step::Answer(text.as_ref().to_vec())
}

/// 200 with that body.
fn ok(body: &str) -> Step {
    answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A server and what it has seen.
#[derive(Clone)]
struct Origin {
    address: String,
    /// Heads, with whatever came before them.
    heads: Rc<RefCell<Vec<String>>>,
    connections: Rc<Cell<usize>>,
    heard: Rc<Notify>,
}

impl Origin {
    /// Each connection does its steps; the last list serves all further ones.
    async fn new(connections: &[&[Step]]) -> Self {
        Self::start(connections, None).await
    }

    async fn start(connections: &[&[Step]], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let origin = Self { address, heads: Rc::default(), connections: Rc::default(), heard: Rc::default() };
        let scripts: Vec<Vec<Step>> = connections.iter().map(|steps| steps.to_vec()).collect();
        let own = origin.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts[own.connections.get().min(scripts.len() - 1)].clone();
                own.connections.set(own.connections.get() + 1);
                let (own, tls) = (own.clone(), tls.clone());
                tokio::task::spawn_local(async move {
                    match tls {
                        None => own.play(stream, script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                own.play(stream, script).await;
                            }
                        }
                    }
                });
            }
        });
        origin
    }

    async fn play(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Vec<Step>) {
        for step in script {
            let Some(head) = read_head(&mut stream).await else { return };
            self.heads.borrow_mut().push(head);
            self.heard.notify_one();
            match step {
                Step::Answer(bytes) => stream.write_all(&bytes).await.unwrap(),
                Step::Leave => return,
                Step::Hold => std::future::pending().await,
            }
        }
        let _ = stream.shutdown().await;
    }

    fn subject(&self, check: Value) -> Subject {
        Subject::new(&self.address, health(check, json!({})), json!({}))
    }

    fn count(&self) -> usize {
        self.heads.borrow().len()
    }

    /// Waits until as many requests have come.
    async fn requests(&self, count: usize) {
        while self.count() < count {
            self.heard.notified().await;
        }
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    // A PROXY header of version 2 begins like the end of a head.
    while head.len() <= 16 || !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A server's key and certificate for `a.test`, and the certificate as PEM text.
fn certified(alpn: &[&str]) -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

/// A pool's TLS that trusts these roots.
fn tls(roots: Option<&str>, name: &str) -> Value {
    json!({
        "at": "t.yaml:10", "roots": roots, "server_name": name, "certificate": null, "insecure": false,
        "min_version": "1.2"
    })
}

/// An address that nothing listens on.
async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
