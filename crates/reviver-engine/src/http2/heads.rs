//! Heads between the `http` crate's types, which `h2` speaks, and ours.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use reviver_flow::{BodyPlan, Flow, TrailerPolicy};
use reviver_http::{
    FieldKind, FieldSink, Framing, HeadLimits, ParseError, PseudoFields, Recipient, RequestHead, ResponseHead,
    is_http2_trailer, read_http2_request, read_http2_response, read_http2_switch,
};
use sha1::{Digest, Sha1};

/// A field section in the making. What belongs to an HTTP/1 connection is left out (RFC 9113, section 8.2.2).
#[derive(Default)]
pub struct HeaderSink {
    pub fields: HeaderMap,
    pub host: Option<Bytes>,
}

impl HeaderSink {
    /// Takes a field whose value may be shared; names are copied where they are not among the well-known ones.
    fn take(&mut self, name: &[u8], value: impl FnOnce() -> Bytes) {
        match FieldKind::of(name) {
            FieldKind::Host => {
                self.host = Some(value());
                return;
            }
            FieldKind::Connection
            | FieldKind::KeepAlive
            | FieldKind::ProxyConnection
            | FieldKind::TransferEncoding
            | FieldKind::Upgrade
            | FieldKind::Http2Settings => return,
            _ => {}
        }
        // Both were checked when they were read.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(value())) {
            self.fields.append(name, value);
        }
    }
}

impl FieldSink for HeaderSink {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.take(name, || Bytes::copy_from_slice(value));
    }

    /// The lines are copied once, and their values are parts of the copy.
    fn lines(&mut self, lines: &[u8]) {
        let shared = Bytes::copy_from_slice(lines);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', lines) {
            let line = &lines[start..end];
            if let Some(colon) = memchr::memchr(b':', line) {
                self.take(&line[..colon], || shared.slice_ref(shared[start + colon + 1..end].trim_ascii()));
            }
            start = end + 1;
        }
    }
}

fn pairs(fields: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

/// Reads a client's request. `ended`: without content.
pub fn read_request<T>(
    request: &Request<T>,
    ended: bool,
    recipient: Recipient,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<(), ParseError> {
    let uri = request.uri();
    let protocol = request.extensions().get::<h2::ext::Protocol>();
    let connect = request.method() == Method::CONNECT && protocol.is_none();
    let pseudo = PseudoFields {
        method: request.method().as_str().as_bytes(),
        // The library drops the scheme where there is no authority for it.
        scheme: uri.scheme_str().or((!connect && uri.authority().is_none()).then_some("http")).map(str::as_bytes),
        authority: uri.authority().map(|a| a.as_str().as_bytes()),
        path: uri.path_and_query().map(|p| p.as_str().as_bytes()).filter(|_| !connect),
        protocol: protocol.map(|p| p.as_str().as_bytes()),
    };
    read_http2_request(&pseudo, pairs(request.headers()), ended, recipient, limits, head)
}

/// Reads a server's response. `accepted`: it is the success of an extended CONNECT, and reads as the 101 with these
/// fields that an Upgrade would have been answered with.
pub fn read_response(
    response: &Response<()>,
    ended: bool,
    request: &RequestHead,
    accepted: bool,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<(), ParseError> {
    let status = response.status().as_u16();
    if !accepted {
        return read_http2_response(status, request.method, pairs(response.headers()), ended, limits, head);
    }
    let key = request.values(FieldKind::SecWebSocketKey).next().map(websocket_accept);
    let upgrade: (&[u8], &[u8]) = (b"upgrade", b"websocket");
    let accept = key.as_ref().map(|key| (&b"sec-websocket-accept"[..], key.as_bytes()));
    let fields = pairs(response.headers()).filter(|(name, _)| *name != b"sec-websocket-accept");
    read_http2_switch(fields.chain([upgrade]).chain(accept), limits, head)
}

/// RFC 6455, section 4.2.2.
pub fn websocket_accept(key: &[u8]) -> String {
    use base64::Engine as _;
    let digest = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// The response in `response` as a client gets it; `plan` is none for interim ones and tunnels.
pub fn response_for_client(
    flow: &Flow<'_>,
    request: &RequestHead,
    response: &ResponseHead,
    plan: Option<BodyPlan>,
) -> Response<()> {
    let mut sink = HeaderSink::default();
    flow.write_response_fields(request, response, plan, &mut sink);
    // RFC 8441, section 5: success is 200.
    let status = if response.status == 101 { 200 } else { response.status };
    respond(status, sink.fields)
}

/// Bytes that the head would have as text, for accounts.
pub fn head_size(response: &Response<()>) -> u64 {
    response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() as u64 + 16
}

pub fn respond(status: u16, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.version_mut() = Version::HTTP_2;
    *response.headers_mut() = fields;
    response
}

/// The request as a server gets it. None where it cannot be written: a method or target that `http` does not take.
pub fn request_for_upstream(
    flow: &Flow<'_>,
    head: &RequestHead,
    target: &[u8],
    secure: bool,
    websocket: bool,
    framing: Framing,
) -> Option<Request<()>> {
    let mut sink = HeaderSink::default();
    flow.write_request_fields(head, framing, &mut sink);
    let mut request = Request::new(());
    let authority = sink.host.take().filter(|host| !host.is_empty());
    let mut uri = http::uri::Parts::default();
    uri.authority = authority.and_then(|host| Authority::from_maybe_shared(host).ok());
    uri.authority.as_ref()?;
    uri.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    uri.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    *request.method_mut() = Method::from_bytes(flow.upstream_method(head).1).ok()?;
    *request.version_mut() = Version::HTTP_2;
    if websocket {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        sink.fields.remove("sec-websocket-key");
    }
    *request.headers_mut() = sink.fields;
    Some(request)
}

/// Trailers that may pass, out of those that came by HTTP/2.
pub fn trailers_of(trailers: &HeaderMap, policy: TrailerPolicy<'_>) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(trailers.len());
    for (name, value) in trailers {
        if is_http2_trailer(name.as_str().as_bytes(), value.as_bytes()) && policy.passes(name.as_str().as_bytes()) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}
