//! Sends every message back: `cargo run --example echo`, then `sockeye connect` to the printed URL.

use sockeye::{Server, server_endpoint};

#[derive(Default)]
struct Echo;

#[server_endpoint("/echo")]
impl Echo {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }

    #[on_message]
    fn binary<'m>(&self, bytes: &'m [u8]) -> &'m [u8] {
        bytes
    }
}

#[tokio::main]
async fn main() -> sockeye::Result {
    let server = Server::builder()
        .default_endpoint::<Echo>()
        .bind("127.0.0.1:0")
        .await?;
    #[expect(clippy::print_stdout, reason = "a client needs the address")]
    {
        println!("ws://{}/echo", server.local_addr());
    }
    Ok(server.serve().await?)
}
