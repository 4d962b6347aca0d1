//! How a record is written: one of the fixed layouts, or a template of the same values.

mod apache;
mod escape;
mod json;
mod squid;
mod template;
mod values;

use reviver_plan::LogFormat;

use super::clock::Clock;
use super::mask::Redact;
use super::wire::Line;
use template::Template;

/// A sink's format, ready to be applied.
#[derive(Debug)]
pub(super) struct Format {
    layout: Layout,
    redact: Redact,
    /// Field names in lower case.
    request_headers: Vec<String>,
    response_headers: Vec<String>,
}

#[derive(Debug)]
enum Layout {
    Json,
    Combined,
    Common,
    Squid,
    Template(Template),
}

impl Format {
    /// Fails with a sentence where a template is not well formed.
    pub fn new(sink: &reviver_plan::LogSink) -> Result<Self, String> {
        let layout = match &sink.format {
            LogFormat::Json => Layout::Json,
            LogFormat::Combined => Layout::Combined,
            LogFormat::Common => Layout::Common,
            LogFormat::Squid => Layout::Squid,
            LogFormat::Template(text) => Layout::Template(Template::parse(text)?),
        };
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self {
            layout,
            redact: Redact::new(&sink.redact),
            request_headers: lower(&sink.request_headers),
            response_headers: lower(&sink.response_headers),
        })
    }

    /// What status reports call it.
    pub fn name(&self) -> &'static str {
        match self.layout {
            Layout::Json => "json",
            Layout::Combined => "combined",
            Layout::Common => "common",
            Layout::Squid => "squid",
            Layout::Template(_) => "template",
        }
    }

    /// Fields that a template names, besides the configured ones.
    pub fn template_fields(&self) -> (&[String], &[String]) {
        match &self.layout {
            Layout::Template(template) => (&template.request_fields, &template.response_fields),
            _ => (&[], &[]),
        }
    }

    /// Appends the record as one line, without its end.
    pub fn write(&self, line: &Line<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        match &self.layout {
            Layout::Json => json::write(self, line, clock, out),
            Layout::Combined => apache::combined(self, line, clock, out),
            Layout::Common => apache::common(self, line, clock, out),
            Layout::Squid => squid::write(self, line, out),
            Layout::Template(template) => template.write(self, line, clock, out),
        }
    }
}
