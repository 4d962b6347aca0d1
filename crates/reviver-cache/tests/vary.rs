//! RFC 9111, section 4.1: which fields select a response, and which requests mean the same by them.

mod heads;

use heads::{get, response};
use reviver_cache::{Vary, vary_of, write_selecting};

fn fields(names: &[&str]) -> Vary {
    Vary::Fields(names.iter().map(|name| (*name).to_owned()).collect())
}

fn vary(values: &[&str]) -> Vary {
    let lines: Vec<String> = values.iter().map(|value| format!("Vary: {value}")).collect();
    vary_of(&response(200, &lines.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// What a request says of one field.
fn selecting(name: &str, lines: &[&str]) -> String {
    let mut out = b"before ".to_vec();
    write_selecting(&[name.to_owned()], &get(lines), &mut out);
    let text = String::from_utf8(out).expect("ASCII");
    text.strip_prefix("before ").expect("that it is appended").to_owned()
}

#[test]
fn rfc9110_12_5_5_names_are_a_set_without_case() {
    assert_eq!(vary(&[]), fields(&[]));
    assert_eq!(vary(&[""]), fields(&[]));
    assert_eq!(vary(&["Accept"]), fields(&["accept"]));
    assert_eq!(vary(&["User-Agent , Accept,,", "accept, COOKIE"]), fields(&["accept", "cookie", "user-agent"]));
}

#[test]
fn rfc9111_4_1_an_asterisk_anywhere_never_matches() {
    for values in [&["*"][..], &["Accept, *"], &["*, Accept"], &["Accept", " * "]] {
        assert_eq!(vary(values), Vary::Any, "{values:?}");
    }
}

#[test]
fn what_is_no_name_never_matches() {
    for value in ["a b", "Accept; x", "\"Accept\"", "a/b", "Acc\u{e9}pt"] {
        assert_eq!(vary(&[value]), Vary::Any, "{value}");
    }
}

#[test]
fn a_huge_vary_never_matches() {
    let many = |count: usize| (0..count).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(",");
    assert!(matches!(vary(&[&many(16)]), Vary::Fields(names) if names.len() == 16));
    assert_eq!(vary(&[&many(17)]), Vary::Any);
    assert_eq!(vary(&[&many(16), "accept"]), Vary::Any);
    assert_eq!(vary(&["a,".repeat(512).as_str()]), fields(&["a"]));
    assert_eq!(vary(&["a,".repeat(512).as_str(), "a"]), Vary::Any);
    assert_eq!(vary(&["a".repeat(1025).as_str()]), Vary::Any);
}

#[test]
fn each_name_has_a_line() {
    let mut out = Vec::new();
    let names = ["accept", "x-a", "x-b"].map(str::to_owned);
    write_selecting(&names, &get(&["X-B: 2", "X-A:", "X-C: 3"]), &mut out);
    assert_eq!(out, b"accept\nx-a:\nx-b:2\n");
}

/// What differs in writing only, by the syntax of the field.
#[test]
fn rfc9111_4_1_fields_that_mean_the_same_match() {
    let cases: &[(&str, &[&[&str]])] = &[
        ("foo", &[&["Foo: 1, 2"], &["Foo: 1,2"], &["foo:1 \t,\t 2"], &["Foo: 1", "FOO: 2"]]),
        ("foo", &[&["Foo: \"a , b\" , c"], &["Foo: \"a , b\",c"]]),
        ("accept-language", &[&["Accept-Language: de, en;q=0.5"], &["Accept-Language: DE,EN; Q=0.5"]]),
        ("accept-language", &[&["Accept-Language: de, en"], &["Accept-Language: de", "Accept-Language: en"]]),
        ("accept", &[&["Accept: text/html, */*; q=0.1"], &["Accept: TEXT/HTML,*/*;q=0.1"]]),
        (
            "accept-encoding",
            &[
                &["Accept-Encoding: gzip, br"],
                &["Accept-Encoding: BR;q=0.5 , GZip;q=1.0"],
                &["Accept-Encoding: br", "Accept-Encoding: gzip, gzip"],
                &["Accept-Encoding: gzip,, br, identity, zstd;q=0, deflate; Q=0.000"],
            ],
        ),
        ("accept-encoding", &[&["Accept-Encoding:"], &["Accept-Encoding: identity"], &["Accept-Encoding: gzip;q=0."]]),
        ("cookie", &[&["Cookie: a=1; b=2"], &["Cookie: a=1", "Cookie: b=2"]]),
    ];
    for (name, requests) in cases {
        let first = selecting(name, requests[0]);
        for lines in &requests[1..] {
            assert_eq!(selecting(name, lines), first, "{lines:?}");
        }
    }
}

#[test]
fn rfc9111_4_1_fields_that_may_mean_something_else_do_not_match() {
    let cases: &[(&str, &[&[&str]])] = &[
        (
            "foo",
            &[&[], &["Foo:"], &["Foo: a"], &["Foo: A"], &["Foo: a b"], &["Foo: a  b"], &["Foo: a, b"], &["Foo: b, a"]],
        ),
        ("foo", &[&["Foo: \"a, b\""], &["Foo: \"a,b\""], &["Foo: \"a\\\", b\""], &["Foo: \"a\\\",b\""]]),
        ("accept-language", &[&["Accept-Language: de, en"], &["Accept-Language: en, de"], &["Accept-Language: de"]]),
        ("accept", &[&["Accept: a/b;p=x"], &["Accept: a/b;p=X"], &["Accept: a/b;p=\"x\""], &["Accept: a/b;p=\"x \""]]),
        (
            "accept-encoding",
            &[
                &[],
                &["Accept-Encoding:"],
                &["Accept-Encoding: gzip"],
                &["Accept-Encoding: *"],
                &["Accept-Encoding: br"],
            ],
        ),
        ("user-agent", &[&["User-Agent: a (b, c)"], &["User-Agent: a (b,c)"], &["User-Agent: A (b, c)"]]),
        ("authorization", &[&["Authorization: Basic YQ=="], &["Authorization: Basic yQ=="], &[]]),
        ("cookie", &[&["Cookie: a=1; b=2"], &["Cookie: a=1, b=2"], &["Cookie: b=2; a=1"], &["Cookie: a=1"]]),
    ];
    for (name, requests) in cases {
        let mut seen: Vec<String> = requests.iter().map(|lines| selecting(name, lines)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), requests.len(), "{name}: {seen:?}");
    }
}
