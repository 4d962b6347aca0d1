//! Which bytes may stand where in a URI (RFC 3986), and percent-encoding of those that may not.

/// What [`encode`] leaves as it is, besides escapes that are there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `pchar` and `/`.
    Path,
    /// A path's bytes and `?`.
    Query,
    /// Every reserved and unreserved character.
    Whole,
}

const fn allowed(part: Part, byte: u8) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => true,
        b'-' | b'.' | b'_' | b'~' => true,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
        b':' | b'@' | b'/' => true,
        b'?' => !matches!(part, Part::Path),
        b'#' | b'[' | b']' => matches!(part, Part::Whole),
        _ => false,
    }
}

/// Appends `bytes`, percent-encoding what may not stand in `part`. A `%` stays where two hexadecimal
/// digits follow, so that what was encoded already is not encoded twice.
pub(crate) fn encode(part: Part, bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        if allowed(part, byte) || (byte == b'%' && escape(&bytes[index..]).is_some()) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// The byte that the escape at the beginning of `bytes` stands for.
pub(crate) fn escape(bytes: &[u8]) -> Option<u8> {
    match *bytes {
        [b'%', high, low, ..] => {
            let high = char::from(high).to_digit(16)?;
            let low = char::from(low).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        }
        _ => None,
    }
}

/// A path or its beginning as a person wrote it, in the form that a normalised path has: what may not
/// stand in a path is encoded, unreserved characters and slashes are not, hexadecimal digits are upper case
/// (RFC 3986, section 6.2.2), and slashes are merged.
pub(crate) fn canonical_path(text: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    encode(Part::Path, text.as_bytes(), &mut encoded);
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_slice();
    while let Some(&byte) = rest.first() {
        match escape(rest) {
            Some(plain) if plain.is_ascii_alphanumeric() || matches!(plain, b'-' | b'.' | b'_' | b'~' | b'/') => {
                out.push(plain);
                rest = &rest[3..];
            }
            Some(_) => {
                out.extend(rest[..3].iter().map(u8::to_ascii_uppercase));
                rest = &rest[3..];
            }
            None => {
                out.push(byte);
                rest = &rest[1..];
            }
        }
        if out.ends_with(b"//") {
            out.pop();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(part: Part, text: &[u8]) -> String {
        let mut out = Vec::new();
        encode(part, text, &mut out);
        String::from_utf8(out).expect("only ASCII comes out")
    }

    #[test]
    fn what_may_not_stand_in_a_part_is_encoded() {
        for (part, text, expected) in [
            (Part::Path, &b"/a b\r\n?#"[..], "/a%20b%0D%0A%3F%23"),
            (Part::Path, b"/a%20b%zz%", "/a%20b%25zz%25"),
            (Part::Path, b"/\xC3\xA4\x00\x7F", "/%C3%A4%00%7F"),
            (Part::Query, b"a=1&b=?#", "a=1&b=?%23"),
            (Part::Whole, b"https://[::1]/a?b#c \"<>\\^`{|}", "https://[::1]/a?b#c%20%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ] {
            assert_eq!(encoded(part, text), expected);
        }
    }

    #[test]
    fn a_written_path_gets_the_form_of_a_normalised_one() {
        for (written, expected) in
            [("/%7euser/%2f", "/~user/"), ("/ä b", "/%C3%A4%20b"), ("/100%", "/100%25"), ("", "")]
        {
            assert_eq!(canonical_path(written), expected.as_bytes(), "{written}");
        }
    }
}
