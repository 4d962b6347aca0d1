//! Names by which responses are purged together.

use reviver_http::ResponseHead;
use sfv::{BareItem, List, ListEntry, Parser};

/// Tags of one response, and bytes of one of them; what is beyond does not count.
const MAX_TAGS: usize = 256;
const MAX_TAG: usize = 256;
/// Groups in a field, and bytes of one of them. RFC 9875, section 2, demands at least 32 of each; a UUID has more.
const MAX_GROUPS: usize = 128;
const MAX_GROUP: usize = 128;

/// Of `Cache-Tag` (comma separated), `Surrogate-Key` and `xkey` (separated by spaces), each once.
pub fn tags_of(response: &ResponseHead) -> Vec<String> {
    let mut tags = Vec::new();
    for (field, between) in [("cache-tag", &b","[..]), ("surrogate-key", b" \t"), ("xkey", b" \t")] {
        for value in response.values_of(field.as_bytes()) {
            for tag in value.split(|byte| between.contains(byte)).map(<[u8]>::trim_ascii) {
                // people name tags in UTF-8 when they purge
                let Ok(tag) = std::str::from_utf8(tag) else { continue };
                if tags.len() < MAX_TAGS {
                    add(&mut tags, tag, MAX_TAG);
                }
            }
        }
    }
    tags
}

/// Of `Cache-Groups` (RFC 9875, section 2), within bounds.
pub fn groups_of(response: &ResponseHead) -> Vec<String> {
    groups(response, b"cache-groups")
}

/// Of `Cache-Group-Invalidation` (RFC 9875, section 3), within the same bounds.
pub fn invalidated_groups(response: &ResponseHead) -> Vec<String> {
    groups(response, b"cache-group-invalidation")
}

/// A list of strings, over all lines of the field. One that is something else is as if it were not there (RFC 9651,
/// section 4.2).
fn groups(response: &ResponseHead, field: &[u8]) -> Vec<String> {
    let mut list = List::new();
    for value in response.values_of(field) {
        if Parser::new(value).parse_list_with_visitor(&mut list).is_err() {
            return Vec::new();
        }
    }
    let mut groups = Vec::new();
    for member in &list {
        let ListEntry::Item(item) = member else { return Vec::new() };
        let BareItem::String(group) = &item.bare_item else { return Vec::new() };
        if groups.len() < MAX_GROUPS {
            add(&mut groups, group.as_str(), MAX_GROUP);
        }
    }
    groups
}

fn add(names: &mut Vec<String>, name: &str, longest: usize) {
    if !name.is_empty() && name.len() <= longest && !names.iter().any(|other| other == name) {
        names.push(name.to_owned());
    }
}
