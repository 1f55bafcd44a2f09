//! Validation of text as it arrives (RFC 6455 §8.1), against the standard library.

use sockeye_proto::{InvalidUtf8, Text, Utf8Validator, into_string};

/// The first byte says into how many pieces the rest is cut. Each piece is refused exactly when what came
/// so far cannot be the start of valid UTF-8 any more.
pub fn utf8(data: &[u8]) {
    let Some((&step, bytes)) = data.split_first() else {
        return;
    };
    let valid = std::str::from_utf8(bytes).is_ok();
    let mut validator = Utf8Validator::default();
    let mut seen = 0;
    let mut refused = false;
    for piece in bytes.chunks(usize::from(step).max(1)) {
        seen += piece.len();
        let hopeless = std::str::from_utf8(&bytes[..seen]).is_err_and(|e| e.error_len().is_some());
        assert_eq!(
            validator.accept(piece),
            if hopeless { Err(InvalidUtf8) } else { Ok(()) }
        );
        if hopeless {
            refused = true;
            break;
        }
    }
    assert_eq!(!refused && validator.finish().is_ok(), valid);

    assert_eq!(into_string(bytes.to_vec()).is_ok(), valid);
    let text = Text::from_utf8(bytes.to_vec().into());
    assert_eq!(text.is_ok(), valid);
    if let Ok(text) = text {
        assert_eq!(text.as_str().as_bytes(), bytes);
    }
}
