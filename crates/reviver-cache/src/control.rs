//! What a response's directives say to a shared cache (RFC 9111, section 5.2.2; RFC 5861; RFC 8246; RFC 9213).
//!
//! Of directives that are there twice, or that cannot be read, the reading that stores and serves least counts.

use reviver_http::{FieldKind, ResponseHead, is_token};
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use smallvec::SmallVec;

use crate::directives::{Argument, delta_seconds, directives};
use crate::fields::{Item, received};

/// Times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    /// A freshness directive is there and cannot be read: the response is stale (section 4.2.1).
    pub invalid_freshness: bool,
    pub no_cache: bool,
    /// Field names of a qualified `no-cache` or `private`, lower case: these fields are not stored.
    pub not_stored: SmallVec<[String; 2]>,
    pub no_store: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub no_transform: bool,
    pub immutable: bool,
    pub stale_while_revalidate: Option<u64>,
    pub stale_if_error: Option<u64>,
    /// A targeted field spoke: `Cache-Control` and `Expires` do not count.
    pub targeted: bool,
}

/// The argument of a directive, in one of its two syntaxes.
enum Value<'a> {
    /// There is none.
    None,
    /// What may be seconds or names.
    Text(&'a [u8]),
    Malformed,
}

impl Control {
    /// `targeted`: names of targeted fields, lower case, the first that is there and valid counts.
    pub fn of(response: &ResponseHead, targeted: &[String]) -> Self {
        Self::read(received(response), targeted)
    }

    pub(crate) fn read<'a>(items: impl Iterator<Item = Item<'a>> + Clone, targeted: &[String]) -> Self {
        if let Some(dictionary) = targeted.iter().find_map(|name| dictionary(items.clone(), name)) {
            return Self::of_dictionary(&dictionary);
        }
        let mut control = Self::default();
        for item in items.filter(|item| item.kind == FieldKind::CacheControl) {
            for directive in directives(item.value) {
                let value = match directive.argument {
                    Argument::None => Value::None,
                    Argument::Token(text) | Argument::Quoted(text) => Value::Text(text),
                    Argument::Malformed => Value::Malformed,
                };
                control.take(directive.name, &value);
            }
        }
        control.settle();
        control
    }

    /// RFC 9213, section 2.1: parameters, directives of another type and unknown ones have no say. The types are those
    /// that the directives' syntax suggests: Integer for seconds, String for names, true for those without argument.
    fn of_dictionary(dictionary: &Dictionary) -> Self {
        let mut control = Self { targeted: true, ..Self::default() };
        for (key, entry) in dictionary {
            let ListEntry::Item(item) = entry else {
                continue;
            };
            let name = key.as_str().as_bytes();
            match &item.bare_item {
                BareItem::Boolean(true) if !has_seconds(name) => control.take(name, &Value::None),
                BareItem::Integer(seconds) if has_seconds(name) => {
                    control.take(name, &Value::Text(i64::from(*seconds).to_string().as_bytes()));
                }
                BareItem::String(names) if has_names(name) => {
                    control.take(name, &Value::Text(names.as_str().as_bytes()));
                }
                BareItem::Token(name_) if has_names(name) => {
                    control.take(name, &Value::Text(name_.as_str().as_bytes()));
                }
                _ => {}
            }
        }
        control.settle();
        control
    }

    fn take(&mut self, name: &[u8], value: &Value<'_>) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let seconds = if let Value::Text(text) = value { delta_seconds(text) } else { None };
        // what allows something must be written as it should
        let sound = !matches!(value, Value::Malformed);
        match name.len() {
            6 if is(b"public") => self.public |= sound,
            7 if is(b"max-age") => self.lifetime(|control| &mut control.max_age, seconds),
            7 if is(b"private") => self.private |= !self.take_names(value),
            8 if is(b"s-maxage") => self.lifetime(|control| &mut control.s_maxage, seconds),
            8 if is(b"no-store") => self.no_store = true,
            8 if is(b"no-cache") => self.no_cache |= !self.take_names(value),
            9 if is(b"immutable") => self.immutable |= sound,
            12 if is(b"no-transform") => self.no_transform = true,
            14 if is(b"stale-if-error") => shortest(&mut self.stale_if_error, seconds),
            15 if is(b"must-revalidate") => self.must_revalidate = true,
            15 if is(b"must-understand") => self.must_understand = true,
            16 if is(b"proxy-revalidate") => self.proxy_revalidate = true,
            22 if is(b"stale-while-revalidate") => shortest(&mut self.stale_while_revalidate, seconds),
            _ => {}
        }
    }

    /// Section 4.2.1: of several the first could be used as well, but then it is not known which one was meant.
    fn lifetime(&mut self, which: impl Fn(&mut Self) -> &mut Option<u64>, seconds: Option<u64>) {
        self.invalid_freshness |= seconds.is_none();
        shortest(which(self), seconds);
    }

    /// False where no names are there, or where they cannot be read: then all of the response is meant.
    fn take_names(&mut self, value: &Value<'_>) -> bool {
        let Value::Text(text) = value else {
            return false;
        };
        let names = text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        let mut any = false;
        for name in names {
            let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_token(name.as_bytes())) else {
                return false;
            };
            any = true;
            let name = name.to_ascii_lowercase();
            if !self.not_stored.contains(&name) {
                self.not_stored.push(name);
            }
        }
        any
    }

    fn settle(&mut self) {
        // section 5.2.2.10: `s-maxage` means `proxy-revalidate` too
        self.proxy_revalidate |= self.s_maxage.is_some();
    }

    pub(crate) fn keeps_out(&self, name: &[u8]) -> bool {
        self.not_stored.iter().any(|kept_out| name.eq_ignore_ascii_case(kept_out.as_bytes()))
    }

    /// RFC 9111, section 7.3, lets `Set-Cookie` be stored; here only where the response says that it is for everyone.
    pub(crate) fn shares_cookies(&self) -> bool {
        self.public || self.s_maxage.is_some()
    }
}

/// What cannot be read is no time at all.
fn shortest(known: &mut Option<u64>, seconds: Option<u64>) {
    let seconds = seconds.unwrap_or(0);
    *known = Some(known.map_or(seconds, |known| known.min(seconds)));
}

fn has_seconds(name: &[u8]) -> bool {
    matches!(name, b"max-age" | b"s-maxage" | b"stale-if-error" | b"stale-while-revalidate")
}

fn has_names(name: &[u8]) -> bool {
    matches!(name, b"private" | b"no-cache")
}

/// RFC 9213, section 2.1: a field that is empty or that cannot be parsed is as if it were not there.
fn dictionary<'a>(items: impl Iterator<Item = Item<'a>> + Clone, name: &str) -> Option<Dictionary> {
    let mut text = Vec::new();
    for item in items.filter(|item| item.name.eq_ignore_ascii_case(name.as_bytes())) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(item.value);
    }
    Parser::new(&text).parse::<Dictionary>().ok().filter(|dictionary| !dictionary.is_empty())
}
