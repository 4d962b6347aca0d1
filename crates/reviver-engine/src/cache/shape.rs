//! What a client gets of a stored response: all of it, parts, or only that it has not changed.

use reviver_cache::{
    ContentRange, Precondition, Ranges, if_range_holds, parse_ranges, precondition, value_of, write_part_head,
    write_parts_end, write_without,
};
use reviver_flow::Flow;
use reviver_http::{FieldSink, Framing, H1Sink, Method};
use smallvec::SmallVec;

use super::object::Object;
use crate::work::Work;

/// A part of a body with what stands before it.
pub struct Stretch {
    pub before: Vec<u8>,
    pub start: u64,
    /// None: to the end, which is not known yet.
    pub end: Option<u64>,
}

/// Puts the head that the client gets into `work.response`, and tells which parts of the body follow.
pub fn shape(
    work: &mut Work,
    flow: &Flow<'_>,
    object: &Object,
    length: Option<u64>,
    stretches: &mut SmallVec<[Stretch; 1]>,
) -> u16 {
    let ask = flow.ask();
    let stored = object.meta.status;
    if ask.conditional && precondition(&work.request, object.fields(), &object.meta) == Precondition::NotModified {
        // RFC 9110, section 15.4.5: no metadata of a representation that is not sent.
        let fields = &mut work.scratch;
        fields.clear();
        let untold = [&b"content-type"[..], b"content-encoding", b"content-language", b"content-range"];
        write_without(object.fields(), &untold, fields);
        work.response.set_stored(304, &work.scratch, Framing::None);
        return 304;
    }
    if work.request.method == Method::Head {
        work.scratch.clear();
        work.scratch.extend_from_slice(object.fields());
        if let Some(length) = length {
            H1Sink(&mut work.scratch).field(b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        work.response.set_stored(stored, &work.scratch, Framing::None);
        return stored;
    }
    if let Some(length) = length.filter(|_| ask.range && stored == 200)
        && if_range_holds(&work.request, object.fields(), &object.meta)
    {
        match parse_ranges(&work.request, length) {
            Ranges::Whole => {}
            Ranges::One(start, end) => {
                let fields = &mut work.scratch;
                fields.clear();
                write_without(object.fields(), &[b"content-range"], fields);
                fields.extend_from_slice(b"Content-Range: ");
                ContentRange { start, end, complete: Some(length) }.write(fields);
                fields.extend_from_slice(b"\r\n");
                work.response.set_stored(206, &work.scratch, Framing::Length(end - start));
                stretches.push(Stretch { before: Vec::new(), start, end: Some(end) });
                return 206;
            }
            Ranges::Many(ranges) => return shape_many(work, object, length, &ranges, stretches),
            Ranges::Unsatisfiable => {
                let fields = &mut work.scratch;
                fields.clear();
                write_without(object.fields(), &[b"content-type"], fields);
                let mut value = b"bytes */".to_vec();
                value.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                H1Sink(fields).field(b"Content-Range", &value);
                work.response.set_stored(416, &work.scratch, Framing::Length(0));
                return 416;
            }
        }
    }
    let framing = match length {
        _ if !Flow::page_has_body(stored, None) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    work.response.set_stored(stored, object.fields(), framing);
    if framing != Framing::None {
        stretches.push(Stretch { before: Vec::new(), start: 0, end: length });
    }
    stored
}

fn shape_many(
    work: &mut Work,
    object: &Object,
    length: u64,
    ranges: &[(u64, u64)],
    stretches: &mut SmallVec<[Stretch; 1]>,
) -> u16 {
    let mut random = [0; 12];
    // A boundary that the body holds by chance or by design would break the message: without random numbers the
    // time since the start of the process stands in for them.
    if getrandom::fill(&mut random).is_err() {
        random[..8].copy_from_slice(&object.meta.received_ms.to_le_bytes());
    }
    let boundary: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let content_type = value_of(object.fields(), b"content-type");
    let mut total = 0;
    for &(start, end) in ranges {
        let mut before = Vec::new();
        let range = ContentRange { start, end, complete: Some(length) };
        write_part_head(boundary.as_bytes(), content_type, range, &mut before);
        total += before.len() as u64 + (end - start);
        stretches.push(Stretch { before, start, end: Some(end) });
    }
    let mut last = Vec::new();
    write_parts_end(boundary.as_bytes(), &mut last);
    total += last.len() as u64;
    stretches.push(Stretch { before: last, start: 0, end: Some(0) });
    let fields = &mut work.scratch;
    fields.clear();
    write_without(object.fields(), &[b"content-type"], fields);
    H1Sink(fields).field(b"Content-Type", format!("multipart/byteranges; boundary={boundary}").as_bytes());
    work.response.set_stored(206, &work.scratch, Framing::Length(total));
    206
}
