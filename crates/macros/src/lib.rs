//! The attributes of Sockeye's annotated endpoints.
//!
//! Use them through the `sockeye` crate, which re-exports them: the generated code names that crate.
//!
//! This file only dispatches. `argument` parses the attribute's arguments, `endpoint` the `impl` block, `callback` a
//! marked method, and `parameter` one of its parameters. `expand` writes the code. A mistake becomes a compile error at
//! its place that names the remedy. All mistakes of a block are reported at once.

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

/// Makes a type an endpoint that a server serves at a path. The methods of an `impl` block with a mark become the
/// callbacks for the events of a connection.
///
/// ```
/// use sockeye::{CloseReason, Error, HandlerResult, Session, server_endpoint};
///
/// #[derive(Default)]
/// struct Chat {
///     said: usize,
/// }
///
/// #[server_endpoint("/chat/{room}", subprotocols = ["chat.v1"])]
/// impl Chat {
///     #[on_open]
///     async fn joined(&mut self, session: &Session, #[path] room: &str) -> HandlerResult {
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
///         println!("failed: {}", sockeye::error::ErrorChain::new(error));
///     }
/// }
///
/// let config = Chat::endpoint(|_handshake| Chat::default());
/// # let _ = config;
/// ```
///
/// # Arguments
///
/// - The path's template: whole segments, each a literal or a variable in braces. A literal takes precedence over a
///   variable. The value of a variable is never empty.
/// - `subprotocols = ["…"]`: the subprotocols that the endpoint speaks.
/// - `configurator = Gate`: the configurator that decides about the endpoint's handshakes. It is an expression whose
///   value implements `Configurator`, such as a unit struct, a constant or a call. It is evaluated once for each
///   configuration.
///
/// - `topics`: clients may agree on the subprotocol `sockeye.topics.v0`, and use topics. To other clients the endpoint is
///   an endpoint as any other. It needs the feature `topics-wire`.
///
/// # Methods
///
/// Methods may be `async`, and take `&mut self` or `&self`. If all marked methods take `&self`, one object may serve
/// all connections: then an `Arc` of the type is an endpoint too. Their parameters may be in any order:
///
/// - `&Session`: the connection's session.
/// - `#[path] room: &str`: the value of the variable `{room}` of the path. The type may also be any owned type that
///   implements `FromStr`; then a value that does not parse is an error of the callback. `#[path("room")]` names the
///   variable if the parameter has another name.
///
/// | mark | when | also takes | returns |
/// |---|---|---|---|
/// | `#[on_open]` | the handshake is done | – | nothing or a `Result` |
/// | `#[on_message]` | a message or a pong arrived | the message: a type that implements `Argument` | the reply: a type that implements `IntoReply` |
/// | `#[on_close]` | the session is closed | optionally `CloseReason`, or a reference to it | nothing or a `Result` |
/// | `#[on_error]` | a callback failed, or a message was too big | optionally `&Error` | nothing |
/// | `#[on_gap]` | messages of a topic may be missing | optionally `&Gap` | nothing or a `Result` |
///
/// `#[on_message(max = 65536)]` limits the length of the method's messages, in bytes, inclusive. A longer message
/// closes the session with 1009. This limit replaces the server's, and may be lower or higher.
///
/// A method gets whole messages. A method that takes a pair such as `(Bytes, bool)` gets each part of a message when it
/// arrives. An `async` method that takes a `TextReader` or a `BinaryReader` reads the message while it arrives.
///
/// There is at most one method for each mark, and one `#[on_message]` for each kind of message: text, binary and pong. A
/// text or binary message without a method closes the session with 1003.
///
/// # What is generated
///
/// The attribute implements `Endpoint` (and `SharedEndpoint`, if all marked methods take `&self`) and `ServerEndpoint`.
/// It adds the associated function `endpoint(factory)`, which is as visible as the type. That makes the configuration
/// from a closure, which gets the handshake and returns the endpoint's object, or an `Arc` of a shared one. The methods
/// stay unchanged, and can be called.
#[proc_macro_attribute]
pub fn server_endpoint(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::endpoint(Side::Server, arguments.into(), &item.into()).into()
}

/// Makes a type an endpoint of a client, for `Client::connect_endpoint` and `Connection::serve`. The methods of an
/// `impl` block with a mark become the callbacks for the events of a connection.
///
/// ```
/// use sockeye::{Client, CloseReason, HandlerResult, Session, client_endpoint};
///
/// struct News;
///
/// #[client_endpoint]
/// impl News {
///     #[on_open]
///     async fn subscribe(&mut self, session: &Session) -> HandlerResult {
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
/// # async fn example() -> sockeye::Result {
/// let session = Client::new().connect_endpoint("ws://127.0.0.1:8080/news", News).await?;
/// session.closed().await;
/// # Ok(())
/// # }
/// ```
///
/// It takes no arguments: the URL and the request are set on the `Client`. Its methods are those of a
/// [`server_endpoint`], but there is no path, and so no `#[path]`. The limits of `#[on_message(max = …)]` replace the
/// client's.
///
/// The attribute implements `Endpoint`, and `SharedEndpoint` if all marked methods take `&self`.
#[proc_macro_attribute]
pub fn client_endpoint(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::endpoint(Side::Client, arguments.into(), &item.into()).into()
}

/// Marks the method of a [`server_endpoint`] or [`client_endpoint`] that is called when a connection is open.
#[proc_macro_attribute]
pub fn on_open(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_open", &item.into()).into()
}

/// Marks a method of a [`server_endpoint`] or [`client_endpoint`] that is called with each message of one kind.
#[proc_macro_attribute]
pub fn on_message(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_message", &item.into()).into()
}

/// Marks the method of a [`server_endpoint`] or [`client_endpoint`] that is called when a session has been closed.
#[proc_macro_attribute]
pub fn on_close(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_close", &item.into()).into()
}

/// Marks the method of a [`server_endpoint`] or [`client_endpoint`] that is called when messages of a topic may be
/// missing.
#[proc_macro_attribute]
pub fn on_gap(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_gap", &item.into()).into()
}

/// Marks the method of a [`server_endpoint`] or [`client_endpoint`] that is called with errors.
#[proc_macro_attribute]
pub fn on_error(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    marker::outside("on_error", &item.into()).into()
}
