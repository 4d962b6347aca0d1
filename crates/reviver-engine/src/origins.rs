//! Small origins for `reviver demo`: each says who it is and what it was asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Heads beyond this are not read.
const HEAD: u64 = 64 * 1024;

/// Starts an origin with this name on a free loopback port; it serves until the process ends.
pub fn start(name: &str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let name = name.to_owned();
    std::thread::Builder::new().name(format!("origin-{name}")).spawn(move || {
        for stream in listener.incoming().flatten() {
            let name = name.clone();
            let served = std::thread::Builder::new().spawn(move || serve(&name, &stream));
            // Without a thread the connection is closed, which the proxy reports as what it is.
            drop(served);
        }
    })?;
    Ok(address)
}

fn serve(name: &str, stream: &TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while let Ok(Some(answer)) = answer(name, &mut reader) {
        if (&mut &*stream).write_all(&answer).is_err() {
            return;
        }
    }
}

/// Reads a request and makes its answer; none when the client is done.
fn answer(name: &str, reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut head = String::new();
    let mut length = 0u64;
    let mut limited = reader.by_ref().take(HEAD);
    loop {
        let before = head.len();
        if limited.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        let line = head[before..].trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((field, value)) = line.split_once(':')
            && field.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    let mut words = head.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let body = format!("origin {name} answers {method} {target}\n");
    let content = if method == "HEAD" { "" } else { body.as_str() };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{content}",
        body.len()
    );
    Ok(Some(answer.into_bytes()))
}
