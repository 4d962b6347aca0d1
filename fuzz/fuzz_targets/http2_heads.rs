//! An HTTP/2 head that is accepted is one in HTTP/1.1 too, and is then read as the same (RFC 9113, section 10.3).

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_http::{
    FieldKind, FieldSink, Framing, H1Sink, HeadLimits, Method, PseudoFields, Recipient, RequestHead, ResponseHead,
    decode_request, decode_response, is_http2_trailer, read_http2_request, read_http2_response, write_request_line,
    write_status_line,
};

const LIMITS: HeadLimits = HeadLimits { head: 16384, fields: 100, target: 4096 };
/// What comes by framing, connection and joined cookies when a head is written as HTTP/1.1.
const WIDER: HeadLimits = HeadLimits { head: 2 * LIMITS.head, fields: LIMITS.fields + 3, ..LIMITS };

/// Neither byte can be part of a name.
const NEXT: u8 = 0xff;
const VALUE: u8 = 0xfe;

fn fields(data: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    data.split(|byte| *byte == NEXT).filter(|line| !line.is_empty()).map(|line| {
        let colon = line.iter().position(|byte| *byte == VALUE).unwrap_or(line.len());
        (&line[..colon], line.get(colon + 1..).unwrap_or_default())
    })
}

fn framing(out: &mut Vec<u8>, framing: Framing) {
    if framing == Framing::Chunked {
        H1Sink(out).field(b"Transfer-Encoding", b"chunked");
    }
    out.extend_from_slice(b"\r\n");
}

fn request(flags: u8, data: &[u8]) {
    let mut parts = data.splitn(6, |byte| *byte == NEXT);
    let mut part = |bit: u8| parts.next().filter(|_| flags & bit != 0);
    let pseudo = PseudoFields {
        method: part(0xff).unwrap_or_default(),
        scheme: part(0x01),
        authority: part(0x02),
        path: part(0x04),
        protocol: part(0x08),
    };
    let rest = parts.next().unwrap_or_default();
    let recipient = if flags & 0x10 == 0 { Recipient::Gateway } else { Recipient::Proxy };
    let ended = flags & 0x20 != 0;
    let mut head = RequestHead::default();
    if read_http2_request(&pseudo, fields(rest), ended, recipient, &LIMITS, &mut head).is_err() {
        return;
    }
    assert!(!ended || matches!(head.framing, Framing::None | Framing::Length(0)));
    assert_eq!(head.extended_connect, pseudo.protocol.is_some());
    // section 8.3.1: a path, never a whole URI, so that `:authority` names the host
    assert!(matches!(pseudo.path, None | Some([b'/', ..] | b"*")));

    let mut out = Vec::new();
    write_request_line(&mut out, head.method_text(), head.target());
    let mut sink = H1Sink(&mut out);
    for field in head.fields() {
        sink.field(head.name(field), head.value(field));
    }
    if head.values(FieldKind::Host).next().is_none() {
        sink.field(b"Host", head.authority());
    }
    if head.extended_connect {
        sink.field(b"Connection", b"upgrade");
    }
    framing(&mut out, head.framing);
    let mut again = RequestHead::default();
    let told = out.escape_ascii();
    assert_eq!(decode_request(&out, &WIDER, &mut again), Ok(()), "{told}");
    assert_eq!((again.method, again.framing, again.upgrade), (head.method, head.framing, head.upgrade), "{told}");
    assert_eq!((again.host(), again.port), (head.host(), head.port), "{told}");
    assert_eq!((again.path(), again.query()), (head.path(), head.query()), "{told}");
    assert_eq!(again.normal_path(), head.normal_path(), "{told}");
    assert_eq!(again.expect_continue, head.expect_continue, "{told}");
    for kind in [FieldKind::Cookie, FieldKind::Authorization, FieldKind::XForwardedFor, FieldKind::Via] {
        assert!(again.values(kind).eq(head.values(kind)), "{told}");
    }
}

fn response(flags: u8, data: &[u8]) {
    let Some((status, data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let status = u16::from_be_bytes(*status);
    let method = if flags & 0x01 == 0 { Method::Get } else { Method::Head };
    let mut head = ResponseHead::default();
    if read_http2_response(status, method, fields(data), flags & 0x02 != 0, &LIMITS, &mut head).is_err() {
        return;
    }
    let mut out = Vec::new();
    write_status_line(&mut out, status, b"");
    let mut sink = H1Sink(&mut out);
    for field in head.fields() {
        sink.field(head.name(field), head.value(field));
    }
    framing(&mut out, head.framing);
    let mut again = ResponseHead::default();
    let told = out.escape_ascii();
    assert_eq!(decode_response(&out, method, &WIDER, &mut again), Ok(()), "{told}");
    assert_eq!(again.status, status);
}

fuzz_target!(|data: &[u8]| {
    let Some((&flags, data)) = data.split_first() else {
        return;
    };
    for (name, value) in fields(data) {
        if is_http2_trailer(name, value) {
            let line = [name, b": ", value].concat();
            assert!(!line.iter().any(|byte| b"\r\n\0".contains(byte)), "{}", line.escape_ascii());
        }
    }
    if flags & 0x40 == 0 { request(flags, data) } else { response(flags, data) }
});
