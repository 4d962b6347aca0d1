//! The chunked coding.

use reviver_http::{Chunk, ChunkDecoder, HeadLimits, ParseError};

use crate::feed::{LIMITS, unchunk};

fn decode(text: &str) -> (String, Vec<String>) {
    let (content, trailers, length) = unchunk(text.as_bytes(), text.len(), &LIMITS).expect("legal").expect("complete");
    assert_eq!(length, text.len());
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let trailers = trailers.iter().map(|(name, value)| format!("{}={}", lossy(name), lossy(value))).collect();
    (lossy(&content), trailers)
}

#[test]
fn chunks_are_joined() {
    assert_eq!(decode("5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n").0, "hello world");
    assert_eq!(decode("0\r\n\r\n").0, "");
}

#[test]
fn data_is_pointed_at_where_it_lies() {
    let mut decoder = ChunkDecoder::new(&LIMITS);
    let input = b"5;x\r\nhello\r\n0\r\n\r\nGET";
    assert_eq!(decoder.next(input), Ok(Chunk::Data { skip: 5, len: 5 }));
    assert_eq!(decoder.next(&input[10..]), Ok(Chunk::End { consumed: 7 }));
    assert_eq!(decoder.next(b"GET"), Ok(Chunk::End { consumed: 0 }), "what follows is not touched");
    decoder.reset();
    assert_eq!(decoder.next(b"3\r\nab"), Ok(Chunk::Data { skip: 3, len: 2 }));
    assert_eq!(decoder.next(b""), Ok(Chunk::More { consumed: 0 }));
    assert_eq!(decoder.next(b"c\r"), Ok(Chunk::Data { skip: 0, len: 1 }));
    assert_eq!(decoder.next(b"\r"), Ok(Chunk::More { consumed: 1 }));
}

#[test]
fn trailers_are_kept_but_for_those_that_must_not_be_merged() {
    let (_, trailers) = decode(
        "0\r\nX-Sum: 1 \r\nAuthorization: a\r\nContent-Type: b\r\nSet-Cookie: c\r\nCache-Control: d\r\nTE: e\r\n\
         Content-Digest: f\r\nx-empty:\r\n\r\n",
    );
    assert_eq!(trailers, ["X-Sum=1", "Content-Digest=f", "x-empty="]);
}

#[test]
fn a_reused_decoder_forgets_the_trailers() {
    let mut decoder = ChunkDecoder::new(&LIMITS);
    assert_eq!(decoder.next(b"0\r\nA: b\r\n\r\n"), Ok(Chunk::End { consumed: 11 }));
    assert_eq!(decoder.trailers().collect::<Vec<_>>(), [(&b"A"[..], &b"b"[..])]);
    decoder.reset();
    assert_eq!(decoder.next(b"0\r\n\r\n"), Ok(Chunk::End { consumed: 5 }));
    assert_eq!(decoder.trailers().count(), 0);
}

#[test]
fn each_fault_has_a_name_and_stays() {
    for (text, error) in [
        ("x", ParseError::BadChunkSize),
        ("5 \r", ParseError::BadChunkExtension),
        ("5\n", ParseError::BareLf),
        ("5\rx", ParseError::BareCr),
        ("8000000000000000", ParseError::BadChunkSize),
        ("00000000000000000", ParseError::BadChunkSize),
        ("5;\r", ParseError::BadChunkExtension),
        ("5;a=\"\n", ParseError::BareLf),
        ("1\r\naX", ParseError::BadChunkEnd),
        ("1\r\na\n", ParseError::BadChunkEnd),
        ("0\r\n a: b", ParseError::ObsFold),
        ("0\r\na: b\n", ParseError::BareLf),
        ("0\r\nab\r\n", ParseError::BadTrailer),
        ("0\r\nhost: b\r\n", ParseError::ForbiddenTrailer),
    ] {
        for step in [1, text.len()] {
            assert_eq!(unchunk(text.as_bytes(), step, &LIMITS), Err(error), "{text:?} by {step}");
        }
        let mut decoder = ChunkDecoder::new(&LIMITS);
        let mut rest = text.as_bytes();
        while let Ok(Chunk::Data { skip, len }) = decoder.next(rest) {
            rest = &rest[skip + len..];
        }
        assert_eq!(decoder.next(b"0\r\n\r\n"), Err(error), "{text:?} is not recovered from");
    }
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let limits = HeadLimits { head: 100, fields: 3, target: 100 };
    let result = |text: &str| unchunk(text.as_bytes(), text.len(), &limits).map(|found| found.is_some());
    let trailers = |count| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(result(&trailers(3)), Ok(true));
    assert_eq!(result(&trailers(4)), Err(ParseError::TrailersTooLarge));
    assert_eq!(result(&format!("0\r\nA: {}", "b".repeat(200))), Err(ParseError::TrailersTooLarge));
    assert_eq!(
        result(&format!("0\r\n{}", "Age: 1\r\n".repeat(4))),
        Err(ParseError::TrailersTooLarge),
        "dropped ones count"
    );
    assert_eq!(result(&format!("5;{}", "a".repeat(2000))), Err(ParseError::ChunkExtensionsTooLarge));
    let chunks = format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(17);
    assert_eq!(result(&chunks), Err(ParseError::ChunkExtensionsTooLarge));
}
