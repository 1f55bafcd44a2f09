//! Members of topics as JSON.

use super::frame::MAX_MEMBERS_HEADER;
use super::json;
use crate::engine::{Member, MemberId};

/// Returns the public name of a member, as it stands in headers: 11 characters of base64url.
pub fn member_id(id: MemberId) -> String {
    let mut text = String::with_capacity(WORD);
    json::push_word(&mut text, id.0);
    text
}

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

/// The number of characters of a member's name.
const WORD: usize = 11;
