//! How far a command has come, on standard error if that is a terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Often enough to look alive.
const EVERY: Duration = Duration::from_millis(100);
const WIDTH: usize = 30;

/// A bar, or a count where nobody knows of how many. Gone when dropped.
pub(crate) struct Progress {
    what: &'static str,
    total: Option<usize>,
    done: usize,
    drawn: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Starts at nothing.
    pub(crate) fn new(what: &'static str, total: Option<usize>) -> Self {
        Self { what, total, done: 0, drawn: None, shown: io::stderr().is_terminal() }
    }

    /// One more.
    pub(crate) fn step(&mut self) {
        self.done += 1;
        if self.shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
            self.drawn = Some(Instant::now());
            // A terminal that is gone is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{}", line(self.what, self.done, self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: usize, total: Option<usize>) -> String {
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{what} {done}") };
    let full = WIDTH * done.min(total) / total;
    format!("{what} [{}{}] {done}/{total}", "#".repeat(full), ".".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up() {
        assert_eq!(line("redriving", 0, Some(3)), format!("redriving [{}] 0/3", ".".repeat(30)));
        assert_eq!(line("redriving", 3, Some(3)), format!("redriving [{}] 3/3", "#".repeat(30)));
        assert_eq!(line("looked at", 7, None), "looked at 7");
    }
}
