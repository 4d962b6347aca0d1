//! The committed schema is the one that this code has: whoever changes the plan sees it in the diff.

const RENEW: &str = "the plan has changed: run `cargo run -p reviver-plan --example schema` and commit the result";

#[test]
fn the_committed_schema_and_fingerprint_are_current() {
    assert!(include_str!("../plan.schema.json") == reviver_plan::schema(), "{RENEW}");
    assert_eq!(include_str!("../plan.schema.sha").trim_end(), reviver_plan::fingerprint(), "{RENEW}");
}
