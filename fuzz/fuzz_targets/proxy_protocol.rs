//! A PROXY header is read in one way, however it arrives, and what it says can be written and is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_http::proxy_protocol::{
    MAX_PROXY_HEADER, ProxyHeader, ProxyVersion, Step, decode_proxy_header, write_proxy_header,
};

fuzz_target!(|data: &[u8]| {
    let whole = decode_proxy_header(data);
    if whole == Ok(Step::Incomplete) {
        assert!(data.len() < MAX_PROXY_HEADER);
    }
    for have in 0..data.len().min(MAX_PROXY_HEADER) {
        match decode_proxy_header(&data[..have]) {
            Ok(Step::Incomplete) => {}
            part => {
                assert_eq!(part, whole, "after {have} bytes");
                break;
            }
        }
    }
    let Ok(Step::Done(header, length)) = whole else {
        return;
    };
    assert!(length <= data.len() && length <= MAX_PROXY_HEADER);
    assert_eq!(decode_proxy_header(&data[..length]), whole, "without the tail");
    if let ProxyHeader::Addresses { source, destination } = header {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let mut out = Vec::new();
            write_proxy_header(version, source, destination, &mut out);
            assert_eq!(decode_proxy_header(&out), Ok(Step::Done(header, out.len())));
        }
    }
});
