//! `grpc.health.v1.Health/Check` (`health.proto` of gRPC): one field to a side, which takes no generated code.

use http::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use reviver_http::Framing;

use super::http::{Scratch, body};
use super::target::{AGENT, Target, Wire};
use super::{Fault, http2};
use crate::stream::Stream;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Compression, and length in four bytes.
const PREFIX: usize = 5;
/// `string service = 1`, and `ServingStatus status = 1`.
const SERVICE: u8 = 1 << 3 | 2;
const STATUS: u64 = 1 << 3;
const SERVING: u64 = 1;
/// By number (`statuscodes.md` of gRPC).
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The framed message that asks for a service.
pub fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    // What stands for the whole server is the default, which is not sent.
    if !service.is_empty() {
        message.push(SERVICE);
        push_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &message].concat()
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Gives the verdict, and whether the connection can be used once more.
pub async fn ask(
    target: &Target,
    message: &[u8],
    secure: bool,
    wire: &Wire,
    scratch: &mut Scratch,
) -> Result<(Result<(), String>, bool), Fault> {
    let Wire::Http2(connections) = wire else { return Err(Fault::Unheard) };
    let mut request = http2::request(target, secure, PathAndQuery::from_static(PATH))?;
    *request.method_mut() = Method::POST;
    let fields = [(CONTENT_TYPE, "application/grpc"), (TE, "trailers"), (USER_AGENT, AGENT)];
    request.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
    let (mut stream, response, ended) = http2::ask(connections, request, Some(message)).await?;
    let (status, head) = (response.status().as_u16(), response.headers());
    let is_grpc = head.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"));
    if status != 200 || !is_grpc {
        return Ok((Err(format!("status {status} without an answer of gRPC")), true));
    }
    let framing = if ended { Framing::None } else { Framing::UntilClose };
    match body(&mut stream, scratch, framing).await? {
        true => Ok((verdict(head, &mut stream, scratch.body()), true)),
        false => Ok((Err("the answer is too long".to_owned()), true)),
    }
}

fn verdict(head: &HeaderMap, stream: &mut Stream, body: &[u8]) -> Result<(), String> {
    let trailers = stream.http2().and_then(|stream| stream.take_trailers());
    let code = |fields: &HeaderMap| fields.get("grpc-status")?.to_str().ok()?.parse::<usize>().ok();
    match trailers.as_deref().and_then(code).or_else(|| code(head)) {
        Some(0) => {}
        Some(code) => return Err(format!("gRPC status {code} {}", CODES.get(code).unwrap_or(&""))),
        None => return Err("an answer without a gRPC status".to_owned()),
    }
    match answer(body) {
        Some(SERVING) => Ok(()),
        Some(0) => Err("serving status UNKNOWN".to_owned()),
        Some(2) => Err("serving status NOT_SERVING".to_owned()),
        Some(3) => Err("serving status SERVICE_UNKNOWN".to_owned()),
        Some(other) => Err(format!("serving status {other}")),
        None => Err("the answer is no HealthCheckResponse".to_owned()),
    }
}

/// The status in a framed, uncompressed message.
fn answer(framed: &[u8]) -> Option<u64> {
    let (prefix, message) = framed.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    if prefix[0] != 0 || message.len() != length as usize {
        return None;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = varint(&mut rest)?;
                // Of several the last counts.
                status = if tag == STATUS { value } else { status };
            }
            // Fields of later versions are passed over.
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_service_of_any_length_is_framed_as_its_field_says(name in "[a-zA-Z.]{0,300}") {
            let framed = request(&name);
            let (prefix, mut message) = framed.split_at(PREFIX);
            prop_assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
            if !name.is_empty() {
                prop_assert_eq!(varint(&mut message), Some(u64::from(SERVICE)));
                prop_assert_eq!(varint(&mut message), Some(name.len() as u64));
            }
            prop_assert_eq!(message, name.as_bytes());
        }

        #[test]
        fn of_any_message_the_last_status_counts(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let framed = [&[0, 0, 0, 0, bytes.len() as u8], &bytes[..]].concat();
            let more = [&[0, 0, 0, 0, bytes.len() as u8 + 2], &bytes[..], &[STATUS as u8, 2]].concat();
            if answer(&framed).is_some() {
                prop_assert_eq!(answer(&more), Some(2));
            }
        }
    }
}
