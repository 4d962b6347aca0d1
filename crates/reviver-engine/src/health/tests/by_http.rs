//! Checks by HTTP, in both versions.

use http::{HeaderMap, Request, Response};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What is said of one answer on a connection that ends behind it.
async fn said_of(check: Value, bytes: impl AsRef<[u8]>) -> Result<(), String> {
    Origin::new(&[&[answer(bytes)]]).await.subject(http_check(check)).check().await
}

async fn complaint(check: Value, bytes: impl AsRef<[u8]>) -> String {
    said_of(check, bytes).await.unwrap_err()
}

#[test]
fn a_request_says_who_asks_and_for_what() {
    on_a_core(async {
        let origin = Origin::new(&[&[ok("")]]).await;
        assert_eq!(origin.subject(http_check(json!({}))).check().await, Ok(()));
        let expected = format!(
            "GET /healthz HTTP/1.1\r\nHost: {}\r\nUser-Agent: reviver-health\r\nAccept: */*\r\n\r\n",
            origin.address
        );
        assert_eq!(*origin.heads.borrow(), [expected]);
    });
}

#[test]
fn what_is_configured_stands_in_the_place_of_the_defaults() {
    on_a_core(async {
        let origin = Origin::new(&[&[ok("")]]).await;
        let check = json!({
            "method": "POST", "path": "/ready?deep=1", "host": "app.test",
            "headers": [["user-agent", "probe"], ["X-Key", "a b"]]
        });
        assert_eq!(origin.subject(http_check(check)).check().await, Ok(()));
        let expected = "POST /ready?deep=1 HTTP/1.1\r\nHost: app.test\r\nAccept: */*\r\nContent-Length: 0\r\n\
                        user-agent: probe\r\nX-Key: a b\r\n\r\n";
        assert_eq!(*origin.heads.borrow(), [expected]);
    });
}

#[test]
fn what_cannot_be_sent_is_said_and_not_sent() {
    on_a_core(async {
        let origin = Origin::new(&[&[ok("")]]).await;
        for (check, text) in [
            (json!({"headers": [["X", "a\r\nB: c"]]}), "the header X cannot be sent"),
            (json!({"headers": [["Content-Length", "3"]]}), "the header Content-Length cannot be sent by a check"),
            (json!({"host": "a b"}), "the host cannot be sent"),
            (json!({"host": "user@a.test"}), "the host cannot be sent"),
            (json!({"headers": [["Host", "a\r\nB: c"]]}), "the host cannot be sent"),
            (json!({"path": "/a b"}), "the path /a b cannot be sent"),
            (json!({"method": "CONNECT"}), "the method CONNECT cannot be sent"),
            (json!({"body": {"regex": "("}}), "bad regular expression `(`"),
        ] {
            assert_eq!(origin.subject(http_check(check)).check().await, Err(text.to_owned()));
        }
        assert_eq!(origin.count(), 0);
    });
}

#[test]
fn statuses_are_compared_with_all_ranges() {
    on_a_core(async {
        let some = || json!({"statuses": [[200, 299], [304, 304]]});
        assert_eq!(said_of(some(), OK).await, Ok(()));
        assert_eq!(said_of(some(), "HTTP/1.1 304 Not Modified\r\n\r\n").await, Ok(()));
        let other = |status| format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(complaint(some(), other(301)).await, "status 301, expected 200-299, 304");
        assert_eq!(complaint(json!({}), other(503)).await, "status 503, expected 200-399");
    });
}

#[test]
fn of_several_fields_with_one_name_any_may_fit() {
    on_a_core(async {
        let with = |fields: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
        let wants = |value| json!({"expect_headers": [{"name": "X-Ready", "value": value}]});
        let exact = || wants(json!({"exact": "yes"}));
        assert_eq!(said_of(exact(), with("x-ready: no\r\nX-READY: yes\r\n")).await, Ok(()));
        assert_eq!(said_of(wants(json!("present")), with("X-Ready:\r\n")).await, Ok(()));
        assert_eq!(said_of(wants(json!({"prefix": "ye"})), with("X-Ready: yes\r\n")).await, Ok(()));
        assert_eq!(said_of(wants(json!({"regex": "^y.s$"})), with("X-Ready: yes\r\n")).await, Ok(()));
        assert_eq!(complaint(exact(), with("X-Other: yes\r\n")).await, "header x-ready is missing");
        assert_eq!(complaint(exact(), with("X-Ready: no\r\n")).await, "header x-ready is `no`, expected `yes`");
        let no = complaint(wants(json!({"regex": "^y"})), with("X-Ready: n\to`\r\n")).await;
        assert_eq!(no, "header x-ready is `n o `, expected a match of `^y`");
    });
}

#[test]
fn a_body_is_looked_at_however_it_is_framed() {
    on_a_core(async {
        let holds = || json!({"body": {"prefix": "ready"}});
        let bodies = [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nam ready.",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nam r\r\n5;x=y\r\neady.\r\n0\r\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nam ready.",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready",
        ];
        for body in bodies {
            assert_eq!(said_of(holds(), body).await, Ok(()), "{body}");
        }
        assert_eq!(complaint(holds(), OK).await, "the body does not hold `ready`");
        assert_eq!(said_of(json!({"body": {"regex": "^o.$"}}), OK).await, Ok(()));
        assert_eq!(complaint(json!({"body": {"regex": "^k"}}), OK).await, "the body does not match `^k`");
        let none = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(complaint(holds(), none).await, "the body does not hold `ready`");
    });
}

#[test]
fn of_a_body_the_first_64_kib_count() {
    on_a_core(async {
        let edge = 64 * 1024;
        for (before, good) in [(edge - 5, true), (edge - 4, false)] {
            let text = format!("{}ready{}", "x".repeat(before), "y".repeat(edge));
            let plain = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            let chunked =
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
            for bytes in [plain, chunked] {
                let outcome = said_of(json!({"body": {"prefix": "ready"}}), bytes).await;
                assert_eq!(outcome.is_ok(), good, "{before}: {outcome:?}");
            }
        }
    });
}

#[test]
fn an_answer_that_is_none_is_a_failure() {
    on_a_core(async {
        let body = || json!({"body": {"prefix": "ok"}});
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
        assert_eq!(complaint(body(), short).await, "the answer breaks off in its body");
        // Without an expectation of the body its head is all that counts.
        assert_eq!(said_of(json!({}), short).await, Ok(()));
        assert_eq!(complaint(json!({}), "HTTP/1.1 200 OK\r\nA: b").await, "the answer breaks off in its head");
        assert_eq!(complaint(json!({}), "220 mail.test ESMTP\r\n").await, "the answer is no HTTP (bad_status_line)");
        let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert_eq!(complaint(body(), chunk).await, "the body is malformed (bad_chunk_size)");
        let large = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000));
        assert_eq!(complaint(json!({}), large).await, "the answer is no HTTP (head_too_large)");
        let closing = Origin::new(&[&[Step::Leave]]).await;
        let subject = closing.subject(http_check(json!({})));
        assert_eq!(subject.complaint().await, "the connection was closed without an answer");
        assert_eq!(closing.count(), 1);
    });
}

#[test]
fn a_server_that_says_nothing_or_never_ends_is_late() {
    on_a_core(async {
        let soon = |check: Value| health(http_check(check), json!({"timeout_ms": 60}));
        let silent = Origin::new(&[&[Step::Hold]]).await;
        let subject = Subject::new(&silent.address, soon(json!({})), json!({}));
        assert_eq!(subject.complaint().await, "timed out after 60ms");
        let endless = answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok");
        let slow = Origin::new(&[&[endless, Step::Hold]]).await;
        let subject = Subject::new(&slow.address, soon(json!({"body": {"prefix": "ok"}})), json!({}));
        assert_eq!(subject.complaint().await, "timed out after 60ms");
        // The head is there: a body that does not come costs the connection, and no more.
        let subject = Subject::new(&slow.address, soon(json!({})), json!({}));
        assert_eq!((subject.check().await, subject.check().await), (Ok(()), Ok(())));
        assert_eq!(slow.connections.get(), 3);
    });
}

#[test]
fn a_connection_serves_the_next_check() {
    on_a_core(async {
        let chunked = answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        let bad = answer("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno");
        let origin = Origin::new(&[&[ok("ok"), chunked, bad, ok("ok"), Step::Hold]]).await;
        let subject = origin.subject(http_check(json!({})));
        assert_eq!((subject.check().await, subject.check().await), (Ok(()), Ok(())));
        assert_eq!(subject.complaint().await, "status 503, expected 200-399");
        assert_eq!(subject.check().await, Ok(()));
        assert_eq!((origin.count(), origin.connections.get()), (4, 1));
    });
}

#[test]
fn a_connection_that_may_not_serve_again_is_not_kept() {
    on_a_core(async {
        for last in [
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore",
        ] {
            let origin = Origin::new(&[&[answer(last), Step::Hold]]).await;
            let subject = origin.subject(http_check(json!({})));
            assert_eq!((subject.check().await, subject.check().await), (Ok(()), Ok(())), "{last}");
            assert_eq!(origin.connections.get(), 2, "{last}");
        }
    });
}

#[test]
fn a_kept_connection_that_has_ended_is_replaced_once() {
    on_a_core(async {
        // Closed while it waited, and closed in the face of the request.
        let fresh: &[Step] = &[ok(""), Step::Hold];
        for first in [&[ok("")] as &[Step], &[ok(""), Step::Leave]] {
            let origin = Origin::new(&[first, fresh]).await;
            let subject = origin.subject(http_check(json!({})));
            assert_eq!((subject.check().await, subject.check().await), (Ok(()), Ok(())));
            assert_eq!(origin.connections.get(), 2);
        }
        let origin = Origin::new(&[&[ok(""), Step::Leave], &[Step::Leave]]).await;
        let subject = origin.subject(http_check(json!({})));
        assert_eq!(subject.check().await, Ok(()));
        assert_eq!(subject.complaint().await, "the connection was closed without an answer");
        assert_eq!(origin.connections.get(), 2);
    });
}

#[test]
fn head_has_no_body_whatever_its_length_says() {
    on_a_core(async {
        let head = answer("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
        let origin = Origin::new(&[&[head.clone(), head, Step::Hold]]).await;
        let subject = origin.subject(http_check(json!({"method": "HEAD"})));
        assert_eq!((subject.check().await, subject.check().await), (Ok(()), Ok(())));
        assert_eq!(origin.connections.get(), 1);
    });
}

#[test]
fn tls_is_that_of_the_pool() {
    on_a_core(async {
        let (acceptor, pem) = certified(&["http/1.1"]);
        let origin = Origin::start(&[&[ok(""), ok(""), Step::Hold]], Some(acceptor)).await;
        let subject =
            |tls| Subject::new(&origin.address, health(http_check(json!({})), json!({})), json!({"tls": tls}));
        let good = subject(tls(Some(&pem), "a.test"));
        assert_eq!((good.check().await, good.check().await), (Ok(()), Ok(())));
        assert_eq!(origin.connections.get(), 1);
        assert_eq!(subject(tls(Some(&pem), "b.test")).complaint().await, "certificate: wrong name");
        assert_eq!(subject(tls(None, "a.test")).complaint().await, "certificate: unknown issuer");
    });
}

#[test]
fn a_header_of_the_proxy_protocol_says_that_the_connection_is_its_own() {
    on_a_core(async {
        for (version, header) in [("V1", "PROXY UNKNOWN\r\n"), ("V2", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")] {
            let origin = Origin::new(&[&[ok(""), ok(""), Step::Hold]]).await;
            let pool = json!({"proxy_protocol": version.to_lowercase()});
            let subject = Subject::new(&origin.address, health(http_check(json!({})), json!({})), pool);
            assert_eq!((subject.check().await, subject.check().await), (Ok(()), Ok(())));
            let heads = origin.heads.borrow();
            assert!(heads[0].starts_with(&format!("{header}GET /healthz")), "{heads:?}");
            assert!(heads[1].starts_with("GET /healthz"), "{heads:?}");
        }
    });
}

type Requests = Rc<RefCell<Vec<Request<()>>>>;

/// An HTTP/2 server; tells its requests, and how many connections there were.
async fn http2(acceptor: Option<TlsAcceptor>, streams: usize) -> (String, Requests, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (requests, connections) = (Requests::default(), Rc::<Cell<usize>>::default());
    let (seen, count) = (Rc::clone(&requests), Rc::clone(&connections));
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            let seen = Rc::clone(&seen);
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                match acceptor {
                    None => serve_http2(stream, seen, streams).await,
                    Some(acceptor) => serve_http2(acceptor.accept(stream).await.unwrap(), seen, streams).await,
                }
            });
        }
    });
    (address, requests, connections)
}

async fn serve_http2(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Requests, streams: usize) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    for _ in 0..streams {
        let Some(Ok((request, mut respond))) = connection.accept().await else { return };
        let (parts, _) = request.into_parts();
        seen.borrow_mut().push(Request::from_parts(parts, ()));
        let response = Response::builder().status(200).header("x-ready", "yes").body(()).unwrap();
        let mut body = respond.send_response(response, false).unwrap();
        body.send_data("am ready".into(), false).unwrap();
        body.send_trailers(HeaderMap::new()).unwrap();
    }
    connection.graceful_shutdown();
    while connection.accept().await.is_some() {}
}

#[test]
fn http2_is_spoken_where_the_pool_does() {
    on_a_core(async {
        let (acceptor, pem) = certified(&["h2"]);
        let secure = json!({"tls": tls(Some(&pem), "a.test")});
        let check = json!({
            "expect_headers": [{"name": "X-Ready", "value": {"exact": "yes"}}], "body": {"prefix": "ready"},
            "host": "app.test", "headers": [["Connection", "close"], ["X-Key", "k"]]
        });
        for (acceptor, pool, scheme) in [(None, json!({"protocol": "h2"}), "http"), (Some(acceptor), secure, "https")] {
            let (address, requests, connections) = http2(acceptor, 2).await;
            let subject = Subject::new(&address, health(http_check(check.clone()), json!({})), pool);
            // The server takes its leave behind the second.
            for _ in 0..3 {
                assert_eq!(subject.check().await, Ok(()));
            }
            assert_eq!(connections.get(), 2);
            let requests = requests.borrow();
            assert_eq!(requests[0].uri().to_string(), format!("{scheme}://app.test/healthz"));
            let fields: Vec<_> = requests[0].headers().keys().map(|name| name.as_str()).collect();
            assert_eq!(fields, ["user-agent", "accept", "x-key"]);
        }
    });
}

#[test]
fn a_server_that_does_not_speak_http2_is_told_from_one_that_is_gone() {
    on_a_core(async {
        let origin = Origin::new(&[&[answer("HTTP/1.1 400 Bad\r\n\r\n")]]).await;
        let check = || health(http_check(json!({})), json!({}));
        let subject = Subject::new(&origin.address, check(), json!({"protocol": "h2"}));
        assert_eq!(subject.complaint().await, "HTTP/2 could not be begun");
        let (acceptor, pem) = certified(&[]);
        let origin = Origin::start(&[&[ok("")]], Some(acceptor)).await;
        let pool = json!({"protocol": "h2", "tls": tls(Some(&pem), "a.test")});
        let subject = Subject::new(&origin.address, check(), pool);
        assert_eq!(subject.complaint().await, "the server does not speak HTTP/2");
    });
}
