//! The connection, bytes in and bytes out.

use std::time::Instant;

use bytes::Buf;

use super::*;

#[test]
fn the_keep_alives_own_pong_is_no_event() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to count from"
    )]
    let start = Instant::now();
    let config = Config::new(Role::Server);
    let mut server = Connection::server(config.clone(), start);
    let due = server.poll_timeout().unwrap();
    assert_eq!(due, start + config.keep_alive.unwrap().interval);
    assert_eq!(server.handle_timeout(due), None);
    let ping = server.output().copy_to_bytes(10);
    let mut pong = [&[0x8a, 0x88, 0, 0, 0, 0], &ping[2..]].concat();
    let mut input = &mut pong[..];
    assert_eq!(server.receive(&mut input, due), Ok(None));
    assert!(input.is_empty());
    assert_eq!(
        server.poll_timeout(),
        Some(due + config.keep_alive.unwrap().interval)
    );
}
