//! Secrets: what of a value may be written down.
//!
//! Rule 1: where a name could be read in two ways, either reading masks. Rule 2: the mask is the same
//! whatever the length of the secret. Rule 3: masking works on bytes and fails on none.

use memchr::{memchr, memchr2, memmem};
use reviver_http::FieldKind;
use reviver_http::percent_decode;

/// Stands for each secret value.
pub(super) const MASK: &[u8] = b"***";

/// Schemes whose name says nothing of the secret; after any other first word all is masked.
const SCHEMES: &[&[u8]] = &[
    b"basic",
    b"bearer",
    b"digest",
    b"negotiate",
    b"ntlm",
    b"token",
    b"dpop",
    b"hoba",
    b"mutual",
    b"aws4-hmac-sha256",
    b"scram-sha-1",
    b"scram-sha-256",
];

/// The names whose values are secrets, in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Redact(Vec<Box<[u8]>>);

impl Redact {
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().map(|n| n.to_ascii_lowercase().into_bytes().into()).collect())
    }

    fn names(&self, name: &[u8]) -> bool {
        self.0.iter().any(|n| n.eq_ignore_ascii_case(name))
    }

    /// Whether a parameter is a secret: by its whole name, or by a part as in `user[password]` or `token[]`.
    fn parameter(&self, raw: &[u8]) -> bool {
        if memchr2(b'%', b'+', raw).is_some() {
            // `+` is a space, as in forms
            let spaced: Vec<u8> = raw.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
            return self.decoded(&percent_decode(&spaced));
        }
        self.decoded(raw)
    }

    fn decoded(&self, name: &[u8]) -> bool {
        self.names(name)
            || (memchr(b'[', name).is_some() && name.split(|b| matches!(b, b'[' | b']')).any(|part| self.names(part)))
    }

    /// Whether a field is a secret: `x-api-key` is one where `api_key` or `api-key` is.
    fn field(&self, name: &[u8]) -> bool {
        let plain = name.strip_prefix(b"x-").unwrap_or(name);
        let same = |listed: &[u8]| {
            listed.len() == plain.len() && listed.iter().zip(plain).all(|(a, b)| a == b || (*a == b'_' && *b == b'-'))
        };
        self.names(name) || self.0.iter().any(|listed| same(listed))
    }

    /// Appends a query (without `?`) with secret values masked. Parameters end at `&` and `;`, and at `?` and
    /// `#`, which some servers and pages take for separators.
    pub fn query(&self, query: &[u8], out: &mut Vec<u8>) {
        if memchr(b'=', query).is_none() || self.0.is_empty() {
            return without_userinfo(query, out);
        }
        let mut rest = query;
        loop {
            let end = rest.iter().position(|b| matches!(b, b'&' | b';' | b'?' | b'#'));
            let parameter = &rest[..end.unwrap_or(rest.len())];
            match memchr(b'=', parameter) {
                Some(equals) if self.parameter(&parameter[..equals]) => {
                    out.extend_from_slice(&parameter[..=equals]);
                    out.extend_from_slice(MASK);
                }
                _ => without_userinfo(parameter, out),
            }
            let Some(end) = end else { return };
            out.push(rest[end]);
            rest = &rest[end + 1..];
        }
    }

    /// Appends a URL (or a text with URLs in it): userinfo goes, parameters of query and fragment are masked.
    pub fn url(&self, url: &[u8], out: &mut Vec<u8>) {
        let query = memchr2(b'?', b'#', url).map_or(url.len(), |i| i + 1);
        without_userinfo(&url[..query], out);
        self.query(&url[query..], out);
    }

    /// Appends the value of a recorded field. Credentials were masked by [`credentials`] before.
    pub fn field_value(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if self.field(name) && !is_credential(name) {
            out.extend_from_slice(MASK);
        } else {
            self.url(value, out);
        }
    }
}

/// RFC 3986, section 3.2.1: what stands before `@` in an authority.
fn without_userinfo(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    let mut searched = 0;
    while let Some(found) = memmem::find(&rest[searched..], b"//") {
        let start = searched + found + 2;
        let begins_authority = start == 2 || rest[start - 3] == b':';
        let length = rest[start..].iter().position(|b| matches!(b, b'/' | b' ')).unwrap_or(rest.len() - start);
        match memchr::memrchr(b'@', &rest[start..start + length]).filter(|_| begins_authority) {
            Some(at) => {
                out.extend_from_slice(&rest[..start]);
                rest = &rest[start + at + 1..];
                searched = 0;
            }
            None => searched = start,
        }
    }
    out.extend_from_slice(rest);
}

fn is_credential(name: &[u8]) -> bool {
    [&b"authorization"[..], b"proxy-authorization", b"cookie", b"set-cookie"].contains(&name)
}

/// Appends a field's value; of credentials only the scheme, of cookies only the names.
pub(super) fn credentials(kind: FieldKind, value: &[u8], out: &mut Vec<u8>) {
    match kind {
        FieldKind::Authorization | FieldKind::ProxyAuthorization => {
            let word = memchr(b' ', value).map_or(&value[..0], |end| &value[..end]);
            if SCHEMES.iter().any(|s| s.eq_ignore_ascii_case(word)) {
                out.extend_from_slice(word);
                out.push(b' ');
            }
            out.extend_from_slice(MASK);
        }
        FieldKind::Cookie => {
            for (index, pair) in value.split(|b| *b == b';').enumerate() {
                if index > 0 {
                    out.extend_from_slice(b"; ");
                }
                cookie(pair.trim_ascii(), out);
            }
        }
        FieldKind::SetCookie => cookie(memchr(b';', value).map_or(value, |end| &value[..end]), out),
        _ => out.extend_from_slice(value),
    }
}

/// A pair without a name is all value (RFC 6265, section 5.2).
fn cookie(pair: &[u8], out: &mut Vec<u8>) {
    if let Some(equals) = memchr(b'=', pair) {
        out.extend_from_slice(&pair[..=equals]);
    }
    out.extend_from_slice(MASK);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact() -> Redact {
        Redact::new(&["token".into(), "password".into(), "api_key".into()])
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn secret_parameters_are_masked_however_their_names_are_spelled() {
        for (query, masked) in [
            ("a=1&token=s3cret&b=2", "a=1&token=***&b=2"),
            ("TOKEN=s3cret", "TOKEN=***"),
            ("%74oken=s3cret", "%74oken=***"),
            ("%74%6F%6b%65%6e=s3cret", "%74%6F%6b%65%6e=***"),
            ("token=s3=cret", "token=***"),
            ("token=", "token=***"),
            ("token", "token"),
            ("a=1;token=s3cret", "a=1;token=***"),
            ("a=?token=s3cret", "a=?token=***"),
            ("user[password]=s3cret&token[]=s3cret", "user[password]=***&token[]=***"),
            ("user%5Bpassword%5D=s3cret", "user%5Bpassword%5D=***"),
            ("tokens=1&xtoken=2", "tokens=1&xtoken=2"),
            ("&&token=s3cret&", "&&token=***&"),
            ("u=http://a:s3cret@b/&c=1", "u=http://b/&c=1"),
            ("%zz=1&%7=2", "%zz=1&%7=2"),
            ("", ""),
        ] {
            assert_eq!(written(|out| redact().query(query.as_bytes(), out)), masked, "{query}");
        }
    }

    #[test]
    fn urls_lose_userinfo_and_secret_parameters() {
        for (url, masked) in [
            ("http://u:s3cret@h/p?token=s3cret&a=1", "http://h/p?token=***&a=1"),
            ("//u@h/p", "//h/p"),
            ("https://h/cb#token=s3cret", "https://h/cb#token=***"),
            ("https://h/?u=http://a:s3cret@b/&token=s3cret", "https://h/?u=http://b/&token=***"),
            ("https://h/p@q?x=1", "https://h/p@q?x=1"),
            ("/a//b@c/d", "/a//b@c/d"),
            ("plain text", "plain text"),
        ] {
            assert_eq!(written(|out| redact().url(url.as_bytes(), out)), masked, "{url}");
        }
    }

    #[test]
    fn credentials_keep_scheme_and_cookie_names_only() {
        for (kind, value, masked) in [
            (FieldKind::Authorization, "Basic czNjcmV0", "Basic ***"),
            (FieldKind::ProxyAuthorization, "bearer s3cret", "bearer ***"),
            (FieldKind::Authorization, "s3cret", "***"),
            (FieldKind::Authorization, "s3cret more", "***"),
            (FieldKind::Cookie, "a=s3cret; b=s3=cret;c", "a=***; b=***; ***"),
            (FieldKind::SetCookie, "id=s3cret; Path=/; HttpOnly", "id=***"),
            (FieldKind::Accept, "text/html", "text/html"),
        ] {
            assert_eq!(written(|out| credentials(kind, value.as_bytes(), out)), masked, "{value}");
        }
    }

    #[test]
    fn fields_named_as_secrets_are_masked() {
        let value =
            |name: &str, value: &str| written(|out| redact().field_value(name.as_bytes(), value.as_bytes(), out));
        assert_eq!(value("x-api-key", "s3cret"), "***");
        assert_eq!(value("api-key", "s3cret"), "***");
        assert_eq!(value("token", "s3cret"), "***");
        assert_eq!(value("location", "/next?token=s3cret"), "/next?token=***");
        assert_eq!(value("x-request-id", "17"), "17");
        assert_eq!(value("authorization", "Basic ***"), "Basic ***");
    }
}
