//! Ages and lifetimes (RFC 9111, section 4.2).
