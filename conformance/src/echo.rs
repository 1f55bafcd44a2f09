//! The endpoint that sends back what it gets, for the judges that ask for no more.

use sockeye::server_endpoint;

/// Lends each message where it lies.
#[derive(Default)]
pub(crate) struct Echo;

#[server_endpoint("/")]
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
