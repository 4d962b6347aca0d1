//! What a successful unsafe request makes invalid (RFC 9111, section 4.4; RFC 9875).

use reviver_http::{FieldKind, Method, RequestHead, ResponseHead, parse_authority};

use crate::key::{default_port, write_key};
use crate::{KeyRule, invalidated_groups};

/// Targets of which all that is stored is invalid, each as the start of a key: `scheme://host[:port]/path[?query]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalidation {
    /// The request's own is the first.
    pub targets: Vec<Vec<u8>>,
    /// Groups of the same origin (RFC 9875, section 3).
    pub groups: Vec<String>,
}

/// None where nothing is: a safe method, a tunnel, or an error.
pub fn invalidation(scheme: &[u8], request: &RequestHead, response: &ResponseHead) -> Option<Invalidation> {
    if is_safe(request) || request.method == Method::Connect || !(200..400).contains(&response.status) {
        return None;
    }
    let mut own = Vec::new();
    write_key(&KeyRule::default(), scheme, request, &mut own);
    let mut targets = vec![own];
    let places = response.values(FieldKind::Location).chain(response.values_of(b"content-location"));
    for target in places.filter_map(|place| same_origin(scheme, request, place)) {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Some(Invalidation { targets, groups: invalidated_groups(response) })
}

/// The methods that IANA has registered as safe. All others count as unsafe, unknown ones too.
fn is_safe(request: &RequestHead) -> bool {
    match request.method {
        Method::Get | Method::Head | Method::Options | Method::Trace => true,
        Method::Other => matches!(request.method_text(), b"QUERY" | b"PROPFIND" | b"REPORT" | b"SEARCH"),
        _ => false,
    }
}

/// The key of a place of the request's origin. Those of other origins must not be touched.
///
/// Only whole URLs and paths from the root count, as they stand: keys hold paths as they stood on the wire, which a
/// URL library would rewrite. The section leaves it to the cache which places it follows.
fn same_origin(scheme: &[u8], request: &RequestHead, place: &[u8]) -> Option<Vec<u8>> {
    let place = &place[..memchr::memchr(b'#', place).unwrap_or(place.len())];
    let (authority, path) = match place {
        [b'/', b'/', rest @ ..] => cut(rest),
        [b'/', ..] => (None, place),
        _ => {
            let (named, rest) = place.split_at_checked(scheme.len())?;
            cut(rest.strip_prefix(b"://").filter(|_| named.eq_ignore_ascii_case(scheme))?)
        }
    };
    if let Some(authority) = authority {
        let named = parse_authority(authority).ok()?;
        let same_port = named.port.or(default_port(scheme)) == request.port.or(default_port(scheme));
        if !same_port || !named.host.eq_ignore_ascii_case(request.host()) {
            return None;
        }
    }
    let mut target = Vec::new();
    write_key(
        &KeyRule { path: false, query_include: Some(Vec::new()), ..KeyRule::default() },
        scheme,
        request,
        &mut target,
    );
    if !path.starts_with(b"/") {
        target.push(b'/');
    }
    target.extend_from_slice(path);
    Some(target)
}

/// The authority, and what stands behind it.
fn cut(rest: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    (Some(&rest[..end]), &rest[end..])
}
