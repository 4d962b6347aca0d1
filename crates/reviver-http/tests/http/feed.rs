//! Feeds a request whole, byte by byte and with a tail, and wants one outcome.

use reviver_http::{
    Chunk, ChunkDecoder, FieldKind, Framing, HeadLimits, HeadScan, ParseError, RequestHead, ResponseHead,
    decode_request,
};

pub const LIMITS: HeadLimits = HeadLimits { head: 65536, fields: 100, target: 8192 };

pub type Pair = (Vec<u8>, Vec<u8>);

/// Content, trailers, and the bytes that they took.
pub type Unchunked = (Vec<u8>, Vec<Pair>, usize);

/// All that was understood of one request.
#[derive(Debug, PartialEq)]
pub struct Understood {
    pub head: String,
    pub fields: Vec<(Vec<u8>, Vec<u8>, FieldKind)>,
    pub content: Vec<u8>,
    pub trailers: Vec<Pair>,
    /// Bytes that the message took.
    pub length: usize,
}

/// Decodes the request at the start of `bytes`, of which `step` more arrive at a time. None: it is not complete.
pub fn arrive(bytes: &[u8], step: usize, limits: &HeadLimits) -> Result<Option<Understood>, ParseError> {
    let mut scan = HeadScan::new(*limits);
    let mut have = 0;
    let length = loop {
        have = (have + step).min(bytes.len());
        match scan.scan(&bytes[..have])? {
            Some(length) => break length,
            None if have == bytes.len() => return Ok(None),
            None => {}
        }
    };
    let mut head = RequestHead::default();
    decode_request(&bytes[..length], limits, &mut head)?;
    let fields = all_fields(&head);
    let mut content = Vec::new();
    let mut trailers = Vec::new();
    let body = &bytes[length..];
    let used = match head.framing {
        Framing::None => 0,
        Framing::UntilClose => panic!("a request cannot last until the connection ends"),
        Framing::Length(size) => {
            let size = usize::try_from(size).expect("a small body");
            let Some(part) = body.get(..size) else {
                return Ok(None);
            };
            content.extend_from_slice(part);
            size
        }
        Framing::Chunked => match unchunk(body, step, limits)? {
            Some((data, fields, used)) => {
                (content, trailers) = (data, fields);
                used
            }
            None => return Ok(None),
        },
    };
    Ok(Some(Understood { head: describe(&head), fields, content, trailers, length: length + used }))
}

/// Content, trailers and length of chunked content that arrives `step` bytes at a time.
pub fn unchunk(bytes: &[u8], step: usize, limits: &HeadLimits) -> Result<Option<Unchunked>, ParseError> {
    let mut decoder = ChunkDecoder::new(limits);
    let mut content = Vec::new();
    let (mut at, mut have) = (0, 0);
    loop {
        match decoder.next(&bytes[at..have])? {
            Chunk::Data { skip, len } => {
                assert!(len > 0, "data is never empty");
                content.extend_from_slice(&bytes[at + skip..at + skip + len]);
                at += skip + len;
            }
            Chunk::More { consumed } => {
                at += consumed;
                assert_eq!(at, have, "more is only asked for when all was used");
                if have == bytes.len() {
                    return Ok(None);
                }
                have = (have + step).min(bytes.len());
            }
            Chunk::End { consumed } => {
                assert!(decoder.is_done());
                let trailers = decoder.trailers().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                return Ok(Some((content, trailers, at + consumed)));
            }
        }
    }
}

/// The outcome of a request, which must be the same however it arrives and whatever follows it.
#[track_caller]
pub fn outcome(bytes: &[u8], limits: &HeadLimits) -> Result<Option<Understood>, ParseError> {
    let whole = arrive(bytes, bytes.len().max(1), limits);
    assert_eq!(arrive(bytes, 1, limits), whole, "byte by byte");
    if !matches!(whole, Ok(None)) {
        let tail = [bytes, b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"].concat();
        assert_eq!(arrive(&tail, tail.len(), limits), whole, "with a tail");
        assert_eq!(arrive(&tail, 7, limits), whole, "with a tail, seven bytes at a time");
    }
    whole
}

/// The head of a request that is accepted.
#[track_caller]
pub fn request(text: &str) -> RequestHead {
    let bytes = text.as_bytes();
    if let Err(error) = outcome(bytes, &LIMITS) {
        panic!("{text:?} is refused: {error:?}");
    }
    let mut scan = HeadScan::new(LIMITS);
    let length = scan.scan(bytes).expect("accepted above").expect("a complete head");
    let mut head = RequestHead::default();
    decode_request(&bytes[..length], &LIMITS, &mut head).expect("accepted above");
    head
}

/// The error of a request that is refused.
#[track_caller]
pub fn refused(text: &str) -> ParseError {
    match outcome(text.as_bytes(), &LIMITS) {
        Err(error) => error,
        Ok(understood) => panic!("{text:?} is accepted: {understood:?}"),
    }
}

/// A response to a request of that method.
pub fn response(text: &[u8], method: reviver_http::Method) -> Result<ResponseHead, ParseError> {
    let mut scan = HeadScan::for_responses(LIMITS);
    let whole = scan.scan(text);
    let mut slow = HeadScan::for_responses(LIMITS);
    let by_byte = (0..=text.len()).map(|have| slow.scan(&text[..have])).find(|found| !matches!(found, Ok(None)));
    assert_eq!(by_byte.unwrap_or(Ok(None)), whole, "byte by byte");
    let length = whole?.ok_or(ParseError::IncompleteHead)?;
    let mut head = ResponseHead::default();
    reviver_http::decode_response(&text[..length], method, &LIMITS, &mut head).map(|()| head)
}

fn all_fields(head: &RequestHead) -> Vec<(Vec<u8>, Vec<u8>, FieldKind)> {
    head.fields().iter().map(|field| (head.name(field).to_vec(), head.value(field).to_vec(), field.kind)).collect()
}

fn describe(head: &RequestHead) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    format!(
        "{} {} {:?} {:?} {:?} host={} port={:?} authority={} path={} normal={} query={:?} {:?} \
         keep_alive={} expect={} upgrade={} te={} max_forwards={:?}",
        text(head.method_text()),
        text(head.target()),
        head.version,
        head.form,
        head.scheme,
        text(head.host()),
        head.port,
        text(head.authority()),
        text(head.path()),
        text(head.normal_path()),
        head.query().map(text),
        head.framing,
        head.keep_alive,
        head.expect_continue,
        head.upgrade,
        head.te_trailers,
        head.max_forwards,
    )
}
