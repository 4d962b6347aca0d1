//! New connections to servers, as their pool says, and why there are none.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use reviver_flow::Slug;
use reviver_plan::{ProxyProtocol, UpstreamProtocol};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::target::{Target, Wire};
use super::{Fault, Means};
use crate::http2::{Connections, Established};
use crate::stream::Stream;
use crate::tls::{self, PoolContext, Unreachable};
use crate::upstream;

/// Of connections that are the proxy's own (`proxy-protocol.txt`, sections 2.1 and 2.2).
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A connection comes about; a PROXY header is its beginning where the pool has one.
pub async fn open(target: &Target, means: &Means) -> Result<(TcpStream, SocketAddr), Fault> {
    let known = target.address.map(|address| [address]);
    let looked_up;
    let addresses = match &known {
        Some(known) => known.as_slice(),
        None => {
            let found = means.resolver.lookup(&target.host, target.port).await;
            looked_up = found.map_err(|slug| fault(target, slug.into()))?;
            looked_up.as_slice()
        }
    };
    let dialled = upstream::dial(addresses, means.resolver.fallback_delay).await;
    let (mut stream, address) = dialled.map_err(|slug| fault(target, slug.into()))?;
    let header = match target.checks.settings.proxy {
        None => return Ok((stream, address)),
        Some(ProxyProtocol::V1) => UNKNOWN,
        Some(ProxyProtocol::V2) => LOCAL,
    };
    stream.write_all(header).await.map_err(|_| Fault::Unheard)?;
    Ok((stream, address))
}

/// The handshake; tells whether it has agreed on HTTP/2.
pub async fn secure(target: &Target, context: &PoolContext, stream: TcpStream) -> Result<(Stream, bool), Fault> {
    let (stream, http2) = match tls::connect(context, &target.host, false, stream).await {
        Ok(secured) => secured,
        Err(unreachable) => return Err(fault(target, unreachable)),
    };
    Ok((Stream::Tls(stream), http2))
}

/// A connection in the version of HTTP that the pool's servers are spoken to in. `http2`: in that one where there is
/// a choice.
pub async fn speak(target: &Target, means: &Means, http2: bool) -> Result<Wire, Fault> {
    let (stream, address) = open(target, means).await?;
    let protocol = target.checks.settings.protocol;
    let (stream, http2) = match &means.tls {
        None => (Stream::Tcp(stream), http2 || protocol == UpstreamProtocol::Http2),
        Some(context) => match secure(target, context, stream).await? {
            // It was asked for HTTP/2 and nothing else.
            (_, false) if http2 || protocol == UpstreamProtocol::Http2 => {
                return Err(Fault::said("the server does not speak HTTP/2"));
            }
            secured => secured,
        },
    };
    if !http2 {
        return Ok(Wire::Http1(stream));
    }
    let connections = Rc::new(Connections::default());
    match Established::begin(stream, address).await {
        Ok(established) => connections.add(established),
        Err(Slug::ResponseInvalid) => return Err(Fault::said("HTTP/2 could not be begun")),
        Err(_) => return Err(Fault::Unheard),
    }
    Ok(Wire::Http2(connections))
}

/// It comes about, and no more is asked for.
pub async fn check_tcp(target: &Target, means: &Means) -> Result<(), Fault> {
    open(target, means).await.map(drop)
}

/// Its handshake is completed; `any` is for pools without TLS.
pub async fn check_tls(target: &Target, means: &Means, any: Option<&Arc<PoolContext>>) -> Result<(), Fault> {
    let context = any.or(means.tls.as_ref()).ok_or(Fault::Own)?;
    let (stream, _) = open(target, means).await?;
    let (mut stream, _) = secure(target, context, stream).await?;
    // That it ends is told where this goes at once, so that the server does not take it for broken off.
    let _ = stream.poll_shutdown(&mut Context::from_waker(Waker::noop()));
    Ok(())
}

/// Why there is no connection.
fn fault(target: &Target, Unreachable { slug, detail }: Unreachable) -> Fault {
    let words = detail.replace('_', " ");
    Fault::Said(match slug {
        // No descriptors, or no memory.
        Slug::InternalError => return Fault::Own,
        Slug::ConnectionRefused => "connection refused".to_owned(),
        Slug::ConnectionTimeout => "no connection in time".to_owned(),
        Slug::Unroutable => "no route to the server".to_owned(),
        Slug::DnsError => format!("the name {} has no address", target.host),
        Slug::DnsTimeout => format!("name servers do not answer for {}", target.host),
        Slug::TlsCertificate => format!("certificate: {words}"),
        Slug::TlsError if detail == "server_name" => format!("TLS: {} is no name to ask for", target.host),
        Slug::TlsError => format!("TLS: {words}"),
        _ => "no connection".to_owned(),
    })
}
