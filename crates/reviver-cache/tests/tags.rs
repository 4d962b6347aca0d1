//! Tags, and groups (RFC 9875).

mod heads;

use heads::response;
use reviver_cache::{groups_of, invalidated_groups, tags_of};

#[test]
fn tags_come_from_three_fields_each_once() {
    for (fields, tags) in [
        (&[][..], &[][..]),
        (&["Cache-Tag: a, b c ,,a,A"], &["a", "b c", "A"]),
        (&["Surrogate-Key: a  b,c\ta"], &["a", "b,c"]),
        (&["xkey: a b", "XKEY: c", "Cache-Tag: b,d", "Surrogate-Key: e"], &["b", "d", "e", "a", "c"]),
        (&["Cache-Tag: \u{e9}"], &["\u{e9}"]),
    ] {
        assert_eq!(tags_of(&response(200, fields)), tags, "{fields:?}");
    }
}

#[test]
fn tags_are_bounded() {
    let (fits, beyond) = ("a".repeat(256), "b".repeat(257));
    assert_eq!(tags_of(&response(200, &[&format!("Cache-Tag: {fits},{beyond},c")])), [fits.as_str(), "c"]);
    let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(tags_of(&response(200, &[&format!("xkey: {}", many.join(" "))])), many[..256]);
}

#[test]
fn rfc9875_2_groups_are_a_list_of_strings() {
    for (values, groups) in [
        (&["\"a\", \"b c\";p=1 , \"a\""][..], &["a", "b c"][..]),
        (&["\"a\"", "\"b\\\"\""], &["a", "b\""]),
        (&["\"A\", \"a\""], &["A", "a"]),
        (&[""], &[]),
        // RFC 9651, section 4.2: as if it were not there
        (&["a"], &[]),
        (&["\"a\", b"], &[]),
        (&["\"a\", (\"b\")"], &[]),
        (&["\"a\"", "\"b"], &[]),
        (&["\"a\",,\"b\""], &[]),
        (&["\"\u{e9}\""], &[]),
    ] {
        let lines = |name: &str| values.iter().map(|value| format!("{name}: {value}")).collect::<Vec<_>>();
        let head = |lines: Vec<String>| response(200, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(groups_of(&head(lines("Cache-Groups"))), groups, "{values:?}");
        assert_eq!(invalidated_groups(&head(lines("Cache-Group-Invalidation"))), groups, "{values:?}");
        assert!(invalidated_groups(&head(lines("Cache-Groups"))).is_empty());
    }
}

#[test]
fn rfc9875_2_at_least_32_groups_of_32_characters_are_kept() {
    let groups = |count: usize, length: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("\"{n:0length$}\"")).collect();
        groups_of(&response(200, &[&format!("Cache-Groups: {}", list.join(", "))])).len()
    };
    assert_eq!(groups(32, 32), 32);
    assert_eq!(groups(128, 128), 128);
    assert_eq!(groups(129, 3), 128);
    assert_eq!(groups(2, 129), 0);
}
