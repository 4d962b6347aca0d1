//! Heads: one owned, reused run of bytes and a table of places in it.

use crate::Framing;
use crate::encode::{Fate, FieldSink, pass_fields};

/// A range of bytes in a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..(self.start + self.len) as usize]
    }

    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    pub(crate) fn range(start: usize, end: usize) -> Self {
        // a head is bounded far below 4 GiB before it gets here
        Self { start: start as u32, len: (end - start) as u32 }
    }

    /// Where `part`, a slice of `bytes`, lies in it.
    pub(crate) fn within(bytes: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
        Self::range(start, start + part.len())
    }

    pub(crate) fn in_mut(self, bytes: &mut [u8]) -> &mut [u8] {
        &mut bytes[self.start as usize..self.end()]
    }

    pub(crate) fn end(self) -> usize {
        (self.start + self.len) as usize
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// Methods whose semantics the proxy must know; all others are relayed as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

impl Method {
    /// Methods are compared with case (RFC 9110, section 9.1).
    pub fn from_bytes(method: &[u8]) -> Self {
        match method {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// RFC 9110, section 9.2.2. `Other` is not, since nothing is known of it.
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

/// RFC 9112, section 3.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    #[default]
    Origin,
    Absolute,
    Authority,
    Asterisk,
}

/// What a field is to a proxy. Everything else is `Other` and passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Other,
    Host,
    /// RFC 9110, section 7.6.1, and each field that `Connection` names.
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    Http2Settings,
    /// Named by `Connection`, thus for this hop only.
    HopByHop,
    ContentLength,
    Expect,
    MaxForwards,
    ProxyAuthorization,
    ProxyAuthenticate,
    ProxyAuthenticationInfo,
    Authorization,
    Cookie,
    SetCookie,
    Via,
    CdnLoop,
    Forwarded,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XRealIp,
    From,
    Referer,
    UserAgent,
    Accept,
    ProxyStatus,
    /// Spelt with `_` where a field that this table knows has `-`. Servers that hand fields on as variables
    /// (CGI, WSGI) read both as one name, so it must not pass for the real one.
    Disguised,
    Date,
    Server,
    Location,
    SecWebSocketKey,
    SecWebSocketAccept,
    StrictTransportSecurity,
    XClientCertSubject,
    XClientCertFingerprint,
    CacheControl,
    Pragma,
    Age,
    Expires,
    ETag,
    LastModified,
    Vary,
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    IfRange,
    Range,
    ContentRange,
    CacheStatus,
}

impl FieldKind {
    /// Kind of a field by its name.
    pub fn of(name: &[u8]) -> Self {
        crate::fields::classify(name)
    }

    /// Whether the field ends at this hop whatever it says.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
                | Self::HopByHop
        )
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: Span,
    /// Without surrounding white space.
    pub value: Span,
    pub kind: FieldKind,
}

/// Bounds on a head, each answered with its own status.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head; beyond it 431 (or 414 while still in the request line).
    pub head: usize,
    /// Number of fields; beyond it 431. At most [`HeadLimits::MAX_FIELDS`].
    pub fields: usize,
    /// Bytes of the request target; beyond it 414.
    pub target: usize,
}

impl HeadLimits {
    pub const MAX_FIELDS: usize = 256;
}

/// A request head, checked: one host, one reading of its framing, a target of a known form.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    pub method: Method,
    pub version: Version,
    pub form: TargetForm,
    pub scheme: Scheme,
    pub framing: Framing,
    /// The client asked for, or the version implies, that the connection goes on after this exchange.
    pub keep_alive: bool,
    /// `Expect: 100-continue` stands in an HTTP/1.1 request.
    pub expect_continue: bool,
    /// `Connection: upgrade` and an `Upgrade` field stand in an HTTP/1.1 request.
    pub upgrade: bool,
    /// Came as an extended CONNECT (RFC 8441).
    pub extended_connect: bool,
    /// `TE: trailers`: the client takes trailers.
    pub te_trailers: bool,
    pub max_forwards: Option<u32>,
    /// Explicit port of the authority.
    pub port: Option<u16>,
    pub(crate) method_text: Span,
    pub(crate) target: Span,
    pub(crate) host: Span,
    pub(crate) authority: Span,
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    pub(crate) normal_path: Option<Span>,
}

impl RequestHead {
    /// Empties the head for the next message and keeps its memory.
    pub fn clear(&mut self) {
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = Self { bytes, fields, ..Self::default() };
    }

    /// Fills the head as a CONNECT to that host and port would, for flows that came by other means (SOCKS5).
    /// A host with a colon is an IPv6 address and stands without brackets.
    pub fn set_connect(&mut self, host: &[u8], port: u16) {
        self.clear();
        self.method = Method::Connect;
        self.form = TargetForm::Authority;
        self.port = Some(port);
        self.keep_alive = true;
        self.method_text = self.append(&[b"CONNECT"]);
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(port).as_bytes();
        self.target = if host.contains(&b':') {
            self.append(&[b"[", host, b"]:", digits])
        } else {
            self.append(&[host, b":", digits])
        };
        self.authority = self.target;
        self.host = self.append(&[host.strip_suffix(b".").unwrap_or(host)]);
        self.host.in_mut(&mut self.bytes).make_ascii_lowercase();
    }

    /// Puts derived text behind the head's own bytes.
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Span {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        Span::range(start, self.bytes.len())
    }

    /// The method as it stood on the wire.
    pub fn method_text(&self) -> &[u8] {
        self.method_text.of(&self.bytes)
    }

    /// The request target as it stood on the wire.
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.bytes)
    }

    /// Host of the target, else of `Host`: lower case, no port, no trailing dot, IPv6 without brackets.
    /// Empty where the request named none (HTTP/1.0).
    pub fn host(&self) -> &[u8] {
        self.host.of(&self.bytes)
    }

    /// `host[:port]` as the client wrote it, for a `Host` field.
    pub fn authority(&self) -> &[u8] {
        self.authority.of(&self.bytes)
    }

    /// Path as it stood on the wire: starts with `/`, or is `*` (asterisk-form), or empty (authority-form).
    pub fn path(&self) -> &[u8] {
        self.path.of(&self.bytes)
    }

    /// The path that rules match on: unreserved characters and slashes decoded, dot segments removed
    /// (RFC 3986, section 6.2.2), slashes merged. The upstream still gets [`Self::path`].
    pub fn normal_path(&self) -> &[u8] {
        self.normal_path.unwrap_or(self.path).of(&self.bytes)
    }

    /// Without the `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|q| q.of(&self.bytes))
    }

    /// Bytes of the head as it came.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// A response head, checked in the same way.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    pub version: Version,
    pub status: u16,
    pub framing: Framing,
    pub keep_alive: bool,
    pub(crate) reason: Span,
}

impl ResponseHead {
    /// Empties the head for the next message and keeps its memory.
    pub fn clear(&mut self) {
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = Self { bytes, fields, ..Self::default() };
    }

    /// Fills the head with a response that was checked when it came: `lines` are its fields, each with its CRLF.
    pub fn set_stored(&mut self, status: u16, lines: &[u8], framing: Framing) {
        self.clear();
        self.status = status;
        self.framing = framing;
        self.keep_alive = true;
        self.bytes.extend_from_slice(lines);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', lines) {
            let line = &lines[start..end];
            if let Some(colon) = memchr::memchr(b':', line) {
                let name = &line[..colon];
                let value = line[colon + 1..].trim_ascii();
                let value = match value.is_empty() {
                    true => Span::range(start + colon + 1, start + colon + 1),
                    false => Span::within(lines, value),
                };
                let name_span = Span::range(start, start + colon);
                self.fields.push(Field { name: name_span, value, kind: FieldKind::of(name) });
            }
            start = end + 1;
        }
    }

    /// Adds a field behind the others.
    pub fn push_field(&mut self, name: &[u8], value: &[u8]) {
        let kind = FieldKind::of(name);
        // The blank line that ended the head would end it here too.
        while self.bytes.ends_with(b"\n\r\n") {
            self.bytes.truncate(self.bytes.len() - 2);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let at = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        let name = Span::range(start, start + name.len());
        self.fields.push(Field { name, value: Span::range(at, at + value.len()), kind });
    }

    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.bytes)
    }

    /// 1xx other than 101: more responses follow.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// What both heads tell of their fields.
macro_rules! fields_of {
    ($head:ty) => {
        impl $head {
            pub fn fields(&self) -> &[Field] {
                &self.fields
            }

            pub fn name(&self, field: &Field) -> &[u8] {
                field.name.of(&self.bytes)
            }

            pub fn value(&self, field: &Field) -> &[u8] {
                field.value.of(&self.bytes)
            }

            /// Writes the fields as `fate` decides for each.
            pub fn pass_fields<'f>(&self, sink: &mut impl FieldSink, fate: impl FnMut(&Field) -> Fate<'f>) {
                pass_fields(&self.bytes, &self.fields, sink, fate);
            }

            /// Values of all fields of one kind, in order.
            pub fn values(&self, kind: FieldKind) -> impl Iterator<Item = &[u8]> {
                self.fields.iter().filter(move |f| f.kind == kind).map(|f| f.value.of(&self.bytes))
            }

            /// Values of all fields of one name (compared without case) that are not for this hop only, in order.
            pub fn lasting_values_of<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
                self.fields
                    .iter()
                    .filter(move |f| !f.kind.is_hop_by_hop() && f.name.of(&self.bytes).eq_ignore_ascii_case(name))
                    .map(|f| f.value.of(&self.bytes))
            }

            /// Values of all fields of one name (compared without case), in order.
            pub fn values_of<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
                self.fields
                    .iter()
                    .filter(move |f| f.name.of(&self.bytes).eq_ignore_ascii_case(name))
                    .map(|f| f.value.of(&self.bytes))
            }
        }
    };
}

fields_of!(RequestHead);
fields_of!(ResponseHead);
