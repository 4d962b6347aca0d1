//! The life of flows, as transcripts.

use reviver_flow::{Relayed, Sent, Slug};
use reviver_testkit::*;
use serde_json::json;

const GET: &str = "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
const TWO: &[&str] = &["10.0.0.1:80", "10.0.0.2:80"];

#[test]
fn a_request_is_passed_on_and_its_answer_back() {
    let record = Script::new(plan(reverse(TWO)))
        .on(client(GET))
        .expect(connect("10.0.0.1:80"))
        .on(connected())
        .expect(upstream("GET /a HTTP/1.1\r\nHost: a.test\r\n"))
        .expect(upstream_has("X-Forwarded-For: 192.0.2.7\r\n"))
        .expect(upstream_has("Via: 1.1 reviver-test\r\n"))
        .on(response(OK))
        .expect(relay())
        .on(relayed(Relayed::Complete))
        .expect(done(200, "forwarded"))
        .run();
    assert_eq!((record.attempts, record.upstream_status), (1, 200));
}

#[test]
fn a_refused_connection_is_tried_on_the_other_server() {
    Script::new(plan(reverse(TWO)))
        .on(client(POST))
        .expect(connect("10.0.0.1:80"))
        .on(failed(Slug::ConnectionRefused, Sent::Nothing))
        .expect(connect("10.0.0.2:80"))
        .on(failed(Slug::ConnectionRefused, Sent::Nothing))
        .expect(answer(502, "connection_refused"))
        .run();
}

#[test]
fn a_lost_request_is_repeated_only_where_that_is_safe() {
    Script::new(plan(reverse(TWO)))
        .on(client(GET))
        .expect(connect("10.0.0.1:80"))
        .on(connected())
        .on(failed(Slug::ConnectionTerminated, Sent::Request))
        .expect(connect("10.0.0.2:80"))
        .run();
    Script::new(plan(reverse(TWO)))
        .on(client(POST))
        .expect(connect("10.0.0.1:80"))
        .on(connected())
        .on(failed(Slug::ConnectionTerminated, Sent::Request))
        .expect(answer(502, "connection_terminated"))
        .run();
}

#[test]
fn a_dead_kept_connection_is_renewed_once_on_the_same_server() {
    let dead = || failed(Slug::ConnectionTerminated, Sent::Request);
    let record = Script::new(plan(reverse(&["10.0.0.1:80"])))
        .on(client(GET))
        .on(kept_connection())
        .on(dead())
        .expect(connect("10.0.0.1:80 anew"))
        .on(connected())
        .on(dead())
        .expect(answer(502, "connection_terminated"))
        .run();
    assert_eq!(record.attempts, 2);
}

#[test]
fn attempts_are_bounded() {
    let three = &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
    let mut halves = reverse(three);
    halves["reverse"]["routes"][0] = route(
        "all",
        json!({"pool": 0}),
        json!({"retry": {"attempts": 2, "on_connect": true, "on_reset": true, "on_status": [], "backoff_ms": 0, "max_backoff_ms": 0, "try_ms": 0}}),
    );
    Script::new(plan(halves))
        .on(client(GET))
        .on(failed(Slug::ConnectionTimeout, Sent::Nothing))
        .expect(connect("10.0.0.2:80"))
        .on(failed(Slug::ConnectionTimeout, Sent::Nothing))
        .expect(answer(504, "connection_timeout"))
        .run();
}

#[test]
fn a_status_is_retried_where_the_route_says_so() {
    let mut halves = reverse(TWO);
    halves["reverse"]["routes"][0] = route(
        "all",
        json!({"pool": 0}),
        json!({"retry": {"attempts": 3, "on_connect": true, "on_reset": true, "on_status": [503], "backoff_ms": 0, "max_backoff_ms": 0, "try_ms": 0}}),
    );
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    Script::new(plan(halves))
        .on(client(GET))
        .on(connected())
        .on(response(busy))
        .expect(connect("10.0.0.2:80"))
        .on(connected())
        .on(response(busy))
        .expect(relay())
        .on(relayed(Relayed::Complete))
        .expect(done(503, "forwarded"))
        .run();
}

#[test]
fn interim_responses_pass_before_the_final_one() {
    Script::new(plan(reverse(TWO)))
        .on(client(GET))
        .on(connected())
        .on(response("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"))
        .expect(interim())
        .on(response(OK))
        .expect(relay())
        .run();
}

#[test]
fn protocols_are_switched_only_when_asked() {
    let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    Script::new(plan(reverse(TWO)))
        .on(client("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"))
        .on(connected())
        .expect(upstream_has("Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        .on(response(switch))
        .expect(tunnel())
        .on(relayed(Relayed::Complete))
        .expect(done(101, "forwarded"))
        .run();
    Script::new(plan(reverse(TWO)))
        .on(client(GET))
        .on(connected())
        .on(response(switch))
        .expect(answer(502, "upgrade_failed"))
        .run();
}

#[test]
fn a_client_that_leaves_ends_the_flow() {
    Script::new(plan(reverse(TWO)))
        .on(client(GET))
        .on(connected())
        .on(gone())
        .expect(done(499, "client_aborted"))
        .run();
}

#[test]
fn loops_are_found() {
    Script::new(plan(reverse(TWO)))
        .on(client("GET / HTTP/1.1\r\nHost: a.test\r\nVia: 1.0 other, 1.1 reviver-test\r\n\r\n"))
        .expect(answer(508, "loop_detected"))
        .run();
    Script::new(plan(reverse(TWO)))
        .on(client("GET / HTTP/1.1\r\nHost: a.test\r\nCDN-Loop: reviver-test; x=1\r\n\r\n"))
        .expect(answer(508, "loop_detected"))
        .run();
    Script::new(plan(reverse(TWO)))
        .on(client("GET / HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 reviver-test2\r\n\r\n"))
        .expect(connect("10.0.0.1:80"))
        .run();
}

#[test]
fn what_a_client_claims_of_itself_is_dropped_unless_it_is_trusted() {
    let claims = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\
                  X-Real-IP: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\n\r\n";
    Script::new(plan(reverse(TWO)))
        .on(client(claims))
        .on(connected())
        .expect(upstream_lacks("9.9.9.9"))
        .expect(upstream_has("X-Forwarded-Proto: http\r\n"))
        .run();
    let mut halves = reverse(TWO);
    halves["trusted_proxies"] = json!(["192.0.2.0/24"]);
    Script::new(plan(halves))
        .on(client(claims))
        .on(connected())
        .expect(upstream_has("X-Forwarded-For: 9.9.9.9, 192.0.2.7\r\n"))
        .expect(upstream_has("X-Forwarded-Proto: https\r\n"))
        .run();
}

#[test]
fn a_body_over_the_limit_is_refused_before_any_server_hears_of_it() {
    Script::new(plan(reverse(TWO)))
        .on(client("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1001\r\n\r\n"))
        .expect(answer(413, "body_too_large"))
        .run();
}

#[test]
fn a_forward_request_is_sent_in_origin_form() {
    Script::new(plan(forward(json!({}))))
        .on(client("GET http://o.test:81/x?y HTTP/1.1\r\nHost: wrong\r\nProxy-Connection: keep-alive\r\n\r\n"))
        .expect(connect_destination())
        .on(connected())
        .expect(upstream("GET /x?y HTTP/1.1\r\nHost: o.test:81\r\n"))
        .expect(upstream_lacks("192.0.2.7"))
        .expect(upstream_lacks("Proxy-Connection"))
        .run();
}

#[test]
fn a_forward_proxy_is_guarded() {
    let guarded = || plan(forward(json!({"clients": ["10.0.0.0/8"]})));
    Script::new(guarded())
        .on(client("GET http://o.test/ HTTP/1.1\r\nHost: o.test\r\n\r\n"))
        .expect(answer(403, "client_not_allowed"))
        .run();
    let allowed = |head: &str| Script::new(guarded()).from_client("10.1.1.1").on(client(head));
    allowed("CONNECT o.test:25 HTTP/1.1\r\nHost: o.test:25\r\n\r\n").expect(answer(403, "connect_port_denied")).run();
    allowed("GET http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n").expect(answer(403, "private_destination")).run();
    allowed("GET / HTTP/1.1\r\nHost: o.test\r\n\r\n").expect(answer(400, "not_a_proxy_request")).run();
    allowed("GET https://o.test/ HTTP/1.1\r\nHost: o.test\r\n\r\n").expect(answer(501, "not_implemented")).run();
    allowed("CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n")
        .expect(connect_destination())
        .on(connected())
        .expect(tunnel())
        .run();
}

#[test]
fn a_password_is_asked_for_and_not_passed_on() {
    let auth = || plan(forward(json!({"auth": {"at": "t.yaml:5", "realm": "r", "users": {"ann": "{SHA}x"}}})));
    Script::new(auth())
        .on(client("GET http://o.test/ HTTP/1.1\r\nHost: o.test\r\n\r\n"))
        .expect(answer(407, "auth_required"))
        .run();
    let with = "GET http://o.test/ HTTP/1.1\r\nHost: o.test\r\nProxy-Authorization: Basic YW5uOnB3\r\n\r\n";
    Script::new(auth())
        .on(client(with))
        .expect(authenticate())
        .on(authenticated(false))
        .expect(answer(407, "auth_failed"))
        .run();
    Script::new(auth())
        .on(client(with))
        .expect(authenticate())
        .on(authenticated(true))
        .expect(connect_destination())
        .on(connected())
        .expect(upstream_lacks("Proxy-Authorization"))
        .run();
}

#[test]
fn high_anonymity_leaves_no_trace() {
    let high = json!({
        "at": "t.yaml:8", "level": "high", "user_agent": {"replace": "Browser"}, "referer": "same_host", "cookies": "remove"
    });
    let asked = "GET http://o.test/ HTTP/1.1\r\nHost: o.test\r\nVia: 1.1 x\r\nX-Forwarded-For: 9.9.9.9\r\n\
                 From: me@x\r\nClient-IP: 9.9.9.9\r\nUser-Agent: mine\r\nReferer: http://else.test/\r\nCookie: a=b\r\n\r\n";
    let mut script = Script::new(plan(forward(json!({"anonymity": high})))).on(client(asked)).on(connected());
    for trace in ["Via", "9.9.9.9", "From", "mine", "Referer", "Cookie", "X-Forwarded"] {
        script = script.expect(upstream_lacks(trace));
    }
    script.expect(upstream_has("User-Agent: Browser\r\n")).run();
}
