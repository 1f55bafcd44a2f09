//! Cases of a server that answers, and refuses: it lost rights, replicas, its disk, or room for connections.

use sockeye_engine_kit::checker::Harm;

use crate::faults::case::{Action, Case, Ground, Run, Script, WARM};
use crate::faults::evidence::Evidence;
use crate::faults::proof;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "F26a",
        title: "the engine's user may not call scripts for a while",
        run: Run::Long,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            refused(
                chance.between(WARM),
                ("no right to call scripts", Harm::Nothing),
                [&[&["ACL", "SETUSER", "sockeye", "-@scripting"]], &[]],
                [&[&["ACL", "SETUSER", "sockeye", "+@scripting"]], &[]],
            )
        },
        judge: nothing_is_stored,
    },
    Case {
        id: "F26b",
        title: "the engine's user may not use its channels for a while",
        run: Run::Long,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            refused(
                chance.between(WARM),
                ("no right to its channels", Harm::Nothing),
                [&[&["ACL", "SETUSER", "sockeye", "resetchannels"]], &[]],
                [&[&["ACL", "SETUSER", "sockeye", "&sockeye:*"]], &[]],
            )
        },
        // The script stores a message and may not send it: a publish with a key that is repeated is confirmed.
        judge: |evidence| {
            [
                proof::some_is_confirmed_later(evidence),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
    Case {
        id: "F26c",
        title: "the server wants a replica, and has none",
        run: Run::Long,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            refused(
                chance.between(WARM),
                ("no replica", Harm::Nothing),
                [&[&["CONFIG", "SET", "min-replicas-to-write", "1"]], &[]],
                [&[&["CONFIG", "SET", "min-replicas-to-write", "0"]], &[]],
            )
        },
        judge: nothing_is_stored,
    },
    Case {
        id: "F26d",
        title: "the server cannot write its data to its disk",
        run: Run::Long,
        // Only a directory can have this name.
        ground: Ground::Server(&[
            "enable-protected-configs yes",
            "stop-writes-on-bgsave-error yes",
        ]),
        is_long: false,
        script: |chance, _| {
            refused(
                chance.between(WARM),
                ("no disk", Harm::Nothing),
                [
                    &[
                        &["CONFIG", "SET", "save", "3600 1"],
                        &["CONFIG", "SET", "dbfilename", "."],
                    ],
                    &[&["BGSAVE"]],
                ],
                [
                    &[&["CONFIG", "SET", "dbfilename", "dump.rdb"]],
                    &[&["BGSAVE"]],
                ],
            )
        },
        judge: nothing_is_stored,
    },
    Case {
        id: "F26e",
        title: "the server takes no more connections",
        run: Run::Long,
        ground: Ground::Server(&[]),
        is_long: false,
        script: |chance, _| {
            refused(
                chance.between(WARM),
                ("no room for connections", Harm::Nothing),
                [
                    &[&["CONFIG", "SET", "maxclients", "1"]],
                    &[&["CLIENT", "KILL", "USER", "sockeye"]],
                ],
                [&[&["CONFIG", "SET", "maxclients", "10000"]], &[]],
            )
        },
        judge: |evidence| {
            [
                proof::none_is_confirmed_meanwhile(evidence),
                proof::each_node_says_down(evidence, 15_000),
                proof::some_is_confirmed_later(evidence),
                proof::sockets_stay(evidence),
            ]
            .concat()
        },
    },
];

/// The server stores nothing while it refuses, and the connections of the clients stay.
fn nothing_is_stored(evidence: &Evidence) -> Vec<String> {
    [
        proof::none_is_stored_meanwhile(evidence),
        proof::some_is_confirmed_later(evidence),
        proof::sockets_stay(evidence),
    ]
    .concat()
}

/// Requests of the administrator.
type Requests = &'static [&'static [&'static str]];

/// Sends requests that take something from the server's user, and 6 s later others that give it back. The requests of the
/// second place come 100 ms behind those of the first.
fn refused(
    from: u64,
    fault: (&'static str, Harm),
    takes: [Requests; 2],
    gives: [Requests; 2],
) -> Script {
    let until = from + 6_000;
    // The fault ends just before it is mended, so that each confirmation within it is wrong.
    let script = Script::default().fault(from, until, fault);
    let ask = |script: Script, (at, requests): (u64, Requests)| {
        let requests = requests.iter();
        requests.fold(script, |script, words| script.at(at, Action::Ask(0, words)))
    };
    let [first, second] = takes;
    let [third, last] = gives;
    [
        (from, first),
        (from + 100, second),
        (until + 1, third),
        (until + 101, last),
    ]
    .into_iter()
    .fold(script, ask)
}
