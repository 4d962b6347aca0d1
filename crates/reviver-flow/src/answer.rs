//! Answers that the proxy makes itself: errors, a route's own response or redirect.

use std::borrow::Cow;

use reviver_http::{FieldKind, FieldSink, Media, Method, RequestHead, preferred_media, reason_phrase};
use reviver_plan::{Action, Snapshot};

use crate::{Flow, Reason, Slug};

/// What kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Error(Reason),
    /// The response that this route states.
    Respond(u32),
    /// The redirect that this route states.
    Redirect(u32),
    /// A proof of control for an ACME server.
    Challenge(u32),
    /// To this port of the same host, by `https`.
    RedirectHttps(u16),
    /// To an OPTIONS that goes no further.
    Options,
    /// Says how many stored responses were removed.
    Purged(u64),
}

impl Answer {
    /// Status of the answer; 0 where none is sent.
    pub fn status(self, snapshot: &Snapshot) -> u16 {
        match self {
            Self::Error(reason) => reason.slug.row().status,
            Self::Respond(route) => match action(snapshot, route) {
                Some(Action::Respond(respond)) => respond.status,
                _ => 500,
            },
            Self::Redirect(route) => match action(snapshot, route) {
                Some(Action::Redirect(redirect)) => redirect.status,
                _ => 500,
            },
            // Methods and bodies are kept (RFC 9110, section 15.4.9).
            Self::RedirectHttps(_) => 308,
            Self::Challenge(_) | Self::Options | Self::Purged(_) => 200,
        }
    }
}

fn action(snapshot: &Snapshot, route: u32) -> Option<&Action> {
    snapshot.plan.reverse.as_ref()?.routes.get(route as usize).map(|r| &r.action)
}

/// An answer made whole: the engine frames it.
#[derive(Debug)]
pub struct Page<'a> {
    pub status: u16,
    pub reason: &'static str,
    pub fields: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    pub body: Cow<'a, [u8]>,
}

impl Page<'_> {
    pub fn write_fields(&self, sink: &mut impl FieldSink) {
        for (name, value) in &self.fields {
            sink.field(name.as_bytes(), value);
        }
    }
}

impl<'s> Flow<'s> {
    /// Makes the page of an answer. `head` is absent where the request's head could not be read.
    pub fn page(&self, answer: Answer, head: Option<&RequestHead>) -> Page<'s> {
        let status = answer.status(self.snapshot);
        let mut page = Page { status, reason: reason_phrase(status), fields: Vec::new(), body: Cow::Borrowed(b"") };
        match answer {
            Answer::Error(reason) => self.error_page(&mut page, reason.slug, head),
            Answer::Respond(route) => {
                if let Some(Action::Respond(respond)) = action(self.snapshot, route) {
                    if !respond.body.is_empty() {
                        push(&mut page, "Content-Type", respond.content_type.as_bytes());
                    }
                    for (name, value) in &respond.headers {
                        push(&mut page, name, value.as_bytes());
                    }
                    page.body = Cow::Borrowed(respond.body.as_bytes());
                }
            }
            Answer::Redirect(route) => {
                let template = self.snapshot.redirects.get(route as usize).and_then(Option::as_ref);
                if let (Some(template), Some(head)) = (template, head) {
                    let mut location = Vec::new();
                    template.write(
                        &reviver_policy::TemplateParts {
                            scheme: self.scheme(),
                            host: head.host(),
                            path: head.path(),
                            query: head.query(),
                        },
                        &mut location,
                    );
                    page.fields.push((Cow::Borrowed("Location"), Cow::Owned(location)));
                }
            }
            Answer::Challenge(index) => {
                push(&mut page, "Content-Type", b"application/octet-stream");
                let answer = self.snapshot.plan.challenges.http.get(index as usize);
                page.body = Cow::Borrowed(answer.map_or(b"", |(_, text)| text.as_bytes()));
            }
            Answer::RedirectHttps(port) => {
                if let Some(head) = head {
                    page.fields.push((Cow::Borrowed("Location"), Cow::Owned(https_location(head, port))));
                }
            }
            Answer::Purged(count) => {
                push(&mut page, "Content-Type", b"application/json");
                page.body = Cow::Owned(format!("{{\"purged\":{count}}}\n").into_bytes());
            }
            Answer::Options => {
                push(&mut page, "Allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
            }
        }
        if let Some(value) = self.hsts() {
            push(&mut page, "Strict-Transport-Security", value.as_bytes());
        }
        self.write_limit_fields(&mut PageSink(&mut page));
        if let Some(route) = self.route() {
            let rules = &route.response_headers;
            page.fields.retain(|(name, _)| !crate::upstream_fields::is_ruled_out(name.as_bytes(), rules));
            for (name, value) in rules.set.iter().chain(&rules.add) {
                push(&mut page, name, value.as_bytes());
            }
        }
        page
    }

    /// A short page in the form that the client prefers, with `Proxy-Status` (RFC 9209). It says what a
    /// person can act on and nothing of the inside.
    fn error_page(&self, page: &mut Page<'s>, slug: Slug, head: Option<&RequestHead>) {
        let row = slug.row();
        let title = format!("{} {}", row.status, page.reason);
        let media = head.map_or(Media::Text, |h| preferred_media(h.values(FieldKind::Accept)));
        let (content_type, body): (&[u8], String) = match media {
            Media::Json => (
                b"application/problem+json",
                serde_json::json!({
                    "type": "about:blank", "title": page.reason, "status": row.status,
                    "detail": row.sentence, "reason": row.name,
                })
                .to_string(),
            ),
            Media::Html => (b"text/html; charset=utf-8", html(&title, row.sentence, row.name)),
            Media::Text => (b"text/plain; charset=utf-8", format!("{title}\n{} ({})\n", row.sentence, row.name)),
        };
        push(page, "Content-Type", content_type);
        push(page, "Cache-Control", b"no-store");
        if !row.proxy_status.is_empty() {
            let name = &self.snapshot.plan.via;
            let value = format!("{name}; error={}; details=\"{}\"", row.proxy_status, row.name);
            page.fields.push((Cow::Borrowed("Proxy-Status"), Cow::Owned(value.into_bytes())));
        }
        match slug {
            Slug::AuthRequired | Slug::AuthFailed => {
                if let Some(auth) = self.snapshot.plan.forward.as_ref().and_then(|f| f.auth.as_ref()) {
                    let realm = auth.realm.replace('\\', "\\\\").replace('"', "\\\"");
                    let value = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
                    page.fields.push((Cow::Borrowed("Proxy-Authenticate"), Cow::Owned(value.into_bytes())));
                }
            }
            // Owed with each 405 (RFC 9110, section 15.5.6).
            Slug::MethodNotAllowed => {
                push(page, "Allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
            }
            Slug::NoServer | Slug::Draining | Slug::AuthBusy => push(page, "Retry-After", b"5"),
            Slug::QueueFull | Slug::QueueTimeout | Slug::Overloaded => push(page, "Retry-After", b"1"),
            Slug::RateLimited => {
                let seconds = self.retry_after().to_string();
                page.fields.push((Cow::Borrowed("Retry-After"), Cow::Owned(seconds.into_bytes())));
            }
            _ => {}
        }
        page.body = Cow::Owned(body.into_bytes());
    }

    /// Whether a body may follow (RFC 9110, section 6.4.1).
    pub fn page_has_body(status: u16, method: Option<Method>) -> bool {
        status >= 200 && status != 204 && status != 304 && method != Some(Method::Head)
    }
}

/// The same resource by `https`.
fn https_location(head: &RequestHead, port: u16) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    let bracketed = head.host().contains(&b':');
    location.extend_from_slice(if bracketed { b"[" } else { b"" });
    location.extend_from_slice(head.host());
    location.extend_from_slice(if bracketed { b"]" } else { b"" });
    if port != 443 {
        location.push(b':');
        location.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
    // The asterisk form has no path.
    location.extend_from_slice(head.path().strip_prefix(b"*").unwrap_or(head.path()));
    if let Some(query) = head.query() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

struct PageSink<'a, 'p>(&'a mut Page<'p>);

impl FieldSink for PageSink<'_, '_> {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        let name = Cow::Owned(String::from_utf8_lossy(name).into_owned());
        self.0.fields.push((name, Cow::Owned(value.to_vec())));
    }

    /// Pages copy nothing from a head.
    fn lines(&mut self, _: &[u8]) {}
}

fn push<'a>(page: &mut Page<'a>, name: &'a str, value: &'a [u8]) {
    page.fields.push((Cow::Borrowed(name), Cow::Borrowed(value)));
}

/// All text comes from tables of this crate: nothing needs escaping.
fn html(title: &str, sentence: &str, slug: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em}}\
         code{{color:#666}}</style></head>\n<body><h1>{title}</h1><p>{sentence}</p><p><code>{slug}</code></p>\
         </body></html>\n"
    )
}
