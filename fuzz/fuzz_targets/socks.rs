//! SOCKS5 messages: a prefix is incomplete or fails as the whole does, and a tail changes nothing.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use reviver_http::socks::{SocksError, Step, decode_auth, decode_greeting, decode_request};

/// No SOCKS5 message is longer.
const LONGEST: usize = 513;

fn check<'a, T: Debug + PartialEq>(data: &'a [u8], decode: impl Fn(&'a [u8]) -> Result<Step<T>, SocksError>) {
    let whole = decode(data);
    if whole == Ok(Step::Incomplete) {
        assert!(data.len() < LONGEST);
    }
    for have in 0..data.len().min(LONGEST) {
        match decode(&data[..have]) {
            Ok(Step::Incomplete) => {}
            part => {
                assert_eq!(part, whole, "after {have} bytes");
                break;
            }
        }
    }
    if let Ok(Step::Done(_, length)) = &whole {
        assert!(*length <= data.len() && *length <= LONGEST);
        assert_eq!(decode(&data[..*length]), whole, "without the tail");
    }
}

fuzz_target!(|data: &[u8]| {
    check(data, decode_greeting);
    check(data, decode_auth);
    check(data, decode_request);
});
