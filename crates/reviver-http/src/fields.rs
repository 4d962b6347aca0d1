//! What each field of a head is, and what the fields say together.

use crate::grammar::{is_token, list};
use crate::head::{Field, FieldKind};
use crate::{ParseError, Version};

/// Kind of a field name. Length and first letter leave one candidate (in few cases two), which is then compared
/// without regard to case.
#[inline]
pub(crate) fn classify(name: &[u8]) -> FieldKind {
    use FieldKind as K;
    let Some(first) = name.first() else {
        return K::Other;
    };
    let (candidate, kind): (&[u8], FieldKind) = match (name.len(), first | 0x20) {
        (2, b't') => (b"te", K::Te),
        (3, b'v') => (b"via", K::Via),
        (3, b'a') => (b"age", K::Age),
        (4, b'v') => (b"vary", K::Vary),
        (4, b'e') => (b"etag", K::ETag),
        (4, b'h') => (b"host", K::Host),
        (4, b'd') => (b"date", K::Date),
        (4, b'f') => (b"from", K::From),
        (5, b'r') => (b"range", K::Range),
        (6, b'p') => (b"pragma", K::Pragma),
        (6, b'a') => (b"accept", K::Accept),
        (6, b'c') => (b"cookie", K::Cookie),
        (6, b's') => (b"server", K::Server),
        (6, b'e') => (b"expect", K::Expect),
        (7, b'e') => (b"expires", K::Expires),
        (7, b'r') => (b"referer", K::Referer),
        (7, b'u') => (b"upgrade", K::Upgrade),
        (7, b't') => (b"trailer", K::Trailer),
        (8, b'i') if name[3] | 0x20 == b'r' => (b"if-range", K::IfRange),
        (8, b'i') => (b"if-match", K::IfMatch),
        (8, b'c') => (b"cdn-loop", K::CdnLoop),
        (8, b'l') => (b"location", K::Location),
        (9, b'f') => (b"forwarded", K::Forwarded),
        (9, b'x') => (b"x-real-ip", K::XRealIp),
        (10, b'c') => (b"connection", K::Connection),
        (10, b'u') => (b"user-agent", K::UserAgent),
        (10, b's') => (b"set-cookie", K::SetCookie),
        (10, b'k') => (b"keep-alive", K::KeepAlive),
        (12, b'c') => (b"cache-status", K::CacheStatus),
        (12, b'm') => (b"max-forwards", K::MaxForwards),
        (12, b'p') => (b"proxy-status", K::ProxyStatus),
        (13, b'a') => (b"authorization", K::Authorization),
        (13, b'c') if name[1] | 0x20 == b'a' => (b"cache-control", K::CacheControl),
        (13, b'c') => (b"content-range", K::ContentRange),
        (13, b'l') => (b"last-modified", K::LastModified),
        (13, b'i') => (b"if-none-match", K::IfNoneMatch),
        (14, b'c') => (b"content-length", K::ContentLength),
        (14, b'h') => (b"http2-settings", K::Http2Settings),
        (15, b'x') => (b"x-forwarded-for", K::XForwardedFor),
        (16, b'p') => (b"proxy-connection", K::ProxyConnection),
        (16, b'x') if name.last().is_some_and(|last| last | 0x20 == b't') && name[12] | 0x20 == b'h' => {
            (b"x-forwarded-host", K::XForwardedHost)
        }
        (16, b'x') => (b"x-forwarded-port", K::XForwardedPort),
        (17, b'i') => (b"if-modified-since", K::IfModifiedSince),
        (17, b't') => (b"transfer-encoding", K::TransferEncoding),
        (17, b'x') => (b"x-forwarded-proto", K::XForwardedProto),
        (17, b's') => (b"sec-websocket-key", K::SecWebSocketKey),
        (18, b'p') => (b"proxy-authenticate", K::ProxyAuthenticate),
        (19, b'i') => (b"if-unmodified-since", K::IfUnmodifiedSince),
        (19, b'p') => (b"proxy-authorization", K::ProxyAuthorization),
        (20, b's') => (b"sec-websocket-accept", K::SecWebSocketAccept),
        (21, b'x') => (b"x-client-cert-subject", K::XClientCertSubject),
        (25, b'p') => (b"proxy-authentication-info", K::ProxyAuthenticationInfo),
        (25, b's') => (b"strict-transport-security", K::StrictTransportSecurity),
        (25, b'x') => (b"x-client-cert-fingerprint", K::XClientCertFingerprint),
        _ => return K::Other,
    };
    if name.eq_ignore_ascii_case(candidate) {
        return kind;
    }
    let disguised = name.iter().zip(candidate).all(|(&n, &c)| n.eq_ignore_ascii_case(&c) || (n == b'_' && c == b'-'));
    if disguised { K::Disguised } else { K::Other }
}

/// Which kinds of field a head has.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    #[inline]
    pub(crate) fn add(&mut self, kind: FieldKind) {
        self.0 |= 1 << kind as u32;
    }

    #[inline]
    pub(crate) fn has(self, kind: FieldKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }
}

/// What `Connection`, or `Proxy-Connection` where there is none, says of the connection itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Persistence {
    close: bool,
    keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Persistence {
    /// RFC 9112, section 9.3. HTTP/1.0 goes on only where it was asked for.
    pub(crate) fn keep_alive(self, version: Version) -> bool {
        !self.close && (version > Version::Http10 || self.keep_alive)
    }

    fn read(&mut self, option: &[u8]) -> bool {
        if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else {
            return false;
        }
        true
    }
}

/// A head may name so many fields for this hop; real ones name two or three.
const MAX_OPTIONS: usize = 32;

/// Reads `Connection` and marks the fields that it names as [`FieldKind::HopByHop`] (RFC 9110, section 7.6.1).
///
/// Only fields of no known kind are marked: a known one either ends at this hop anyway or is handled by its own
/// rules, and an option naming it (a known way to make a proxy drop `Authorization` or `X-Forwarded-For`) is
/// without effect. An option naming `Host` or `Content-Length`, which that section forbids and which would
/// change routing or framing for one that obeys, is an error.
pub(crate) fn connection(bytes: &[u8], fields: &mut [Field], seen: Seen) -> Result<Persistence, ParseError> {
    let mut persistence = Persistence::default();
    let mut options = 0;
    if seen.has(FieldKind::Connection) {
        for index in 0..fields.len() {
            if fields[index].kind != FieldKind::Connection {
                continue;
            }
            for option in list(fields[index].value.of(bytes)) {
                options += 1;
                if persistence.read(option) {
                    continue;
                }
                if options > MAX_OPTIONS || !is_token(option) {
                    return Err(ParseError::BadConnection);
                }
                match classify(option) {
                    FieldKind::Host | FieldKind::ContentLength => return Err(ParseError::BadConnection),
                    FieldKind::Other => mark(bytes, fields, option),
                    _ => {}
                }
            }
        }
    } else if seen.has(FieldKind::ProxyConnection) {
        // never standardised, but what HTTP/1.0 clients and curl say to a proxy (RFC 9112, appendix C.2.2)
        for field in fields.iter().filter(|field| field.kind == FieldKind::ProxyConnection) {
            for option in list(field.value.of(bytes)) {
                persistence.read(option);
            }
        }
        persistence.upgrade = false;
    }
    Ok(persistence)
}

fn mark(bytes: &[u8], fields: &mut [Field], name: &[u8]) {
    for field in fields {
        if field.name.of(bytes).eq_ignore_ascii_case(name) {
            field.kind = FieldKind::HopByHop;
        }
    }
}
