//! Who may do what: hosts, paths, networks and ports; which route decides, and why the others did not.
//!
//! Rule 1: everything that can be wrong is found when a value is built; a decision cannot fail.
//! Rule 2: a decision reads only its arguments: no clock, no sockets, no state that it changes. Only rate tables
//! count, and what they forget first hangs on a secret of the process.
//! Rule 3: nothing here allocates on the way of a request, except where bytes must be decoded for a
//! regular expression or replaced by one.

mod error;
mod forwarded;
mod host;
mod net;
mod params;
mod pattern;
mod private;
mod rate;
mod rewrite;
mod router;
mod template;
mod uri;

pub use error::{PatternError, PortRangeError, RouterError, TemplateError};
pub use forwarded::client_address;
pub use net::{NetSet, PortSet};
pub use params::cookie_values;
pub use pattern::{PathPattern, Pattern, ValuePattern};
pub use private::is_private;
pub use rate::{Gcra, RateTable, RateVerdict, client_key, value_key};
pub use rewrite::PathRewrite;
pub use router::{Asker, CertificateMatcher, Condition, Matcher, Router};
pub use template::{Template, TemplateParts};
