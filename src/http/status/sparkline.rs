//! The last hour of a queue as a small line: latency, or depth where no latency is known. What is not
//! known is a gap.

use super::html::Html;
use crate::human;
use crate::model::history::{Point, SLOT, SLOTS};

/// Units of the drawing; it is stretched to its cell.
const STEP: f32 = 2.0;
const HEIGHT: f32 = 24.0;

/// A queue whose longest wait was shorter is drawn on this scale, so that milliseconds do not look
/// like hours.
const LATENCY_SCALE_MIN: f32 = 1.0;
const READY_SCALE_MIN: f32 = 10.0;

pub(super) fn sparkline(html: &mut Html, points: &[Point]) {
    let latencies: Vec<_> = points.iter().map(|point| point.latency).collect();
    let depths: Vec<_> = points.iter().map(|point| point.ready).collect();
    let most = |values: &[Option<f32>]| values.iter().flatten().copied().reduce(f32::max);
    if let Some(most) = most(&latencies) {
        let worst = human::duration(f64::from(most));
        let label = format!("Longest latency in {}: {worst}", span(&latencies));
        draw(
            html,
            "spark",
            &label,
            &latencies,
            most.max(LATENCY_SCALE_MIN),
        );
    } else if let Some(most) = most(&depths) {
        let worst = human::count(most.round() as u64);
        let label = format!(
            "Most ready jobs in {}: {worst}; no latency is known",
            span(&depths)
        );
        draw(
            html,
            "spark depth",
            &label,
            &depths,
            most.max(READY_SCALE_MIN),
        );
    } else {
        html.unknown();
    }
}

/// How far back something is known.
fn span(values: &[Option<f32>]) -> String {
    let unknown = values.iter().take_while(|value| value.is_none()).count();
    match values.len() - unknown {
        SLOTS => "the last hour".to_owned(),
        minutes => {
            let secs = SLOT.as_secs_f64() * minutes as f64;
            format!("the last {}", human::duration(secs))
        }
    }
}

fn draw(html: &mut Html, class: &'static str, label: &str, values: &[Option<f32>], scale: f32) {
    let y = |value: f32| HEIGHT - 2.0 - (value / scale).clamp(0.0, 1.0) * (HEIGHT - 4.0);
    let (mut line, mut area) = (String::new(), String::new());
    let numbered: Vec<_> = values.iter().enumerate().collect();
    for known in numbered.split(|(_, value)| value.is_none()) {
        let known: Vec<_> = known
            .iter()
            .filter_map(|(index, value)| Some((*index as f32 * STEP, y((**value)?))))
            .collect();
        let (Some((first, at)), Some((last, _))) = (known.first(), known.last()) else {
            continue;
        };
        // A point that stands alone is a short line.
        let path = match known.as_slice() {
            [_] => format!("M{} {at:.1}H{}", first - STEP / 2.0, first + STEP / 2.0),
            known => {
                let points: Vec<_> = known.iter().map(|(x, y)| format!("{x} {y:.1}")).collect();
                format!("M{}", points.join("L"))
            }
        };
        area.push_str(&format!("{path}V{HEIGHT}H{first}Z"));
        line.push_str(&path);
        debug_assert!(last >= first);
    }
    let width = (values.len().saturating_sub(1)) as f32 * STEP;
    html.raw("<svg").attribute("class", class);
    html.attribute("viewBox", &format!("0 0 {width} {HEIGHT}"));
    html.raw(" preserveAspectRatio=\"none\" role=\"img\"");
    html.attribute("aria-label", label)
        .raw("><title>")
        .text(label);
    html.raw("</title><path class=\"area\"")
        .attribute("d", &area);
    html.raw("/><path class=\"line\"").attribute("d", &line);
    html.raw("/></svg>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(latencies: &[Option<f32>]) -> String {
        let points: Vec<_> = latencies
            .iter()
            .map(|latency| Point {
                latency: *latency,
                ready: Some(3.0),
                ..Point::default()
            })
            .collect();
        let mut html = Html::default();
        sparkline(&mut html, &points);
        html.into_string()
    }

    #[test]
    fn a_gap_parts_the_line() {
        let svg = drawn(&[Some(0.0), Some(10.0), None, Some(5.0)]);
        assert!(
            svg.contains("class=\"line\" d=\"M0 22.0L2 2.0M5 12.0H7\""),
            "{svg}"
        );
        assert!(svg.contains("aria-label=\"Longest latency in the last 4 min: 10 s\""));
    }

    #[test]
    fn short_waits_stay_small_and_depth_stands_in_for_latency() {
        let svg = drawn(&[Some(0.1), Some(0.1)]);
        assert!(svg.contains("d=\"M0 20.0L2 20.0\""), "{svg}");
        let svg = drawn(&[None, None]);
        assert!(
            svg.contains("spark depth") && svg.contains("jobs in the last 2 min: 3;"),
            "{svg}"
        );
    }
}
