//! Syslog to collectors on loopback.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;

use reviver_plan::Syslog;

use super::*;
use crate::log::LogHub;

fn open(target: Syslog) -> (LogHub, CoreLog) {
    let sink = sink(LogTarget::Syslog(target), template("{path}"));
    let (hub, cores) = LogHub::open(&[sink], 1).unwrap();
    (hub, cores.into_iter().next().unwrap())
}

fn push_path(core: &mut CoreLog, path: &str) {
    let (record, head) = (record(), request(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")));
    push(core, &entry(&record, Some(&head)));
}

/// Checks a message by RFC 5424, section 6, and returns its MSG.
fn message(text: &str) -> &str {
    let parts: Vec<&str> = text.splitn(8, ' ').collect();
    let process = std::process::id().to_string();
    assert_eq!(parts[..2], ["<134>1", "2026-01-02T03:04:05.678Z"], "{text}");
    assert!(!parts[2].is_empty(), "{text}");
    assert_eq!(parts[3..7], ["reviver", process.as_str(), "access", "-"], "{text}");
    parts[7]
}

/// Reads one frame by RFC 6587, section 3.4.1: MSG-LEN SP SYSLOG-MSG.
fn frame(reader: &mut impl BufRead) -> String {
    let mut length = Vec::new();
    reader.read_until(b' ', &mut length).unwrap();
    let length: usize = std::str::from_utf8(&length).unwrap().trim().parse().unwrap();
    let mut message = vec![0; length];
    reader.read_exact(&mut message).unwrap();
    String::from_utf8(message).unwrap()
}

fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    BufReader::new(stream)
}

#[test]
fn udp_carries_one_message_a_datagram() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (hub, mut core) = open(Syslog::Udp(collector.local_addr().unwrap().to_string()));
    for path in ["/1", "/2"] {
        push_path(&mut core, path);
        let mut datagram = [0; 2048];
        let n = collector.recv(&mut datagram).unwrap();
        assert_eq!(message(std::str::from_utf8(&datagram[..n]).unwrap()), path);
    }
    hub.shutdown(Duration::from_secs(20));
    assert_eq!(hub.status()[0].written, 2);
}

#[test]
fn unix_datagrams_carry_one_message_each() {
    let folder = Folder::new();
    let collector = UnixDatagram::bind(folder.path("log")).unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (hub, mut core) = open(Syslog::Unix(folder.path("log")));
    push_path(&mut core, "/1");
    let mut datagram = [0; 2048];
    let n = collector.recv(&mut datagram).unwrap();
    assert_eq!(message(std::str::from_utf8(&datagram[..n]).unwrap()), "/1");
    drop(hub);
}

#[test]
fn tcp_counts_octets_and_connects_again_when_the_collector_has_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (hub, mut core) = open(Syslog::Tcp(listener.local_addr().unwrap().to_string()));
    push_path(&mut core, "/1");
    push_path(&mut core, "/2");
    let mut collector = accept(&listener);
    assert_eq!([message(&frame(&mut collector)), message(&frame(&mut collector))], ["/1", "/2"]);
    drop(collector);
    push_path(&mut core, "/3");
    let mut collector = accept(&listener);
    assert_eq!(message(&frame(&mut collector)), "/3");
    until("the sink works again", || hub.status()[0].failing.is_none());
    hub.shutdown(Duration::from_secs(20));
    let mut rest = Vec::new();
    collector.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "each message is sent once");
}

#[test]
fn a_collector_that_is_down_gets_all_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (hub, mut core) = open(Syslog::Tcp(address.to_string()));
    for n in 0..100 {
        push_path(&mut core, &format!("/{n}"));
    }
    until("the sink fails", || hub.status()[0].failing.is_some());
    assert_eq!(hub.take_warnings().len(), 1);
    let listener = TcpListener::bind(address).unwrap();
    let mut collector = accept(&listener);
    for n in 0..100 {
        assert_eq!(message(&frame(&mut collector)), format!("/{n}"));
    }
    hub.shutdown(Duration::from_secs(20));
}

#[test]
fn an_address_without_a_port_is_refused_at_once() {
    let sink = sink(LogTarget::Syslog(Syslog::Udp("localhost".into())), LogFormat::Json);
    let error = LogHub::open(&[sink], 1).unwrap_err().to_string();
    assert_eq!(error, "reviver.yaml:3: cannot open the log syslog:localhost: not of the form HOST:PORT");
}
