//! What holds for any input.

use proptest::collection::vec;
use proptest::prelude::*;

use reviver_http::{
    FieldSink, H1Sink, HeadLimits, Method, RequestHead, ResponseHead, decode_request, decode_response, socks,
    write_chunk_head, write_last_chunk, write_request_line,
};

use crate::feed::{LIMITS, Pair, arrive, unchunk};

const SMALL: HeadLimits = HeadLimits { head: 300, fields: 5, target: 40 };

/// Bytes that come near a request: pieces of one, and noise.
fn near_request() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\n"[..],
            b"POST http://u@T:80/../%41?q HTTP/1.0\r\n",
            b"POST /a HTTP/1.1\r\n",
            b"OPTIONS * HTTP/1.1\r\n",
            b"CONNECT t:443 HTTP/1.1\r\n",
            b"Host: t\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close, x-a\r\nX-A: b\r\n",
            b"Expect: 100-continue\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\r",
            b": ",
            b" ",
            b"\t",
            b"%2e",
            b"/..",
            b"3\r\nabc\r\n",
            b"0\r\n",
            b"0;a=\"b\"\r\n",
        ])
        .prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}".prop_map(String::into_bytes)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("a byte of a value", |byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    vec(byte, 0..20).prop_map(|value| value.trim_ascii().to_vec())
}

/// Fields without a meaning to the proxy.
fn plain_fields() -> impl Strategy<Value = Vec<Pair>> {
    let name = token().prop_map(|name| [&b"X-"[..], &name].concat());
    let plain = name.prop_filter("no forwarding field", |name| {
        !name.to_ascii_lowercase().starts_with(b"x-forwarded") && !name.eq_ignore_ascii_case(b"x-real-ip")
    });
    vec((plain, value()), 0..6)
}

proptest! {
    #[test]
    fn a_request_is_read_in_one_way_however_it_arrives(bytes in near_request(), step in 1usize..9) {
        for limits in [LIMITS, SMALL] {
            let whole = arrive(&bytes, bytes.len().max(1), &limits);
            prop_assert_eq!(&arrive(&bytes, 1, &limits), &whole);
            prop_assert_eq!(&arrive(&bytes, step, &limits), &whole);
        }
    }

    #[test]
    fn decoders_alone_take_any_bytes(bytes in near_request(), noise in vec(any::<u8>(), 0..200)) {
        let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
        let answer = [b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat();
        for input in [&bytes, &noise, &answer] {
            let _ = decode_request(input, &LIMITS, &mut request);
            let _ = decode_response(input, Method::Get, &LIMITS, &mut response);
            let _ = socks::decode_greeting(input);
            let _ = socks::decode_auth(input);
            let _ = socks::decode_request(input);
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same(
        method in token(),
        path in "/[a-z0-9/_-]{0,20}",
        query in proptest::option::of("[a-z0-9&=/?]{0,20}"),
        fields in plain_fields(),
    ) {
        prop_assume!(!matches!(&method[..], b"CONNECT" | b"TRACE"));
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut bytes = Vec::new();
        write_request_line(&mut bytes, &method, target.as_bytes());
        let mut sink = H1Sink(&mut bytes);
        sink.field(b"Host", b"t:80");
        for (name, value) in &fields {
            sink.field(name, value);
        }
        bytes.extend_from_slice(b"\r\n");
        let mut head = RequestHead::default();
        prop_assert_eq!(decode_request(&bytes, &LIMITS, &mut head), Ok(()));
        prop_assert_eq!(head.method_text(), &method[..]);
        prop_assert_eq!(head.target(), target.as_bytes());
        prop_assert_eq!(head.path(), path.as_bytes());
        prop_assert_eq!(head.query(), query.as_ref().map(String::as_bytes));
        let decoded: Vec<Pair> =
            head.fields()[1..].iter().map(|field| (head.name(field).to_vec(), head.value(field).to_vec())).collect();
        prop_assert_eq!(decoded, fields);
    }

    #[test]
    fn chunks_of_any_size_arrive_in_any_pieces(
        chunks in vec(vec(any::<u8>(), 1..60), 0..8),
        trailers in plain_fields(),
        step in 1usize..40,
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            write_chunk_head(&mut bytes, chunk.len());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        write_last_chunk(&mut bytes, trailers.iter().map(|(name, value)| (&name[..], &value[..])));
        let length = bytes.len();
        bytes.extend_from_slice(b"0\r\n\r\n");
        let decoded = unchunk(&bytes, step, &LIMITS);
        prop_assert_eq!(decoded, Ok(Some((chunks.concat(), trailers, length))));
    }

    #[test]
    fn a_normal_path_is_normal(path in "(/|\\.|%2e|%41|%2f|a|b){0,12}") {
        let path = format!("/{path}");
        let mut once = Vec::new();
        if reviver_http::normalise_path(path.as_bytes(), &mut once).is_ok() {
            let mut twice = Vec::new();
            prop_assert_eq!(reviver_http::normalise_path(&once, &mut twice), Ok(()));
            prop_assert_eq!(&once, &twice);
            let segments: Vec<&[u8]> = once.split(|byte| *byte == b'/').collect();
            prop_assert!(!segments.contains(&&b"."[..]) && !segments.contains(&&b".."[..]), "{:?}", once);
        }
    }
}
