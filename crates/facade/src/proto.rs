//! The protocol's types, as `sockeye::proto` exports them.

use sockeye::Message;
use sockeye::proto::handshake::{
    Extension, Forbidden, InvalidOrigin, NotAToken, Origin, OriginPolicy, OriginProblem,
};
use sockeye::proto::{
    CloseCode, CloseReason, Config, DeflateConfig, InvalidCloseReason, InvalidUtf8, JsonError,
    KeepAlive, MessageBuffer, MessageKind, Outgoing, PreparedMessage, Text, WindowBits,
};

/// Names what a message is made of and returns.
pub fn messages(message: Message, buffer: MessageBuffer) -> Outgoing {
    let _: MessageKind = message.kind();
    let _: Option<&str> = message.as_text();
    let _: Result<Text, InvalidUtf8> = Text::from_utf8("hello".into());
    let _: Result<CloseReason, InvalidCloseReason> = CloseReason::new(CloseCode::NORMAL, "");
    let _: Result<u8, JsonError> = message.parse_json();
    let _: PreparedMessage = PreparedMessage::new(message);
    drop::<MessageBuffer>(buffer);
    Outgoing::from("hello")
}

/// Names what the rules of the opening handshake are made of.
pub fn handshake_types(config: &Config, forbidden: Forbidden) {
    let _: Option<KeepAlive> = config.keep_alive;
    let _: Result<Extension, NotAToken> = Extension::new("x");
    let _: Result<Origin, InvalidOrigin> = "https://page.example".parse();
    if let Err(InvalidOrigin { problem, .. }) = "x".parse::<Origin>() {
        let _: OriginProblem = problem;
    }
    let _: OriginPolicy = OriginPolicy::default();
    let _: DeflateConfig = DeflateConfig::default();
    let _: Option<WindowBits> = WindowBits::new(15);
    let _: Forbidden = forbidden;
}
