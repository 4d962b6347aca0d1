//! Checks by the health service of gRPC.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use super::*;

/// What a server answers with.
#[derive(Clone)]
struct Reply {
    status: u16,
    content_type: &'static str,
    /// Framed.
    message: Option<Vec<u8>>,
    /// In trailers, or in the head where there is no message.
    code: Option<&'static str>,
}

fn reply(message: &[u8]) -> Reply {
    let framed = [&[0, 0, 0, 0, message.len() as u8], message].concat();
    Reply { status: 200, content_type: "application/grpc+proto", message: Some(framed), code: Some("0") }
}

/// A head, and the message behind it.
type Asked = (http::request::Parts, Vec<u8>);

#[derive(Clone, Default)]
struct Seen {
    requests: Rc<RefCell<Vec<Asked>>>,
    connections: Rc<Cell<usize>>,
}

/// A server that answers all alike, `streams` times on each connection.
async fn service(answer: Reply, streams: usize) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let own = seen.clone();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            own.connections.set(own.connections.get() + 1);
            let (own, answer) = (own.clone(), answer.clone());
            tokio::task::spawn_local(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                for _ in 0..streams {
                    let Some(Ok((request, respond))) = connection.accept().await else { return };
                    tokio::task::spawn_local(respond_to(request, respond, answer.clone(), own.clone()));
                }
                connection.graceful_shutdown();
                while connection.accept().await.is_some() {}
            });
        }
    });
    (address, seen)
}

async fn respond_to(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    answer: Reply,
    seen: Seen,
) {
    let (parts, mut content) = request.into_parts();
    let mut message = Vec::new();
    while let Some(Ok(data)) = content.data().await {
        message.extend_from_slice(&data);
    }
    seen.requests.borrow_mut().push((parts, message));
    let mut response = Response::builder().status(answer.status).header("content-type", answer.content_type);
    let Some(message) = answer.message else {
        if let Some(code) = answer.code {
            response = response.header("grpc-status", code);
        }
        respond.send_response(response.body(()).unwrap(), true).unwrap();
        return;
    };
    let mut body = respond.send_response(response.body(()).unwrap(), false).unwrap();
    body.send_data(message.into(), answer.code.is_none()).unwrap();
    if let Some(code) = answer.code {
        body.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))]))
            .unwrap();
    }
}

fn subject(address: &str, service: &str) -> Subject {
    Subject::new(address, health(json!({"grpc": {"service": service}}), json!({})), json!({}))
}

async fn complaint(answer: Reply) -> String {
    let (address, _) = service(answer, 1).await;
    subject(&address, "").complaint().await
}

#[test]
fn a_service_that_serves_is_up_and_its_connection_is_kept() {
    on_a_core(async {
        // With a field that nobody knows yet in front and one behind.
        let (address, seen) = service(reply(b"\x12\x01x\x08\x01\x1D\0\0\0\0"), 2).await;
        let subject = subject(&address, "shop.Orders");
        for _ in 0..3 {
            assert_eq!(subject.check().await, Ok(()));
        }
        // The server takes its leave behind two.
        assert_eq!(seen.connections.get(), 2);
        let requests = seen.requests.borrow();
        let (head, message) = &requests[0];
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/grpc.health.v1.Health/Check"));
        assert_eq!(head.uri.authority().unwrap().as_str(), address);
        let field = |name: &str| head.headers[name].to_str().unwrap();
        assert_eq!((field("content-type"), field("te")), ("application/grpc", "trailers"));
        assert_eq!(message, b"\0\0\0\0\x0D\x0A\x0Bshop.Orders");
    });
}

#[test]
fn the_server_as_a_whole_has_no_name() {
    on_a_core(async {
        let (address, seen) = service(reply(b"\x08\x01"), 1).await;
        assert_eq!(subject(&address, "").check().await, Ok(()));
        assert_eq!(seen.requests.borrow()[0].1, [0; 5]);
    });
}

#[test]
fn any_other_answer_says_what_it_was() {
    on_a_core(async {
        assert_eq!(complaint(reply(b"\x08\x02")).await, "serving status NOT_SERVING");
        assert_eq!(complaint(reply(b"\x08\x03")).await, "serving status SERVICE_UNKNOWN");
        // The default of the field, which is not sent.
        assert_eq!(complaint(reply(b"")).await, "serving status UNKNOWN");
        let code = |code| Reply { message: None, code: Some(code), ..reply(b"") };
        assert_eq!(complaint(code("12")).await, "gRPC status 12 UNIMPLEMENTED");
        assert_eq!(complaint(code("5")).await, "gRPC status 5 NOT_FOUND");
        // Behind a message too.
        assert_eq!(complaint(Reply { code: Some("14"), ..reply(b"\x08\x01") }).await, "gRPC status 14 UNAVAILABLE");
        assert_eq!(complaint(Reply { code: None, ..reply(b"\x08\x01") }).await, "an answer without a gRPC status");
        let page = Reply { status: 404, content_type: "text/html", ..reply(b"") };
        assert_eq!(complaint(page).await, "status 404 without an answer of gRPC");
    });
}

#[test]
fn what_is_no_message_is_none() {
    on_a_core(async {
        let framed = |bytes: &[u8]| Reply { message: Some(bytes.to_vec()), ..reply(b"") };
        for bytes in [
            b"" as &[u8],
            b"\0\0\0\0",
            b"\0\0\0\0\x03\x08\x01",
            b"\x01\0\0\0\x02\x08\x01",
            b"\0\0\0\0\x02\x08\x81",
            b"\0\0\0\0\x01\x0B",
            b"\0\0\0\0\x02\x12\x7F",
            b"\0\0\0\0\x03\x08\x01\x08",
        ] {
            assert_eq!(complaint(framed(bytes)).await, "the answer is no HealthCheckResponse", "{bytes:?}");
        }
        assert_eq!(complaint(framed(&[0; 70_000])).await, "the answer is too long");
    });
}

#[test]
fn a_server_without_http2_has_no_service() {
    on_a_core(async {
        let origin = Origin::new(&[&[answer("HTTP/1.1 400 Bad\r\n\r\n")]]).await;
        assert_eq!(subject(&origin.address, "").complaint().await, "HTTP/2 could not be begun");
        assert_eq!(subject(&refusing().await.to_string(), "").complaint().await, "connection refused");
    });
}
