//! `docs/conformance.md`: what a whole run found, and on which settings of the two parts. It has nothing
//! that differs from run to run, so that a difference is one of Sockeye or of the suite.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::error::Result;
use crate::judges;

use super::{Findings, Role, peer};

/// Writes the page.
pub(super) fn write(results: &BTreeMap<Role, Findings>) -> Result<()> {
    judges::write_document("conformance.md", &text(results)?)
}

fn text(results: &BTreeMap<Role, Findings>) -> Result<String> {
    let mut page = String::from(HEAD);
    for (role, Findings { verdicts, suite }) in results {
        writeln!(page, "\n## Sockeye as {}\n", heading(*role))?;
        writeln!(
            page,
            "{} cases of Autobahn Testsuite {suite}.",
            verdicts.len()
        )?;
        writeln!(page, "\n| section | cases | `behavior` | `behaviorClose` |")?;
        writeln!(page, "|---|---|---|---|")?;
        let mut row = |name: &str, part: &super::Verdicts| {
            let (behavior, close) = (part.behavior(), part.behavior_close());
            writeln!(page, "| {name} | {} | {behavior} | {close} |", part.len())
        };
        for (number, part) in verdicts.sections() {
            row(&format!("{number} {}", title(number)), &part)?;
        }
        row("all", verdicts)?;
        let faults = verdicts.faults();
        if !faults.is_empty() {
            writeln!(page, "\nFaults:\n")?;
            for fault in faults {
                writeln!(page, "- {fault}")?;
            }
        }
        writeln!(page, "\n{}", settings(*role))?;
    }
    Ok(page)
}

/// What the part that Sockeye plays is set to.
fn settings(role: Role) -> String {
    let role = match role {
        Role::Client | Role::Object => sockeye::proto::Role::Client,
        Role::Server => sockeye::proto::Role::Server,
    };
    let config = peer::config(role);
    format!(
        "It takes messages of {} bytes in {} fragments at most. Its compression is set to\n\n```rust\n{:?}\n```",
        config.max_message,
        config.max_fragments,
        peer::compression(role)
    )
}

fn heading(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Object => "client, by the browser's object",
        Role::Server => "server",
    }
}

/// What the suite's sections are about.
fn title(section: u32) -> &'static str {
    match section {
        1 => "framing",
        2 => "pings and pongs",
        3 => "reserved bits",
        4 => "opcodes",
        5 => "fragmentation",
        6 => "UTF-8",
        7 => "closing",
        9 => "limits and performance",
        10 => "fragments chopped",
        12 => "compression, five kinds of data",
        13 => "compression, seven sets of parameters",
        _ => "",
    }
}

const HEAD: &str = "\
# Conformance

What the [Autobahn Testsuite](https://github.com/crossbario/autobahn-testsuite) finds. This page is written by

```sh
cargo xtask conformance autobahn
```

which runs all of the suite in both roles, as a client in two ways, and fails on a case that is not OK or INFORMATIONAL. INFORMATIONAL
can be nothing else: 7.1.6, 7.13.1 and 7.13.2 only tell what they saw.
";
