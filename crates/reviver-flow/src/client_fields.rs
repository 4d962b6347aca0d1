//! The response head as the client sees it.

use reviver_http::{Fate, FieldKind, FieldSink, Framing, Method, RequestHead, ResponseHead, Version};
use reviver_plan::{AnonymityLevel, FieldPolicy, HeaderRules, Role};

use crate::Flow;
use crate::upstream_fields::{add_fields, generated, is_ruled_out, write_via};

/// How a response is delimited towards the client, and whether the connection goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPlan {
    pub framing: Framing,
    pub keep_alive: bool,
}

impl BodyPlan {
    /// Framing is always rebuilt for the version that the client speaks (RFC 9112, section 6.3): a body of
    /// unknown length is chunked for HTTP/1.1, ends with the connection for HTTP/1.0 and with the stream for HTTP/2.
    pub fn new(request: &RequestHead, response: &ResponseHead, keep_alive: bool) -> Self {
        let framing = match response.framing {
            Framing::None => Framing::None,
            Framing::Length(length) => Framing::Length(length),
            Framing::Chunked | Framing::UntilClose if request.version == Version::Http11 => Framing::Chunked,
            Framing::Chunked | Framing::UntilClose => Framing::UntilClose,
        };
        let streams = request.version == Version::Http2;
        Self { framing, keep_alive: keep_alive && request.keep_alive && (framing != Framing::UntilClose || streams) }
    }
}

impl Flow<'_> {
    /// All fields of a response, interim ones (1xx) included. `body` is `None` for those and for 101.
    pub fn write_response_fields(
        &self,
        request: &RequestHead,
        response: &ResponseHead,
        body: Option<BodyPlan>,
        sink: &mut impl FieldSink,
    ) {
        let none = HeaderRules::default();
        let rules = self.route().map_or(&none, |r| &r.response_headers);
        // Metadata of what GET would have brought; a body's own length is written below.
        let length_stays = request.method == Method::Head || response.status == 304;
        let forward = self.role == Role::Forward;
        let anonymity = self.snapshot.plan.forward.as_ref().filter(|_| forward).map(|f| &f.anonymity);
        let no_cookies = anonymity.is_some_and(|a| a.cookies == FieldPolicy::Remove);
        let hsts = self.hsts();
        let told = self.variant().and_then(|(split, _)| split.response_header.as_deref());
        let served = self.record.cache.is_some_and(|c| c.age.is_some());
        response.pass_fields(sink, |field| {
            match field.kind {
                // A forward proxy must not be led around its own policy (RFC 7838).
                FieldKind::Other if forward && response.name(field).eq_ignore_ascii_case(b"alt-svc") => {
                    return Fate::Drop;
                }
                // Where it is told which variant answers the variant itself has no say.
                FieldKind::Other if told.is_some_and(|t| response.name(field).eq_ignore_ascii_case(t.as_bytes())) => {
                    return Fate::Drop;
                }
                FieldKind::Other => {}
                FieldKind::Age if served => return Fate::Drop,
                FieldKind::ContentLength if length_stays => {}
                // For this proxy or for none: an origin does not ask for a proxy's password.
                FieldKind::ContentLength | FieldKind::ProxyAuthenticate | FieldKind::ProxyAuthenticationInfo => {
                    return Fate::Drop;
                }
                FieldKind::StrictTransportSecurity if hsts.is_some() => return Fate::Drop,
                // HTTP/2 has no such handshake (RFC 8441, section 5).
                FieldKind::SecWebSocketAccept if request.extended_connect => return Fate::Drop,
                FieldKind::SetCookie if no_cookies => return Fate::Drop,
                kind if kind.is_hop_by_hop() => return Fate::Drop,
                _ => {}
            }
            if is_ruled_out(response.name(field), rules) { Fate::Drop } else { Fate::Pass }
        });
        if forward && self.snapshot.plan.forward.as_ref().is_some_and(|f| f.anonymity.level != AnonymityLevel::High) {
            write_via(self.snapshot, response.version, &none, sink);
        }
        if let Some(value) = hsts.filter(|_| !response.is_interim()) {
            generated(b"Strict-Transport-Security", value.as_bytes(), rules, sink);
        }
        if !response.is_interim() {
            self.write_cache_fields(sink);
            self.write_limit_fields(sink);
            self.write_staying(sink);
        }
        add_fields(rules, sink);
        match body {
            Some(plan) => {
                write_framing(plan.framing, sink);
                write_connection(request, plan.keep_alive, sink);
            }
            None if response.status == 101 && request.version < Version::Http2 => {
                sink.field(b"Connection", b"Upgrade");
                for value in response.values(FieldKind::Upgrade) {
                    sink.field(b"Upgrade", value);
                }
            }
            None => {}
        }
    }
}

pub(crate) fn write_framing(framing: Framing, sink: &mut impl FieldSink) {
    match framing {
        Framing::Length(length) => sink.field(b"Content-Length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked => sink.field(b"Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
}

/// Says what the version does not imply.
pub(crate) fn write_connection(request: &RequestHead, keep_alive: bool, sink: &mut impl FieldSink) {
    match (request.version, keep_alive) {
        (Version::Http10, true) => sink.field(b"Connection", b"keep-alive"),
        (Version::Http11, false) => sink.field(b"Connection", b"close"),
        _ => {}
    }
}
