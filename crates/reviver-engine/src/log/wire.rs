//! A record as bytes in a ring, and back.
//!
//! Rule 1: encoding allocates nothing once its buffer has grown. Rule 2: a record is at most
//! [`MAX_RECORD`] bytes whatever the request held; longer texts are cut and end in `...`. Rule 3: what
//! stands here never leaves the process, so the layout is free to change.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use reviver_cache::{Refusal, Why};
use reviver_flow::{CacheVerdict, Ending, Slug, Via};
use reviver_http::{FieldKind, Scheme, TargetForm, Version};

use super::{Entry, mask};

/// Upper bound of an encoded record; a ring must hold at least one.
pub(super) const MAX_RECORD: usize = 64 << 10;
/// Upper bound of one text.
const MAX_TEXT: usize = 8 << 10;
/// All texts of a record together; the rest of [`MAX_RECORD`] is for numbers and lengths.
const MAX_TEXTS: usize = 56 << 10;
/// A length that says "there is none".
const NONE: u16 = u16::MAX;

const IS_V6: u8 = 1;
const HAS_UPSTREAM: u8 = 2;
const UPSTREAM_V6: u8 = 4;
const TUNNEL: u8 = 8;
const SOCKS: u8 = 16;
const HAS_HEAD: u8 = 32;
const HTTPS: u8 = 64;
const HAS_TLS: u8 = 128;

/// Which of the flow's heads a recorded field comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// What the sinks together want to know: the union of their fields, and their policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    /// Whether there is any sink.
    pub active: bool,
    /// Whether all of them drop rather than wait.
    pub droppable: bool,
    /// Field names in lower case.
    pub request: Vec<Box<[u8]>>,
    pub response: Vec<Box<[u8]>>,
}

/// A decoded record; texts lie in the ring. All times in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    pub started_ms: u64,
    pub total: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub request_body: u64,
    pub response_body: u64,
    pub head_time: u32,
    pub decide: u32,
    pub connect: u32,
    pub first_byte: Option<u32>,
    pub status: u16,
    pub upstream_status: u16,
    pub client: IpAddr,
    pub client_port: u16,
    pub upstream: Option<SocketAddr>,
    pub via: Via,
    pub slug: Slug,
    pub ending: Ending,
    pub cache: Option<CacheVerdict>,
    /// Of no meaning without a verdict.
    pub cache_reason: &'static str,
    pub cache_age: Option<u32>,
    pub attempts: u8,
    pub tunnel: bool,
    pub socks: bool,
    /// Whether a request head was read; if not, what is known of the request is empty.
    pub has_head: bool,
    pub scheme: Scheme,
    pub version: Version,
    pub form: TargetForm,
    /// Explicit port of the authority.
    pub port: Option<u16>,
    pub listener: &'a [u8],
    pub route: Option<&'a [u8]>,
    pub pool: Option<&'a [u8]>,
    pub split: Option<&'a [u8]>,
    pub variant: Option<&'a [u8]>,
    pub limit: Option<&'a [u8]>,
    pub server: Option<&'a [u8]>,
    pub place: Option<&'a [u8]>,
    pub detail: Option<&'a [u8]>,
    pub user: Option<&'a [u8]>,
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub path: &'a [u8],
    /// Not yet masked, as `referer`.
    pub query: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    pub referer: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    /// Version of TLS, name that the client asked for, and subject of its certificate.
    pub tls: Option<&'a [u8]>,
    pub sni: Option<&'a [u8]>,
    pub client_certificate: Option<&'a [u8]>,
    fields: &'a [u8],
}

impl<'a> Line<'a> {
    /// Recorded fields in the order of the head: where from, name in lower case, value (credentials masked).
    pub fn fields(&self) -> impl Iterator<Item = (Side, &'a [u8], &'a [u8])> {
        let mut reader = Reader(self.fields);
        std::iter::from_fn(move || {
            let side = if reader.byte()? == 0 { Side::Request } else { Side::Response };
            Some((side, reader.text()??, reader.text()??))
        })
    }
}

/// Appends a record to `out`; its first four bytes are its length.
pub(super) fn encode(entry: &Entry<'_>, selection: &Selection, out: &mut Vec<u8>) {
    let start = out.len();
    let record = entry.record;
    let head = entry.head;
    let mut flags = 0;
    for (bit, set) in [
        (IS_V6, record.client.is_ipv6()),
        (HAS_UPSTREAM, record.upstream.is_some()),
        (UPSTREAM_V6, record.upstream.is_some_and(|a| a.is_ipv6())),
        (TUNNEL, record.tunnel),
        (SOCKS, entry.socks),
        (HAS_HEAD, head.is_some()),
        (HAS_TLS, entry.tls.is_some()),
        (HTTPS, head.is_some_and(|h| h.scheme == Scheme::Https)),
    ] {
        flags |= if set { bit } else { 0 };
    }
    out.extend_from_slice(&[0; 4]);
    for number in [
        record.started_ms,
        record.times.total,
        record.bytes_in,
        record.bytes_out,
        record.request_body,
        record.response_body,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    // a wait of 71 minutes is told as the largest that is not "none"
    let first_byte = record.times.first_byte.map_or(u32::MAX, |t| t.min(u32::MAX - 1));
    let cached = record.cache;
    let age = cached.and_then(|c| c.age).unwrap_or(u32::MAX);
    for number in [record.times.head, record.times.decide, record.times.connect, first_byte, age] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let upstream_port = record.upstream.map_or(0, |a| a.port());
    let port = head.and_then(|h| h.port).unwrap_or(0);
    for number in [record.status, record.upstream_status, record.client_port, upstream_port, port] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&address(record.client));
    out.extend_from_slice(&record.upstream.map_or([0; 16], |a| address(a.ip())));
    out.extend_from_slice(&[
        flags,
        record.reason.slug as u8,
        record.ending as u8,
        record.upstream_via as u8,
        record.attempts,
        head.map_or(0, |h| h.version as u8),
        head.map_or(0, |h| h.form as u8),
        cached.map_or(0, |c| c.verdict as u8 + 1),
        cached.map_or(0, |c| c.why as u8),
        cached.and_then(|c| c.refusal).map_or(0, |refusal| refusal as u8 + 1),
    ]);
    let mut texts = Texts { out, left: MAX_TEXTS };
    let detail = Some(entry.reason_detail).filter(|d| !d.is_empty());
    texts.put(Some(entry.listener.as_bytes()));
    let (split, variant) = entry.variant.unzip();
    for text in [entry.route, entry.pool, split, variant, entry.limit, entry.server, entry.place, detail, entry.user] {
        texts.put(text.map(str::as_bytes));
    }
    texts.put(head.map(|h| h.method_text()));
    texts.put(head.map(|h| h.host()));
    texts.put(head.map(|h| h.path()));
    texts.put(head.and_then(|h| h.query()));
    let one = |kind| head.and_then(|h| h.values(kind).next());
    texts.put(one(FieldKind::UserAgent));
    texts.put(one(FieldKind::Referer));
    texts.put(entry.response.and_then(|r| r.values_of(b"content-type").next()));
    if let Some(tls) = entry.tls {
        texts.put(Some(tls.version.as_bytes()));
        texts.put(tls.sni.as_ref().map(|name| name.as_bytes()));
        texts.put(tls.certificate.as_ref().map(|c| c.subject.as_bytes()));
    }
    if let Some(head) = head.filter(|_| !selection.request.is_empty()) {
        let fields = head.fields().iter().map(|f| (head.name(f), head.value(f), f.kind));
        texts.put_fields(0, fields, &selection.request);
    }
    if let Some(head) = entry.response.filter(|_| !selection.response.is_empty()) {
        let fields = head.fields().iter().map(|f| (head.name(f), head.value(f), f.kind));
        texts.put_fields(1, fields, &selection.response);
    }
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Reads the record that `bytes` (the four bytes of its length left out) hold.
pub(super) fn decode(bytes: &[u8]) -> Option<Line<'_>> {
    let mut r = Reader(bytes);
    let [started_ms, total, bytes_in, bytes_out, request_body, response_body] = r.numbers(u64::from_le_bytes)?;
    let [head_time, decide, connect, first_byte, age] = r.numbers(u32::from_le_bytes)?;
    let [status, upstream_status, client_port, upstream_port, port] = r.numbers(u16::from_le_bytes)?;
    let client: [u8; 16] = r.array()?;
    let upstream: [u8; 16] = r.array()?;
    let [flags, slug, ending, via, attempts, version, form, cache, why, refusal] = r.array()?;
    let has = |bit| flags & bit != 0;
    let mut line = Line {
        started_ms,
        total,
        bytes_in,
        bytes_out,
        request_body,
        response_body,
        head_time,
        decide,
        connect,
        first_byte: Some(first_byte).filter(|t| *t != u32::MAX),
        status,
        upstream_status,
        client: ip(client, has(IS_V6)),
        client_port,
        upstream: has(HAS_UPSTREAM).then(|| SocketAddr::new(ip(upstream, has(UPSTREAM_V6)), upstream_port)),
        via: *[Via::None, Via::New, Via::Reused].get(usize::from(via))?,
        slug: *Slug::ALL.get(usize::from(slug))?,
        ending: *[Ending::Complete, Ending::ClientAborted, Ending::UpstreamAborted, Ending::Expired]
            .get(usize::from(ending))?,
        attempts,
        cache: usize::from(cache).checked_sub(1).and_then(|index| CacheVerdict::ALL.get(index).copied()),
        cache_reason: match refusal.checked_sub(1) {
            Some(refusal) => Refusal::ALL.get(usize::from(refusal))?.name(),
            None => Why::ALL.get(usize::from(why))?.name(),
        },
        cache_age: Some(age).filter(|age| *age != u32::MAX),
        tunnel: has(TUNNEL),
        socks: has(SOCKS),
        has_head: has(HAS_HEAD),
        scheme: if has(HTTPS) { Scheme::Https } else { Scheme::Http },
        version: *[Version::Http10, Version::Http11, Version::Http2].get(usize::from(version))?,
        form: *[TargetForm::Origin, TargetForm::Absolute, TargetForm::Authority, TargetForm::Asterisk]
            .get(usize::from(form))?,
        port: Some(port).filter(|p| *p != 0),
        listener: r.text()?.unwrap_or_default(),
        route: r.text()?,
        pool: r.text()?,
        split: r.text()?,
        variant: r.text()?,
        limit: r.text()?,
        server: r.text()?,
        place: r.text()?,
        detail: r.text()?,
        user: r.text()?,
        method: r.text()?.unwrap_or_default(),
        host: r.text()?.unwrap_or_default(),
        path: r.text()?.unwrap_or_default(),
        query: r.text()?,
        user_agent: r.text()?,
        referer: r.text()?,
        content_type: r.text()?,
        tls: None,
        sni: None,
        client_certificate: None,
        fields: &[],
    };
    if has(HAS_TLS) {
        (line.tls, line.sni, line.client_certificate) = (r.text()?, r.text()?, r.text()?);
    }
    line.fields = r.0;
    Some(line)
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn ip(octets: [u8; 16], is_v6: bool) -> IpAddr {
    let v6 = Ipv6Addr::from(octets);
    if is_v6 { IpAddr::V6(v6) } else { v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4) }
}

struct Texts<'o> {
    out: &'o mut Vec<u8>,
    left: usize,
}

impl Texts<'_> {
    fn put(&mut self, text: Option<&[u8]>) {
        match text {
            None => self.out.extend_from_slice(&NONE.to_le_bytes()),
            Some(text) => self.put_with(|out| out.extend_from_slice(text)),
        }
    }

    /// Writes a text that `fill` appends, and cuts what is too long.
    fn put_with(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len() + 2;
        self.out.extend_from_slice(&[0; 2]);
        fill(self.out);
        let bound = MAX_TEXT.min(self.left);
        if self.out.len() - start > bound {
            self.out.truncate(start + bound.saturating_sub(3));
            self.out.extend_from_slice(&b"..."[..bound.min(3)]);
        }
        let length = self.out.len() - start;
        self.left -= length;
        self.out[start - 2..start].copy_from_slice(&(length as u16).to_le_bytes());
    }

    fn put_fields<'f>(
        &mut self,
        side: u8,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8], FieldKind)>,
        wanted: &[Box<[u8]>],
    ) {
        for (name, value, kind) in fields {
            let Some(wanted) = wanted.iter().find(|w| w.eq_ignore_ascii_case(name)) else { continue };
            // what has no room for its name and some of its value is left out whole
            if self.left < wanted.len() + 16 {
                return;
            }
            self.out.push(side);
            self.put(Some(wanted));
            self.put_with(|out| mask::credentials(kind, value, out));
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn numbers<T: Copy + Default, const W: usize, const N: usize>(&mut self, read: fn([u8; W]) -> T) -> Option<[T; N]> {
        let mut numbers = [T::default(); N];
        for number in &mut numbers {
            *number = read(self.array()?);
        }
        Some(numbers)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The outer `None` is the end of the bytes, the inner one a text that is not there.
    fn text(&mut self) -> Option<Option<&'a [u8]>> {
        let length = u16::from_le_bytes(self.array()?);
        if length == NONE {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(Some(text))
    }
}
