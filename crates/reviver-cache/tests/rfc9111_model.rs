//! A model of RFC 9111 that knows what was meant and parses nothing: what it forbids is never served.

mod caching;
mod heads;

use std::fmt::Write as _;

use caching::plain;
use heads::{NOVEMBER, get, response};
use proptest::collection::vec;
use proptest::prelude::*;
use reviver_cache::{Ask, Control, Exchanged, Judgement, Meta, judge, may_serve_on_error, may_store};

/// A number of seconds, as it is meant and as it is written.
#[derive(Clone, Debug)]
enum Seconds {
    Good(u64),
    Bad(&'static str),
}

#[derive(Clone, Debug)]
enum Said {
    MaxAge(Seconds),
    SMaxage(Seconds),
    StaleWhileRevalidate(Seconds),
    StaleIfError(Seconds),
    NoCache,
    NoCacheOf(&'static str),
    NoStore,
    Private,
    PrivateOf(&'static str),
    Public,
    MustRevalidate,
    ProxyRevalidate,
    MustUnderstand,
    Other(&'static str),
}

#[derive(Clone, Debug)]
enum Asked {
    MaxAge(Seconds),
    MinFresh(Seconds),
    MaxStale(Option<Seconds>),
    StaleIfError(Seconds),
    NoCache,
    NoStore,
}

#[derive(Clone, Debug)]
struct Response {
    status: u16,
    said: Vec<Said>,
    /// Seconds from when it was received; None in the option: no date that can be read.
    expires: Option<Option<i64>>,
    date: Option<i64>,
    modified: Option<i64>,
    age: Option<u64>,
    set_cookie: bool,
    tagged: bool,
}

#[derive(Clone, Debug)]
struct Request {
    asked: Vec<Asked>,
    pragma: bool,
    authorization: bool,
    cookie: bool,
}

fn seconds() -> impl Strategy<Value = Seconds> {
    let bad = prop::sample::select(vec!["x", "-1", "1.5", "\"", "", "60s", "'60'", " 60", "\"60"]);
    prop_oneof![6 => (0u64..120).prop_map(Seconds::Good), 1 => bad.prop_map(Seconds::Bad)]
}

fn said() -> impl Strategy<Value = Said> {
    let fields = prop::sample::select(vec!["a", "a, b", "Set-Cookie"]);
    let other =
        prop::sample::select(vec!["x=\"no-store\"", "foo", "community=y", "immutable", "x=\"max-age=60, public\""]);
    prop_oneof![
        6 => seconds().prop_map(Said::MaxAge),
        2 => seconds().prop_map(Said::SMaxage),
        2 => seconds().prop_map(Said::StaleWhileRevalidate),
        2 => seconds().prop_map(Said::StaleIfError),
        1 => Just(Said::NoCache),
        1 => fields.clone().prop_map(Said::NoCacheOf),
        1 => Just(Said::NoStore),
        1 => Just(Said::Private),
        1 => fields.prop_map(Said::PrivateOf),
        2 => Just(Said::Public),
        1 => Just(Said::MustRevalidate),
        1 => Just(Said::ProxyRevalidate),
        1 => Just(Said::MustUnderstand),
        2 => other.prop_map(Said::Other),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        seconds().prop_map(Asked::MaxAge),
        seconds().prop_map(Asked::MinFresh),
        prop::option::of(seconds()).prop_map(Asked::MaxStale),
        seconds().prop_map(Asked::StaleIfError),
        Just(Asked::NoCache),
        Just(Asked::NoStore),
    ]
}

prop_compose! {
    fn any_response()(
        status in prop_oneof![6 => Just(200u16), 4 => prop::sample::select(vec![
            201, 203, 204, 206, 301, 302, 304, 400, 404, 410, 429, 499, 500, 503, 599,
        ])],
        said in vec(said(), 0..5),
        expires in prop::option::of(prop::option::weighted(0.8, -60i64..120)),
        date in prop::option::weighted(0.8, -60i64..30),
        modified in prop::option::of(-2_000i64..10),
        age in prop::option::weighted(0.3, 0u64..120),
        set_cookie in prop::bool::weighted(0.1),
        tagged in any::<bool>(),
    ) -> Response {
        Response { status, said, expires, date, modified, age, set_cookie, tagged }
    }
}

prop_compose! {
    fn any_request()(
        asked in vec(asked(), 0..3),
        pragma in prop::bool::weighted(0.1),
        authorization in prop::bool::weighted(0.2),
        cookie in prop::bool::weighted(0.2),
    ) -> Request {
        Request { asked, pragma, authorization, cookie }
    }
}

fn date(offset: i64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(NOVEMBER);
    let at = if offset < 0 {
        at - std::time::Duration::from_secs(offset.unsigned_abs())
    } else {
        at + std::time::Duration::from_secs(offset.unsigned_abs())
    };
    httpdate::fmt_http_date(at)
}

/// `style` decides on case, quotation marks, white space and lines.
fn write_directives(directives: impl Iterator<Item = (&'static str, Option<String>)>, style: u8) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for (at, (name, argument)) in directives.enumerate() {
        let name = if style & 1 == 0 { name.to_owned() } else { name.to_uppercase() };
        line += if style & 2 == 0 { "" } else { " ,\t" };
        line += &name;
        if let Some(argument) = argument {
            let good = argument.bytes().all(|byte| byte.is_ascii_digit()) && !argument.is_empty();
            let quoted = good && style & 4 != 0;
            let _ = if quoted { write!(line, "=\"{argument}\"") } else { write!(line, "={argument}") };
        }
        if style & 8 != 0 || at % 2 == 1 {
            lines.push(format!("Cache-Control: {}", std::mem::take(&mut line)));
        } else {
            line += if style & 16 == 0 { ", " } else { "," };
        }
    }
    lines.push(format!("Cache-Control: {line}"));
    lines
}

impl Seconds {
    fn text(&self) -> String {
        match self {
            Self::Good(seconds) => seconds.to_string(),
            Self::Bad(text) => (*text).to_owned(),
        }
    }

    fn meant(&self) -> Option<u64> {
        if let Self::Good(seconds) = self { Some(*seconds) } else { None }
    }
}

impl Response {
    fn lines(&self, style: u8) -> Vec<String> {
        let mut lines = write_directives(
            self.said.iter().map(|said| match said {
                Said::MaxAge(seconds) => ("max-age", Some(seconds.text())),
                Said::SMaxage(seconds) => ("s-maxage", Some(seconds.text())),
                Said::StaleWhileRevalidate(seconds) => ("stale-while-revalidate", Some(seconds.text())),
                Said::StaleIfError(seconds) => ("stale-if-error", Some(seconds.text())),
                Said::NoCache => ("no-cache", None),
                Said::NoCacheOf(names) => ("no-cache", Some(format!("\"{names}\""))),
                Said::NoStore => ("no-store", None),
                Said::Private => ("private", None),
                Said::PrivateOf(names) => ("private", Some(format!("\"{names}\""))),
                Said::Public => ("public", None),
                Said::MustRevalidate => ("must-revalidate", None),
                Said::ProxyRevalidate => ("proxy-revalidate", None),
                Said::MustUnderstand => ("must-understand", None),
                Said::Other(text) => (*text, None),
            }),
            style,
        );
        lines.extend(self.expires.map(|at| format!("Expires: {}", at.map_or_else(|| "0".to_owned(), date))));
        lines.extend(self.date.map(|at| format!("Date: {}", date(at))));
        lines.extend(self.modified.map(|at| format!("Last-Modified: {}", date(at))));
        lines.extend(self.age.map(|age| format!("Age: {age}")));
        lines.extend(self.set_cookie.then(|| "Set-Cookie: id=1".to_owned()));
        lines.extend(self.tagged.then(|| "ETag: \"a\"".to_owned()));
        lines.extend((self.status == 206).then(|| "Content-Range: bytes 0-1/5".to_owned()));
        lines
    }

    fn has(&self, which: impl Fn(&Said) -> bool) -> bool {
        self.said.iter().any(which)
    }

    /// The least of what is said; the inner None: something that cannot be read.
    fn least(&self, which: impl Fn(&Said) -> Option<&Seconds>) -> Option<Option<u64>> {
        let all: Vec<_> = self.said.iter().filter_map(which).map(Seconds::meant).collect();
        (!all.is_empty()).then(|| all.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min()))
    }

    fn max_age(&self) -> Option<Option<u64>> {
        self.least(|said| if let Said::MaxAge(seconds) = said { Some(seconds) } else { None })
    }

    fn s_maxage(&self) -> Option<Option<u64>> {
        self.least(|said| if let Said::SMaxage(seconds) = said { Some(seconds) } else { None })
    }

    fn window(&self, which: impl Fn(&Said) -> Option<&Seconds>) -> u64 {
        self.least(which).flatten().unwrap_or(0)
    }

    fn public(&self) -> bool {
        self.has(|said| matches!(said, Said::Public))
    }

    fn must_revalidate(&self) -> bool {
        self.s_maxage().is_some() || self.has(|said| matches!(said, Said::MustRevalidate | Said::ProxyRevalidate))
    }

    fn is_heuristic(&self) -> bool {
        [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501].contains(&self.status) || self.public()
    }

    /// Section 3.
    fn may_be_stored(&self, request: &Request) -> bool {
        let understands = self.has(|said| matches!(said, Said::MustUnderstand));
        let is_understood = ![299, 499, 599].contains(&self.status);
        let no_store = self.has(|said| matches!(said, Said::NoStore)) && !(understands && is_understood);
        let stated = self.max_age().is_some() || self.s_maxage().is_some() || self.expires.is_some();
        let shared =
            self.public() || self.s_maxage().is_some() || self.has(|said| matches!(said, Said::MustRevalidate));
        self.status >= 200
            && self.status != 304
            && (is_understood || !understands)
            && !no_store
            && !request.asked.iter().any(|asked| matches!(asked, Asked::NoStore))
            && !self.has(|said| matches!(said, Said::Private))
            && (!request.authorization || shared)
            && (stated || self.is_heuristic())
    }

    /// Section 4.2.1.
    fn lifetime(&self) -> u64 {
        if self.max_age() == Some(None) || self.s_maxage() == Some(None) {
            return 0;
        }
        let made = self.date.unwrap_or(0);
        let until = |at: i64| u64::try_from(at - made).unwrap_or(0);
        match (self.s_maxage().or_else(|| self.max_age()), self.expires, self.modified) {
            (Some(seconds), ..) => seconds.unwrap_or(0),
            (None, Some(expires), _) => expires.map_or(0, until),
            (None, None, Some(modified)) if self.is_heuristic() => u64::try_from(made - modified).unwrap_or(0) / 10 + 1,
            _ => 0,
        }
    }

    /// Section 4.2.3.
    fn initial_age(&self, delay: u64) -> u64 {
        let apparent = self.date.map_or(0, |date| if date < 0 { date.unsigned_abs() } else { 0 });
        apparent.max(self.age.unwrap_or(0) + delay)
    }
}

impl Request {
    fn lines(&self, style: u8) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.asked.is_empty() {
            lines = write_directives(
                self.asked.iter().map(|asked| match asked {
                    Asked::MaxAge(seconds) => ("max-age", Some(seconds.text())),
                    Asked::MinFresh(seconds) => ("min-fresh", Some(seconds.text())),
                    Asked::MaxStale(seconds) => ("max-stale", seconds.as_ref().map(Seconds::text)),
                    Asked::StaleIfError(seconds) => ("stale-if-error", Some(seconds.text())),
                    Asked::NoCache => ("no-cache", None),
                    Asked::NoStore => ("no-store", None),
                }),
                style,
            );
        }
        lines.extend(self.pragma.then(|| "Pragma: no-cache".to_owned()));
        lines.extend(self.authorization.then(|| "Authorization: Basic eDp5".to_owned()));
        lines.extend(self.cookie.then(|| "Cookie: id=1".to_owned()));
        lines
    }

    fn no_cache(&self) -> bool {
        let said = |asked: &Asked| matches!(asked, Asked::NoCache | Asked::MinFresh(Seconds::Bad(_)));
        self.asked.iter().any(said) || (self.pragma && self.asked.is_empty())
    }

    /// Section 5.2.1: whether a response of that age, fresh for so long still, or stale for so long, is what it takes.
    fn takes(&self, age: u64, left: u64, stale: Option<u64>, staleness_allowed: bool) -> bool {
        let each = |asked: &Asked| match asked {
            Asked::MaxAge(seconds) => age <= seconds.meant().unwrap_or(0),
            Asked::MinFresh(seconds) => stale.is_none() && seconds.meant().is_some_and(|seconds| left >= seconds),
            _ => true,
        };
        let patience = |asked: &Asked| match asked {
            Asked::MaxStale(None) => Some(u64::MAX),
            Asked::MaxStale(Some(seconds)) => Some(seconds.meant().unwrap_or(0)),
            _ => None,
        };
        let patience = self.asked.iter().filter_map(patience).min();
        let patient = stale.is_none_or(|stale| staleness_allowed || patience.is_some_and(|seconds| stale <= seconds));
        !self.no_cache() && self.asked.iter().all(each) && patient
    }
}

fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

fn stored(request: &Request, response: &Response, style: u8, delay: u64) -> Option<Meta> {
    let (request, response_lines) = (get(&texts(&request.lines(style))), response.lines(style));
    let response = heads::response(response.status, &texts(&response_lines));
    let rules = plain();
    let control = Control::of(&response, &rules.targeted);
    let times = Exchanged { requested_ms: NOVEMBER - delay * 1000, received_ms: NOVEMBER };
    may_store(&request, &Ask::of(&request), &response, &control, &rules, None, times).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn sections_3_to_5_what_the_model_forbids_is_never_served_and_what_is_fresh_is(
        first in any_request(),
        response in any_response(),
        second in any_request(),
        style in any::<u8>(),
        delay in 0u64..5,
        elapsed in 0u64..200,
    ) {
        let meta = stored(&first, &response, style, delay);
        prop_assert!(meta.is_none() || response.may_be_stored(&first));

        let age = response.initial_age(delay) + elapsed;
        let (left, over) = (response.lifetime().saturating_sub(age), age.saturating_sub(response.lifetime()));
        let stale = (left == 0).then_some(over);
        let no_cache = response.has(|said| matches!(said, Said::NoCache));
        let swr = response.window(|said| if let Said::StaleWhileRevalidate(seconds) = said { Some(seconds) } else { None });
        let sie = response.window(|said| if let Said::StaleIfError(seconds) = said { Some(seconds) } else { None });

        if let Some(meta) = &meta {
            let ask = Ask::of(&get(&texts(&second.lines(style))));
            let now = NOVEMBER + elapsed * 1000;
            match judge(meta, &ask, now) {
                Judgement::Validate(_) => {}
                verdict => {
                    prop_assert!(!no_cache, "{verdict:?}");
                    prop_assert!(stale.is_none() || !response.must_revalidate(), "{verdict:?}");
                    prop_assert!(second.takes(age, left, stale, swr > 0 && over <= swr), "{verdict:?} age {age} left {left}");
                }
            }
            if may_serve_on_error(meta, &ask, now) {
                let own = |asked: &Asked| matches!(asked, Asked::StaleIfError(Seconds::Good(seconds)) if over <= *seconds);
                prop_assert!(!no_cache && !response.must_revalidate() && !second.no_cache());
                prop_assert!((sie > 0 && over <= sie) || second.asked.iter().any(own));
            }
        }

        // the other way round, with what is stricter here than the RFC left out
        let stated = response.max_age().is_some() || response.s_maxage().is_some();
        let open = response.lines(style).iter().any(|line| line.bytes().filter(|byte| *byte == b'"').count() % 2 == 1);
        let plainly = !open && !response.set_cookie && !first.cookie && ![206, 400, 429].contains(&response.status);
        if stated && plainly && !no_cache && left > 0 && second.asked.is_empty() && !second.pragma
            && response.may_be_stored(&first)
        {
            let verdict = meta.map(|meta| judge(&meta, &Ask::default(), NOVEMBER + elapsed * 1000));
            prop_assert!(matches!(verdict, Some(Judgement::Serve(_))), "{verdict:?}");
        }
    }

    #[test]
    fn age_never_decreases_and_what_is_stale_stays_so(
        request in any_request(),
        response in any_response(),
        style in any::<u8>(),
        times in vec(any::<u64>(), 2),
    ) {
        if let Some(meta) = stored(&request, &response, style, 0) {
            let (early, late) = (times[0].min(times[1]), times[0].max(times[1]));
            prop_assert!(meta.age_ms(early) <= meta.age_ms(late));
            prop_assert!(meta.ttl_ms(early) >= meta.ttl_ms(late));
            let fresh = |now| judge(&meta, &Ask::default(), now) == Judgement::Serve(reviver_cache::Why::Fresh);
            prop_assert!(fresh(early) || !fresh(late));
        }
    }

    #[test]
    fn what_is_written_of_a_response_is_read_again(
        request in any_request(),
        response in any_response(),
        purged in any::<bool>(),
        behind in vec(any::<u8>(), 0..9),
    ) {
        if let Some(meta) = stored(&request, &response, 0, 3) {
            let meta = Meta { purged, content_length: response.age, ..meta };
            let mut bytes = Vec::new();
            meta.write(&mut bytes);
            prop_assert_eq!(bytes.len(), Meta::SIZE);
            bytes.extend(&behind);
            prop_assert_eq!(Meta::read(&bytes), Some((meta, Meta::SIZE)));
            prop_assert_eq!(Meta::read(&bytes[..Meta::SIZE - 1]), None);
        }
    }

    #[test]
    fn bytes_of_another_origin_are_refused_or_read(bytes in vec(any::<u8>(), 0..100)) {
        if let Some((meta, length)) = Meta::read(&bytes) {
            let mut again = Vec::new();
            meta.write(&mut again);
            prop_assert_eq!(Meta::read(&again), Some((meta, length)));
        }
    }

    /// Any text at all, in all fields that are read.
    #[test]
    fn no_text_makes_it_panic(
        values in vec((0usize..10, "[ -~\t]{0,40}"), 0..8),
        requested_ms in any::<u64>(),
        received_ms in any::<u64>(),
        now in any::<u64>(),
    ) {
        const NAMES: [&str; 10] = [
            "Cache-Control", "CDN-Cache-Control", "Age", "Date", "Expires", "Last-Modified", "ETag", "Pragma",
            "Content-Range", "Content-Type",
        ];
        let lines: Vec<String> = values.iter().map(|(name, value)| format!("{}: {value}", NAMES[*name])).collect();
        let (request, response) = (get(&texts(&lines)), response(200, &texts(&lines)));
        let (ask, rules) = (Ask::of(&request), plain());
        let control = Control::of(&response, &rules.targeted);
        let times = Exchanged { requested_ms, received_ms };
        if let Ok(meta) = may_store(&request, &ask, &response, &control, &rules, None, times) {
            judge(&meta, &ask, now);
            may_serve_on_error(&meta, &ask, now);
        }
    }
}
