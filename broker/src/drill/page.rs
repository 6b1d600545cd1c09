//! A page of drills for a browser: their figures, and for each run the messages
//! confirmed and delivered over time, with what was done. One file, no scripts.

use std::fmt::Write;

use super::{Repeated, Report, Watch};

/// The plot's size.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
/// Left and bottom of it are its scales.
const MARGIN: f64 = 46.0;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:960px;color:#222}\
h1,h2{font-weight:600}table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;text-align:right;\
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}.bad{color:#b00020}.good{color:#176b2c}\
svg{background:#fafafa;border:1px solid #ddd}text{font:11px system-ui,sans-serif;fill:#444}";

/// The whole page.
#[must_use]
pub fn page(drills: &[Repeated]) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Warren drills</title><style>{STYLE}</style>\
         <h1>Drills</h1><table><tr><th>drill<th>outcome<th>runs<th>confirmed<th>lost<th>duplicated<th>out of order\
         <th>confirm gap, median / worst<th>redundant again"
    );
    for drill in drills {
        let outcome = match (&drill.skipped, drill.passed) {
            (Some(_), _) => "skipped",
            (None, true) => "<span class=good>passed</span>",
            (None, false) => "<span class=bad>failed</span>",
        };
        let gap = drill.confirm_gap_ms.map_or("–".to_owned(), |gap| format!("{} / {} ms", gap.median, gap.worst));
        let back = drill.redundancy_ms.map_or("–".to_owned(), |time| format!("{} ms", time.median));
        put(&mut html, format_args!("<tr><td>{}<td>{outcome}", escape(&drill.drill)));
        let counts: [fn(&Report) -> u64; 5] =
            [|_| 1, |run| run.confirmed, |run| run.lost, |run| run.duplicated, |run| run.out_of_order];
        for count in counts {
            put(&mut html, format_args!("<td>{}", drill.sum(count)));
        }
        put(&mut html, format_args!("<td>{gap}<td>{back}"));
    }
    html.push_str("</table>");
    for drill in drills {
        put(&mut html, format_args!("<h2>{}</h2>", escape(&drill.drill)));
        if let Some(why) = &drill.skipped {
            put(&mut html, format_args!("<p>Skipped: {}</p>", escape(why)));
        }
        for run in &drill.runs {
            for failure in &run.failures {
                put(&mut html, format_args!("<p class=bad>{}</p>", escape(failure)));
            }
            html.push_str(&plot(&run.watch));
        }
    }
    html.push_str("</html>\n");
    html
}

/// Writing to a string does not fail.
fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = html.write_fmt(text);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Messages a second over time, and what was done when.
fn plot(watch: &Watch) -> String {
    let end = watch.moments.last().map_or(1, |moment| moment.at).max(1) as f64;
    let confirmed = rates(watch, |moment| moment.confirmed);
    let delivered = rates(watch, |moment| moment.delivered);
    let top = confirmed.iter().chain(&delivered).map(|(_, rate)| *rate).fold(1.0, f64::max);
    let x = |at: f64| MARGIN + at / end * (WIDTH - MARGIN - 10.0);
    let y = |rate: f64| HEIGHT - MARGIN + 20.0 - rate / top * (HEIGHT - MARGIN);
    let line = |rates: &[(f64, f64)], color: &str| {
        let points: Vec<_> = rates.iter().map(|(at, rate)| format!("{:.1},{:.1}", x(*at), y(*rate))).collect();
        format!("<polyline fill=none stroke=\"{color}\" stroke-width=1.3 points=\"{}\"/>", points.join(" "))
    };
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"100%\" role=img>");
    for part in 0..=4 {
        let at = end * f64::from(part) / 4.0;
        let rate = top * f64::from(part) / 4.0;
        put(
            &mut svg,
            format_args!(
                "<text x={:.0} y={:.0} text-anchor=middle>{:.1} s</text><text x={:.0} y={:.0} text-anchor=end>{rate:.0}/s</text>",
                x(at),
                HEIGHT - 8.0,
                at / 1000.0,
                MARGIN - 4.0,
                y(rate) + 4.0,
            ),
        );
    }
    svg.push_str(&line(&delivered, "#d98324"));
    svg.push_str(&line(&confirmed, "#2b62b8"));
    for (nth, mark) in watch.marks.iter().enumerate() {
        let at = x(mark.at as f64);
        let high = 14.0 + (nth % 4) as f64 * 12.0;
        put(
            &mut svg,
            format_args!(
                "<line x1={at:.1} x2={at:.1} y1=0 y2={:.0} stroke=\"#b00020\" stroke-dasharray=\"3 3\"/>\
                 <text x={:.1} y={high}>{}</text>",
                HEIGHT - MARGIN + 20.0,
                at + 3.0,
                escape(&mark.what)
            ),
        );
    }
    svg.push_str("<text x=52 y=210 style=\"fill:#2b62b8\">confirmed</text>");
    svg.push_str("<text x=110 y=210 style=\"fill:#d98324\">delivered</text></svg>");
    svg
}

/// Messages a second between two looks.
fn rates(watch: &Watch, count: impl Fn(&super::Moment) -> u64) -> Vec<(f64, f64)> {
    let pairs = watch.moments.iter().zip(watch.moments.iter().skip(1));
    let rate = |(before, after): (&super::Moment, &super::Moment)| {
        let millis = after.at.saturating_sub(before.at).max(1) as f64;
        (after.at as f64, count(after).saturating_sub(count(before)) as f64 * 1000.0 / millis)
    };
    pairs.map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Mark, Moment};
    use super::*;

    #[test]
    fn a_page_has_a_plot_a_run_and_no_foreign_text_as_markup() {
        let moments = (0..9).map(|n| Moment { at: n * 50, confirmed: n * 100, delivered: n * 90 }).collect();
        let marks = vec![Mark { at: 120, what: "kill <b>".to_owned() }];
        let watch = Watch { moments, marks };
        let runs = vec![Report { watch, failures: vec!["1 & 2".to_owned()], ..Report::default() }];
        let html = page(&[Repeated::of("kill-leader", runs), Repeated::skipped("slow", "no netem".to_owned())]);
        assert_eq!(html.matches("<svg").count(), 1);
        assert!(html.contains("kill &lt;b&gt;") && html.contains("1 &amp; 2") && html.contains("no netem"));
        assert!(!html.contains("<script"));
    }
}
