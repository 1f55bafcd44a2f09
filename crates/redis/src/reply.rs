//! What the server answers, as values of this crate. It takes any answer, and never panics.

use std::borrow::Cow;

use redis::Value;

use crate::failure::ConnectError;

/// Judges the answer to HELLO: kind and version of the server.
pub(crate) fn check_server(hello: &Value) -> Result<(), ConnectError> {
    let field = |name| field(hello, name).ok_or(ConnectError::Malformed("HELLO"));
    let (server, version) = (field("server")?, field("version")?);
    let (name, least) = match &*server {
        "valkey" => ("Valkey", (7, 2)),
        _ => ("Redis", (6, 2)),
    };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
        return Err(ConnectError::Malformed("HELLO"));
    };
    if (major, minor) < least {
        return Err(ConnectError::too_old(format!("{name} {version}")));
    }
    match &*field("mode")? {
        "cluster" => Err(ConnectError::ManyServers("a node of a cluster")),
        "sentinel" => Err(ConnectError::ManyServers("a sentinel")),
        _ => Ok(()),
    }
}

/// Judges the answer to ROLE.
pub(crate) fn check_role(role: &Value) -> Result<(), ConnectError> {
    let role = items(role).and_then(|role| text(role.first()?));
    match role.as_deref() {
        Some("master") => Ok(()),
        Some("slave") => Err(ConnectError::Replica),
        Some("sentinel") => Err(ConnectError::ManyServers("a sentinel")),
        _ => Err(ConnectError::Malformed("ROLE")),
    }
}

/// Judges the answer to INFO: whether the server drops keys when its memory is full.
pub(crate) fn check_eviction(info: &Value) -> Result<(), ConnectError> {
    let info = text(info).unwrap_or_default();
    let policy = info
        .lines()
        .find_map(|line| line.strip_prefix("maxmemory_policy:"));
    match policy.map(str::trim) {
        None | Some("noeviction") => Ok(()),
        Some(policy) => Err(ConnectError::Eviction(policy.to_owned())),
    }
}

/// Returns the text of an answer that is a text.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.into()),
        Value::Okay => Some("OK".into()),
        _ => None,
    }
}

/// Returns the items of an answer that is a list.
pub(crate) fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) | Value::Set(items) => Some(items),
        _ => None,
    }
}

/// Returns the number of an answer that is a number, or the decimal text of one.
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        value => text(value)?.parse().ok(),
    }
}

/// Returns a field of an answer that is a map.
fn field<'a>(map: &'a Value, name: &str) -> Option<Cow<'a, str>> {
    let Value::Map(fields) = map else {
        return None;
    };
    let named = |(key, _): &&(Value, Value)| text(key).is_some_and(|key| key == name);
    fields.iter().find(named).and_then(|(_, value)| text(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn hello(server: &str, version: &str, mode: &str) -> Value {
        let fields = [("server", server), ("version", version), ("mode", mode)];
        Value::Map(fields.map(|(key, value)| (bulk(key), bulk(value))).into())
    }

    #[test]
    fn the_version_of_a_server_decides_whether_it_can_be_used() {
        for (server, version, text) in [
            ("redis", "6.2.0", None),
            ("redis", "7.0.15", None),
            ("redis", "10.0.0", None),
            ("valkey", "7.2.4", None),
            ("valkey", "9.1.2", None),
            (
                "redis",
                "6.0.16",
                Some("the server is Redis 6.0.16: Redis 6.2 or Valkey 7.2 or later is needed"),
            ),
            (
                "valkey",
                "7.1.0",
                Some("the server is Valkey 7.1.0: Redis 6.2 or Valkey 7.2 or later is needed"),
            ),
            (
                "redis",
                "seven",
                Some("the server's answer to HELLO cannot be read"),
            ),
        ] {
            let checked = check_server(&hello(server, version, "standalone"));
            let refusal = checked.err().map(|error| error.to_string());
            assert_eq!(refusal.as_deref(), text, "{server} {version}");
        }
        for (mode, text) in [
            (
                "cluster",
                "the server is a node of a cluster, which is not supported yet: use one standalone server",
            ),
            (
                "sentinel",
                "the server is a sentinel, which is not supported yet: use one standalone server",
            ),
        ] {
            let error = check_server(&hello("redis", "7.0.0", mode)).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        assert!(check_server(&Value::Nil).is_err());
    }

    #[test]
    fn only_a_primary_that_drops_nothing_can_be_used() {
        let role = |name| check_role(&Value::Array(vec![bulk(name), Value::Int(0)]));
        assert_eq!(role("master"), Ok(()));
        assert_eq!(role("slave"), Err(ConnectError::Replica));
        assert_eq!(
            role("sentinel"),
            Err(ConnectError::ManyServers("a sentinel"))
        );
        assert_eq!(
            check_role(&Value::Array(vec![])),
            Err(ConnectError::Malformed("ROLE"))
        );
        for (info, policy) in [
            (
                "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n",
                None,
            ),
            ("maxmemory_policy:allkeys-lru\r\n", Some("allkeys-lru")),
            ("", None),
        ] {
            let error = policy.map(|policy| ConnectError::Eviction(policy.to_owned()));
            assert_eq!(check_eviction(&bulk(info)).err(), error);
        }
    }
}
