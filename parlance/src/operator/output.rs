//! What commands print: to standard output, for people or, with `--json`, for programs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::exit::Stop;

/// Prints text. Whoever stopped to read has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::Failed(format!("can't write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one JSON value, with a line's end.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Stop> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Stop::Failed(error.to_string()))?;
    print(&format!("{json}\n"))
}

/// To the millisecond, in UTC.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Text from elsewhere on one line: nothing in it moves the cursor of the terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            let _ = write!(plain, "{}", char.escape_default());
        } else {
            plain.push(char);
        }
    }
    plain
}

/// Rows in columns, as wide as their widest cell; the last one ends where it ends.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(&mut head.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_reaches_the_terminal_as_a_command() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [vec!["1".to_owned(), "long".to_owned()], vec!["100".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["ID", "B"], &rows), "ID   B\n1    long\n100  x\n");
    }
}
