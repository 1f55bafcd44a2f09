//! Messages that are JSON. It knows no frame and no connection.

use serde::Deserialize;

use crate::message::Message;

/// An error: a message is not JSON, or not of the type that was asked for. It shows the reason, the line and the column.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(serde_json::Error);

impl Message {
    /// Parses the payload as JSON. The value may borrow from the message. A binary message is parsed like a text message.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the payload is not JSON, or not of this type.
    ///
    /// ```
    /// use sockeye_proto::Message;
    ///
    /// let message = Message::from(r#"{"item":"salmon","pieces":2}"#);
    /// let order: serde_json::Value = message.parse_json().unwrap();
    /// assert_eq!(order["pieces"], 2);
    ///
    /// let pieces = message.parse_json::<u32>().unwrap_err();
    /// assert_eq!(pieces.to_string(), "invalid type: map, expected u32 at line 1 column 0");
    /// ```
    pub fn parse_json<'m, T: Deserialize<'m>>(&'m self) -> Result<T, JsonError> {
        let parsed = match self {
            Self::Text(text) => serde_json::from_str(text),
            Self::Binary(bytes) => serde_json::from_slice(bytes),
        };
        parsed.map_err(JsonError)
    }
}

impl JsonError {
    /// Returns the line of the error, from 1.
    pub fn line(&self) -> usize {
        self.0.line()
    }

    /// Returns the column of the error in its line, in bytes.
    pub fn column(&self) -> usize {
        self.0.column()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_borrow_from_a_message_of_either_kind() {
        for message in [
            Message::text(r#"["a","b"]"#),
            Message::binary(&br#"["a","b"]"#[..]),
        ] {
            let parsed: Vec<&str> = message.parse_json().unwrap();
            assert_eq!(parsed, ["a", "b"]);
        }
    }

    #[test]
    fn an_error_names_its_line_and_column_and_no_path_of_rust() {
        let message = Message::from("{\n  \"a\": 1\n  \"b\": 2\n}");
        let error = message.parse_json::<serde_json::Value>().unwrap_err();
        assert_eq!((error.line(), error.column()), (3, 3));
        let text = error.to_string();
        assert_eq!(text, "expected `,` or `}` at line 3 column 3");
        let binary = Message::binary(vec![0xff]);
        assert!(binary.parse_json::<String>().is_err());
    }
}
