//! One side of one stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use reviver_flow::Sent;
use tokio::io::ReadBuf;

use super::client::Count;

/// The handles of a stream, with what was received and not yet read.
#[derive(Debug, Default)]
pub struct Http2Stream {
    /// What the peer sends; none until a server has answered.
    received: Option<RecvStream>,
    rest: Bytes,
    trailers: Option<Box<HeaderMap>>,
    /// What is sent to the peer; none until the answer to a client has begun.
    sending: Option<SendStream<Bytes>>,
    /// Towards a client.
    answer: Option<SendResponse<Bytes>>,
    /// Towards a server.
    awaited: Option<ResponseFuture>,
    ended: bool,
    /// Dropped with the stream: counts it.
    _counted: Option<Count>,
}

/// What came from a server.
#[derive(Debug)]
pub enum Answered {
    Interim(Response<()>),
    Final(Response<()>, bool),
}

/// A failure while a response was awaited, and what the server may have seen of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Option<Reason>,
    /// The server says that it has not looked at the request (RFC 9113, section 8.7).
    pub untouched: bool,
}

impl Failure {
    fn of(error: &h2::Error) -> Self {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let left_behind = error.is_go_away() && error.is_remote();
        Self { reason: error.reason(), untouched: refused || left_behind }
    }

    pub fn sent(self, otherwise: Sent) -> Sent {
        // What has left of a body is gone, whether the server has looked at it or not.
        if self.untouched && otherwise != Sent::Body { Sent::Nothing } else { otherwise }
    }
}

impl Http2Stream {
    /// A request that a client has sent.
    pub(super) fn of_client(received: RecvStream, answer: SendResponse<Bytes>, counted: Count) -> Self {
        Self { received: Some(received), answer: Some(answer), _counted: Some(counted), ..Self::default() }
    }

    /// A request that is sent to a server. `ended`: without content.
    fn to_server(awaited: ResponseFuture, sending: SendStream<Bytes>, ended: bool, counted: Count) -> Self {
        Self { awaited: Some(awaited), sending: Some(sending), ended, _counted: Some(counted), ..Self::default() }
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(received) = &mut self.received else { return Poll::Pending };
        while self.rest.is_empty() {
            match ready!(received.poll_data(cx)) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => {
                    if let Some(trailers) = ready!(received.poll_trailers(cx)).map_err(failed)? {
                        self.trailers = Some(Box::new(trailers));
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let count = self.rest.len().min(space.remaining());
        space.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        // The peer may send as much again: what was read has room on the other side.
        Poll::Ready(received.flow_control().release_capacity(count).map_err(failed))
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8], last: bool) -> Poll<io::Result<usize>> {
        let Some(sending) = self.sending.as_mut().filter(|_| !self.ended) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        sending.reserve_capacity(bytes.len());
        let mut capacity = sending.capacity();
        while capacity == 0 {
            capacity = match ready!(sending.poll_capacity(cx)) {
                Some(Ok(capacity)) => capacity,
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let count = capacity.min(bytes.len());
        let ends = last && count == bytes.len();
        sending.send_data(Bytes::copy_from_slice(&bytes[..count]), ends).map_err(failed)?;
        self.ended |= ends;
        Poll::Ready(Ok(count))
    }

    /// Ends what is sent, with trailers where there are any.
    pub fn finish(&mut self, trailers: Option<Box<HeaderMap>>) -> io::Result<()> {
        let Some(sending) = self.sending.as_mut().filter(|_| !self.ended) else { return Ok(()) };
        self.ended = true;
        match trailers {
            Some(trailers) => sending.send_trailers(*trailers).map_err(failed),
            None => sending.send_data(Bytes::new(), true).map_err(failed),
        }
    }

    /// Trailers that came behind the content.
    pub fn take_trailers(&mut self) -> Option<Box<HeaderMap>> {
        self.trailers.take()
    }

    /// Begins the answer to a client. `ended`: without content.
    pub fn respond(&mut self, response: Response<()>, ended: bool) -> io::Result<()> {
        let Some(mut answer) = self.answer.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        self.sending = Some(answer.send_response(response, ended).map_err(failed)?);
        self.ended = ended;
        Ok(())
    }

    /// Sends a 1xx response to a client.
    pub fn inform(&mut self, response: Response<()>) -> io::Result<()> {
        let Some(answer) = &mut self.answer else { return Err(io::ErrorKind::NotConnected.into()) };
        answer.send_informational(response).map_err(failed)
    }

    /// Ready when the client has given the stream up, or its connection is lost.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (&mut self.answer, &mut self.sending) {
            (Some(answer), _) => answer.poll_reset(cx).map(|_| ()),
            (None, Some(sending)) => sending.poll_reset(cx).map(|_| ()),
            (None, None) => Poll::Pending,
        }
    }

    /// Gives the stream up, so that the peer does not take what it has got for whole.
    pub fn reset(&mut self, reason: Reason) {
        match (&mut self.answer, &mut self.sending) {
            (Some(answer), _) => answer.send_reset(reason),
            (None, Some(sending)) if !self.ended => sending.send_reset(reason),
            _ => {}
        }
        self.ended = true;
    }

    /// Waits for the next response head from a server.
    pub fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answered, Failure>> {
        let Some(awaited) = &mut self.awaited else { return Poll::Pending };
        if let Poll::Ready(Some(interim)) = awaited.poll_informational(cx) {
            return Poll::Ready(interim.map(Answered::Interim).map_err(|e| Failure::of(&e)));
        }
        let response = ready!(Pin::new(awaited).poll(cx)).map_err(|e| Failure::of(&e))?;
        self.awaited = None;
        let (parts, received) = response.into_parts();
        let ended = received.is_end_stream();
        self.received = Some(received);
        Poll::Ready(Ok(Answered::Final(Response::from_parts(parts, ()), ended)))
    }
}

fn failed(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::other(error)
    }
}

/// Sends a request on a connection that has room for it.
pub(super) fn open(
    connection: &mut h2::client::SendRequest<Bytes>,
    request: Request<()>,
    ended: bool,
    counted: Count,
) -> Result<Http2Stream, Failure> {
    let (awaited, sending) = connection.send_request(request, ended).map_err(|e| Failure::of(&e))?;
    Ok(Http2Stream::to_server(awaited, sending, ended, counted))
}
