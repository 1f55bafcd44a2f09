//! TCP connections to a host: its addresses, and the race between them (Happy Eyeballs, RFC 8305). Knows nothing of
//! WebSocket.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, sleep};

/// The options of TCP connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialer {
    /// Hosts with addresses of the caller. The system does not resolve these hosts.
    pub(super) known: Vec<(String, Vec<IpAddr>)>,
    pub(super) family: Family,
    pub(super) local_address: Option<IpAddr>,
    pub(super) keepalive: bool,
    pub(super) send_buffer: Option<u32>,
    pub(super) receive_buffer: Option<u32>,
}

/// The address family that a client uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Family {
    #[default]
    Any,
    V4,
    V6,
}

/// The delay before the next address is tried while the one before has not connected (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

impl Dialer {
    pub(super) async fn connect(&self, addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
        race(addresses, |address| self.connect_to(address)).await
    }

    /// Resolves a host to its usable addresses, in the order of the attempts.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = match self.addresses_known(host, port) {
            Some(addresses) => addresses,
            None => lookup_host((host, port)).await?.collect(),
        };
        self.usable(addresses)
    }

    /// Does the same as [`resolve`](Self::resolve) in the caller's thread.
    pub(crate) fn resolve_blocking(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = match self.addresses_known(host, port) {
            Some(addresses) => addresses,
            None => (host, port).to_socket_addrs()?.collect(),
        };
        self.usable(addresses)
    }

    /// Connects to one address in the caller's thread, within `timeout`.
    pub(crate) fn connect_blocking(
        &self,
        address: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if self.keepalive {
            socket.set_keepalive(true)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes as usize)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes as usize)?;
        }
        if let Some(local) = self.local_address {
            socket.bind(&SocketAddr::new(local, 0).into())?;
        }
        socket.connect_timeout(&address.into(), timeout)?;
        Ok(socket)
    }

    /// The addresses that the caller has given for a host.
    fn addresses_known(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let known = self.known.iter();
        let (_, addresses) = { known }.rfind(|(name, _)| name.eq_ignore_ascii_case(host))?;
        let addresses = addresses.iter();
        Some(addresses.map(|ip| SocketAddr::new(*ip, port)).collect())
    }

    /// The addresses that this client may use, in the order of the attempts.
    fn usable(&self, addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let usable = addresses.into_iter().filter(|addr| self.may_use(*addr));
        let usable = interleave(usable.collect());
        if usable.is_empty() {
            let text = "the host has no address of a family that this client may use";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        }
        Ok(usable)
    }

    fn may_use(&self, address: SocketAddr) -> bool {
        let fits = match self.family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        };
        let local = self.local_address;
        fits && local.is_none_or(|local| local.is_ipv4() == address.is_ipv4())
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if self.keepalive {
            socket.set_keepalive(true)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(local) = self.local_address {
            socket.bind(SocketAddr::new(local, 0))?;
        }
        socket.connect(address).await
    }
}

/// Sorts the addresses so that the families alternate, beginning with that of the first address (RFC 8305 §4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let count = addresses.len();
    let (preferred, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|addr| addr.is_ipv6() == first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(count);
    while mixed.len() < count {
        mixed.extend(preferred.next());
        mixed.extend(other.next());
    }
    mixed
}

/// Tries the addresses in order. The next attempt starts when [`ATTEMPT_DELAY`] has passed or an attempt has failed.
/// The first connection wins, and the other attempts are dropped.
///
/// # Errors
///
/// The last error, when all attempts have failed.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut addresses = addresses.into_iter();
    let mut running = Vec::new();
    let mut delay = pin!(sleep(Duration::ZERO));
    let mut last_error = None;
    poll_fn(|cx| {
        loop {
            let mut has_failed = false;
            let mut index = 0;
            while let Some(attempt) = running.get_mut(index) {
                let attempt: &mut std::pin::Pin<Box<F>> = attempt;
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(error)) => {
                        drop(running.remove(index));
                        last_error = Some(error);
                        has_failed = true;
                    }
                    Poll::Pending => index += 1,
                }
            }
            let is_due = running.is_empty() || has_failed || delay.as_mut().poll(cx).is_ready();
            if !is_due {
                return Poll::Pending;
            }
            match addresses.next() {
                Some(address) => {
                    running.push(Box::pin(connect(address)));
                    delay.as_mut().reset(Instant::now() + ATTEMPT_DELAY);
                }
                None if running.is_empty() => {
                    let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
                    return Poll::Ready(Err(last_error.take().unwrap_or_else(none)));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_systems_first_choice_begins() {
        let mixed = interleave(addresses(&[
            "[::1]:1",
            "[::2]:1",
            "[::3]:1",
            "1.1.1.1:1",
            "2.2.2.2:1",
        ]));
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"];
        assert_eq!(mixed, addresses(&expected));
        assert_eq!(interleave(Vec::new()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_delays_the_next_by_250_ms_and_loses() {
        let started = Instant::now();
        let tried = RefCell::new(Vec::new());
        let three = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1"]);
        let winner = race(three.clone(), |address| {
            tried.borrow_mut().push((address, started.elapsed()));
            async move {
                match address {
                    SocketAddr::V6(_) => pending().await,
                    SocketAddr::V4(_) => sleep(Duration::from_millis(100)).await,
                }
                Ok(address)
            }
        });
        assert_eq!(winner.await.unwrap(), three[1]);
        let times = [Duration::ZERO, ATTEMPT_DELAY];
        assert_eq!(
            *tried.borrow(),
            [(three[0], times[0]), (three[1], times[1])]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_is_followed_by_the_next_at_once_and_the_last_error_is_returned()
    {
        let started = Instant::now();
        let two = addresses(&["[::1]:1", "1.1.1.1:1"]);
        let failed = race::<(), _>(two, |address| async move {
            Err(io::Error::other(address.to_string()))
        });
        assert_eq!(failed.await.unwrap_err().to_string(), "1.1.1.1:1");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_still_wins_when_the_others_fail() {
        let two = addresses(&["[::1]:1", "1.1.1.1:1"]);
        let winner = race(two.clone(), |address| async move {
            sleep(Duration::from_secs(1)).await;
            match address {
                SocketAddr::V6(_) => Ok(address),
                SocketAddr::V4(_) => Err(io::Error::other("refused")),
            }
        });
        assert_eq!(winner.await.unwrap(), two[0]);
    }

    #[tokio::test]
    async fn known_addresses_are_not_looked_up_and_the_family_chooses_among_them() {
        let mut dialer = Dialer {
            known: vec![
                ("host.invalid".into(), vec![[9, 9, 9, 9].into()]),
                (
                    "host.invalid".into(),
                    vec![[0; 16].into(), [1, 2, 3, 4].into()],
                ),
            ],
            ..Dialer::default()
        };
        let all = dialer.resolve("Host.Invalid", 5).await.unwrap();
        assert_eq!(all, addresses(&["[::]:5", "1.2.3.4:5"]));
        dialer.family = Family::V4;
        let v4 = dialer.resolve("host.invalid", 5).await.unwrap();
        assert_eq!(v4, addresses(&["1.2.3.4:5"]));
        dialer.family = Family::V6;
        let v6 = dialer.resolve("host.invalid", 5).await.unwrap();
        assert_eq!(v6, addresses(&["[::]:5"]));
        // An IPv4 socket cannot connect to an IPv6 address.
        dialer.local_address = Some([127, 0, 0, 1].into());
        let none = dialer.resolve("host.invalid", 5).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
