//! The tables as a terminal shows them.

use std::fmt::Write;

use super::{Row, Summary, Table, thousands};
use crate::workload::Unit;

pub(crate) fn text(summary: &Summary<'_>) -> String {
    let mut text = String::new();
    for table in &summary.tables {
        push_table(&mut text, table);
    }
    for (name, why) in summary.left_out {
        let _ = writeln!(text, "\n{name} is left out: {why}");
    }
    for fault in &summary.faults {
        let _ = writeln!(
            text,
            "\nFAULT: {}, {}: {}",
            fault.workload, fault.server, fault.what
        );
    }
    text
}

fn push_table(text: &mut String, table: &Table) {
    let workload = table.workload;
    let counted = workload.load.counted();
    let unit = match workload.load.unit() {
        Unit::Time => "CPU ns",
        Unit::Memory => "bytes",
        Unit::Elapsed => "ns",
        Unit::Reads => "engine reads",
    };
    let _ = writeln!(text, "\n{}: {}", workload.name, workload.about);
    let _ = writeln!(
        text,
        "  {:26}{:>10}  (least-most)         ratio  (least-most)    user   system       /s  resident KiB  load  calls",
        format!("{unit} for each {counted}"),
        ""
    );
    for row in &table.rows {
        push_row(text, row);
    }
    for verdict in &table.verdicts {
        let met = if verdict.met { "met" } else { "NOT met" };
        let _ = writeln!(
            text,
            "  {}: {}; {} ({}-{}): {met}",
            verdict.server,
            verdict.limit,
            number(verdict.reached.median),
            number(verdict.reached.least),
            number(verdict.reached.most),
        );
    }
}

fn push_row(text: &mut String, row: &Row) {
    let ratio = row.ratio.map_or_else(String::new, |ratio| {
        format!(
            "{:.2}  ({:.2}-{:.2})",
            ratio.median, ratio.least, ratio.most
        )
    });
    let figure = row.figure;
    let spread = format!("({}-{})", thousands(figure.least), thousands(figure.most));
    let calls = row.system_calls.map(|calls| format!("{calls:.3}"));
    let _ = writeln!(
        text,
        "  {:26}{:>10}  {spread:18}  {ratio:>20}  {:>6}  {:>7}  {:>9}  {:>10}  {:>3.0}%  {}",
        row.server,
        thousands(figure.median),
        thousands(row.user),
        thousands(row.system),
        thousands(row.in_a_second),
        thousands(row.resident_bytes / 1024.0),
        row.load_busy * 100.0,
        calls.unwrap_or_default(),
    );
    if let (Some(publisher), Some(redis)) = (row.publisher, row.redis) {
        let _ = writeln!(
            text,
            "  {:26}{:>10}  in the publishing node, {} in Redis",
            "",
            thousands(publisher),
            thousands(redis)
        );
    }
}

/// A ratio with its decimals, or what is too large to be one.
pub(super) fn number(number: f64) -> String {
    if number < 10.0 {
        format!("{number:.2}")
    } else {
        thousands(number)
    }
}
