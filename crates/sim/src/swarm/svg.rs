//! A run as a picture: how much of the file the median leecher has, the band from the tenth that has least to the tenth
//! that has most, how many are complete, and where the bound is.

use std::fmt::Write as _;

use super::measure::{Report, Sample};
use super::options::Options;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;
/// Where the plot is.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 928.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 470.0;

const STYLE: &str = "text{font:14px system-ui,sans-serif;fill:#374151}.title{font-size:20px;font-weight:600;\
                     fill:#111827}.grid{stroke:#e5e7eb}.axis{stroke:#9ca3af}.band{fill:#2563eb;fill-opacity:.16}\
                     .median{fill:none;stroke:#2563eb;stroke-width:2.5;stroke-linejoin:round}\
                     .done{fill:none;stroke:#059669;stroke-width:2.5;stroke-linejoin:round}\
                     .bound{stroke:#dc2626;stroke-width:1.5;stroke-dasharray:6 5}.end{text-anchor:end}\
                     .mid{text-anchor:middle}";

/// Draws progress over time.
pub fn draw(options: &Options, report: &Report) -> String {
    let end = report.samples.last().map_or(0.0, |last| last.at_s).max(report.bound_s) * 1.02;
    let x = |at: f64| LEFT + (RIGHT - LEFT) * at / end.max(f64::MIN_POSITIVE);
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>Progress of a \
         simulated swarm</title><style>{STYLE}</style><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"
    );
    head(&mut out, options, report);
    grid(&mut out, end, x);
    curves(&mut out, &report.samples, x);
    let at = x(report.bound_s);
    let _ = write!(
        out,
        "<path class=\"bound\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/><text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">bound \
         ({}) {:.1} s</text>",
        at - 8.0,
        BOTTOM - 12.0,
        report.bound.name(),
        report.bound_s
    );
    out.push_str("</svg>\n");
    out
}

fn head(out: &mut String, options: &Options, report: &Report) {
    let _ = write!(
        out,
        "<text class=\"title\" x=\"{LEFT}\" y=\"36\">{} leechers, {} pieces, one seeder</text><text x=\"{LEFT}\" \
         y=\"60\">η {:.3} (median, {:.1} s), {:.3} (slowest, {:.1} s), seed {}</text>",
        options.peers,
        options.pieces,
        report.eta_median,
        report.median_s,
        report.eta_slowest,
        report.slowest_s,
        options.seed
    );
    let legend = [("median", "share of the file, median"), ("done", "complete leechers")];
    for (at, (class, text)) in (0_u8..).zip(legend) {
        let left = RIGHT - 420.0 + 230.0 * f64::from(at);
        let _ = write!(
            out,
            "<path class=\"{class}\" d=\"M{left} 31h28\"/><text x=\"{}\" y=\"36\">{text}</text>",
            left + 36.0
        );
    }
    let left = RIGHT - 420.0;
    let _ = write!(
        out,
        "<rect class=\"band\" x=\"{left}\" y=\"49\" width=\"28\" height=\"12\"/><text x=\"{}\" y=\"60\">from the lowest \
         to the highest tenth</text>",
        left + 36.0
    );
}

fn y(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share
}

fn grid(out: &mut String, end: f64, x: impl Fn(f64) -> f64) {
    for step in 0..=4_u8 {
        let share = f64::from(step) / 4.0;
        let class = if step == 0 { "axis" } else { "grid" };
        let _ = write!(
            out,
            "<path class=\"{class}\" d=\"M{LEFT} {0:.1}H{RIGHT}\"/><text class=\"end\" x=\"{1}\" y=\"{2:.1}\">{3} \
             %</text>",
            y(share),
            LEFT - 10.0,
            y(share) + 5.0,
            share * 100.0
        );
    }
    let step = tick(end);
    let mut at = 0.0;
    while at <= end {
        let _ = write!(
            out,
            "<path class=\"axis\" d=\"M{0:.1} {BOTTOM}v6\"/><text class=\"mid\" x=\"{0:.1}\" y=\"{1}\">{at}</text>",
            x(at),
            BOTTOM + 24.0
        );
        at += step;
    }
    let _ = write!(
        out,
        "<text class=\"mid\" x=\"{}\" y=\"{}\">seconds</text>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 48.0
    );
}

/// A round step that gives up to ten ticks.
fn tick(end: f64) -> f64 {
    let mut decade = 1.0;
    loop {
        for step in [1.0, 2.0, 5.0] {
            if end <= step * decade * 10.0 {
                return step * decade;
            }
        }
        decade *= 10.0;
    }
}

fn curves(out: &mut String, samples: &[Sample], x: impl Fn(f64) -> f64) {
    let line = |of: fn(&Sample) -> f64| {
        let mut path = String::new();
        for (at, sample) in samples.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(sample.at_s), y(of(sample)));
        }
        path
    };
    let mut back = String::new();
    for sample in samples.iter().rev() {
        let _ = write!(back, "L{:.1} {:.1}", x(sample.at_s), y(sample.low));
    }
    let _ = write!(out, "<path class=\"band\" d=\"{}{back}Z\"/>", line(|sample| sample.high));
    let _ = write!(out, "<path class=\"median\" d=\"{}\"/>", line(|sample| sample.median));
    let _ = write!(out, "<path class=\"done\" d=\"{}\"/>", line(|sample| sample.finished));
}
