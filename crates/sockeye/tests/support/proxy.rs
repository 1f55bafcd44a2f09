//! Proxies of one connection, which report the request that they got.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Raw;

/// A proxy that is asked by CONNECT, and connects to `server` for any request. Its task yields the request.
pub(crate) async fn http_proxy(server: SocketAddr) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        let mut client = Raw::new(tcp);
        let request = client.head().await.expect("a request");
        let mut tcp = TcpStream::connect(server).await.expect("it listens");
        client.write(b"HTTP/1.1 200 Go\r\n\r\n").await;
        let _ = copy_bidirectional(&mut client.stream, &mut tcp).await;
        request
    });
    (addr, serving)
}

/// A SOCKS5 proxy of one connection to `server`. Returns its address, and a task that yields the credentials and the
/// address of the request.
pub(crate) async fn socks_proxy(server: SocketAddr) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut asked = String::new();
        // RFC 1928 §3: the version, and the methods that the client knows.
        assert_eq!(client.read_u8().await.expect("a byte"), 5);
        let methods = take_counted(&mut client).await;
        let method = if methods.contains(&2) { 2 } else { 0 };
        client.write_all(&[5, method]).await.expect("it reads");
        if method == 2 {
            // RFC 1929 §2.
            assert_eq!(client.read_u8().await.expect("a byte"), 1);
            for end in [":", "@"] {
                let text = take_counted(&mut client).await;
                asked.push_str(&String::from_utf8(text).expect("UTF-8"));
                asked.push_str(end);
            }
            client.write_all(&[1, 0]).await.expect("it reads");
        }
        // §4: CONNECT, to a name or an address.
        let mut head = [0; 4];
        client.read_exact(&mut head).await.expect("a request");
        assert_eq!(head[..3], [5, 1, 0]);
        match head[3] {
            1 => {
                let mut ip = [0; 4];
                client.read_exact(&mut ip).await.expect("an address");
                asked.push_str(&format!("{:?}", std::net::Ipv4Addr::from(ip)));
            }
            3 => {
                let name = take_counted(&mut client).await;
                asked.push_str(&format!("name {}", String::from_utf8_lossy(&name)));
            }
            kind => panic!("address of kind {kind}"),
        }
        let port = client.read_u16().await.expect("a port");
        asked.push_str(&format!(":{port}"));
        let mut tcp = TcpStream::connect(server).await.expect("it listens");
        let granted = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        client.write_all(&granted).await.expect("it reads");
        let _ = copy_bidirectional(&mut client, &mut tcp).await;
        asked
    });
    (addr, serving)
}

/// Reads a byte, and then as many bytes as its value says.
async fn take_counted(tcp: &mut TcpStream) -> Vec<u8> {
    let count = tcp.read_u8().await.expect("a count");
    let mut bytes = vec![0; count.into()];
    tcp.read_exact(&mut bytes).await.expect("bytes");
    bytes
}
