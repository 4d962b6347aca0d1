//! Points in time as text, each second formatted once.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Formats times that mostly lie in the same second as the one before.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    utc: Second,
    local: Second,
}

#[derive(Debug, Default)]
struct Second {
    at: Option<i64>,
    text: String,
}

impl Second {
    fn text(&mut self, at: i64, write: impl FnOnce(Timestamp, &mut String)) -> &[u8] {
        if self.at != Some(at) {
            self.at = Some(at);
            self.text.clear();
            write(Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH), &mut self.text);
        }
        self.text.as_bytes()
    }
}

impl Clock {
    /// `zone` is that of the formats that write local time.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, utc: Second::default(), local: Second::default() }
    }

    /// RFC 3339 with milliseconds, UTC: `2026-01-02T03:04:05.678Z`.
    pub fn rfc3339(&mut self, ms: u64, out: &mut Vec<u8>) {
        let text = self.utc.text(seconds(ms), |time, text| {
            // writing to a string does not fail
            let _ = write!(text, "{}", time.strftime("%Y-%m-%dT%H:%M:%S"));
        });
        out.extend_from_slice(text);
        let [a, b, c] = digits3(ms % 1000);
        out.extend_from_slice(&[b'.', a, b, c, b'Z']);
    }

    /// Apache's `%t` without its brackets: `02/Jan/2026:04:04:05 +0100`.
    pub fn apache(&mut self, ms: u64, out: &mut Vec<u8>) {
        let zone = &self.zone;
        let text = self.local.text(seconds(ms), |time, text| {
            let _ = write!(text, "{}", time.to_zoned_datetime(zone.clone()).strftime("%d/%b/%Y:%H:%M:%S %z"));
        });
        out.extend_from_slice(text);
    }
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(0)
}

/// Three digits, zeros in front.
pub(super) fn digits3(number: u64) -> [u8; 3] {
    [100, 10, 1].map(|unit| b'0' + (number / unit % 10) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_kept_apart_and_zones_are_told() {
        let mut clock = Clock::new(TimeZone::fixed(jiff::tz::offset(-7)));
        let mut out = Vec::new();
        for ms in [1_767_323_045_678, 1_767_323_045_009, 1_767_323_046_000] {
            clock.rfc3339(ms, &mut out);
            out.push(b' ');
            clock.apache(ms, &mut out);
            out.push(b'\n');
        }
        let want = "2026-01-02T03:04:05.678Z 01/Jan/2026:20:04:05 -0700\n\
                    2026-01-02T03:04:05.009Z 01/Jan/2026:20:04:05 -0700\n\
                    2026-01-02T03:04:06.000Z 01/Jan/2026:20:04:06 -0700\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
