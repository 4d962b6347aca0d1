//! The list of directives in one line of `Cache-Control` or `Pragma` (RFC 9111, section 5.2).
//!
//! Each line is read by itself, so that a quotation mark left open takes nothing with it that stands in another one.

use reviver_http::is_token;

/// What stands behind the `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    None,
    Token(&'a [u8]),
    /// Between the quotation marks, quoted pairs not undone.
    Quoted(&'a [u8]),
    /// Neither form, or white space around the `=`, or behind a quotation mark that is not closed.
    Malformed,
}

impl Argument<'_> {
    /// `delta-seconds` (section 1.2.2) in either form (section 5.2); what overflows is the largest value.
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::Token(digits) | Self::Quoted(digits) => delta_seconds(digits),
            Self::None | Self::Malformed => None,
        }
    }
}

/// Section 1.2.2.
const MAX_SECONDS: u64 = 1 << 31;

pub(crate) fn delta_seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits
        .iter()
        .fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(MAX_SECONDS));
    Some(seconds)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) argument: Argument<'a>,
}

impl Directive<'_> {
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

pub(crate) fn directives(value: &[u8]) -> Directives<'_> {
    Directives { rest: value, open: false }
}

#[derive(Clone, Debug)]
pub(crate) struct Directives<'a> {
    rest: &'a [u8],
    /// A quotation mark was not closed: what follows it counts, but no argument is believed.
    open: bool,
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    #[inline]
    fn next(&mut self) -> Option<Directive<'a>> {
        let start = self.rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        self.rest = &self.rest[start..];
        let end = self.rest.iter().position(|byte| matches!(byte, b'=' | b',' | b' ' | b'\t'));
        let (name, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = after;
        let spaced = self.skip_space();
        let mut argument = match self.rest.split_first() {
            None | Some((b',', _)) => Argument::None,
            Some((b'=', after)) => {
                self.rest = after;
                let spaced = self.skip_space() || spaced;
                let argument = self.argument();
                if spaced { Argument::Malformed } else { argument }
            }
            Some(_) => {
                self.skip_member();
                Argument::Malformed
            }
        };
        if self.open {
            argument = Argument::Malformed;
        }
        Some(Directive { name, argument })
    }
}

impl<'a> Directives<'a> {
    fn skip_space(&mut self) -> bool {
        let length = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.rest = &self.rest[length..];
        length > 0
    }

    /// To the next comma.
    fn skip_member(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b',', self.rest).unwrap_or(self.rest.len());
        let (member, after) = self.rest.split_at(end);
        self.rest = after;
        member
    }

    fn argument(&mut self) -> Argument<'a> {
        let Some(quoted) = self.rest.strip_prefix(b"\"") else {
            let token = self.skip_member().trim_ascii_end();
            return if is_token(token) { Argument::Token(token) } else { Argument::Malformed };
        };
        let Some(end) = closing_quote(quoted) else {
            self.rest = quoted;
            self.open = true;
            return Argument::Malformed;
        };
        self.rest = &quoted[end + 1..];
        if self.skip_member().trim_ascii().is_empty() { Argument::Quoted(&quoted[..end]) } else { Argument::Malformed }
    }
}

fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', quoted.get(at..)?)?;
        if quoted[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}
