//! Writes the plan's schema and its fingerprint beside the crate's manifest, where they are committed.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::write(folder.join("plan.schema.json"), reviver_plan::schema())?;
    std::fs::write(folder.join("plan.schema.sha"), format!("{}\n", reviver_plan::fingerprint()))
}
