//! What a client sent, as text that cannot end a line or a quoted value.

use std::io;

use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

const HEX: &[u8; 16] = b"0123456789abcdef";
const UPPER_HEX: &[u8; 16] = b"0123456789ABCDEF";

/// As Apache does in its logs (`ap_escape_logitem`): `\"`, `\\`, `\n` and the like, else `\xhh`.
pub(super) fn apache(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0b => out.extend_from_slice(b"\\v"),
            _ => hex(b"\\x", byte, HEX, out),
        }
    }
}

/// As [`apache`], for a value that stands without quotes between spaces.
pub(super) fn apache_word(text: &[u8], out: &mut Vec<u8>) {
    for part in text.split_inclusive(|b| *b == b' ') {
        let (word, space) = part.strip_suffix(b" ").map_or((part, false), |word| (word, true));
        apache(word, out);
        if space {
            out.extend_from_slice(b"\\x20");
        }
    }
}

/// Percent-encodes what is not printable ASCII, and the space: one word, as Squid writes URLs and names.
pub(super) fn percent(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_graphic() && byte != b'"' {
            out.push(byte);
        } else {
            hex(b"%", byte, UPPER_HEX, out);
        }
    }
}

fn hex(prefix: &[u8], byte: u8, digits: &[u8; 16], out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    out.push(digits[usize::from(byte >> 4)]);
    out.push(digits[usize::from(byte & 15)]);
}

/// Appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn json(text: &[u8], out: &mut Vec<u8>) {
    if is_plain(text) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return;
    }
    let text = String::from_utf8_lossy(text);
    // writing to a vector does not fail
    let _ = serde::Serialize::serialize(&*text, &mut Serializer::with_formatter(&mut *out, TerminalSafe));
}

/// Whether a JSON string holds the bytes as they are. No early exit: most texts are plain, and without it
/// the compiler looks at many bytes at a time.
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, &b| plain & (b' '..=b'~').contains(&b) & (b != b'"') & (b != b'\\'))
}

/// Also escapes what JSON allows and terminals obey: DEL, the C1 controls, line and direction marks.
struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let obeyed = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let mut rest = fragment;
        while let Some(at) = rest.find(obeyed) {
            let (before, after) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, before)?;
            let mut after = after.chars();
            if let Some(char) = after.next() {
                write!(writer, "\\u{:04x}", u32::from(char))?;
            }
            rest = after.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        CompactFormatter.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(escape: fn(&[u8], &mut Vec<u8>), text: &[u8]) -> String {
        let mut out = Vec::new();
        escape(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_escape_keeps_a_value_in_its_place() {
        let nasty = b"a \"b\"\\\r\n\t\x00\x1b\x7f\xff\xc3\xa9";
        assert_eq!(written(apache, nasty), r#"a \"b\"\\\r\n\t\x00\x1b\x7f\xff\xc3\xa9"#);
        assert_eq!(written(apache_word, b"a b "), r"a\x20b\x20");
        assert_eq!(written(percent, b"/a b\"\n\xc3\xa9%41"), "/a%20b%22%0A%C3%A9%41");
        assert_eq!(written(json, nasty), r#""a \"b\"\\\r\n\t\u0000\u001b\u007f"#.to_owned() + "\u{fffd}é\"");
    }

    #[test]
    fn json_escapes_what_a_terminal_would_obey() {
        let text = "x\u{202e}y\u{9b}31m\u{2028}z";
        assert_eq!(written(json, text.as_bytes()), r#""x\u202ey\u009b31m\u2028z""#);
    }
}
