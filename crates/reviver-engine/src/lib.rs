//! The I/O of Reviver: one thread per core, each with its own runtime, listeners, upstream connections and
//! timers. What is decided is decided in `reviver-flow`; here it is carried out.

mod answer;
mod auth;
mod buffers;
mod cache;
mod cached;
mod clients;
mod compare;
mod connect;
mod connection;
mod core;
mod deliver;
mod driver;
mod engine;
mod exchange;
mod greeting;
mod health;
mod hedge;
mod http2;
mod listener;
mod log;
mod metrics;
mod mirror;
pub mod origins;
mod own;
mod pump;
mod resolve;
mod socks;
mod stream;
mod timers;
mod tls;
mod tunnel;
mod upstream;
mod waiting;
mod work;

pub use auth::PasswordCheck;
pub use engine::{Engine, EngineError, Host};
