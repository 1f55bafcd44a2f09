//! An endpoint that says at which template it was opened, and what of the target it took.

use sockeye::endpoint::{EndpointConfig, Incoming, Reply};
use sockeye::{Endpoint, HandlerResult, Session, endpoint};

/// Says its template, what the template's variables took, and the query; then echoes.
pub(crate) fn label(template: &'static str) -> EndpointConfig {
    endpoint(template, move |handshake| {
        let mut label = template.to_owned();
        for (name, value) in handshake.path_parameters() {
            label.push_str(&format!(" {name}={value}"));
        }
        if let Some(query) = handshake.query() {
            label.push_str(&format!(" ?{query}"));
        }
        Label(label)
    })
}

/// An endpoint that sends this text when it opens.
pub(crate) struct Label(pub(crate) String);

impl Endpoint for Label {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        session.basic_remote().send_text(self.0.clone()).await?;
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok(Reply::from(message))
    }
}
