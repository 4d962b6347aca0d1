//! Targets of redirects, with names for parts of the request.

use crate::TemplateError;
use crate::uri::{Part, encode};

/// A redirect target: text with `{scheme} {host} {path} {query} {uri}`, where `{uri}` is path and query.
/// A literal brace is written twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Scheme,
    Host,
    Path,
    Query,
    Uri,
}

/// What the names of a [`Template`] stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateParts<'a> {
    pub scheme: &'a [u8],
    /// With or without port; an IPv6 address without port may stand without brackets.
    pub host: &'a [u8],
    pub path: &'a [u8],
    /// Without the `?`.
    pub query: Option<&'a [u8]>,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let template = || text.to_owned();
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(TemplateError::Character { template: template() });
        }
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            literal.push_str(&rest[..brace]);
            rest = &rest[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let (name, after) = rest
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .ok_or_else(|| TemplateError::Brace { template: template() })?;
            let piece = match name {
                "scheme" => Piece::Scheme,
                "host" => Piece::Host,
                "path" => Piece::Path,
                "query" => Piece::Query,
                "uri" => Piece::Uri,
                _ => return Err(TemplateError::Name { template: template(), name: name.to_owned() }),
            };
            push_text(&mut pieces, &mut literal);
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        push_text(&mut pieces, &mut literal);
        Ok(Self(pieces))
    }

    /// Appends the target for one request. What may not stand in a URI is percent-encoded, so no header
    /// can be smuggled in. A target that begins with the path begins with one slash only: `//host` would
    /// send the client to a host of the request's choice.
    pub fn write(&self, parts: &TemplateParts<'_>, out: &mut Vec<u8>) {
        for (index, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Scheme => encode(Part::Path, parts.scheme, out),
                Piece::Host => write_host(parts.host, out),
                Piece::Path => write_path(parts.path, index == 0, out),
                Piece::Query => encode(Part::Query, parts.query.unwrap_or_default(), out),
                Piece::Uri => {
                    write_path(parts.path, index == 0, out);
                    if let Some(query) = parts.query {
                        out.push(b'?');
                        encode(Part::Query, query, out);
                    }
                }
            }
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        let mut text = Vec::new();
        encode(Part::Whole, literal.as_bytes(), &mut text);
        pieces.push(Piece::Text(text));
        literal.clear();
    }
}

fn write_host(host: &[u8], out: &mut Vec<u8>) {
    let is_bare_v6 = host.iter().filter(|&&b| b == b':').count() > 1 && !host.starts_with(b"[");
    if is_bare_v6 {
        out.push(b'[');
        encode(Part::Path, host, out);
        out.push(b']');
    } else {
        encode(Part::Whole, host, out);
    }
}

/// Asterisk- and authority-form have no path; what stands before the path must not run into it.
fn write_path(path: &[u8], first: bool, out: &mut Vec<u8>) {
    if !path.starts_with(b"/") {
        out.push(b'/');
        return;
    }
    let slashes = path.iter().take_while(|&&b| b == b'/').count();
    let skipped = if first { slashes - 1 } else { 0 };
    encode(Part::Path, &path[skipped..], out);
}
