//! Tests of the program, started as from a shell, one module for each topic.

mod chat;
mod connect;
mod crowd;
#[cfg(unix)]
mod grace;
#[cfg(unix)]
mod log;
mod manual;
mod notation;
mod opening;
mod option;
mod peer;
mod program;
#[cfg(target_os = "linux")]
mod reconnect;
mod record;
mod retry;
mod serve;
#[cfg(unix)]
mod stream;
#[cfg(unix)]
mod terminal;
mod tls;
mod topics;
