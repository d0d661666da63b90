//! One row of the table: what was measured, what must be reached, and the same load straight to the mock.

use std::fmt::Write as _;

use serde::Serialize;

use crate::stats::median;

/// Which number must reach the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// What was measured through Parlance must not be more.
    AtMost,
    /// What was measured through Parlance must not be less.
    AtLeast,
    /// What Parlance adds to the mock's own figure must not be more.
    AddedAtMost,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The unit of all its numbers.
    pub unit: &'static str,
    /// What must be reached.
    pub mark: f64,
    /// How the mark is meant.
    pub judged: Judged,
    /// Through Parlance, run by run.
    pub runs: Vec<f64>,
    /// Straight to the mock, run by run; empty where the mock has no such thing.
    pub straight: Vec<f64>,
    /// More that was seen: for the reader, not judged.
    pub notes: Vec<String>,
}

impl Figure {
    /// The median through Parlance.
    pub fn measured(&self) -> f64 {
        median(&self.runs)
    }

    /// The number that must reach the mark.
    pub fn judged_value(&self) -> f64 {
        match self.judged {
            Judged::AtMost | Judged::AtLeast => self.measured(),
            Judged::AddedAtMost => self.measured() - median(&self.straight),
        }
    }

    /// Whether it does. What could not be measured does not.
    pub fn passes(&self) -> bool {
        let value = self.judged_value();
        match self.judged {
            Judged::AtLeast => value >= self.mark,
            Judged::AtMost | Judged::AddedAtMost => value <= self.mark,
        }
    }

    fn row(&self) -> String {
        let unit = self.unit;
        let sign = if self.judged == Judged::AtLeast { '≥' } else { '≤' };
        let straight = match self.straight.as_slice() {
            [] => "–".to_owned(),
            runs => format!("{} {unit}", number(median(runs))),
        };
        let compared = match self.judged {
            _ if self.straight.is_empty() => "–".to_owned(),
            Judged::AddedAtMost => format!("+{} {unit}", number(self.judged_value())),
            Judged::AtMost | Judged::AtLeast => format!("× {}", number(self.measured() / median(&self.straight))),
        };
        let verdict = if self.passes() { "pass" } else { "**FAIL**" };
        let runs: Vec<String> = self.runs.iter().map(|run| number(*run)).collect();
        format!(
            "| {} | {sign} {} {unit} | **{} {unit}** (median of {}: {}) | {straight} | {compared} | {verdict} |",
            self.name,
            number(self.mark),
            number(self.measured()),
            runs.len(),
            runs.join(", "),
        )
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The table that people read.
pub fn markdown(figures: &[Figure]) -> String {
    let mut text =
        "| figure | must reach | measured | straight to the mock | against it | |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for figure in figures {
        let _ = writeln!(text, "{}", figure.row());
    }
    let notes = figures.iter().flat_map(|figure| figure.notes.iter().map(move |note| (figure, note)));
    for (number, (figure, note)) in notes.enumerate() {
        let _ = writeln!(text, "{}- {}: {note}", if number == 0 { "\n" } else { "" }, figure.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(judged: Judged, runs: &[f64], straight: &[f64]) -> Figure {
        Figure {
            name: "x".to_owned(),
            unit: "ms",
            mark: 3.0,
            judged,
            runs: runs.to_vec(),
            straight: straight.to_vec(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_figure_passes_by_the_number_that_is_meant() {
        assert!(figure(Judged::AtMost, &[2.0, 3.0, 9.0], &[]).passes());
        assert!(!figure(Judged::AtMost, &[3.1], &[]).passes());
        assert!(figure(Judged::AtLeast, &[3.1], &[]).passes());
        assert!(!figure(Judged::AtLeast, &[2.9], &[]).passes());
        assert!(figure(Judged::AddedAtMost, &[3.5], &[0.6]).passes());
        assert!(!figure(Judged::AddedAtMost, &[3.5], &[0.4]).passes());
        assert!(!figure(Judged::AtMost, &[], &[]).passes(), "what was not measured has not passed");
    }

    #[test]
    fn the_row_says_all() {
        let row = figure(Judged::AddedAtMost, &[3.5], &[0.6]).row();
        assert_eq!(row, "| x | ≤ 3.00 ms | **3.50 ms** (median of 1: 3.50) | 0.60 ms | +2.90 ms | pass |");
    }
}
