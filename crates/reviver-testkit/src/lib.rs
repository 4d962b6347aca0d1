//! Tests of flows as transcripts: what happened stands beside what was wished, and a failure prints both.
//!
//! ```
//! use reviver_testkit::{Script, client, connect, connected, plan, reverse, upstream};
//!
//! Script::new(plan(reverse(&["10.0.0.1:80"])))
//!     .on(client("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"))
//!     .expect(connect("10.0.0.1:80"))
//!     .on(connected())
//!     .expect(upstream("GET /a HTTP/1.1\r\nHost: a.test\r\n"))
//!     .run();
//! ```

mod plans;
mod script;

pub use plans::{cache, cache_policy, forward, plan, reverse, route};
pub use script::{
    Expectation, Happening, Script, answer, authenticate, authenticated, client, connect, connect_destination,
    connected, done, failed, gone, interim, kept_connection, relay, relayed, response, tunnel, upstream, upstream_has,
    upstream_lacks,
};
