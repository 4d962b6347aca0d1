//! GET over kept connections, for bodies that are too large for a generator that copies them.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Instant;

use crate::Options;
use crate::client::{self, Outcome, Sink};

/// The bytes of the request that all loads send.
pub fn request(target: &str, host: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadgen\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// Sends the request again and again on each connection. One that the proxy ends in order (a bound on its requests)
/// is opened again, one that fails is not.
pub fn load(proxy: SocketAddr, target: &str, host: &str, options: Options) -> io::Result<Outcome> {
    let request = request(target, host);
    client::run(options, |tally, deadline, share| {
        let mut stream = client::connect(proxy)?;
        let (mut buffer, mut sink) = (vec![0; 4096], Sink::new());
        while tally.requests < share {
            let sent = Instant::now();
            if sent >= deadline {
                break;
            }
            stream.write_all(&request)?;
            let response = client::response(&mut stream, &mut buffer, &mut sink)?;
            tally.add(response.length, sent.elapsed());
            if response.last {
                stream = client::connect(proxy)?;
            }
        }
        Ok(())
    })
}
