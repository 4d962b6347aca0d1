//! What a user of the crate sees, one module for each module of the source.

mod accept;
mod chunked;
mod decode;
mod encode;
mod feed;
mod fields;
mod frames;
mod framing;
mod grammar;
mod properties;
mod proxy_protocol;
mod response;
mod scan;
mod socks;
mod strictness;
mod target;
