//! Every format, to the letter, and what clients try to do to it.

use proptest::prelude::*;
use reviver_flow::{Ending, Slug, Via};
use reviver_plan::{LogFormat, LogTarget};

use super::*;

const GET: &str = "GET /a/b?x=1&token=s3cret HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/8.5\r\n\
                   Referer: https://u:s3cret@ref.example/p?password=s3cret\r\nCookie: id=s3cret\r\n\
                   Authorization: Bearer s3cret\r\nX-Id: 17\r\nX-Id: 18\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\n\
                  Set-Cookie: s=s3cret; Path=/\r\nSet-Cookie: t=s3cret\r\n\r\n";

fn written(format: LogFormat, entry: &Entry<'_>) -> String {
    line(&sink(LogTarget::Stdout, format), entry)
}

#[test]
fn json_has_all_that_is_known_and_no_secret() {
    let (head, answer, record) = (request(GET), response(OK), record());
    let mut sink = sink(LogTarget::Stdout, LogFormat::Json);
    sink.request_headers = ["authorization", "cookie", "x-id", "x-none"].map(String::from).to_vec();
    sink.response_headers = ["set-cookie"].map(String::from).to_vec();
    let entry = Entry { response: Some(&answer), user: Some("ann"), ..entry(&record, Some(&head)) };
    let line = line(&sink, &entry);
    assert_eq!(
        line,
        r#"{"time":"2026-01-02T03:04:05.678Z","listener":"web","client":"192.0.2.7","client_port":50123,"user":"ann","#
            .to_owned()
            + r#""method":"GET","scheme":"http","host":"api.example.com","path":"/a/b","#
            + r#""query":"x=1&token=***","protocol":"HTTP/1.1","route":"api","pool":"backend","#
            + r#""server":"localhost:9001","upstream":"127.0.0.1:9001","upstream_connection":"new","status":200,"#
            + r#""upstream_status":200,"reason":"forwarded","at":"reviver.yaml:12","#
            + r#""ending":"complete","attempts":1,"tunnel":false,"bytes_in":310,"bytes_out":1224,"request_body":0,"#
            + r#""response_body":1024,"duration_ms":2.345,"head_ms":0.012,"decide_ms":0.003,"connect_ms":0.250,"#
            + r#""first_byte_ms":1.500,"user_agent":"curl/8.5","#
            + r#""referer":"https://ref.example/p?password=***","#
            + r#""request_headers":{"authorization":"Bearer ***","cookie":"id=***","x-id":"17, 18"},"#
            + r#""response_headers":{"set-cookie":"s=***, t=***"}}"#
    );
    assert!(!line.contains("s3cret"));
}

#[test]
fn a_flow_without_a_head_has_a_record_in_every_format() {
    let mut record = record();
    let entry = headless(&mut record);
    let json: serde_json::Value = serde_json::from_str(&written(LogFormat::Json, &entry)).unwrap();
    for key in ["method", "scheme", "host", "path", "query", "protocol", "route", "upstream", "connect_ms"] {
        assert!(json.get(key).is_none(), "{key}: {json}");
    }
    assert_eq!(
        (&json["reason"], &json["detail"], &json["status"]),
        (&"bad_request".into(), &"bare_lf".into(), &400.into())
    );
    assert_eq!(
        written(LogFormat::Combined, &entry),
        r#"192.0.2.7 - - [02/Jan/2026:05:04:05 +0200] "-" 400 1024 "-" "-""#
    );
    assert_eq!(
        written(LogFormat::Squid, &entry),
        "1767323045.680      2 192.0.2.7 NONE_NONE/400 1224 NONE error:invalid-request - HIER_NONE/- -"
    );
    assert_eq!(written(template("{method} {path} {reason}"), &entry), "- - bad_request");
}

#[test]
fn common_and_combined_are_apaches() {
    let (head, mut record) = (request(GET), record());
    let entry = Entry { user: Some("ann b"), ..entry(&record, Some(&head)) };
    let common = r#"192.0.2.7 - ann\x20b [02/Jan/2026:05:04:05 +0200] "GET /a/b?x=1&token=*** HTTP/1.1" 200 1024"#;
    assert_eq!(written(LogFormat::Common, &entry), common);
    assert_eq!(
        written(LogFormat::Combined, &entry),
        format!(r#"{common} "https://ref.example/p?password=***" "curl/8.5""#)
    );
    // what was not sent is `-`, and a client that went away is told as nginx does
    (record.status, record.response_body) = (0, 0);
    (record.reason, record.ending) = (Slug::ClientAborted.into(), Ending::ClientAborted);
    let line = written(LogFormat::Common, &super::entry(&record, Some(&head)));
    assert!(line.ends_with(r#"HTTP/1.1" 499 -"#), "{line}");
}

#[test]
fn the_request_line_is_the_one_that_was_sent() {
    for (text, want) in [
        ("GET http://a.example:81/x?y HTTP/1.1\r\nHost: a.example:81\r\n\r\n", "GET http://a.example:81/x?y HTTP/1.1"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "CONNECT a.example:443 HTTP/1.1"),
        ("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n", "CONNECT [2001:db8::1]:443 HTTP/1.1"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "OPTIONS * HTTP/1.1"),
        ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0"),
    ] {
        let (head, record) = (request(text), record());
        let line = written(LogFormat::Common, &entry(&record, Some(&head)));
        assert!(line.contains(&format!("\"{want}\"")), "{line}");
    }
}

#[test]
fn squids_layout_names_results_and_hierarchy_as_squid_does() {
    let (answer, mut record) = (response(OK), record());
    let get = request("GET http://a.example:81/x?token=s3cret HTTP/1.1\r\nHost: a.example:81\r\n\r\n");
    let connect = request("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    fn direct<'a>(record: &'a Record, head: &'a RequestHead) -> Entry<'a> {
        Entry { pool: None, server: None, ..entry(record, Some(head)) }
    }
    record.times.total = 180_400;
    assert_eq!(
        written(LogFormat::Squid, &Entry { response: Some(&answer), user: Some("ann"), ..direct(&record, &get) }),
        "1767323045.858    180 192.0.2.7 TCP_MISS/200 1224 GET http://a.example:81/x?token=*** ann \
         HIER_DIRECT/127.0.0.1 text/html"
    );
    let reverse = written(LogFormat::Squid, &entry(&record, Some(&get)));
    assert!(reverse.ends_with(" - ROUNDROBIN_PARENT/127.0.0.1 -"), "{reverse}");
    record.tunnel = true;
    record.reason = Slug::Tunnelled.into();
    let tunnel = written(LogFormat::Squid, &direct(&record, &connect));
    assert!(tunnel.contains(" TCP_TUNNEL/200 1224 CONNECT a.example:443 - HIER_DIRECT/"), "{tunnel}");
    (record.tunnel, record.status, record.upstream, record.upstream_via) = (false, 403, None, Via::None);
    record.reason = Slug::PrivateDestination.into();
    let denied = written(LogFormat::Squid, &direct(&record, &connect));
    assert!(denied.contains(" TCP_DENIED/403 ") && denied.ends_with(" HIER_NONE/- -"), "{denied}");
    (record.status, record.ending, record.upstream_via) = (0, Ending::ClientAborted, Via::New);
    record.reason = Slug::ClientAborted.into();
    assert!(written(LogFormat::Squid, &direct(&record, &get)).contains(" TCP_MISS_ABORTED/000 "));
}

#[test]
fn templates_take_the_names_of_json_and_of_fields() {
    let (head, record) = (request(GET), record());
    let text = "{time} {{{host}{path}?{query}}} {duration_ms} {user} {request_headers.X-Id} {response_headers.etag}";
    let mut sink = sink(LogTarget::Stdout, template(text));
    sink.request_headers = vec!["x-id".into()];
    assert_eq!(
        line(&sink, &entry(&record, Some(&head))),
        "2026-01-02T03:04:05.678Z {api.example.com/a/b?x=1&token=***} 2.345 - 17, 18 -"
    );
}

#[test]
fn socks_flows_are_told_from_connect() {
    let (mut head, record) = (RequestHead::default(), record());
    head.set_connect(b"a.example", 443);
    let entry = Entry { socks: true, ..entry(&record, Some(&head)) };
    assert_eq!(written(template("{protocol} {host} {port} {scheme}"), &entry), "SOCKS5 a.example 443 -");
}

#[test]
fn what_is_longer_than_a_record_is_cut_and_its_secrets_stay_masked() {
    let long = "x".repeat(20_000);
    let text = format!("GET /{long}?token={long} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {long}\r\n\r\n");
    let (head, record) = (request(&text), record());
    let json: serde_json::Value =
        serde_json::from_str(&written(LogFormat::Json, &entry(&record, Some(&head)))).unwrap();
    assert!(json["path"].as_str().is_some_and(|path| path.ends_with("xxx...")), "{json}");
    assert_eq!(json["query"], "token=***");
}

#[test]
fn masked_values_are_escaped_too() {
    let text = "GET / HTTP/1.1\r\nHost: a.example\r\nReferer: https://u:s3cret@h/\"\\?token=s3cret&\u{202e}\r\n\
                X-Note: \"q\u{e9}\"\r\n\r\n";
    let (head, record) = (request(text), record());
    let mut sink = sink(LogTarget::Stdout, LogFormat::Json);
    sink.request_headers = vec!["x-none".into(), "x-note".into()];
    let line = line(&sink, &entry(&record, Some(&head)));
    assert!(line.contains(r#""referer":"https://h/\"\\?token=***&\u202e","#), "{line}");
    assert!(line.ends_with("\"request_headers\":{\"x-note\":\"\\\"q\u{e9}\\\"\"}}"), "{line}");
}

/// Bytes that a client can bring into a value of a head.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'\n'), Just(b'\r'), Just(b' '), Just(0x1b)];
    proptest::collection::vec(byte, 0..60)
}

proptest! {
    #[test]
    fn no_client_can_forge_a_line(user in nasty(), detail in nasty(), agent in nasty()) {
        // the user comes from credentials, where every byte may stand; a head's decoder refuses control bytes
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (user, detail) = (text(&user), text(&detail));
        let agent: Vec<u8> = agent.into_iter().filter(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)).collect();
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: ".to_vec();
        bytes.extend_from_slice(&agent);
        bytes.extend_from_slice(b"\r\n\r\n");
        let mut head = RequestHead::default();
        decode_request(&bytes, &LIMITS, &mut head).unwrap();
        let record = record();
        let entry = Entry { user: Some(&user), reason_detail: &detail, ..entry(&record, Some(&head)) };

        let json = written(LogFormat::Json, &entry);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&value["user"], &serde_json::Value::from(user.clone()));
        let want = String::from_utf8_lossy(agent.trim_ascii()).into_owned();
        prop_assert_eq!(value["user_agent"].as_str().unwrap_or_default(), want);
        prop_assert!(json.chars().all(|c| !c.is_control()), "{}", json);

        let combined = written(LogFormat::Combined, &entry);
        prop_assert!(combined.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", combined);
        let fields = unquoted(&combined);
        prop_assert_eq!(fields.len(), 10, "{}", combined);

        let squid = written(LogFormat::Squid, &entry);
        prop_assert!(squid.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", squid);
        prop_assert_eq!(squid.split_ascii_whitespace().count(), 10, "{}", squid);
    }
}

/// Splits a line as a reader of Apache's logs does: at spaces outside of quotes; `\` hides the next byte.
fn unquoted(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut hidden) = (false, false);
    for char in line.chars() {
        match char {
            ' ' if !quoted => fields.push(String::new()),
            '"' if !hidden => quoted = !quoted,
            _ => fields.last_mut().unwrap().push(char),
        }
        hidden = char == '\\' && !hidden;
    }
    assert!(!quoted, "{line}");
    fields
}
