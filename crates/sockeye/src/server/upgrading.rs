//! The server's opening handshake inside another HTTP server: the answer at once, and a future of the connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, request};
use hyper::upgrade::OnUpgrade;

use super::error::AcceptError;
use super::foreign::{Facts, into_stream, not_upgradable};
use super::options::Options;
use super::rules::{Agreement, Asked, on_loopback};
use crate::connection::Connection;
use crate::router::PathParameters;
use crate::sync::Arc;

/// The future of a connection that another HTTP server upgrades. [`Acceptor::upgrade`](super::Acceptor::upgrade) and
/// [`upgrade`](crate::upgrade()) return it.
///
/// It completes when the server has written the 101. So it must not be awaited before the response is returned: await it in
/// a task. If the response is never returned, it completes when the HTTP connection ends, with an error or with a connection
/// that has ended too.
///
/// # Errors
///
/// [`AcceptError::Refused`] if the response refuses the request, and [`AcceptError::NotUpgraded`] if the server did not send
/// the 101.
///
/// # Cancel safety
///
/// Dropped, it ends the connection: the client gets the 101, and then the end of the stream.
#[must_use = "futures do nothing unless polled, and the connection ends when this one is dropped"]
pub struct Upgrading(State);

enum State {
    // Boxed, as it is the size of a request.
    Agreed(Box<Agreed>),
    Refused(Box<Response<Bytes>>),
    Done,
}

struct Agreed {
    on_upgrade: OnUpgrade,
    agreement: Box<Agreement>,
    options: Arc<Options>,
}

/// Answers a request of another HTTP server.
pub(crate) fn upgrade(
    options: &Arc<Options>,
    request: &request::Parts,
    facts: Facts,
) -> (Response<Bytes>, Upgrading) {
    match agree(options, request, facts) {
        Ok((response, agreed)) => {
            let upgrading = Upgrading(State::Agreed(Box::new(agreed)));
            (response.map(|()| Bytes::new()), upgrading)
        }
        Err(refusal) => {
            let response = Response::clone(&refusal);
            (response, Upgrading(State::Refused(refusal)))
        }
    }
}

fn agree(
    options: &Arc<Options>,
    request: &request::Parts,
    facts: Facts,
) -> Result<(Response<()>, Agreed), Box<Response<Bytes>>> {
    let Facts {
        info,
        known,
        on_upgrade,
    } = facts;
    let asked = Asked {
        request,
        parameters: PathParameters::default(),
        info,
        on_loopback: on_loopback(info),
    };
    let (response, agreement) = options.answer(asked, known)?;
    let on_upgrade = on_upgrade.ok_or_else(|| not_upgradable(&options.counters))?;
    let agreed = Agreed {
        on_upgrade,
        agreement,
        options: Arc::clone(options),
    };
    Ok((response, agreed))
}

impl Future for Upgrading {
    type Output = Result<Connection, AcceptError>;

    /// # Panics
    ///
    /// If it is polled after it has completed.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Agreed(agreed) = &mut self.0 {
            let upgraded = ready!(Pin::new(&mut agreed.on_upgrade).poll(cx));
            let State::Agreed(agreed) = std::mem::replace(&mut self.0, State::Done) else {
                unreachable!("it was looked at above");
            };
            return Poll::Ready(match upgraded {
                Ok(upgraded) => {
                    let (stream, read_ahead) = into_stream(upgraded);
                    let Agreed {
                        agreement, options, ..
                    } = *agreed;
                    Ok(options.open(stream, &read_ahead, *agreement))
                }
                Err(error) => Err(AcceptError::NotUpgraded(error.into())),
            });
        }
        match std::mem::replace(&mut self.0, State::Done) {
            State::Refused(refusal) => Poll::Ready(Err(AcceptError::Refused(refusal))),
            _ => panic!("`Upgrading` was polled after it has completed"),
        }
    }
}

impl fmt::Debug for Upgrading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrading").finish_non_exhaustive()
    }
}
