//! The origin and the load of the benchmark, one program with a command each.
//!
//! Everything on the load's side shares one core, so each command spends as little as it can: the origin
//! answers from memory and the clients discard bodies inside the kernel.

mod accept;
mod cacheable;
mod client;
mod handshakes;
mod http;
mod idle;
mod origin;
mod relay;
mod replay;
mod tunnel;

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;

use crate::replay::Targets;

const USAGE: &str = "usage:
  loadgen origin  HTTP BULK ECHO                   answers /BYTES; sends without end; echoes
  loadgen cacheable HTTP [--wait MS]               answers that may be kept; counts who asks; 0.0.0.0: all of loopback
  loadgen relay   LISTEN UPSTREAM                  copies bytes both ways: the floor for any proxy
  loadgen http    PROXY TARGET HOST [options]      GET TARGET over kept connections
  loadgen replay  PROXY HOST FILE [options]        GET of the targets in FILE in their order, again and again
  loadgen unique  PROXY HOST BEFORE AFTER [options]  GET of BEFORE1AFTER, BEFORE2AFTER, ...
  loadgen bulk    PROXY AUTHORITY [options]        CONNECT, then reads as fast as it can
  loadgen pingpong PROXY AUTHORITY [options]       CONNECT, then small messages there and back
  loadgen handshakes PROXY TARGET HOST full|resumed [options]  GET TARGET over TLS, each on a connection of its own
  loadgen idle    PROXY TARGET HOST [options]      one request a connection, then keeps all open until stdin ends
options: --connections N (16)  --seconds S (5)  --requests N (without bound)";

/// What all loads have in common.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub connections: usize,
    pub duration: Duration,
    /// All connections together; `None` runs for the whole duration.
    pub requests: Option<u64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut options = Options { connections: 16, duration: Duration::from_secs(5), requests: None };
    let mut wait = Duration::ZERO;
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connections") => options.connections = parser.value()?.parse()?,
            Long("seconds") => options.duration = Duration::try_from_secs_f64(parser.value()?.parse()?)?,
            Long("requests") => options.requests = Some(parser.value()?.parse()?),
            Long("wait") => wait = Duration::from_millis(parser.value()?.parse()?),
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["origin", http, bulk, echo] => origin::serve(http.parse()?, bulk.parse()?, echo.parse()?)?,
        ["cacheable", http] => cacheable::serve(http.parse()?, wait)?,
        ["relay", listen, upstream] => relay::serve(listen.parse()?, upstream.parse()?)?,
        ["http", proxy, target, host] => print(&http::load(address(proxy)?, target, host, options)?)?,
        ["replay", proxy, host, file] => {
            let targets = Targets::listed(&fs::read_to_string(file)?)?;
            print(&replay::load(address(proxy)?, host, targets, options)?)?;
        }
        ["unique", proxy, host, before, after] => {
            let targets = Targets::Counted { before: before.to_owned(), after: after.to_owned(), next: 0 };
            print(&replay::load(address(proxy)?, host, targets, options)?)?;
        }
        ["handshakes", proxy, target, host, kind @ ("full" | "resumed")] => {
            print(&handshakes::load(address(proxy)?, target, host, kind == "resumed", options)?)?;
        }
        ["bulk", proxy, authority] => print(&tunnel::bulk(address(proxy)?, authority, options)?)?,
        ["pingpong", proxy, authority] => print(&tunnel::pingpong(address(proxy)?, authority, options)?)?,
        ["idle", proxy, target, host] => idle::hold(address(proxy)?, target, host, options.connections)?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, Box<dyn Error>> {
    text.parse().map_err(|_| format!("{text}: not an address and port").into())
}

fn print(result: &client::Outcome) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}
