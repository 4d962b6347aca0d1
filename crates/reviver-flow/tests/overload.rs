//! What becomes of requests to a pool that carries as much as it may.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use reviver_flow::{Client, Command, Event, Flow, Sent, Slug};
use reviver_http::{HeadLimits, RequestHead, decode_request};
use reviver_plan::{Plan, Snapshot};
use reviver_testkit::{plan, reverse};
use serde_json::json;

const LIMITS: HeadLimits = HeadLimits { head: 32768, fields: 100, target: 8192 };

fn one_at_a_time(queue_max: u32) -> Plan {
    let mut halves = reverse(&["10.0.0.1:80", "10.0.0.2:80"]);
    halves["reverse"]["pools"][0]["max_requests"] = json!(1);
    halves["reverse"]["pools"][0]["queue"]["max"] = json!(queue_max);
    plan(halves)
}

fn head() -> RequestHead {
    let mut head = RequestHead::default();
    decode_request(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n", &LIMITS, &mut head).expect("a request");
    head
}

fn flow(snapshot: &Snapshot, now: Instant) -> Flow<'_> {
    let address = IpAddr::from([192, 0, 2, 7]);
    Flow::new(snapshot, 0, Client { peer: SocketAddr::new(address, 50_000), address, tls: None }, now, 0)
}

#[test]
fn what_is_too_much_is_refused_at_once_or_waits_where_there_is_a_queue() {
    for queue_max in [0, 1] {
        let (snapshot, now) = (Snapshot::build(one_at_a_time(queue_max)).expect("a snapshot"), Instant::now());
        let (mut first, mut second) = (flow(&snapshot, now), flow(&snapshot, now));
        assert!(matches!(first.step(Event::Request(&head()), now), Command::Connect { .. }));
        match second.step(Event::Request(&head()), now) {
            Command::Answer(answer) if queue_max == 0 => {
                let page = second.page(answer, Some(&head()));
                let field = |name: &str| page.fields.iter().find(|f| f.0 == name).map(|f| f.1.to_vec());
                assert_eq!((page.status, second.record.reason.slug.name()), (503, "overloaded"));
                assert_eq!(field("Retry-After").as_deref(), Some(&b"1"[..]));
                assert_eq!(
                    field("Proxy-Status").as_deref(),
                    Some(&b"reviver-test; error=connection_limit_reached; details=\"overloaded\""[..])
                );
            }
            command => assert!(queue_max == 1 && matches!(command, Command::Wait { pool: 0 }), "{command:?}"),
        }
        drop(first);
        assert!(matches!(flow(&snapshot, now).step(Event::Request(&head()), now), Command::Connect { .. }));
    }
}

#[test]
fn another_try_of_a_request_is_not_too_much() {
    let (snapshot, now) = (Snapshot::build(one_at_a_time(0)).expect("a snapshot"), Instant::now());
    let mut flow = flow(&snapshot, now);
    flow.step(Event::Request(&head()), now);
    let mut fail = || flow.step(Event::Failed { slug: Slug::ConnectionRefused, sent: Sent::Nothing }, now);
    assert!(matches!(fail(), Command::Connect { .. }));
    assert_eq!(snapshot.pools[0].limit_status(), Some((1, 1)));
    assert!(matches!(fail(), Command::Answer(_)), "there is no third server");
    assert_eq!((flow.record.attempts, flow.record.reason.slug), (2, Slug::ConnectionRefused));
    assert_eq!(snapshot.pools[0].limit_status(), Some((0, 1)));
}
