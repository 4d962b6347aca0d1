//! What can be wrong with a description, found when something is built from it.

/// A pattern that cannot be used. The text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("bad regular expression `{pattern}`: {reason}")]
    Regex { pattern: String, reason: String },
    #[error("bad host `{0}`: it is a name, or `*.` and the end of a name")]
    Host(String),
    #[error("the replacement `{replacement}` uses the group `{group}`, which `{pattern}` does not have")]
    Group { pattern: String, replacement: String, group: String },
}

/// Which condition of which route cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{condition}: {source}")]
pub struct RouterError {
    /// Index of the route in what was given.
    pub route: usize,
    /// The condition as [`crate::Condition`] shows it.
    pub condition: String,
    pub source: PatternError,
}

/// A redirect target that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("unknown name `{name}` in `{template}`: there are {{scheme}} {{host}} {{path}} {{query}} {{uri}}")]
    Name { template: String, name: String },
    #[error("a brace in `{template}` has no partner; a literal brace is written twice")]
    Brace { template: String },
    #[error("`{}` holds a character that cannot stand in a URI", template.escape_default())]
    Character { template: String },
    #[error("the template is empty")]
    Empty,
}

/// A port range whose first port is greater than its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the port range {first}-{last} is the wrong way round")]
pub struct PortRangeError {
    pub first: u16,
    pub last: u16,
}
