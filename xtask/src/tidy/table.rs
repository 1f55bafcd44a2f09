//! Tables of Markdown documents, as far as tidy reads them: pipes, a head, a rule of dashes, rows.

/// One row below a table's head.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) cells: Vec<&'a str>,
    pub(super) line: usize,
}

impl<'a> Row<'a> {
    /// The cell in this column; empty where the row is too short.
    pub(super) fn cell(&self, column: usize) -> &'a str {
        self.cells.get(column).copied().unwrap_or_default()
    }
}

/// The rows of all tables in `document` whose head begins with these cells.
pub(super) fn rows<'a>(document: &'a str, head: &[&str]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let mut wanted = None;
    for (index, text) in document.lines().enumerate() {
        let cells = cells(text);
        if cells.is_empty() {
            wanted = None;
        } else if wanted.is_none() {
            wanted = Some(cells.starts_with(head));
        } else if wanted == Some(true) && !is_rule(&cells) {
            rows.push(Row {
                cells,
                line: index + 1,
            });
        }
    }
    rows
}

/// What stands in backticks in a cell.
pub(super) fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).map(str::trim)
}

/// The cells of a line that begins with a pipe; of any other line, none. `\|` is no border.
fn cells(line: &str) -> Vec<&str> {
    let Some(mut rest) = line.trim().strip_prefix('|') else {
        return Vec::new();
    };
    let mut cells = Vec::new();
    while let Some(border) = border(rest) {
        cells.push(rest[..border].trim());
        rest = &rest[border + 1..];
    }
    if !rest.trim().is_empty() {
        cells.push(rest.trim());
    }
    cells
}

fn border(text: &str) -> Option<usize> {
    text.match_indices('|')
        .map(|(at, _)| at)
        .find(|at| !text[..*at].ends_with('\\'))
}

fn is_rule(cells: &[&str]) -> bool {
    cells
        .iter()
        .all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
text
| crate | floor | what |
|---|:--|---|
| `a` | 0 | x \\| y |
| `b` | 1 |

| other | floor |
|---|---|
| `c` | 2 |
";

    #[test]
    fn only_tables_with_the_head_are_read() {
        let rows = rows(DOCUMENT, &["crate", "floor"]);
        let first: Vec<&str> = rows.iter().map(|row| row.cell(0)).collect();
        assert_eq!(first, ["`a`", "`b`"]);
        assert_eq!(rows[0].line, 4);
    }

    #[test]
    fn an_escaped_pipe_is_no_border_and_a_missing_cell_is_empty() {
        let rows = rows(DOCUMENT, &["crate", "floor"]);
        assert_eq!(rows[0].cell(2), "x \\| y");
        assert_eq!(rows[1].cell(2), "");
    }

    #[test]
    fn names_stand_in_backticks() {
        assert_eq!(names("`a`, or `b::c`").collect::<Vec<_>>(), ["a", "b::c"]);
        assert_eq!(names("none").count(), 0);
    }
}
