//! The request head as the upstream sees it.

use std::io::Write as _;
use std::net::IpAddr;

use reviver_http::{Fate, FieldKind, FieldSink, Framing, RequestHead, ResponseHead, TargetForm, Version};
use reviver_plan::{AnonymityLevel, FieldPolicy, HeaderRules, Role, Snapshot};

use crate::Flow;

/// Fields by which proxies and CDNs tell an origin the client's address. All end at a proxy that does not
/// tell it.
const CLIENT_ADDRESS_FIELDS: &[&[u8]] = &[
    b"client-ip",
    b"x-client-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"fastly-client-ip",
    b"x-cluster-client-ip",
    b"x-originating-ip",
    b"x-remote-ip",
    b"x-remote-addr",
    b"x-forwarded",
    b"forwarded-for",
    b"x-original-forwarded-for",
    b"x-proxyuser-ip",
    b"wl-proxy-client-ip",
    b"x-appengine-user-ip",
];

/// Further fields that identify a person or a device, or that show that a proxy was there.
const IDENTIFYING_FIELDS: &[&[u8]] = &[
    b"x-requested-with",
    b"x-wap-profile",
    b"x-uidh",
    b"x-device-id",
    b"x-correlation-id",
    b"x-request-id",
    b"traceparent",
    b"tracestate",
    b"baggage",
    b"x-proxy-id",
    b"x-via",
    b"proxy-authenticate",
    b"proxy-info",
];

impl Flow<'_> {
    /// The request target for the upstream. `scratch` is reused space.
    pub fn write_target(&self, head: &RequestHead, out: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        let asterisk = head.form == TargetForm::Asterisk
            // An OPTIONS in absolute form without a path is the asterisk form (RFC 9112, section 3.2.4).
            || (head.path().is_empty() && head.method == reviver_http::Method::Options);
        if asterisk {
            out.push(b'*');
            return;
        }
        let rewrite = self.record.route.and_then(|r| self.snapshot.rewrites.get(r as usize)).and_then(Option::as_ref);
        match rewrite {
            Some(rewrite) => {
                scratch.clear();
                if !rewrite.apply(head.path(), scratch) {
                    scratch.clear();
                    rewrite.apply(head.normal_path(), scratch);
                }
                out.extend_from_slice(scratch);
            }
            None if head.path().is_empty() => out.push(b'/'),
            None => out.extend_from_slice(head.path()),
        }
        if let Some(query) = head.query() {
            out.push(b'?');
            out.extend_from_slice(query);
        }
    }

    /// All fields for the upstream, `Host` first, framing last.
    pub fn write_request_fields(&self, head: &RequestHead, framing: Framing, sink: &mut impl FieldSink) {
        let route = self.route();
        let fetch = self.fetch();
        match route.and_then(|r| r.rewrite.host.as_deref()) {
            Some(host) => sink.field(b"Host", host.as_bytes()),
            None if head.authority().is_empty() => sink.field(b"Host", self.server_address().as_bytes()),
            None => sink.field(b"Host", head.authority()),
        }
        let none = HeaderRules::default();
        let rules = route.map_or(&none, |r| &r.request_headers);
        match self.role {
            Role::Reverse => self.reverse_fields(head, rules, fetch, sink),
            Role::Forward => self.forward_fields(head, fetch, sink),
        }
        if !fetch.validators.is_empty() {
            sink.lines(fetch.validators);
        }
        if let Some((first, last)) = fetch.slice {
            sink.field(b"Range", format!("bytes={first}-{last}").as_bytes());
        }
        if head.expect_continue {
            sink.field(b"Expect", b"100-continue");
        }
        if offers_upgrade(head) {
            sink.field(b"Connection", b"Upgrade");
            for value in offered_protocols(head) {
                sink.field(b"Upgrade", value);
            }
        } else if head.te_trailers {
            sink.field(b"Connection", b"TE");
            sink.field(b"TE", b"trailers");
        }
        match framing {
            Framing::Length(length) => sink.field(b"Content-Length", itoa::Buffer::new().format(length).as_bytes()),
            Framing::Chunked => sink.field(b"Transfer-Encoding", b"chunked"),
            Framing::None | Framing::UntilClose => {}
        }
        add_fields(rules, sink);
    }

    fn server_address(&self) -> &str {
        let (Some(pool), Some(server)) = (self.record.pool, self.record.server) else { return "" };
        self.snapshot.server(pool, server).map_or("", |s| s.address.as_str())
    }

    fn reverse_fields(&self, head: &RequestHead, rules: &HeaderRules, fetch: Fetch<'_>, sink: &mut impl FieldSink) {
        let trusted = self.snapshot.trusted.contains(self.client.peer.ip());
        let mut forwarded_for: Option<Vec<u8>> = None;
        let (mut proto, mut host) = (false, false);
        head.pass_fields(sink, |field| {
            match field.kind {
                FieldKind::Other => {}
                kind if is_rewritten(kind) || fetch.replaces(kind) => return Fate::Drop,
                FieldKind::XForwardedFor => {
                    if trusted {
                        append_member(&mut forwarded_for, head.value(field));
                    }
                    return Fate::Drop;
                }
                // Only what this proxy has verified itself is told by these names.
                FieldKind::XClientCertSubject | FieldKind::XClientCertFingerprint => return Fate::Drop,
                // RFC 8441, section 5: the handshake with the server has a key of its own.
                FieldKind::SecWebSocketKey if head.extended_connect => return Fate::Drop,
                FieldKind::XForwardedProto
                | FieldKind::XForwardedHost
                | FieldKind::XForwardedPort
                | FieldKind::Forwarded
                | FieldKind::XRealIp => {
                    if !trusted {
                        return Fate::Drop;
                    }
                    proto |= field.kind == FieldKind::XForwardedProto;
                    host |= field.kind == FieldKind::XForwardedHost;
                }
                _ => {}
            }
            if is_ruled_out(head.name(field), rules) { Fate::Drop } else { Fate::Pass }
        });
        write_max_forwards(head, sink);
        let peer = AddressText::new(self.client.peer.ip());
        match forwarded_for {
            Some(_) => {
                append_member(&mut forwarded_for, peer.text());
                generated(b"X-Forwarded-For", forwarded_for.as_deref().unwrap_or_default(), rules, sink);
            }
            None => generated(b"X-Forwarded-For", peer.text(), rules, sink),
        }
        if !proto {
            generated(b"X-Forwarded-Proto", self.scheme(), rules, sink);
        }
        if !host && !head.authority().is_empty() {
            generated(b"X-Forwarded-Host", head.authority(), rules, sink);
        }
        if let Some(certificate) = self.client_tls().and_then(|t| t.certificate.as_ref()) {
            generated(b"X-Client-Cert-Subject", certificate.subject.as_bytes(), rules, sink);
            generated(b"X-Client-Cert-Fingerprint", certificate.fingerprint.as_bytes(), rules, sink);
        }
        write_via(self.snapshot, head.version, rules, sink);
    }

    fn forward_fields(&self, head: &RequestHead, fetch: Fetch<'_>, sink: &mut impl FieldSink) {
        let Some(anonymity) = self.snapshot.plan.forward.as_ref().map(|f| &f.anonymity) else { return };
        let level = anonymity.level;
        let transparent = level == AnonymityLevel::Transparent;
        let high = level == AnonymityLevel::High;
        let mut forwarded_for: Option<Vec<u8>> = None;
        head.pass_fields(sink, |field| match field.kind {
            FieldKind::Other if transparent => Fate::Pass,
            FieldKind::Other => {
                let name = head.name(field);
                let tells = is_named(name, CLIENT_ADDRESS_FIELDS) || (high && is_named(name, IDENTIFYING_FIELDS));
                if tells { Fate::Drop } else { Fate::Pass }
            }
            kind if is_rewritten(kind) || fetch.replaces(kind) => Fate::Drop,
            FieldKind::XForwardedFor => {
                if transparent {
                    append_member(&mut forwarded_for, head.value(field));
                }
                Fate::Drop
            }
            FieldKind::SecWebSocketKey if head.extended_connect => Fate::Drop,
            FieldKind::Forwarded
            | FieldKind::XForwardedProto
            | FieldKind::XForwardedHost
            | FieldKind::XForwardedPort
            | FieldKind::XRealIp
                if !transparent =>
            {
                Fate::Drop
            }
            FieldKind::Via | FieldKind::CdnLoop | FieldKind::From if high => Fate::Drop,
            FieldKind::UserAgent => fate_of(&anonymity.user_agent, || true),
            FieldKind::Referer => fate_of(&anonymity.referer, || same_host(head.value(field), head.host())),
            FieldKind::Cookie => fate_of(&anonymity.cookies, || true),
            _ => Fate::Pass,
        });
        write_max_forwards(head, sink);
        if transparent {
            append_member(&mut forwarded_for, AddressText::new(self.client.address).text());
            sink.field(b"X-Forwarded-For", forwarded_for.as_deref().unwrap_or_default());
        }
        if !high {
            write_via(self.snapshot, head.version, &HeaderRules::default(), sink);
        }
    }
}

/// What a fetch for the cache changes in a request.
#[derive(Clone, Copy)]
pub(crate) struct Fetch<'a> {
    /// Conditions of the cache's own, as lines.
    validators: &'a [u8],
    /// The whole response is wanted, or this part of it.
    whole: bool,
    slice: Option<(u64, u64)>,
}

impl Fetch<'_> {
    fn replaces(self, kind: FieldKind) -> bool {
        match kind {
            FieldKind::IfNoneMatch | FieldKind::IfModifiedSince => self.whole || !self.validators.is_empty(),
            FieldKind::Range | FieldKind::IfRange => self.whole,
            _ => false,
        }
    }
}

impl Flow<'_> {
    fn fetch(&self) -> Fetch<'_> {
        let caching = self.caching.as_ref();
        Fetch {
            validators: caching.map_or(&[], |c| &c.validators),
            whole: caching.is_some_and(|c| c.whole),
            slice: self.slice(),
        }
    }
}

/// What a policy makes of a field; `same_host` tells whether it leads to where the request goes.
fn fate_of(policy: &FieldPolicy, same_host: impl FnOnce() -> bool) -> Fate<'_> {
    match policy {
        FieldPolicy::Keep => Fate::Pass,
        FieldPolicy::Remove => Fate::Drop,
        FieldPolicy::SameHost if same_host() => Fate::Pass,
        FieldPolicy::SameHost => Fate::Drop,
        FieldPolicy::Replace(text) => Fate::Replace(text.as_bytes()),
    }
}

/// One more member at the end of a comma-separated list.
fn append_member(list: &mut Option<Vec<u8>>, member: &[u8]) {
    let list = list.get_or_insert_default();
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member);
}

/// Protocols that the client may be switched to. Never HTTP/2 or TLS: behind them would go requests that no rule
/// has seen (and RFC 9113, section 3.1, has withdrawn `h2c`).
fn offered_protocols(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    head.values(FieldKind::Upgrade).flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii).filter(
        |protocol| {
            let name = protocol.split(|b| *b == b'/').next().unwrap_or_default();
            let hides = [&b"h2c"[..], b"h2", b"http", b"tls"];
            !name.is_empty() && !hides.iter().any(|hidden| name.eq_ignore_ascii_case(hidden))
        },
    )
}

/// Whether the request asks for a switch that is passed on. A body would stand between the request and the
/// tunnel, so that a request with one does not.
fn offers_upgrade(head: &RequestHead) -> bool {
    head.upgrade && head.framing == Framing::None && offered_protocols(head).next().is_some()
}

impl Flow<'_> {
    /// Whether the request asks for a WebSocket, which HTTP/2 has another way for (RFC 8441).
    pub fn offers_websocket(&self, head: &RequestHead) -> bool {
        offers_upgrade(head) && offered_protocols(head).any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
    }
}

/// Whether a response may switch protocols: only to one that was offered (RFC 9110, section 7.8).
pub(crate) fn may_switch(request: &RequestHead, response: &ResponseHead) -> bool {
    let mut switched =
        response.values(FieldKind::Upgrade).flat_map(|v| v.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let offered = |protocol: &[u8]| offered_protocols(request).any(|offer| offer.eq_ignore_ascii_case(protocol));
    offers_upgrade(request) && switched.next().is_some_and(offered) && switched.next().is_none()
}

/// Which trailers pass. They are fields (RFC 9110, section 6.5): what a rule or a level takes out of heads must
/// not go round them behind the body.
#[derive(Clone, Copy, Debug)]
pub struct TrailerPolicy<'s> {
    rules: Option<&'s HeaderRules>,
    level: Option<AnonymityLevel>,
}

impl TrailerPolicy<'_> {
    /// Nothing is known that would take a trailer out.
    pub const ALL: TrailerPolicy<'static> = TrailerPolicy { rules: None, level: None };

    pub fn passes(&self, name: &[u8]) -> bool {
        // Fields that the proxy knows are read from heads, and belong there.
        let ordinary = reviver_http::FieldKind::of(name) == FieldKind::Other && !is_named(name, CLIENT_ADDRESS_FIELDS);
        let hidden = self.level == Some(AnonymityLevel::High) && is_named(name, IDENTIFYING_FIELDS);
        ordinary && !hidden && self.rules.is_none_or(|rules| !is_ruled_out(name, rules))
    }
}

impl<'s> Flow<'s> {
    pub fn request_trailers(&self) -> TrailerPolicy<'s> {
        let forward = self.snapshot.plan.forward.as_ref().filter(|_| self.role == Role::Forward);
        TrailerPolicy { rules: self.route().map(|r| &r.request_headers), level: forward.map(|f| f.anonymity.level) }
    }

    pub fn response_trailers(&self) -> TrailerPolicy<'s> {
        TrailerPolicy { rules: self.route().map(|r| &r.response_headers), level: None }
    }
}

/// Fields that the proxy writes itself or that end here.
fn is_rewritten(kind: FieldKind) -> bool {
    kind.is_hop_by_hop()
        || matches!(
            kind,
            FieldKind::Host
                | FieldKind::Disguised
                | FieldKind::ContentLength
                | FieldKind::Expect
                | FieldKind::MaxForwards
                | FieldKind::ProxyAuthorization
        )
}

/// A field of the proxy's own, which rules may remove or replace like any other.
pub(crate) fn generated(name: &[u8], value: &[u8], rules: &HeaderRules, sink: &mut impl FieldSink) {
    if !is_ruled_out(name, rules) {
        sink.field(name, value);
    }
}

/// Whether a rule removes or replaces fields of this name.
pub(crate) fn is_ruled_out(name: &[u8], rules: &HeaderRules) -> bool {
    rules.remove.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
        || rules.set.iter().any(|(n, _)| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// What rules set and add.
pub(crate) fn add_fields(rules: &HeaderRules, sink: &mut impl FieldSink) {
    for (name, value) in rules.set.iter().chain(&rules.add) {
        sink.field(name.as_bytes(), value.as_bytes());
    }
}

/// RFC 9110, section 7.6.2: one less than what came.
fn write_max_forwards(head: &RequestHead, sink: &mut impl FieldSink) {
    if let Some(count) = head.max_forwards {
        let count = if head.method == reviver_http::Method::Options { count.saturating_sub(1) } else { count };
        sink.field(b"Max-Forwards", itoa::Buffer::new().format(count).as_bytes());
    }
}

/// RFC 9110, section 7.6.3: the version in which the message was received, and the pseudonym.
pub(crate) fn write_via(snapshot: &Snapshot, version: Version, rules: &HeaderRules, sink: &mut impl FieldSink) {
    let mut value = [0u8; 80];
    let version: &[u8] = match version {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"2.0 ",
    };
    let via = snapshot.plan.via.as_bytes();
    let length = version.len() + via.len();
    match value.get_mut(..length) {
        Some(space) => {
            space[..version.len()].copy_from_slice(version);
            space[version.len()..].copy_from_slice(via);
            generated(b"Via", &value[..length], rules, sink);
        }
        None => generated(b"Via", &[version, via].concat(), rules, sink),
    }
}

fn is_named(name: &[u8], names: &[&[u8]]) -> bool {
    // `_` is `-` to servers that hand fields on as variables.
    let same = |a: &u8, b: &u8| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
    names.iter().any(|n| n.len() == name.len() && name.iter().zip(*n).all(|(a, b)| same(a, b)))
}

/// Whether the URL in `Referer` names this host.
fn same_host(referer: &[u8], host: &[u8]) -> bool {
    let Some(at) = referer.windows(3).position(|w| w == b"://") else { return false };
    let rest = &referer[at + 3..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    reviver_http::parse_authority(&rest[..end]).is_ok_and(|a| a.host.eq_ignore_ascii_case(host))
}

/// An address as text, without allocation.
struct AddressText {
    bytes: [u8; 64],
    length: usize,
}

impl AddressText {
    fn new(address: IpAddr) -> Self {
        let mut this = Self { bytes: [0; 64], length: 0 };
        match address.to_canonical() {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        this.push(b".");
                    }
                    this.push(itoa::Buffer::new().format(octet).as_bytes());
                }
            }
            IpAddr::V6(address) => {
                let room = this.bytes.len();
                let mut cursor = &mut this.bytes[..];
                // The longest textual address has 45 bytes: the write cannot fail.
                let _ = write!(cursor, "{address}");
                this.length = room - cursor.len();
            }
        }
        this
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
