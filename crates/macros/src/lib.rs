//! The attributes of Sockeye's annotated endpoints.
//!
//! Use them through the `sockeye` crate, which re-exports them and which the generated code
//! names. This file only dispatches: `argument` reads what stands in the attribute's parentheses,
//! `endpoint` the `impl` block, `callback` a marked method and `parameter` what it takes; `expand`
//! writes the code. A mistake becomes a compile error at its place that says what to do about it;
//! all mistakes of a block are reported at once.

mod argument;
mod callback;
mod endpoint;
mod expand;
mod marker;
mod mistake;
mod parameter;
mod template;

use proc_macro::TokenStream;

use self::argument::Side;

/// Makes a type an endpoint that a server serves at a path: the methods of an `impl` block that
/// carry a mark are called when something happens to a connection.
///
/// ```
/// use sockeye::{CloseReason, Error, Result, Session, server_endpoint};
///
/// #[derive(Default)]
/// struct Chat {
///     said: usize,
/// }
///
/// #[server_endpoint("/chat/{room}", subprotocols = ["chat.v1"])]
/// impl Chat {
///     #[on_open]
///     async fn joined(&mut self, session: &Session, #[path] room: &str) -> Result {
///         session.basic_remote().send_text(format!("this is {room}")).await?;
///         Ok(())
///     }
///
///     #[on_message]
///     fn said(&mut self, text: &str) -> String {
///         self.said += 1;
///         format!("{}: {text}", self.said)
///     }
///
///     #[on_close]
///     fn left(&mut self, reason: CloseReason) {
///         println!("left: {reason:?}");
///     }
///
///     #[on_error]
///     fn failed(&mut self, error: &Error) {
///         println!("failed: {}", sockeye::ErrorChain::new(error));
///     }
/// }
///
/// let config = Chat::endpoint(|_handshake| Chat::default());
/// # let _ = config;
/// ```
///
/// # Arguments
///
/// - The path's template: whole segments, each a literal or a variable in braces. A literal beats
///   a variable, and a variable is never empty.
/// - `subprotocols = ["…"]`, which are those that the endpoint speaks.
/// - `configurator = Gate`, who decides of the endpoint's handshakes: any expression whose value implements
///   `Configurator`, such as a unit struct, a constant or a call. It is evaluated once for each configuration that
///   is made.
///
/// # Methods
///
/// Methods may be `async`, and take `&mut self` or `&self`. If all marked ones take `&self`, one
/// object may serve all connections: then an `Arc` of the type is an endpoint too. Their
/// parameters come in any order:
///
/// - `&Session`, the connection's session.
/// - `#[path] room: &str`, the value of the variable `{room}` of the path, or any owned type
///   that implements `FromStr`: a value that does not parse is an error of the callback.
///   `#[path("room")]` names the variable where the parameter has another name.
///
/// | mark | when | also takes | returns |
/// |---|---|---|---|
/// | `#[on_open]` | the handshake is done | – | nothing or a `Result` |
/// | `#[on_message]` | a message, or a pong, is there | the message: a type that implements `Argument` | the reply: what implements `IntoReply` |
/// | `#[on_close]` | the session is closed | `CloseReason`, or a reference to it, if it likes | nothing or a `Result` |
/// | `#[on_error]` | a callback failed, or the peer broke a rule | `&Error`, if it likes | nothing |
///
/// `#[on_message(max = 65536)]` says how many bytes the method's messages have at most: a longer one closes
/// the session with 1009. It goes before the server's limit, be it less or more.
///
/// The message comes whole; or part by part, as it comes, to a method that takes a pair such as `(Bytes, bool)`; or
/// to an `async` method that reads it as it comes, of a `TextReader` or `BinaryReader`.
///
/// There is at most one method for each mark, and one `#[on_message]` for each kind of message:
/// text, binary and pong. A text or binary message that no method takes closes the session with
/// 1003.
///
/// # What is generated
///
/// `Endpoint` (and `SharedEndpoint`, if all marked methods take `&self`), `ServerEndpoint`, and
/// an associated function `endpoint(factory)`, which is as visible as the type: it makes the
/// configuration from a closure that sees the handshake and returns the endpoint's object, or an
/// `Arc` of a shared one. The methods stay as they are, and can be called.
#[proc_macro_attribute]
pub fn server_endpoint(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::endpoint(Side::Server, arguments.into(), &item.into()).into()
}

/// Makes a type an endpoint of a client, which `Client::connect_endpoint` and `Connection::serve` take: the
/// methods of an `impl` block that carry a mark are called when something happens to a connection.
///
/// ```
/// use sockeye::{Client, CloseReason, Result, Session, client_endpoint};
///
/// struct News;
///
/// #[client_endpoint]
/// impl News {
///     #[on_open]
///     async fn subscribe(&mut self, session: &Session) -> Result {
///         session.basic_remote().send_text("subscribe").await?;
///         Ok(())
///     }
///
///     #[on_message(max = 65536)]
///     fn told(&mut self, text: &str) {
///         println!("{text}");
///     }
///
///     #[on_close]
///     fn over(&mut self, reason: CloseReason) {
///         println!("over: {reason:?}");
///     }
/// }
///
/// # async fn example() -> Result {
/// let session = Client::builder().connect_endpoint("ws://127.0.0.1:8080/news", News).await?;
/// session.closed().await;
/// # Ok(())
/// # }
/// ```
///
/// It takes no arguments: what is asked, and with what, is told to the `Client`. All that is said of the methods of
/// a [`server_endpoint`] holds, but that there is no path, and so no `#[path]`; the limits of
/// `#[on_message(max = …)]` go before the client's.
///
/// What is generated is `Endpoint`, and `SharedEndpoint` if all marked methods take `&self`.
#[proc_macro_attribute]
pub fn client_endpoint(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::endpoint(Side::Client, arguments.into(), &item.into()).into()
}

/// Marks the method of a [`server_endpoint`] or [`client_endpoint`] that is called when a connection is open.
#[proc_macro_attribute]
pub fn on_open(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_open", &item.into()).into()
}

/// Marks a method of a [`server_endpoint`] or [`client_endpoint`] that takes messages: one for each kind.
#[proc_macro_attribute]
pub fn on_message(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_message", &item.into()).into()
}

/// Marks the method of a [`server_endpoint`] or [`client_endpoint`] that is called when a session has been closed.
#[proc_macro_attribute]
pub fn on_close(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_close", &item.into()).into()
}

/// Marks the method of a [`server_endpoint`] or [`client_endpoint`] that is told of errors.
#[proc_macro_attribute]
pub fn on_error(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_error", &item.into()).into()
}
