//! The history of typed lines, kept in a file from one run to the next.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The history, and the position in it.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<String>,
    /// The shown entry, counted from the newest one. 0 is the line that is being typed.
    back: usize,
    /// The line that is being typed, while an entry is shown.
    draft: String,
    /// `None` if there is no file, or after a write failed.
    file: Option<File>,
}

impl History {
    /// Loads the history of a file. Creates the file if it does not exist.
    pub(super) fn load(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            private_directory().create(directory)?;
        }
        let mut file = private_file().create(true).open(path)?;
        let len = file.metadata()?.len();
        let start = len.saturating_sub(MAX_FILE);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&file).take(MAX_FILE).read_to_end(&mut bytes)?;
        // The first line may lack its start, and a full disk may have cut the last line.
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
        let rest = lines.pop().unwrap_or_default();
        let is_cut = start > 0 || !rest.is_empty();
        let mut history = Self::default();
        for line in lines.iter().skip(usize::from(start > 0)) {
            if let Some(entry) = entry_of(line) {
                history.remember(&entry);
            }
        }
        if is_cut || lines.len() > MAX_ENTRIES {
            file = rewrite(path, &history.entries)?;
        }
        history.file = Some(file);
        Ok(history)
    }

    /// Adds a sent line, also to the file. A line that begins with a space is not added, as in shells.
    pub(super) fn add(&mut self, line: &str) {
        self.back = 0;
        self.draft.clear();
        if line.starts_with(' ') || !self.remember(line) {
            return;
        }
        if let Some(file) = &mut self.file
            && file.write_all(line_of(line).as_bytes()).is_err()
        {
            // A full disk must not disturb the user.
            self.file = None;
        }
    }

    /// Moves to the entry before the shown one. `typed` is the line that is being typed.
    pub(super) fn older(&mut self, typed: &str) -> Option<&str> {
        if self.back >= self.entries.len() {
            return None;
        }
        if self.back == 0 {
            typed.clone_into(&mut self.draft);
        }
        self.back += 1;
        self.entry()
    }

    /// Moves to the entry after the shown one, and at last to the line that was being typed.
    pub(super) fn newer(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        self.entry()
    }

    fn entry(&self) -> Option<&str> {
        match self.entries.len().checked_sub(self.back) {
            Some(at) if self.back > 0 => self.entries.get(at).map(String::as_str),
            _ => Some(&self.draft),
        }
    }

    /// Appends an entry, unless it is empty, too long, or the same as the last one. Returns whether it did.
    fn remember(&mut self, line: &str) -> bool {
        let is_same = self.entries.back().is_some_and(|last| last == line);
        if line.is_empty() || is_same || line.len() > MAX_ENTRY {
            return false;
        }
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(line.to_owned());
        true
    }
}

/// Returns the path of the file, by the XDG base directories: in `$XDG_STATE_HOME`, or in `~/.local/state`.
pub(super) fn path() -> Option<PathBuf> {
    path_by(env::var_os("XDG_STATE_HOME"), env::var_os("HOME"))
}

fn path_by(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // The specification says to ignore a relative path.
    let state = state.map(PathBuf::from).filter(|path| path.is_absolute());
    let in_home = || Some(PathBuf::from(home?).join(".local/state"));
    let state = state.or_else(in_home)?;
    Some(state.join("sockeye/history"))
}

/// Returns the line of the file for an entry. An entry with line ends is a JSON string after a record separator
/// (RFC 7464).
fn line_of(entry: &str) -> String {
    match entry.contains(['\n', '\r', SEPARATOR]) {
        true => format!("{SEPARATOR}{}\n", Value::from(entry)),
        false => format!("{entry}\n"),
    }
}

/// Returns the entry of a line of the file. `None` if the line is invalid.
fn entry_of(line: &[u8]) -> Option<Cow<'_, str>> {
    let line = std::str::from_utf8(line).ok()?;
    match line.strip_prefix(SEPARATOR) {
        Some(string) => serde_json::from_str::<String>(string).ok().map(Cow::from),
        None => Some(line.into()),
    }
}

/// Writes a temporary file and renames it, so that no reader sees a partial history.
fn rewrite(path: &Path, entries: &VecDeque<String>) -> io::Result<File> {
    let temporary = path.with_extension("new");
    let mut file = private_file().create(true).open(&temporary)?;
    file.set_len(0)?;
    for entry in entries {
        file.write_all(line_of(entry).as_bytes())?;
    }
    fs::rename(temporary, path)?;
    Ok(file)
}

/// Returns options for a file that only its user can read: typed lines may be secret.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn private_directory() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

const SEPARATOR: char = '\u{1e}';
/// The number of entries that are kept.
const MAX_ENTRIES: usize = 1000;
/// The size limit of an entry, in bytes.
const MAX_ENTRY: usize = 4096;
/// The number of bytes that are read of a file. A file that only this program has written is not longer.
const MAX_FILE: u64 = 2 * (MAX_ENTRIES * (MAX_ENTRY + 1)) as u64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a path in a new directory for one test.
    fn fresh(test: &str) -> PathBuf {
        let directory = format!("sockeye-{test}-{}", std::process::id());
        let directory = env::temp_dir().join(directory);
        // An earlier process with the same id may have left it.
        let _ = fs::remove_dir_all(&directory);
        directory.join("state/history")
    }

    fn removed(path: &Path) {
        let directory = path.parent().and_then(Path::parent);
        fs::remove_dir_all(directory.expect("it has one")).expect("it is there");
    }

    #[test]
    fn entries_are_looked_at_back_and_forth_and_the_draft_comes_last() {
        let mut history = History::default();
        assert_eq!(history.older("x"), None);
        assert_eq!(history.newer(), None);
        history.add("one");
        history.add("two");
        assert_eq!(history.older("dra"), Some("two"));
        assert_eq!(history.older("two"), Some("one"));
        assert_eq!(history.older("one"), None);
        assert_eq!(history.newer(), Some("two"));
        assert_eq!(history.newer(), Some("dra"));
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn sent_lines_are_kept_once_for_the_next_run_and_only_the_user_can_read_them() {
        let path = fresh("kept");
        let mut history = History::load(&path).expect("it is made");
        for line in [
            "one",
            "two",
            "two",
            "",
            " secret",
            "{\n\"a\"}\r\n",
            "\u{1e}x",
        ] {
            history.add(line);
        }
        let lines = "one\ntwo\n\u{1e}\"{\\n\\\"a\\\"}\\r\\n\"\n\u{1e}\"\\u001ex\"\n";
        assert_eq!(fs::read_to_string(&path).expect("written"), lines);
        let history = History::load(&path).expect("it is there");
        assert_eq!(history.entries, ["one", "two", "{\n\"a\"}\r\n", "\u{1e}x"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("it is there").permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
        removed(&path);
    }

    #[test]
    fn the_newest_thousand_lines_are_kept_and_none_that_is_too_long() {
        let path = fresh("bounded");
        let mut history = History::load(&path).expect("it is made");
        for number in 0..=MAX_ENTRIES {
            history.add(&number.to_string());
        }
        history.add(&"x".repeat(MAX_ENTRY + 1));
        assert_eq!(history.entries.len(), MAX_ENTRIES);
        assert_eq!(history.entries.front().map(String::as_str), Some("1"));
        // The next run shortens the file.
        let mut history = History::load(&path).expect("it is there");
        history.add(&"x".repeat(MAX_ENTRY));
        let text = fs::read_to_string(&path).expect("written");
        assert_eq!(text.lines().count(), MAX_ENTRIES + 1);
        assert!(text.starts_with("1\n2\n"), "{text:.20}");
        removed(&path);
    }

    #[test]
    fn no_part_of_a_line_becomes_an_entry() {
        let path = fresh("cut");
        drop(History::load(&path).expect("it is made"));
        fs::write(&path, b"one\ntw\xff\n\x1e\"cut\nthree\nfou").expect("it is there");
        let mut history = History::load(&path).expect("it is there");
        assert_eq!(history.entries, ["one", "three"]);
        history.add("five");
        let lines = fs::read_to_string(&path).expect("written");
        assert_eq!(lines, "one\nthree\nfive\n");
        // The file is longer than the part that is read, so that part begins inside a line.
        let line = format!("{}\n", "x".repeat(MAX_ENTRY - 2));
        let count = usize::try_from(MAX_FILE).expect("it fits") / line.len() + 2;
        fs::write(&path, line.repeat(count)).expect("it is there");
        let history = History::load(&path).expect("it is there");
        assert_eq!(history.entries, [line.trim_end()]);
        removed(&path);
    }

    #[test]
    fn the_file_is_where_the_xdg_base_directories_have_it() {
        let path = |state: &str, home: &str| {
            let set = |value: &str| (!value.is_empty()).then(|| OsString::from(value));
            let path = path_by(set(state), set(home))?;
            Some(path.to_str().expect("UTF-8").to_owned())
        };
        let own = Some("/state/sockeye/history".to_owned());
        assert_eq!(path("/state", "/me"), own);
        let in_home = Some("/me/.local/state/sockeye/history".to_owned());
        assert_eq!(path("", "/me"), in_home);
        assert_eq!(path("state", "/me"), in_home);
        assert_eq!(path("", ""), None);
    }
}
