//! A plan becomes a snapshot, or an error that names the line to change.

use reviver_balance::{Ask, Choice, Priority};
use reviver_http::{HeadLimits, RequestHead, decode_request};
use reviver_plan::{Action, Plan, Redirect, Route, Snapshot, fingerprint, parse};
use serde_json::{Value, json};

fn route(name: &str, at: &str, matches: Value, action: Value) -> Value {
    let mut all = json!({"host": [], "path": [], "method": [], "header": [], "query": [], "cookie": [], "client": [],
                         "client_certificate": null});
    for (key, value) in matches.as_object().expect("a table") {
        all[key] = value.clone();
    }
    json!({
        "name": name, "at": at, "matches": all, "action": action,
        "rewrite": {"strip_prefix": null, "replace": null, "add_prefix": null, "host": null},
        "request_headers": {"set": [], "add": [], "remove": []},
        "response_headers": {"set": [], "add": [], "remove": []},
        "retry": {"attempts": 2, "on_connect": true, "on_reset": true, "on_status": [], "backoff_ms": 0, "max_backoff_ms": 0, "try_ms": 0},
        "connect_ms": 5000, "first_byte_ms": 60000, "idle_ms": 60000, "body": 0, "cache": null, "limits": [], "mirror": null, "hedge": null, "priority": "normal",
    })
}

fn server(address: &str, weight: u32, backup: bool) -> Value {
    json!({"address": address, "at": "r.yaml:31", "weight": weight, "backup": backup, "max_connections": 0})
}

fn document() -> Value {
    json!({
        "fingerprint": fingerprint(),
        "workers": 1,
        "listeners": [{
            "name": "web", "at": "r.yaml:2", "bind": ["127.0.0.1:8080"], "role": "reverse", "backlog": 1024,
            "tls": null, "http2": true, "proxy_protocol": false, "redirect_https": null, "hsts": null,
            "limits": {"head": 65536, "fields": 100, "target": 8192, "body": 0, "connections": 0, "connections_per_client": 0,
                       "requests_per_connection": 0, "streams": 100, "stream_window": 65535, "stream_resets": 1,
                       "stream_errors": 1, "control_frames": 1, "continuations": 1, "stalls": 1},
            "timeouts": {"head_ms": 1, "body_ms": 1, "keep_alive_ms": 1, "connect_ms": 1, "first_byte_ms": 1,
                         "idle_ms": 1, "tunnel_ms": 1, "handshake_ms": 1},
        }],
        "trusted_proxies": ["10.0.0.0/8", "2001:db8::/32"],
        "via": "reviver",
        "resolver": {"servers": [], "hosts_file": true, "min_ttl_ms": 1, "max_ttl_ms": 2, "cache_size": 10,
                     "timeout_ms": 1000, "fallback_delay_ms": 250},
        "challenges": {"http": [], "alpn": []},
        "cache": null,
        "reverse": {
            "routes": [
                route("api", "r.yaml:10",
                      json!({
                          "host": ["*.api.example"], "path": [{"prefix": "/v1/"}, {"regex": "^/beta"}],
                          "header": [{"name": "x-a", "value": "present"}],
                          "query": [{"name": "v", "value": {"exact": "2"}}],
                          "cookie": [{"name": "c", "value": {"prefix": "x"}}],
                          "client": ["192.0.2.0/24"], "method": ["GET"],
                      }),
                      json!({"pool": 0})),
                route("old", "r.yaml:14", json!({"path": [{"exact": "/old"}]}),
                      json!({"redirect": {"to": "https://{host}{uri}", "status": 308}})),
                route("rest", "r.yaml:18", json!({}),
                      json!({"respond": {"status": 410, "headers": [["x-gone", "1"]], "body": "gone",
                                         "content_type": "text/plain"}})),
            ],
            "pools": [{
                "name": "api", "at": "r.yaml:30", "balance": "round_robin", "max_idle": 8, "idle_ms": 1000,
                "hash_on": "client", "hash_bound": 125, "sticky": null, "health": null, "outlier": null,
                "slow_start_ms": 0, "queue": {"max": 0, "timeout_ms": 1000}, "panic": 0,
                "retry_budget": {"percent": 2000, "per_second": 10},
                "max_requests": 0, "adaptive": null,
                "tls": null, "protocol": "auto", "proxy_protocol": null,
                "servers": [server("127.0.0.1:9001", 1, false), server("[::1]:9002", 0, false),
                            server("backup.internal:80", 1, true)],
            }],
            "splits": [],
        },
        "forward": {
            "at": "r.yaml:40", "auth": null, "clients": ["127.0.0.0/8"], "clients_at": "r.yaml:41",
            "connect_ports": [[443, 443], [8000, 8999]], "connect_ports_at": "r.yaml:42",
            "private_destinations": "deny", "private_destinations_at": "r.yaml:43",
            "anonymity": {"at": "r.yaml:44", "level": "anonymous", "user_agent": "keep", "referer": "same_host",
                          "cookies": {"replace": "x"}},
            "cache": null, "max_idle": 8, "idle_ms": 1000,
        },
        "logs": [],
    })
}

fn plan() -> Plan {
    parse(&document().to_string()).expect("a plan")
}

/// The plan with its first route changed, and what is then said of it.
fn refusal(change: impl FnOnce(&mut Route)) -> String {
    let mut plan = plan();
    change(&mut plan.reverse.as_mut().expect("a reverse half").routes[0]);
    Snapshot::build(plan).expect_err("refused").to_string()
}

fn request(text: &str) -> RequestHead {
    let mut head = RequestHead::default();
    let limits = HeadLimits { head: 65536, fields: 100, target: 8192 };
    decode_request(text.as_bytes(), &limits, &mut head).expect("a good request");
    head
}

#[test]
fn each_condition_of_a_plan_reaches_the_router() {
    let snapshot = Snapshot::build(plan()).expect("a snapshot");
    let router = snapshot.router.as_ref().expect("a router");
    let (line, host, field, cookie) = ("GET /v1/x?v=2", "a.api.example", "X-A: 1", "c=xy");
    let find = |line: &str, host: &str, field: &str, cookie: &str, client: &str| {
        let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{field}\r\nCookie: {cookie}\r\n\r\n");
        router.find(&request(&text), client.parse::<std::net::IpAddr>().expect("an address"))
    };
    assert_eq!(find(line, host, field, cookie, "192.0.2.7"), Some(0));
    assert_eq!(find("GET /beta?v=2", host, field, cookie, "192.0.2.7"), Some(0));
    assert_eq!(find("GET /v2/x?v=2", host, field, cookie, "192.0.2.7"), Some(2));
    assert_eq!(find("POST /v1/x?v=2", host, field, cookie, "192.0.2.7"), Some(2));
    assert_eq!(find("GET /v1/x?v=3", host, field, cookie, "192.0.2.7"), Some(2));
    assert_eq!(find(line, "api.example", field, cookie, "192.0.2.7"), Some(2));
    assert_eq!(find(line, host, "X-B: 1", cookie, "192.0.2.7"), Some(2));
    assert_eq!(find(line, host, field, "c=y", "192.0.2.7"), Some(2));
    assert_eq!(find(line, host, field, cookie, "198.51.100.1"), Some(2));
    assert_eq!(find("GET /old", host, field, cookie, "192.0.2.7"), Some(1));
}

#[test]
fn everything_that_can_be_compiled_is() {
    let mut plan = plan();
    plan.reverse.as_mut().expect("a reverse half").routes[0].rewrite.strip_prefix = Some("/v1".into());
    let snapshot = Snapshot::build(plan).expect("a snapshot");

    let rewrite = snapshot.rewrites[0].as_ref().expect("a rewrite");
    let mut path = Vec::new();
    assert!(rewrite.apply(b"/v1/z", &mut path));
    assert_eq!(path, b"/z");
    assert!(snapshot.rewrites[1].is_none() && snapshot.rewrites[2].is_none());
    assert_eq!(snapshot.redirects.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);

    let pool = &snapshot.pools[0];
    let now = std::time::Instant::now();
    let ask = Ask { now, hash: 0, tried: &[], pinned: None, queued: false, priority: Priority::Normal, instead: None };
    let next = |tried: &[u32]| match pool.choose(&Ask { tried, ..ask }) {
        Choice::Server(lease) => Some(lease.index()),
        _ => None,
    };
    assert_eq!((next(&[]), next(&[0]), next(&[0, 2])), (Some(0), Some(2), None));
    assert!(snapshot.trusted.contains("2001:db8::1".parse().expect("an address")));
    assert!(!snapshot.clients.contains("10.0.0.1".parse().expect("an address")));
    assert!(snapshot.clients.contains("127.0.0.1".parse().expect("an address")));
    assert!(snapshot.connect_ports.contains(8080) && !snapshot.connect_ports.contains(80));
}

#[test]
fn indices_lead_back_to_the_plan() {
    let snapshot = Snapshot::build(plan()).expect("a snapshot");
    assert_eq!(snapshot.listener(0).map(|l| l.name.as_str()), Some("web"));
    assert_eq!(snapshot.route(1).map(|r| r.at.as_str()), Some("r.yaml:14"));
    assert_eq!(snapshot.pool(0).map(|p| p.name.as_str()), Some("api"));
    assert_eq!(snapshot.server(0, 2).map(|s| s.address.as_str()), Some("backup.internal:80"));
    assert!(snapshot.listener(1).is_none() && snapshot.route(3).is_none() && snapshot.pool(1).is_none());
    assert!(snapshot.server(0, 3).is_none() && snapshot.server(1, 0).is_none());
}

#[test]
fn either_half_may_be_missing() {
    let mut plan = plan();
    (plan.reverse, plan.forward) = (None, None);
    let snapshot = Snapshot::build(plan).expect("a snapshot");
    assert!(snapshot.router.is_none() && snapshot.route(0).is_none() && snapshot.pools.is_empty());
    assert!(snapshot.clients.is_empty() && snapshot.connect_ports.is_empty());
}

#[test]
fn what_is_wrong_with_a_route_is_said_with_its_place() {
    let field = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let redirect = |to: &str, status| Action::Redirect(Redirect { to: to.to_owned(), status });
    for (found, expected) in [
        (
            refusal(|r| r.matches.path = vec![reviver_plan::PathPattern::Regex("(".into())]),
            "r.yaml:10: route api: match: path: bad regular expression `(`: unclosed group",
        ),
        (
            refusal(|r| r.rewrite.replace = Some(("a".into(), "$1".into()))),
            "r.yaml:10: route api: rewrite: the replacement `$1` uses the group `1`, which `a` does not have",
        ),
        (
            refusal(|r| r.action = redirect("/{hots}", 302)),
            "r.yaml:10: route api: redirect: unknown name `hots` in `/{hots}`: \
             there are {scheme} {host} {path} {query} {uri}",
        ),
        (
            refusal(|r| r.action = redirect("/", 304)),
            "r.yaml:10: route api: 304 is not a status that can be answered with",
        ),
        (refusal(|r| r.action = Action::Pool(7)), "r.yaml:10: route api: there is no pool 7"),
        (
            refusal(|r| r.request_headers.set = field("x y", "1")),
            "r.yaml:10: route api: `x y` is not a header field name",
        ),
        (
            refusal(|r| r.response_headers.add = field("x-a", "1\r\nx-b: 2")),
            "r.yaml:10: route api: the value of the header field `x-a` holds a control character",
        ),
        (
            refusal(|r| r.request_headers.add = field("Transfer-Encoding", "chunked")),
            "r.yaml:10: route api: the header field `Transfer-Encoding` belongs to one connection or frames the \
             message: no rule can set it",
        ),
        (
            refusal(|r| r.rewrite.host = Some("a\r\nb: c".into())),
            "r.yaml:10: route api: the value of the header field `host` holds a control character",
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn what_is_wrong_elsewhere_is_said_with_its_place() {
    for address in ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", ":80", "a b:80"] {
        let mut plan = plan();
        plan.reverse.as_mut().expect("a reverse half").pools[0].servers[0].address = address.to_owned();
        let error = Snapshot::build(plan).expect_err("refused").to_string();
        assert_eq!(error, format!("r.yaml:31: pool api: `{address}` is not `host:port`"));
    }
    let mut ports = plan();
    ports.forward.as_mut().expect("a forward half").connect_ports = vec![(9, 1)];
    assert_eq!(
        Snapshot::build(ports).expect_err("refused").to_string(),
        "r.yaml:42: forward: connect_ports: the port range 9-1 is the wrong way round"
    );
    let mut idle = plan();
    idle.workers = 0;
    assert_eq!(Snapshot::build(idle).expect_err("refused").to_string(), "workers: at least one worker is needed");
}

#[test]
fn a_document_of_another_form_or_schema_is_refused() {
    let mut other = document();
    other["fingerprint"] = "0000000000000000".into();
    let error = parse(&other.to_string()).expect_err("refused").to_string();
    assert!(error.contains("0000000000000000") && error.contains(&fingerprint()), "{error}");
    let mut unknown = document();
    unknown["reverse"]["routes"][0]["cash"] = true.into();
    assert!(parse(&unknown.to_string()).expect_err("refused").to_string().contains("unknown field `cash`"));
    let mut network = document();
    network["trusted_proxies"] = json!(["10.0.0.0/33"]);
    assert!(parse(&network.to_string()).is_err());
}
