//! The picture of a load test: an SVG of its own, without scripts, fonts or other files. It has no background, and its colours can
//! be read on white and on black.

use std::fmt::Write as _;

use super::{
    Report,
    report::{Moment, Percentiles, number},
};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 940.0;
const TOP: f64 = 80.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 62.0;

/// Text and lines.
const INK: &str = "#767b84";
const BLUE: &str = "#3f7fd9";
const GREEN: &str = "#2f9450";
const ORANGE: &str = "#c9701a";
const RED: &str = "#dc4c47";
const PURPLE: &str = "#9069d0";

/// What was measured in a piece of the time.
type Measured = fn(&Moment) -> Option<Percentiles>;

struct Series {
    name: &'static str,
    colour: &'static str,
    dashes: &'static str,
    /// Nothing where nothing was measured: the line has a gap there.
    values: Vec<Option<f64>>,
}

struct Panel {
    title: &'static str,
    is_log: bool,
    series: Vec<Series>,
    /// As bars side by side, not as lines.
    is_bars: bool,
}

/// The picture.
pub fn picture(report: &Report) -> String {
    let panels = panels(&report.over_time);
    let height = TOP + panels.len() as f64 * (PANEL + GAP) + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{INK}\">\n"
    );
    let title = format!("Load test of {} ({})", report.url, report.protocol);
    let errors: u64 = report.errors.values().sum();
    let line = format!(
        "{}: {} messages in {} s, {} whole replies, {errors} errors",
        report.began_at,
        report.messages,
        number(report.seconds),
        report.replies
    );
    let _ = writeln!(svg, "<title>{}</title>", escape(&title));
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"22\" font-size=\"16\" font-weight=\"600\">{}</text>", escape(&title));
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"42\">{}</text>", escape(&line));
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"58\">{}</text>", escape(&report.ended));
    let end = report.over_time.last().map_or(1.0, |last| last.at + last.seconds).max(1e-3);
    for (n, panel) in panels.iter().enumerate() {
        let top = TOP + n as f64 * (PANEL + GAP) + 24.0;
        panel.draw(&mut svg, top, &report.over_time, end);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panels(moments: &[Moment]) -> [Panel; 3] {
    let line = |name, colour, dashes, value: &dyn Fn(&Moment) -> Option<f64>| Series {
        name,
        colour,
        dashes,
        values: moments.iter().map(value).collect(),
    };
    // What is left of the last piece may be too short to say how much comes in a second.
    let least = moments.first().map_or(0.0, |first| first.seconds) / 2.0;
    let rate = |value: fn(&Moment) -> u64| {
        move |at: &Moment| (at.seconds >= least.max(1e-3)).then(|| value(at) as f64 / at.seconds)
    };
    let p = |of: Measured, which: fn(Percentiles) -> f64| move |at: &Moment| of(at).map(which);
    let accept: Measured = |at| at.accept_ms;
    let token: Measured = |at| at.first_token_ms;
    let reply: Measured = |at| at.reply_ms;
    [
        Panel {
            title: "ms",
            is_log: true,
            is_bars: false,
            series: vec![
                line("accepted p50", BLUE, "", &p(accept, |p| p.p50)),
                line("accepted p95", BLUE, "5 4", &p(accept, |p| p.p95)),
                line("first token p50", GREEN, "", &p(token, |p| p.p50)),
                line("first token p95", GREEN, "5 4", &p(token, |p| p.p95)),
                line("whole reply p50", ORANGE, "", &p(reply, |p| p.p50)),
                line("whole reply p95", ORANGE, "5 4", &p(reply, |p| p.p95)),
            ],
        },
        Panel {
            title: "per second",
            is_log: false,
            is_bars: false,
            series: vec![
                line("messages sent", BLUE, "", &rate(|at| at.messages)),
                line("whole replies", ORANGE, "", &rate(|at| at.replies)),
            ],
        },
        Panel {
            title: "trouble",
            is_log: false,
            is_bars: true,
            series: vec![
                line("errors", RED, "", &|at| Some(at.errors as f64)),
                line("turned away (429, 503)", PURPLE, "", &|at| Some(at.turned_away as f64)),
                line("streams taken up again", BLUE, "", &|at| Some(at.resumes as f64)),
            ],
        },
    ]
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64, moments: &[Moment], end: f64) {
        let axis = Axis::of(self);
        let bottom = top + PANEL;
        let y = |value: f64| bottom - axis.place(value) * PANEL;
        let x = |seconds: f64| LEFT + seconds / end * (RIGHT - LEFT);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"600\">{}</text>",
            top - 10.0,
            escape(self.title)
        );
        self.legend(svg, top - 10.0);
        for tick in &axis.ticks {
            let (at, label) = (y(*tick), tick_label(*tick));
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"{INK}\" stroke-opacity=\".25\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        for tick in steps(0.0, end, 8) {
            let (at, label) = (x(tick), tick_label(tick));
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {bottom:.1}v4\" stroke=\"{INK}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label} s</text>",
                bottom + 18.0
            );
        }
        for (n, series) in self.series.iter().enumerate() {
            if self.is_bars {
                self.bars(svg, n, moments, &x, &y);
            } else {
                series.lines(svg, moments, &x, &y);
            }
        }
    }

    /// From the right: the title stands at the left.
    fn legend(&self, svg: &mut String, y: f64) {
        let mut right = RIGHT;
        for series in self.series.iter().rev() {
            let _ =
                writeln!(svg, "<text x=\"{right:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", escape(series.name));
            // About as wide as the text is.
            let left = right - series.name.len() as f64 * 6.6 - 6.0;
            let _ = writeln!(
                svg,
                "<path d=\"M{:.1} {:.1}h18\" stroke=\"{}\" stroke-width=\"3\" stroke-dasharray=\"{}\"/>",
                left - 18.0,
                y - 4.0,
                series.colour,
                if series.dashes.is_empty() { "none" } else { series.dashes }
            );
            right = left - 32.0;
        }
    }

    fn bars(&self, svg: &mut String, n: usize, moments: &[Moment], x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
        let series = &self.series[n];
        for (moment, value) in moments.iter().zip(&series.values) {
            let Some(value) = value.filter(|value| *value > 0.0) else { continue };
            let width = (x(moment.at + moment.seconds) - x(moment.at)).max(2.0) / self.series.len() as f64;
            let (left, top) = (x(moment.at) + n as f64 * width, y(value));
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                (width * 0.9).max(1.0),
                (y(0.0) - top).max(0.5),
                series.colour
            );
        }
    }
}

impl Series {
    fn lines(&self, svg: &mut String, moments: &[Moment], x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
        let mut path = String::new();
        let mut is_drawing = false;
        for (moment, value) in moments.iter().zip(&self.values) {
            let Some(value) = value else {
                is_drawing = false;
                continue;
            };
            let (at, height) = (x(moment.at + moment.seconds / 2.0), y(*value));
            // A point between two gaps is seen as a dot: the line's ends are round.
            let _ = write!(path, "{}{at:.1} {height:.1}", if is_drawing { "L" } else { "M" });
            if !is_drawing {
                let _ = write!(path, "L{at:.1} {height:.1}");
            }
            is_drawing = true;
        }
        if !path.is_empty() {
            let dashes = if self.dashes.is_empty() { "none" } else { self.dashes };
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linecap=\"round\" \
                 stroke-linejoin=\"round\" stroke-dasharray=\"{dashes}\"/>",
                self.colour
            );
        }
    }
}

/// What stands at the left of a panel.
struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    ticks: Vec<f64>,
}

impl Axis {
    fn of(panel: &Panel) -> Self {
        let values = panel.series.iter().flat_map(|series| &series.values).flatten().copied();
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(a, b), value| (a.min(value), b.max(value)));
        if panel.is_log {
            let low = 10_f64.powf(if least.is_finite() { least.max(0.1).log10().floor() } else { 0.0 });
            let high = 10_f64.powf(most.max(low * 1.5).log10().ceil());
            let decades = (high / low).log10().round() as i32;
            let ticks = (0..=decades).map(|n| low * 10_f64.powi(n)).collect();
            return Self { low, high, is_log: true, ticks };
        }
        let ticks = steps(0.0, most.max(1.0), 4);
        let step = ticks.get(1).copied().unwrap_or(1.0);
        let high = (most.max(1.0) / step).ceil() * step;
        Self { low: 0.0, high, is_log: false, ticks: steps(0.0, high, 4) }
    }

    /// From 0 at the bottom to 1 at the top.
    fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }
}

/// About so many round numbers.
fn steps(from: f64, to: f64, about: u32) -> Vec<f64> {
    let rough = (to - from) / f64::from(about);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(rough);
    (0..=(to - from).div_euclid(step) as u32 + 1)
        .map(|n| from + f64::from(n) * step)
        .filter(|at| *at <= to * 1.001)
        .collect()
}

fn tick_label(value: f64) -> String {
    let rounded = (value * 1e3).round() / 1e3;
    format!("{rounded}")
}

/// For text and attributes; what XML can't have is left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG's contrast of two colours.
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |colour: &str| {
            let part = |n: usize| {
                let part = f64::from(u8::from_str_radix(&colour[n..n + 2], 16).unwrap()) / 255.0;
                if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        let (a, b) = (luminance(one), luminance(other));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn all_colours_are_seen_on_light_and_on_dark_pages() {
        for colour in [INK, BLUE, GREEN, ORANGE, RED, PURPLE] {
            for page in ["#ffffff", "#000000", "#0d1117"] {
                assert!(contrast(colour, page) >= 3.0, "{colour} on {page}: {:.2}", contrast(colour, page));
            }
        }
        assert!(contrast(INK, "#ffffff") >= 4.0 && contrast(INK, "#0d1117") >= 4.0);
    }

    #[test]
    fn axes_hold_their_values_and_have_round_ticks() {
        assert_eq!(steps(0.0, 60.0, 8), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(steps(0.0, 1.0, 4), [0.0, 0.5, 1.0]);
        let panel = |is_log, values: &[f64]| Panel {
            title: "",
            is_log,
            is_bars: false,
            series: vec![Series {
                name: "",
                colour: "",
                dashes: "",
                values: values.iter().copied().map(Some).collect(),
            }],
        };
        let log = Axis::of(&panel(true, &[3.0, 4_200.0]));
        assert_eq!(
            log.ticks.iter().map(|tick| tick_label(*tick)).collect::<Vec<_>>(),
            ["1", "10", "100", "1000", "10000"]
        );
        assert!((log.place(100.0) - 0.5).abs() < 1e-9);
        for values in [&[][..], &[0.0], &[0.3], &[7.0, 93.0], &[1e9]] {
            for is_log in [false, true] {
                let axis = Axis::of(&panel(is_log, values));
                assert!(axis.ticks.len() >= 2 && axis.ticks.len() < 14, "{values:?}: {:?}", axis.ticks);
                assert!(values.iter().all(|value| axis.place(*value).is_finite() && *value <= axis.high), "{values:?}");
            }
        }
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("a<b>&\"c\"\u{0}\u{1b}é"), "a&lt;b&gt;&amp;&quot;c&quot;é");
    }
}
