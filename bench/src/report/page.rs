//! The generated part of `docs/performance.md`, its figures and its plots.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::text::number;
use super::{Part, Row, Summary, Table, plot, thousands};
use crate::Result;
use crate::machine;
use crate::workload::{self, Unit};

/// Writes these parts: their text, figures and plots. What a plot is no longer drawn for keeps none.
pub(crate) fn write(summary: &Summary<'_>, parts: &[Part]) -> Result<()> {
    let docs = machine::root().join("docs");
    let folder = docs.join("performance");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    remove_plots(&folder, parts)?;
    let page = docs.join("performance.md");
    let read = fs::read_to_string(&page);
    let mut text = read.map_err(|error| format!("{}: {error}", page.display()))?;
    for part in parts {
        let summary = summary.part(*part);
        for table in &summary.tables {
            let file = folder.join(format!("{}.svg", table.workload.name));
            write_file(&file, &plot::plot(table))?;
        }
        write_file(&folder.join(part.figures()), &figures(&summary)?)?;
        text = between_marks(&text, part.marks(), &text_of(&summary))?;
    }
    write_file(&page, &text)?;
    println!("docs/performance.md is written anew: look at its difference");
    Ok(())
}

/// Removes the plots of these parts, and those of workloads that are no more.
fn remove_plots(folder: &Path, parts: &[Part]) -> Result<()> {
    for entry in fs::read_dir(folder)
        .map_err(|error| error.to_string())?
        .flatten()
    {
        let path = entry.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let workload = workload::find(name.unwrap_or_default());
        let stays = workload.is_some_and(|workload| parts.iter().all(|part| !part.has(workload)));
        if path.extension().is_some_and(|kind| kind == "svg") && !stays {
            fs::remove_file(path).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// As JSON: what belongs to a server in a line of its own, so that a difference can be read.
fn figures(summary: &Summary<'_>) -> Result<String> {
    let json = serde_json::to_string(summary).map_err(|error| error.to_string())?;
    // Within a string the quotes would be escaped.
    Ok(json
        .replace("{\"server\":", "\n{\"server\":")
        .replace("{\"name\":", "\n{\"name\":")
        + "\n")
}

pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The page with what stands between its marks replaced.
pub(crate) fn between_marks(page: &str, (begin, end): Marks, part: &str) -> Result<String> {
    let parts = page.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("the page lacks {begin} or {end}"))?;
    Ok(format!("{before}{begin}\n{part}\n{end}{after}"))
}

/// Where a generated part of the page begins, and where it ends.
pub(crate) type Marks = (&'static str, &'static str);

fn text_of(summary: &Summary<'_>) -> String {
    let mut page = String::new();
    push_head(&mut page, summary);
    push_targets(&mut page, &summary.tables);
    for table in &summary.tables {
        push_table(&mut page, table);
    }
    push_servers(&mut page, summary);
    page
}

fn push_head(page: &mut String, summary: &Summary<'_>) {
    let machine = summary.machine;
    let _ = writeln!(
        page,
        "\nTaken on {}, at {}, on a machine with {} processors ({}; {}), built by {}: {} rounds, {} ms in each for each server.",
        machine.date,
        machine.revision,
        machine.processors,
        machine.processor,
        machine.kernel,
        machine.rustc,
        summary.rounds,
        summary.measured_ms,
    );
    let _ = writeln!(
        page,
        "\nIn the plots Sockeye is orange, the floor grey, and a dashed line a target; a bar with a gap goes on beyond the plot."
    );
    for fault in &summary.faults {
        let _ = writeln!(
            page,
            "\nFAILED: {} under {}: {}",
            fault.server,
            fault.workload,
            line(&fault.what)
        );
    }
}

/// What was set as a target, in one table.
fn push_targets(page: &mut String, tables: &[Table]) {
    let rows = tables.iter().flat_map(|table| {
        let verdicts = table.verdicts.iter();
        verdicts.map(|verdict| (table.workload, verdict))
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n### Targets\n");
    let _ = writeln!(
        page,
        "| workload | server | target | this run (least-most) | met |\n|---|---|---|---|---|"
    );
    for (workload, verdict) in rows {
        let reached = verdict.reached;
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} ({}-{}) | {} |",
            workload.name,
            verdict.server,
            verdict.limit,
            number(reached.median),
            number(reached.least),
            number(reached.most),
            if verdict.met { "yes" } else { "**no**" },
        );
    }
}

fn push_table(page: &mut String, table: &Table) {
    let workload = table.workload;
    let (name, counted) = (workload.name, workload.load.counted());
    let _ = writeln!(page, "\n### {name}\n\n{}.", sentence(workload.about));
    for verdict in &table.verdicts {
        let _ = writeln!(
            page,
            "{} is to take {}; it took {}: {}.",
            verdict.server,
            verdict.limit,
            number(verdict.reached.median),
            if verdict.met { "met" } else { "**not met**" },
        );
    }
    let _ = writeln!(page, "\n![{name}](performance/{name}.svg)\n");
    let has_calls = table.rows.iter().any(|row| row.system_calls.is_some());
    let is_shared = table.rows.iter().any(|row| row.redis.is_some());
    let unit = workload.load.unit();
    let mut head = match unit {
        Unit::Time => format!(
            "server | ns for a {counted} | user | system | ratio to {} (least-most) | {counted}s/s | resident KiB",
            workload.floor()
        ),
        Unit::Elapsed => format!(
            "publisher | ns for a {counted} | user | system | ratio to {} (least-most) | {counted}s/s | resident KiB",
            workload.floor()
        ),
        Unit::Memory => {
            format!("server | bytes for a {counted} (least-most) | resident KiB in all")
        }
        Unit::Reads => format!("server | reads of the engine for a {counted} (least-most)"),
    };
    if is_shared {
        head += " | ns in the publishing node | ns in Redis";
    }
    if has_calls {
        head += " | system calls";
    }
    let columns = head.matches('|').count() + 1;
    let _ = writeln!(page, "| {head} |\n|{}", "---|".repeat(columns));
    for row in &table.rows {
        push_row(page, row, unit);
        if is_shared {
            let cell = |time: Option<f64>| time.map_or_else(|| "–".to_owned(), thousands);
            let _ = write!(page, " {} | {} |", cell(row.publisher), cell(row.redis));
        }
        if has_calls {
            let calls = row.system_calls.map(|calls| format!("{calls:.3}"));
            let _ = write!(page, " {} |", calls.unwrap_or_default());
        }
        page.push('\n');
    }
}

fn push_row(page: &mut String, row: &Row, unit: Unit) {
    // Of a codec in memory there is no floor and no process.
    let resident = match row.resident_bytes {
        0.0 => "–".to_owned(),
        bytes => thousands(bytes / 1024.0),
    };
    let figure = row.figure;
    let spread = format!(
        "{} ({}-{})",
        thousands(figure.median),
        thousands(figure.least),
        thousands(figure.most)
    );
    let _ = match unit {
        Unit::Time | Unit::Elapsed => {
            let ratio = row.ratio.map_or_else(
                || "–".to_owned(),
                |ratio| format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.least, ratio.most),
            );
            write!(
                page,
                "| {} | {} | {} | {} | {ratio} | {} | {resident} |",
                row.server,
                thousands(figure.median),
                thousands(row.user),
                thousands(row.system),
                thousands(row.in_a_second),
            )
        }
        Unit::Memory => write!(page, "| {} | {spread} | {resident} |", row.server),
        Unit::Reads => write!(page, "| {} | {spread} |", row.server),
    };
}

fn push_servers(page: &mut String, summary: &Summary<'_>) {
    let _ = writeln!(page, "\n### Who took part\n");
    let _ = writeln!(page, "| server | version | |\n|---|---|---|");
    for server in &summary.servers {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            server.name,
            line(&server.version),
            line(server.note)
        );
    }
    for (name, why) in summary.left_out {
        let _ = writeln!(page, "| {name} | | left out: {} |", line(why));
    }
}

/// As a cell of a table can hold it.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let marks = Part::OneNode.marks();
        let (begin, end) = marks;
        let page = format!("before\n{begin}\nold\n{end}\nafter\n");
        let new = between_marks(&page, marks, "new").unwrap();
        assert_eq!(new, format!("before\n{begin}\nnew\n{end}\nafter\n"));
        assert_eq!(between_marks(&new, marks, "new").unwrap(), new);
    }

    #[test]
    fn a_page_without_marks_is_left_alone() {
        let marks = Part::Shared.marks();
        let (begin, end) = marks;
        assert!(between_marks(&format!("{begin} but no end"), marks, "new").is_err());
        assert!(between_marks(&format!("{end} before {begin}"), marks, "new").is_err());
    }

    #[test]
    fn a_table_names_its_target_and_whether_it_was_met() {
        let report = report();
        let page = text_of(&report.summary());
        assert!(page.contains(
            "| w2 | sockeye-endpoint | at most 1.10 of raw-epoll | 1.08 (1.08-1.08) | yes |"
        ));
        assert!(page.contains("| fastwebsockets | 13,500 | 3,375 | 10,125 | 9.00 (9.00-9.00) |"));
        assert!(page.contains("![w2](performance/w2.svg)"));
    }

    #[test]
    fn figures_are_json_with_a_line_for_each_row() {
        let report = report();
        let figures = figures(&report.summary()).unwrap();
        serde_json::from_str::<serde_json::Value>(&figures).unwrap();
        let line = "{\"server\":\"sockeye-endpoint\",\"figure\":[1620.0,1080.0,2160.0],\"ratio\":[1.08,1.08,1.08]";
        assert!(figures.lines().any(|found| found.starts_with(line)));
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(line("a |\n b"), "a \\| b");
    }
}
