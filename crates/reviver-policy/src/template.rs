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
    /// can be smuggled in. Unless the template itself begins with `//`, the target does not: that would send
    /// the client to a host of the request's choice.
    pub fn write(&self, parts: &TemplateParts<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Scheme => encode(Part::Path, parts.scheme, out),
                Piece::Host => write_host(parts.host, out),
                Piece::Path => write_path(parts.path, out),
                Piece::Query => encode(Part::Query, parts.query.unwrap_or_default(), out),
                Piece::Uri => {
                    write_path(parts.path, out);
                    if let Some(query) = parts.query {
                        out.push(b'?');
                        encode(Part::Query, query, out);
                    }
                }
            }
        }
        let names_host = matches!(self.0.first(), Some(Piece::Text(text)) if text.starts_with(b"//"));
        let slashes = out[start..].iter().take_while(|&&b| b == b'/').count();
        if !names_host && slashes > 1 {
            out.drain(start + 1..start + slashes);
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

/// Asterisk- and authority-form have no path; what stands before the path must not run into them.
fn write_path(path: &[u8], out: &mut Vec<u8>) {
    if path.starts_with(b"/") {
        encode(Part::Path, path, out);
    } else {
        out.push(b'/');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: TemplateParts<'_> =
        TemplateParts { scheme: b"http", host: b"shop.example", path: b"/a/b", query: Some(b"x=1&y=/?") };

    fn write(template: &str, parts: &TemplateParts<'_>) -> String {
        let mut out = b"kept:".to_vec();
        Template::parse(template).expect("a template").write(parts, &mut out);
        let text = String::from_utf8(out).expect("only ASCII comes out");
        text.strip_prefix("kept:").expect("what stood there stays").to_owned()
    }

    #[test]
    fn names_stand_for_parts_of_the_request() {
        for (template, expected) in [
            ("https://{host}{uri}", "https://shop.example/a/b?x=1&y=/?"),
            ("{scheme}://other.example{path}", "http://other.example/a/b"),
            ("/search?{query}#top", "/search?x=1&y=/?#top"),
            ("/fixed", "/fixed"),
            ("/{{id}}", "/%7Bid%7D"),
            ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
            ("/münchen", "/m%C3%BCnchen"),
        ] {
            assert_eq!(write(template, &PARTS), expected, "{template}");
        }
    }

    #[test]
    fn a_request_without_query_leaves_no_question_mark() {
        let parts = TemplateParts { query: None, ..PARTS };
        assert_eq!(write("https://{host}{uri}", &parts), "https://shop.example/a/b");
        assert_eq!(write("/q{query}", &parts), "/q");
        assert_eq!(write("{uri}", &TemplateParts { query: Some(b""), ..PARTS }), "/a/b?");
    }

    #[test]
    fn hosts_get_the_brackets_that_they_need() {
        for (host, expected) in [
            ("::1", "https://[::1]/"),
            ("[::1]", "https://[::1]/"),
            ("[::1]:8080", "https://[::1]:8080/"),
            ("a.example:8080", "https://a.example:8080/"),
        ] {
            let parts = TemplateParts { host: host.as_bytes(), ..PARTS };
            assert_eq!(write("https://{host}/", &parts), expected);
        }
    }

    #[test]
    fn a_request_cannot_choose_the_host_it_is_sent_to() {
        let parts = TemplateParts { path: b"//evil.example/x", ..PARTS };
        assert_eq!(write("{path}", &parts), "/evil.example/x");
        assert_eq!(write("/{path}", &parts), "/evil.example/x");
        assert_eq!(write("https://a.example{path}", &parts), "https://a.example//evil.example/x");
        assert_eq!(write("//{host}{path}", &parts), "//shop.example//evil.example/x");
        let asterisk = TemplateParts { path: b"*", ..PARTS };
        assert_eq!(write("https://a.example{path}", &asterisk), "https://a.example/");
        assert_eq!(write("{path}", &TemplateParts { path: b"/\\evil.example", ..PARTS }), "/%5Cevil.example");
    }

    #[test]
    fn no_header_can_be_smuggled_in() {
        let evil = b"/a\r\nset-cookie: x=1\0\x7F\xFF";
        let parts = TemplateParts { scheme: evil, host: evil, path: evil, query: Some(evil) };
        let target = write("x{scheme}{host}{path}{query}{uri}", &parts);
        assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{target}");
        assert!(target.contains("%0D%0A"), "{target}");
    }

    #[test]
    fn bad_templates_are_refused() {
        let error = |template: &str| Template::parse(template).expect_err("refused").to_string();
        assert_eq!(
            error("/{hots}"),
            "unknown name `hots` in `/{hots}`: there are {scheme} {host} {path} {query} {uri}"
        );
        for (template, expected) in [
            ("/{path", TemplateError::Brace { template: "/{path".into() }),
            ("/path}", TemplateError::Brace { template: "/path}".into() }),
            ("/a\r\nx: y", TemplateError::Character { template: "/a\r\nx: y".into() }),
            ("/a b", TemplateError::Character { template: "/a b".into() }),
            ("", TemplateError::Empty),
        ] {
            assert_eq!(Template::parse(template), Err(expected));
        }
    }
}
