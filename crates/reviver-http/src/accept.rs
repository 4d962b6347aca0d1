//! Which of the three forms of an error page a client prefers (RFC 9110, section 12.5.1).

use crate::grammar::{list, trim};

/// A form that the proxy's own answers come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    #[default]
    Text,
    Html,
    Json,
}

const OFFERED: [(Media, &[u8], &[u8]); 3] =
    [(Media::Text, b"text", b"plain"), (Media::Html, b"text", b"html"), (Media::Json, b"application", b"json")];

/// How well one form is liked; later fields only break ties.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Liking {
    /// Thousandths.
    quality: u16,
    /// 0 for `*/*`, 1 for `type/*`, 2 for the type itself.
    specificity: u8,
    /// Higher the earlier the range stood.
    earliness: usize,
}

/// The form that the values of `Accept` prefer: by quality, then by how precisely it is named, then by order.
/// Text where nothing is asked for, everything is equally welcome, or nothing offered is acceptable.
pub fn preferred_media<'a>(values: impl Iterator<Item = &'a [u8]>) -> Media {
    let mut likings = [None::<Liking>; OFFERED.len()];
    for (position, range) in values.flat_map(list).enumerate() {
        let mut parts = range.split(|&byte| byte == b';').map(trim);
        let Some((kind, subtype)) = parts.next().and_then(split_type) else {
            continue;
        };
        let quality = parts.find_map(quality).unwrap_or(1000);
        for ((_, offered_kind, offered_subtype), liking) in OFFERED.iter().zip(&mut likings) {
            let specificity = match (kind, subtype) {
                (b"*", b"*") => 0,
                (_, b"*") if kind.eq_ignore_ascii_case(offered_kind) => 1,
                _ if kind.eq_ignore_ascii_case(offered_kind) && subtype.eq_ignore_ascii_case(offered_subtype) => 2,
                _ => continue,
            };
            // the most specific range that matches tells the quality
            if liking.is_none_or(|known| specificity > known.specificity) {
                *liking = Some(Liking { quality, specificity, earliness: usize::MAX - position });
            }
        }
    }
    let mut best = (Media::Text, Liking::default());
    for ((media, ..), liking) in OFFERED.into_iter().zip(likings) {
        if let Some(liking) = liking.filter(|liking| liking.quality > 0 && *liking > best.1) {
            best = (media, liking);
        }
    }
    best.0
}

fn split_type(range: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = memchr::memchr(b'/', range)?;
    Some((&range[..slash], &range[slash + 1..]))
}

/// The weight in thousandths, where this parameter is one. A malformed one counts as 0.
fn quality(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    let (whole, decimals) = match value {
        [whole] => (*whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 && decimals.iter().all(u8::is_ascii_digit) => {
            (*whole, decimals)
        }
        _ => return Some(0),
    };
    let mut digits = [0; 3];
    for (digit, byte) in digits.iter_mut().zip(decimals) {
        *digit = u16::from(byte - b'0');
    }
    match whole {
        b'0' => Some(digits[0] * 100 + digits[1] * 10 + digits[2]),
        b'1' => Some(1000),
        _ => Some(0),
    }
}
