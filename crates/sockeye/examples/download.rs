//! A server of files. Each file is one binary message. It is read from the disk as the client takes it, and is never held
//! as a whole.
//!
//! ```sh
//! cargo run --example download -- 127.0.0.1:8080 uploads
//! sockeye connect --binary raw ws://127.0.0.1:8080/download/photo.jpg > photo.jpg
//! ```
//!
//! Its page, download.html, is at http://127.0.0.1:8080/.

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use sockeye::endpoint::{Configurator, Handshake, HandshakeResponse, Refusal};
use sockeye::server::ServerBuilder;
use sockeye::{CloseCode, HandlerResult, Server, Session, server_endpoint};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// The longest file that is given, in bytes: 413 for others.
pub(crate) const MAX_FILE: u64 = 1 << 30;
/// The longest name of a file, in bytes.
const MAX_NAME: usize = 100;

/// Sends a file of a directory.
struct Download {
    directory: PathBuf,
}

#[server_endpoint("/download/{name}")]
impl Download {
    #[on_open]
    async fn opened(&mut self, session: &Session, #[path] name: &str) -> HandlerResult {
        // Bytes that are appended meanwhile are not sent beyond this limit.
        let mut file = File::open(self.directory.join(name)).await?.take(MAX_FILE);
        let mut message = session.basic_remote().binary_writer();
        // The copy waits while the client takes nothing. If the copy fails, the message stays unfinished, and the
        // connection closes with 1011.
        tokio::io::copy(&mut file, &mut message).await?;
        // Not only an end: an empty file is an empty message, and none otherwise.
        message.send_last_part(&b""[..]).await?;
        session.close(CloseCode::NORMAL, "")?;
        Ok(())
    }
}

/// Accepts a client whose path names an existing file.
struct Files {
    directory: PathBuf,
}

impl Configurator for Files {
    async fn modify_handshake(
        &self,
        request: &Handshake,
        _: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        let name = request.path_parameter("name");
        let Some(name) = name.filter(|name| is_safe(name)) else {
            let reason =
                "a name has letters, digits and any of `-_.`, and does not begin with a dot\n";
            return Err(Refusal::new(StatusCode::BAD_REQUEST).body(reason));
        };
        // Of a link this says that it is one: it may lead out of the directory.
        match tokio::fs::symlink_metadata(self.directory.join(name)).await {
            Ok(file) if file.is_file() && file.len() > MAX_FILE => {
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE).body("the file is too large\n"))
            }
            Ok(file) if file.is_file() => Ok(()),
            _ => Err(Refusal::new(StatusCode::NOT_FOUND).body("there is no such file\n")),
        }
    }
}

/// Whether a name stays in its directory, and is not hidden there: no separators, no `..`, no devices such as `a:`.
fn is_safe(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= MAX_NAME && !name.starts_with('.') && name.bytes().all(is_plain)
}

/// Serves the page, and the files of `directory`.
pub(crate) fn server(directory: PathBuf) -> ServerBuilder {
    let files = Files {
        directory: directory.clone(),
    };
    let download = Download::endpoint(move |_handshake| Download {
        directory: directory.clone(),
    });
    Server::builder()
        .endpoint(download.configurator(files))
        .http(page)
}

async fn page(request: Request<Bytes>) -> Response<Bytes> {
    let mut response = Response::default();
    if request.uri().path() == "/" {
        *response.body_mut() = Bytes::from_static(include_bytes!("download.html"));
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

#[tokio::main]
async fn main() -> sockeye::Result {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next();
    let addr = addr.as_deref().unwrap_or("127.0.0.1:8080");
    let directory = arguments.next().unwrap_or_else(|| "uploads".to_owned());
    let server = server(directory.into()).bind(addr).await?;
    #[expect(clippy::print_stdout, reason = "a client needs the address")]
    {
        println!("http://{}/", server.local_addr());
    }
    server.serve().await?;
    Ok(())
}
