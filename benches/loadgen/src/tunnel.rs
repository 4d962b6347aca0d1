//! Loads through CONNECT tunnels.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use crate::Options;
use crate::client::{self, Outcome, Sink};

/// A message of the size of a key press or of a small frame.
const MESSAGE: [u8; 64] = [b'm'; 64];
/// What counts as one request of a bulk transfer.
const UNIT: u64 = 1 << 20;

/// Reads what the origin sends without end; one request is 1 MiB.
pub fn bulk(proxy: SocketAddr, authority: &str, options: Options) -> io::Result<Outcome> {
    client::run(options, |tally, deadline, _| {
        let stream = client::tunnel(proxy, authority)?;
        let mut sink = Sink::new();
        let (mut unit, mut since) = (0, Instant::now());
        while since < deadline {
            match sink.discard(&stream, UNIT - unit)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => unit += count as u64,
            }
            if unit == UNIT {
                tally.add(UNIT, since.elapsed());
                (unit, since) = (0, Instant::now());
            }
        }
        Ok(())
    })
}

/// Sends a small message and waits for its echo; one request is one round trip.
pub fn pingpong(proxy: SocketAddr, authority: &str, options: Options) -> io::Result<Outcome> {
    client::run(options, |tally, deadline, share| {
        let mut stream = client::tunnel(proxy, authority)?;
        let mut echo = [0; MESSAGE.len()];
        while tally.requests < share {
            let sent = Instant::now();
            if sent >= deadline {
                break;
            }
            stream.write_all(&MESSAGE)?;
            stream.read_exact(&mut echo)?;
            tally.add(MESSAGE.len() as u64, sent.elapsed());
        }
        Ok(())
    })
}
