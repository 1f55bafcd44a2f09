//! A plot of a table: a bar for each server, and a line at each target. Colours of middle brightness, and
//! no ground: it is legible on white and on black.

use std::fmt::Write;

use super::{Row, Table, thousands};
use crate::workload::Unit;

/// As SVG.
pub(super) fn plot(table: &Table) -> String {
    let scale = Scale::of(table);
    let targets = scale.targets(table);
    let end = TOP + table.rows.len() * STEP;
    let height = end + BOTTOM + targets.len() * LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"{INK}\">\n"
    );
    let title = format!("{}: {}", table.workload.name, scale.what);
    push_text(&mut svg, LEFT, 18, "start", &title);
    for (at, row) in table.rows.iter().enumerate() {
        push_bar(&mut svg, TOP + at * STEP, row, &scale, &targets);
    }
    for (x, _) in &targets {
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{height}\" stroke=\"{TARGET}\" stroke-width=\"2\" stroke-dasharray=\"5 3\"/>",
            TOP - 6
        );
    }
    // Beside all lines, where there is room: two targets may be close.
    let last = targets.iter().map(|(x, _)| *x).max().unwrap_or(LEFT);
    let first = targets.iter().map(|(x, _)| *x).min().unwrap_or(LEFT);
    let (x, anchor) = match last {
        left if left < WIDTH / 2 => (left + 6, "start"),
        _ => (first - 6, "end"),
    };
    for (at, (_, target)) in targets.iter().enumerate() {
        let label = format!("target: {target}");
        push_text(&mut svg, x, end + (at + 1) * LINE, anchor, &label);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What the bars are of, and how long they are.
struct Scale {
    what: String,
    ratio: bool,
    /// What a bar of full length is. Those beyond it are cut.
    most: f64,
}

impl Scale {
    fn of(table: &Table) -> Self {
        let (load, floor) = (table.workload.load, table.workload.floor());
        let ratio = table.rows.iter().all(|row| row.ratio.is_some());
        let what = match load.unit() {
            Unit::Elapsed if ratio => format!("time for a {}, ratio to {floor}", load.counted()),
            _ if ratio => format!("processor time for a {}, ratio to {floor}", load.counted()),
            Unit::Time => format!("nanoseconds of processor time for a {}", load.counted()),
            Unit::Memory => format!("bytes of memory for a {}", load.counted()),
            Unit::Elapsed => format!("nanoseconds for a {}", load.counted()),
            Unit::Reads => format!("reads of the engine for a {}", load.counted()),
        };
        let mut scale = Self {
            what,
            ratio,
            most: 1.0,
        };
        // Who takes ten times as much would leave no room to tell the others apart.
        let values = table.rows.iter().map(|row| scale.value(row));
        let longest = values.fold(0.0, f64::max);
        let is_ours = |row: &&Row| row.server.starts_with("sockeye");
        let ours = table.rows.iter().filter(is_ours);
        let ours = ours.map(|row| scale.value(row)).fold(0.0, f64::max);
        let targets = table.verdicts.iter().map(|verdict| verdict.number);
        let enough = targets.fold(ours, f64::max) * 3.0;
        scale.most = if enough > 0.0 {
            longest.min(enough)
        } else {
            longest
        };
        scale.most = scale.most.max(1e-9);
        scale
    }

    fn value(&self, row: &Row) -> f64 {
        match row.ratio {
            Some(ratio) if self.ratio => ratio.median,
            _ => row.figure.median,
        }
    }

    fn x(&self, value: f64) -> usize {
        let room = (WIDTH - LEFT - RIGHT) as f64;
        LEFT + (value.max(0.0) / self.most * room).round() as usize
    }

    /// Where a line is drawn. A target that is a ratio to another than the floor has no place on the scale
    /// but where that other's bar ends.
    fn targets(&self, table: &Table) -> Vec<(usize, String)> {
        let own = |server| table.rows.iter().find(|row| row.server == server);
        let mut lines: Vec<(usize, String)> = Vec::new();
        for verdict in &table.verdicts {
            let Some(row) = own(verdict.server) else {
                continue;
            };
            // What it would show if it had reached the target exactly.
            let value = self.value(row) * verdict.number / verdict.reached.median;
            let x = self.x(value);
            if x <= WIDTH - RIGHT && lines.iter().all(|(other, _)| x.abs_diff(*other) > 4) {
                lines.push((x, verdict.limit.clone()));
            }
        }
        lines
    }
}

fn push_bar(svg: &mut String, y: usize, row: &Row, scale: &Scale, targets: &[(usize, String)]) {
    let value = scale.value(row);
    let is_cut = value > scale.most * 1.0001;
    let end = scale.x(value.min(scale.most));
    let colour = match row.server {
        ours if ours.starts_with("sockeye") => OURS,
        raw if raw.starts_with("raw") => FLOORS,
        _ => PEERS,
    };
    push_text(svg, LEFT - 8, y + 14, "end", row.server);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{}\" height=\"{BAR}\" fill=\"{colour}\"/>",
        (end - LEFT).max(1)
    );
    if is_cut {
        // A gap near its end says that it goes on.
        let _ = writeln!(
            svg,
            "<path d=\"M{} {} l8 -{} h5 l-8 {} z\" fill=\"{GAP}\"/>",
            end - 30,
            y + BAR + 1,
            BAR + 2,
            BAR + 2
        );
    }
    let label = if scale.ratio {
        format!("{value:.2}")
    } else {
        thousands(value)
    };
    // No line may run through the figure.
    let mut start = end + 6;
    for (x, _) in targets {
        if (start - 2..start + 8 * label.len()).contains(x) {
            start = x + 6;
        }
    }
    push_text(svg, start, y + 14, "start", &label);
}

fn push_text(svg: &mut String, x: usize, y: usize, anchor: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const WIDTH: usize = 760;
const LEFT: usize = 200;
/// Room for the figure behind the longest bar.
const RIGHT: usize = 90;
const TOP: usize = 36;
const BOTTOM: usize = 10;
/// From one line of text to the next.
const LINE: usize = 16;
const STEP: usize = 26;
const BAR: usize = 18;
const INK: &str = "#7a828c";
const OURS: &str = "#e0653f";
const PEERS: &str = "#5b8fc0";
const FLOORS: &str = "#9aa0a8";
const TARGET: &str = "#2da44e";
const GAP: &str = "#d8dce0";

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn what_has_a_meaning_in_xml_is_escaped() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }

    #[test]
    fn a_plot_has_a_bar_for_each_server_and_a_line_for_the_target() {
        let report = report();
        let svg = plot(&report.summary().tables[0]);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert_eq!(svg.matches("<line").count(), 1);
        assert!(svg.contains("target: at most 1.10 of raw-epoll"));
    }

    #[test]
    fn a_bar_beyond_the_scale_is_cut_and_says_its_figure() {
        let report = report();
        let svg = plot(&report.summary().tables[0]);
        assert!(svg.contains(">9.00<"));
        assert_eq!(svg.matches("<path").count(), 1);
    }
}
