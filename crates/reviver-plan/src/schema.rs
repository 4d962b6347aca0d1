//! The plan's schema, and the fingerprint by which both sides of the border know that they agree.

use sha2::{Digest, Sha256};

use crate::Plan;

/// Why a plan document was refused before anything was built from it.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the plan is not of the expected form: {0}")]
    Form(#[from] serde_json::Error),
    #[error("the plan was compiled for schema {found}, this engine takes {expected}: reinstall reviver")]
    Fingerprint { expected: String, found: String },
}

/// The JSON Schema of [`Plan`], pretty-printed with sorted keys.
pub fn schema() -> String {
    let value = serde_json::to_value(schemars::schema_for!(Plan)).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

/// The first 16 hexadecimal digits of the SHA-256 of [`schema`].
pub fn fingerprint() -> String {
    Sha256::digest(schema()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Reads a plan document; refuses unknown fields and another schema's fingerprint.
pub fn parse(json: &str) -> Result<Plan, SchemaError> {
    let plan: Plan = serde_json::from_str(json)?;
    let expected = fingerprint();
    if plan.fingerprint != expected {
        return Err(SchemaError::Fingerprint { expected, found: plan.fingerprint });
    }
    Ok(plan)
}
