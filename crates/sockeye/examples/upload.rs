//! Takes files: each is one binary message, which goes to the disk as it comes and is never held as a whole.
//!
//! ```sh
//! cargo run --example upload -- 127.0.0.1:8080 uploads
//! base64 -w0 photo.jpg | sockeye connect --input base64 ws://127.0.0.1:8080/upload/photo.jpg
//! ```
//!
//! Its page, upload.html, is at http://127.0.0.1:8080/.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use sockeye::endpoint::{
    BinaryReader, Configurator, Handshake, HandshakeResponse, LogLimit, Refusal,
};
use sockeye::server::ServerBuilder;
use sockeye::{CloseCode, HandlerResult, Server, Session, server_endpoint};
use tokio::fs::File;

/// The longest file, in bytes. A longer one is refused with 1009 as soon as its length is known.
pub(crate) const MAX_FILE: u64 = 1 << 30;
/// The longest name of a file, in bytes.
const MAX_NAME: usize = 100;

static NOT_STORED: LogLimit = LogLimit::new();

/// Takes files into a directory.
struct Upload {
    directory: PathBuf,
}

#[server_endpoint("/upload/{name}", configurator = SafeNames)]
impl Upload {
    #[on_message(max = MAX_FILE)]
    async fn file(
        &mut self,
        mut body: BinaryReader,
        session: &Session,
        #[path] name: &str,
    ) -> HandlerResult<String> {
        // Until it is complete it has a name that no client can give. However this ends, that goes.
        let unfinished = Unfinished(self.directory.join(format!(".{}", session.id())));
        let mut file = File::create_new(&unfinished.0).await?;
        let len = tokio::io::copy(&mut body, &mut file).await?;
        file.sync_all().await?;
        // Unlike a renaming, this replaces no file that is there.
        tokio::fs::hard_link(&unfinished.0, self.directory.join(name)).await?;
        Ok(format!("{name}: {len} bytes"))
    }

    #[on_error]
    fn failed(&self, session: &Session, error: &sockeye::Error) {
        // A client can repeat it: one line in 10 s.
        if let Some(left_out) = NOT_STORED.admit(Instant::now()) {
            let error = sockeye::error::ErrorChain::new(error);
            tracing::warn!(%error, left_out, "a file was not stored");
        }
        let _ = session.close(CloseCode::INTERNAL_ERROR, "the file was not stored");
    }
}

/// A file that is deleted when this is dropped, in the middle of a message as well.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Accepts a client whose path names a file that is safe to create.
struct SafeNames;

impl Configurator for SafeNames {
    async fn modify_handshake(
        &self,
        request: &Handshake,
        _: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        if request.path_parameter("name").is_some_and(is_safe) {
            return Ok(());
        }
        let reason = "a name has letters, digits and any of `-_.`, and does not begin with a dot\n";
        Err(Refusal::new(StatusCode::BAD_REQUEST).body(reason))
    }
}

/// Whether a name stays in its directory, and is not hidden there: no separators, no `..`, no devices such as `a:`.
fn is_safe(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= MAX_NAME && !name.starts_with('.') && name.bytes().all(is_plain)
}

/// Serves the page. Files go to `directory`, which is made if it is not there.
pub(crate) fn server(directory: PathBuf) -> io::Result<ServerBuilder> {
    std::fs::create_dir_all(&directory)?;
    let upload = Upload::endpoint(move |_handshake| Upload {
        directory: directory.clone(),
    });
    Ok(Server::builder().endpoint(upload).http(page))
}

async fn page(request: Request<Bytes>) -> Response<Bytes> {
    let mut response = Response::default();
    if request.uri().path() == "/" {
        *response.body_mut() = Bytes::from_static(include_bytes!("upload.html"));
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next();
    let addr = addr.as_deref().unwrap_or("127.0.0.1:8080");
    let directory = arguments.next().unwrap_or_else(|| "uploads".to_owned());
    let server = server(directory.into())?.bind(addr).await?;
    #[expect(clippy::print_stdout, reason = "a client needs the address")]
    {
        println!("http://{}/", server.local_addr());
    }
    server.serve().await?;
    Ok(())
}
