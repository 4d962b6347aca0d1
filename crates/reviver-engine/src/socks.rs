//! SOCKS5 on the port of a forward listener (RFC 1928, RFC 1929): a CONNECT by another name.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::{Credentials, Slug};
use reviver_http::socks::{
    Address, AuthMethod, Command, Reply, SocksError, Step, decode_auth, decode_greeting, decode_request,
    write_auth_reply, write_method, write_reply,
};

use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::deliver::write_all;
use crate::driver::{self, ClientProtocol, Then};
use crate::exchange::Trouble;
use crate::work::Work;

pub const VERSION: u8 = 5;

/// Why a negotiation ended before its request was taken.
enum Ended {
    /// The client left or took too long.
    Lost,
    /// A reply was written, and this is what is recorded.
    Refused(Slug),
}

/// Serves one SOCKS connection. True when the client should be read on for a while before it is closed.
pub async fn serve(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &Rc<CoreSnapshot>,
    listener: u16,
    started: Instant,
) -> bool {
    let patience = snapshot.snapshot.listener(listener).map_or(10_000, |l| l.timeouts.head_ms);
    connection.timer.set(started, Duration::from_millis(patience));
    match negotiate(connection, work, snapshot, Duration::from_millis(patience)).await {
        Ok(user) => {
            let times = driver::HeadTimes { started, complete: Instant::now() };
            let then = driver::run(connection, work, snapshot, listener, times, ClientProtocol::Socks5, user).await;
            then == Then::Drain
        }
        Err(Ended::Lost) => {
            driver::record_broken(connection, snapshot, listener, started, ClientProtocol::Socks5).await;
            false
        }
        Err(Ended::Refused(slug)) => {
            let socks = ClientProtocol::Socks5;
            driver::record_refusal(connection, snapshot, listener, started, slug, "", socks).await;
            true
        }
    }
}

/// Greeting, authentication and request; the destination then stands in `work.request`.
async fn negotiate(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &CoreSnapshot,
    patience: Duration,
) -> Result<Option<String>, Ended> {
    let mut out = Vec::new();
    let auth = snapshot.snapshot.plan.forward.as_ref().and_then(|f| f.auth.as_ref());
    let wanted = if auth.is_some() { AuthMethod::UsernamePassword } else { AuthMethod::None };
    let greeting = read(connection, work, |input| {
        Ok(match decode_greeting(input)? {
            Step::Incomplete => Step::Incomplete,
            Step::Done(greeting, length) => Step::Done(greeting.offers(wanted), length),
        })
    });
    let offered = match greeting.await {
        Ok(offered) => offered,
        Err(Some(_)) => return Err(Ended::Refused(Slug::BadSocks)),
        Err(None) => return Err(Ended::Lost),
    };
    write_method(&mut out, if offered { wanted } else { AuthMethod::NoneAcceptable });
    send(connection, &mut out).await?;
    if !offered {
        return Err(Ended::Refused(Slug::AuthRequired));
    }
    let mut user = None;
    if let Some(auth) = auth {
        let credentials = read(connection, work, |input| {
            Ok(match decode_auth(input)? {
                Step::Incomplete => Step::Incomplete,
                Step::Done(a, length) => {
                    Step::Done(Credentials { user: a.username.to_vec(), password: a.password.to_vec() }, length)
                }
            })
        });
        let credentials = match credentials.await {
            Ok(credentials) => credentials,
            Err(Some(_)) => {
                write_auth_reply(&mut out, false);
                send(connection, &mut out).await?;
                return Err(Ended::Refused(Slug::BadSocks));
            }
            Err(None) => return Err(Ended::Lost),
        };
        let client = connection.peer().ip();
        let checked = driver::check_password(connection, work, auth, &credentials, client).await;
        let good = match checked {
            Ok(good) => good,
            Err(Trouble::Upstream { slug, .. }) => {
                write_auth_reply(&mut out, false);
                send(connection, &mut out).await?;
                return Err(Ended::Refused(slug));
            }
            Err(_) => return Err(Ended::Lost),
        };
        connection.timer.set(Instant::now(), patience);
        write_auth_reply(&mut out, good);
        send(connection, &mut out).await?;
        if !good {
            return Err(Ended::Refused(Slug::AuthFailed));
        }
        user = String::from_utf8(credentials.user).ok();
    }
    let request = read(connection, work, |input| {
        Ok(match decode_request(input)? {
            Step::Incomplete => Step::Incomplete,
            Step::Done(request, length) => {
                let host = match request.address {
                    Address::Ip(ip) => ip.to_string().into_bytes(),
                    Address::Domain(name) => name.to_vec(),
                };
                Step::Done((request.command, host, request.port), length)
            }
        })
    });
    match request.await {
        Ok((Command::Connect, host, port)) => {
            work.request.set_connect(&host, port);
            Ok(user)
        }
        Ok(_) => {
            write_reply(&mut out, Reply::CommandNotSupported, None);
            send(connection, &mut out).await?;
            Err(Ended::Refused(Slug::SocksCommand))
        }
        Err(Some(error)) => {
            if let Some(reply) = error.reply() {
                write_reply(&mut out, reply, None);
                send(connection, &mut out).await?;
            }
            Err(Ended::Refused(if error == SocksError::Command { Slug::SocksCommand } else { Slug::BadSocks }))
        }
        Err(None) => Err(Ended::Lost),
    }
}

async fn send(connection: &mut Connection, out: &mut Vec<u8>) -> Result<(), Ended> {
    let sent = write_all(connection, out).await;
    out.clear();
    if sent { Ok(()) } else { Err(Ended::Lost) }
}

/// Reads one message. `Err(None)` when the client left or the time was up.
async fn read<T>(
    connection: &mut Connection,
    work: &mut Work,
    decode: impl Fn(&[u8]) -> Result<Step<T>, SocksError>,
) -> Result<T, Option<SocksError>> {
    poll_fn(|cx| {
        loop {
            match decode(work.client_in.bytes()) {
                Ok(Step::Done(message, length)) => {
                    work.client_in.consume(length);
                    return Poll::Ready(Ok(message));
                }
                Ok(Step::Incomplete) => {}
                Err(error) => return Poll::Ready(Err(Some(error))),
            }
            match connection.stream.poll_read(cx, &mut work.client_in) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Err(None)),
                Poll::Pending if connection.timer.poll_expired(cx) || connection.core.is_stopping() => {
                    return Poll::Ready(Err(None));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
