//! Chunked content is read in one way, however it arrives, and written again it is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_http::{Chunk, ChunkDecoder, HeadLimits, ParseError, write_chunk_head, write_last_chunk};

const LIMITS: HeadLimits = HeadLimits { head: 4096, fields: 20, target: 0 };

#[derive(Debug, PartialEq)]
struct Content {
    data: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    length: Option<usize>,
}

fn decode(input: &[u8], step: usize) -> Result<Content, ParseError> {
    let mut decoder = ChunkDecoder::new(&LIMITS);
    let mut content = Content { data: Vec::new(), trailers: Vec::new(), length: None };
    let (mut at, mut have) = (0, 0);
    loop {
        match decoder.next(&input[at..have])? {
            Chunk::Data { skip, len } => {
                assert!(len > 0);
                content.data.extend_from_slice(&input[at + skip..at + skip + len]);
                at += skip + len;
            }
            Chunk::More { consumed } => {
                at += consumed;
                assert_eq!(at, have);
                if have == input.len() {
                    return Ok(content);
                }
                have = (have + step).min(input.len());
            }
            Chunk::End { consumed } => {
                content.length = Some(at + consumed);
                content.trailers = decoder.trailers().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                return Ok(content);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let whole = decode(data, data.len().max(1));
    assert_eq!(decode(data, 1), whole, "byte by byte");
    assert_eq!(decode(data, 7), whole, "seven bytes at a time");

    let Ok(content) = whole else {
        return;
    };
    if content.length.is_none() {
        return;
    }
    let mut bytes = Vec::new();
    for chunk in content.data.chunks(3) {
        write_chunk_head(&mut bytes, chunk.len());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    write_last_chunk(&mut bytes, content.trailers.iter().map(|(name, value)| (&name[..], &value[..])));
    if bytes.len() < LIMITS.head {
        let again = decode(&bytes, bytes.len());
        assert_eq!(again, Ok(Content { length: Some(bytes.len()), ..content }));
    }
});
