//! Ports of programs that cannot be asked for "any free one": picked by the system beforehand, and
//! awaited by connecting.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::error::Result;
use crate::process::Child;

/// Returns a free address. Another program may take it before ours does: then ours says so and ends, and
/// [`await_listener`] reports that.
pub(crate) async fn pick_free() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?)
}

/// Returns when `address` takes connections; fails at once when `child` has ended.
pub(crate) async fn await_listener(address: SocketAddr, child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        child.check_running()?;
        if Instant::now() >= deadline {
            return Err(format!(
                "{} does not listen at {address} after {START_LIMIT:?}",
                child.name()
            )
            .into());
        }
        sleep(POLL).await;
    }
}

const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
