//! Whose turn it is, over reloads and over cores.

use reviver_plan::Snapshot;

use super::*;
use crate::auth::PasswordCheck;
use crate::core::{Core, Prepared, Shared};
use crate::engine::Host;
use crate::log::LogHub;
use crate::metrics::Metrics;

struct NoPasswords;

impl PasswordCheck for NoPasswords {
    fn check(&self, _: &str, _: &[u8]) -> bool {
        false
    }
}

fn prepared(plan: Plan) -> Prepared {
    let tls = Contexts::build(&plan, None).unwrap();
    Prepared { snapshot: Arc::new(Snapshot::build(plan).unwrap()), tls: Arc::new(tls), cache: None }
}

/// A core that checks its share of the servers.
fn core(plan: Plan, index: usize, workers: usize) -> Rc<Core> {
    let (_, mut logs) = LogHub::open(&[], 1).unwrap();
    let (_, mut metrics) = Metrics::new(1);
    let host = Host { checker: Arc::new(NoPasswords), secret: [0; 32], release_memory: || {} };
    let core = Core::new(logs.remove(0), metrics.remove(0), host, Arc::new(Shared::default()), prepared(plan));
    tokio::task::spawn_local(crate::health::run(Rc::clone(&core), index, workers));
    core
}

/// Checks that come again after so long.
fn every(ms: u64, changes: Value) -> Value {
    let mut all = json!({"every_ms": ms, "down_every_ms": ms});
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    health(http_check(json!({})), all)
}

const SELDOM: u64 = 3_600_000;

/// A server that answers well, for long.
async fn good() -> Origin {
    let steps = vec![ok("ok"); 1000];
    Origin::new(&[&steps]).await
}

#[test]
fn new_servers_are_checked_at_once_and_then_again_and_again() {
    on_a_core(async {
        let (one, two) = (good().await, good().await);
        let _core = core(plan(&[&one.address, &two.address], every(20, json!({"jitter": 1000})), json!({})), 0, 1);
        one.requests(4).await;
        two.requests(4).await;
        assert_eq!((one.connections.get(), two.connections.get()), (1, 1));
    });
}

#[test]
fn each_server_is_checked_by_one_core() {
    on_a_core(async {
        let mut origins = Vec::new();
        for _ in 0..12 {
            origins.push(good().await);
        }
        let addresses: Vec<&str> = origins.iter().map(|o| o.address.as_str()).collect();
        let plan = plan(&addresses, every(SELDOM, json!({})), json!({}));
        let _cores = [0, 1, 2].map(|index| core(plan.clone(), index, 3));
        for origin in &origins {
            origin.requests(1).await;
        }
        assert!(origins.iter().all(|o| (o.count(), o.connections.get()) == (1, 1)));
    });
}

#[test]
fn a_reload_checks_what_is_new_and_leaves_the_rest_its_turn() {
    on_a_core(async {
        let (kept, gone, new) = (good().await, good().await, good().await);
        let health = every(SELDOM, json!({}));
        let core = core(plan(&[&kept.address, &gone.address], health.clone(), json!({})), 0, 1);
        kept.requests(1).await;
        gone.requests(1).await;
        // In another order, and written in other lines.
        let mut moved = health.clone();
        moved["at"] = json!("t.yaml:99");
        core.apply(prepared(plan(&[&new.address, &kept.address], moved, json!({}))));
        new.requests(1).await;
        assert_eq!((kept.count(), gone.count()), (1, 1));
        // Other settings are another check.
        core.apply(prepared(plan(&[&new.address, &kept.address], every(SELDOM, json!({"rise": 2})), json!({}))));
        new.requests(2).await;
        kept.requests(2).await;
        assert_eq!((kept.count(), gone.count(), new.count()), (2, 1, 2));
    });
}

#[test]
fn a_server_has_its_turn_again_where_the_plan_has_moved_it() {
    on_a_core(async {
        let (one, two, three) = (good().await, good().await, good().await);
        let health = || every(20, json!({}));
        let core = core(plan(&[&one.address, &two.address], health(), json!({})), 0, 1);
        one.requests(1).await;
        two.requests(1).await;
        core.apply(prepared(plan(&[&three.address, &two.address], health(), json!({}))));
        two.requests(two.count() + 3).await;
        three.requests(3).await;
        let seen = one.count();
        two.requests(two.count() + 3).await;
        assert_eq!(one.count(), seen);
    });
}

#[test]
fn a_server_that_is_being_checked_is_not_checked_beside_it() {
    on_a_core(async {
        let held = Origin::new(&[&[Step::Hold]]).await;
        let other = good().await;
        let _core = core(plan(&[&held.address, &other.address], every(20, json!({})), json!({})), 0, 1);
        held.requests(1).await;
        other.requests(5).await;
        assert_eq!((held.count(), held.connections.get()), (1, 1));
    });
}

#[test]
fn servers_that_do_not_answer_do_not_hold_up_those_that_do() {
    on_a_core(async {
        // The system takes connections for it, and nothing is ever read.
        let silent = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let other = good().await;
        let mut servers: Vec<String> = (1..=200).map(|n| format!("127.0.1.{n}:{port}")).collect();
        servers.push(other.address.clone());
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        let _core = core(plan(&servers, every(20, json!({})), json!({})), 0, 1);
        other.requests(3).await;
    });
}

/// Looks until the first server is as it should be, and tells what its last check said.
async fn said_while(core: &Core, state: &str) -> Option<String> {
    loop {
        let status = core.current().snapshot.pools[0].status(std::time::Instant::now()).swap_remove(0);
        if status.state == state && status.checked_ms_ago.is_some() {
            return status.check;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_outcome_is_told_and_a_server_that_is_down_is_asked_more_often() {
    on_a_core(async {
        let bad = answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        let origin = Origin::new(&[&[bad.clone(), bad.clone(), bad, ok(""), Step::Hold]]).await;
        let health = every(SELDOM, json!({"down_every_ms": 20}));
        let core = core(plan(&[&origin.address], health, json!({})), 0, 1);
        assert_eq!(said_while(&core, "down").await.unwrap(), "status 503, expected 200-399");
        assert_eq!(said_while(&core, "up").await, None);
        assert_eq!((origin.count(), origin.connections.get()), (4, 1));
    });
}
