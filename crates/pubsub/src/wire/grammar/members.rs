//! Members of topics as JSON.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::frame::MAX_MEMBERS_HEADER;
use super::json;
use crate::engine::Member;

/// Writes members as a JSON array. Returns also whether all are in it: a list that is too long for a header ends
/// before the first member that has no room.
pub fn members(members: &[Member]) -> (String, bool) {
    let mut out = String::from("[");
    for member in members {
        let before = out.len();
        if before > 1 {
            out.push(',');
        }
        write(&mut out, member);
        if out.len() > LONGEST {
            out.truncate(before);
            out.push(']');
            return (out, false);
        }
    }
    out.push(']');
    (out, true)
}

/// Checks what a member says of itself. Returns it as it can stand in a header, without line feeds. `None` if it is not
/// JSON.
pub fn member_info(json: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<&RawValue>(json).ok()?;
    // In JSON a line feed is white space between two tokens.
    Some(if json.contains('\n') {
        Cow::Owned(json.replace('\n', " "))
    } else {
        Cow::Borrowed(json)
    })
}

fn write(out: &mut String, member: &Member) {
    out.push_str(r#"{"id":""#);
    json::push_word(out, member.id.0);
    out.push('"');
    if let Some(info) = &member.info {
        out.push_str(r#","info":"#);
        out.push_str(info);
    }
    if let Some(principal) = &member.principal {
        out.push_str(r#","principal":"#);
        json::write_text(out, principal);
    }
    json::write_display(out, format_args!(r#","since":{}}}"#, member.since));
}

/// The longest list, with room for the other fields of the header.
const LONGEST: usize = MAX_MEMBERS_HEADER - 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_says_is_json_without_line_feeds() {
        for (json, info) in [
            (r#"{"name":"Ann"}"#, Some(r#"{"name":"Ann"}"#)),
            ("{\n  \"name\": 7\n}", Some("{   \"name\": 7 }")),
            (" 7 ", Some(" 7 ")),
            ("", None),
            ("Ann", None),
            ("1}, {\"id\": 2", None),
            ("\"a\nb\"", None),
        ] {
            assert_eq!(member_info(json).as_deref(), info, "{json}");
        }
    }
}
