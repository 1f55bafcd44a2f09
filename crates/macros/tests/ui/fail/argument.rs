//! Mistakes in the arguments of the attribute.

use sockeye::server_endpoint;

struct Chat;

#[server_endpoint]
impl Chat {}

#[server_endpoint(subprotocols = ["chat"])]
impl Chat {}

#[server_endpoint("")]
impl Chat {}

#[server_endpoint("chat")]
impl Chat {}

#[server_endpoint("/chat//{room}")]
impl Chat {}

#[server_endpoint("/chat/../{room}")]
impl Chat {}

#[server_endpoint("/./chat")]
impl Chat {}

#[server_endpoint("/x{room}/y{name}")]
impl Chat {}

#[server_endpoint("/chat/{room")]
impl Chat {}

#[server_endpoint("/chat/{}")]
impl Chat {}

#[server_endpoint("/chat/{the room}")]
impl Chat {}

#[server_endpoint("/{room}/{room}")]
impl Chat {}

#[server_endpoint("/files/{*path}/raw")]
impl Chat {}

#[server_endpoint("/files/**")]
impl Chat {}

#[server_endpoint("/files/{*}")]
impl Chat {}

#[server_endpoint("/caf%C3%A9")]
impl Chat {}

#[server_endpoint("/chat?room={room}")]
impl Chat {}

#[server_endpoint("/chat", protocols = ["chat"])]
impl Chat {}

#[server_endpoint("/chat", subprotocols = ["chat"], subprotocols = ["talk"])]
impl Chat {}

#[server_endpoint("/chat", subprotocols = ["chat v1"])]
impl Chat {}

#[server_endpoint("/chat", subprotocols = ["chat", "talk", "chat"])]
impl Chat {}

#[server_endpoint("/chat", topics, topics)]
impl Chat {}

#[server_endpoint("/chat", topics = true)]
impl Chat {}

#[server_endpoint("/chat", topics subprotocols = ["chat"])]
impl Chat {}

fn main() {}
