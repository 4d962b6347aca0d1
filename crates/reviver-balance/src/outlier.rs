//! Servers that are taken out by what their own answers show.
