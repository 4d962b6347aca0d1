//! The preferred form of an error page.

use reviver_http::{Media, preferred_media};

fn prefer(values: &[&str]) -> Media {
    preferred_media(values.iter().map(|value| value.as_bytes()))
}

#[test]
fn nothing_asked_for_is_text() {
    assert_eq!(prefer(&[]), Media::Text);
    for value in ["", "*/*", "*/*;q=0.1", "image/png", "text/*", "nonsense", "text/html;q=0", "application/json;q=bad"]
    {
        assert_eq!(prefer(&[value]), Media::Text, "{value}");
    }
}

#[test]
fn what_clients_send() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    assert_eq!(prefer(&[browser]), Media::Html);
    assert_eq!(prefer(&["application/json, text/plain, */*"]), Media::Json);
    assert_eq!(prefer(&["application/json"]), Media::Json);
    assert_eq!(prefer(&["text/plain"]), Media::Text);
}

#[test]
fn quality_then_precision_then_order() {
    for (value, media) in [
        ("text/html;q=0.5, application/json;q=0.501", Media::Json),
        ("text/html;q=0.9, application/json;Q=1.000", Media::Json),
        ("text/*, application/json", Media::Json),
        ("text/html, application/json", Media::Html),
        ("application/json, text/html", Media::Json),
        ("text/*;q=0.9, text/plain;q=0.1", Media::Html),
        ("*/*, text/plain;q=0, text/html;q=0.2", Media::Json),
        ("TEXT/HTML ; charset=utf-8 ; q=0.7, text/plain;q=0.6", Media::Html),
    ] {
        assert_eq!(prefer(&[value]), media, "{value}");
    }
    assert_eq!(prefer(&["text/plain;q=0.5", "text/html"]), Media::Html, "over more than one field");
}
