//! Requests over HTTP/2, for checks of HTTP and of gRPC.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};

use http::uri::{Parts, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};

use super::Fault;
use super::target::Target;
use crate::http2::{Answered, Connections, Failure};
use crate::stream::Stream;

/// A request without fields: GET of that path.
pub fn request(target: &Target, secure: bool, path: PathAndQuery) -> Result<Request<()>, String> {
    let mut parts = Parts::default();
    parts.authority = target.authority.clone();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.path_and_query = Some(path);
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| "the host cannot be sent")?;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

/// Sends a request with that content, and waits for the head of the response; tells whether nothing follows it.
pub async fn ask(
    connections: &Rc<Connections>,
    request: Request<()>,
    content: Option<&[u8]>,
) -> Result<(Stream, Response<()>, bool), Fault> {
    let mut connection = connections.take().ok_or(Fault::Unheard)?;
    let stream = connection.send(request, content.is_none()).map_err(fault)?;
    let mut stream = Stream::Http2(Box::new(stream));
    if let Some(mut content) = content {
        poll_fn(|cx| {
            while !content.is_empty() {
                match ready!(stream.poll_write(cx, content, true)) {
                    Ok(count) => content = &content[count..],
                    // Why, its answer tells.
                    Err(_) => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }
    loop {
        let Some(awaited) = stream.http2() else { return Err(Fault::Unheard) };
        if let Answered::Final(response, ended) = poll_fn(|cx| awaited.poll_response(cx)).await.map_err(fault)? {
            return Ok((stream, response, ended));
        }
    }
}

fn fault(failure: Failure) -> Fault {
    match failure.reason {
        Some(reason) if !failure.untouched => Fault::Said(format!("HTTP/2: {}", reason.description())),
        _ => Fault::Unheard,
    }
}
