//! The topics of the world, and the file that tells them to the nodes.

use std::time::Duration;

use sockeye_pubsub::History;

/// A topic of the world. Its number in the logs is its place in [`all`].
pub(super) struct WorldTopic {
    pub(super) name: String,
    pub(super) history: History,
    pub(super) has_members: bool,
    /// Whether its window is shorter than the faults, so that `lost` is never needless.
    pub(super) is_short: bool,
}

/// Returns all topics.
pub(super) fn all() -> Vec<WorldTopic> {
    let long = History::window(100, Duration::from_secs(60));
    let short = History::window(20, Duration::from_secs(5));
    let kinds = [
        ("window", 10, long),
        ("short", 5, short),
        ("latest", 5, History::latest()),
        ("off", 5, History::off()),
        ("present", 5, long),
    ];
    let of_kind = |(kind, count, history): (&'static str, usize, History)| {
        (0..count).map(move |number| WorldTopic {
            name: format!("{kind}/{number}"),
            history,
            has_members: kind == "present",
            is_short: kind == "short",
        })
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// The same, as the file of `sockeye serve --topics`.
pub(super) const FILE: &str = r#"
[[topics.pattern]]
match = "window/{id}"
history = { count = 100, age = "60s" }
clients = "publish"

[[topics.pattern]]
match = "short/{id}"
history = { count = 20, age = "5s" }
clients = "publish"

[[topics.pattern]]
match = "latest/{id}"
history = "latest"
clients = "publish"

[[topics.pattern]]
match = "off/{id}"
clients = "publish"

[[topics.pattern]]
match = "present/{id}"
history = { count = 100, age = "60s" }
presence = { members = 500 }
clients = "publish"
"#;
