//! One queue and its last hour.

use super::answer::{History, Queue};
use super::cells::{bounds, count, duration, latency, rate, workers};
use super::state::State;
use super::view::{bold, dim};
use crate::human;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, SparklineBar, Wrap};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let Some(open) = &state.open else { return };
    let shown = state.shown.as_ref().and_then(|shown| shown.queue.as_ref());
    let same = |queue: &Queue| {
        (&queue.broker, &queue.system, &queue.queue) == (&open.broker, &open.system, &open.queue)
    };
    let Some((queue, history)) = shown.filter(|(queue, _)| same(queue)) else {
        let name = human::name(&open.queue);
        let text = format!("\n  {name}: there are no present numbers of this queue.");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
        return;
    };
    let lines = facts(state, queue, area.width);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let [facts, charts] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(lines), facts);
    draw_history(frame, charts, state, history);
}

/// A fact's name, its value, and the gap to the next.
const NAME: usize = 10;
const VALUE: usize = 12;
const GAP: usize = 2;

/// As many beside each other as fit, what matters most first.
fn facts<'a>(state: &State, queue: &'a Queue, width: u16) -> Vec<Line<'a>> {
    let jobs = &queue.jobs;
    let facts = [
        ("latency", latency(queue)),
        ("bounds", bounds(queue)),
        ("from", queue.source.clone()),
        ("ready", count(jobs.ready)),
        ("running", count(jobs.in_progress)),
        ("failed", count(jobs.failed)),
        ("in", rate(queue.enqueued_per_second)),
        ("out", rate(queue.started_per_second)),
        ("drains in", duration(queue.drain_seconds)),
        ("objective", objective(queue)),
        ("workers", workers(queue)),
        ("scheduled", count(jobs.scheduled)),
        ("retry", count(jobs.retry)),
        ("deferred", count(jobs.deferred)),
    ];
    let value = facts.iter().map(|(_, value)| value.chars().count()).max();
    let value = value.unwrap_or(0).max(VALUE);
    let across = ((usize::from(width) + GAP) / (NAME + value + GAP)).max(1);
    let name = human::name(&queue.queue);
    let paused = if queue.paused == Some(true) {
        "  PAUSED"
    } else {
        ""
    };
    let place = format!(
        "{} on {}{paused}",
        human::name(&queue.system),
        human::name(&queue.broker)
    );
    let mut lines = vec![
        Line::styled(name, bold(state, Color::Cyan)),
        Line::raw(place),
    ];
    lines.extend(facts.chunks(across).map(|facts| {
        let spans = facts.iter().flat_map(|(name, is)| {
            [
                Span::styled(format!("{name:<NAME$}"), dim()),
                Span::raw(format!("{is:<width$}", width = value + GAP)),
            ]
        });
        Line::from_iter(spans)
    }));
    let reasons = [
        ("latency", &queue.latency_unknown_reason),
        ("upper bound", &queue.latency_max_unknown_reason),
        ("drain time", &queue.drain_unknown_reason),
    ];
    for (what, reason) in reasons {
        if let Some(reason) = reason {
            lines.push(Line::styled(format!("no {what}: {reason}"), dim()));
        }
    }
    lines.push(Line::default());
    lines
}

fn objective(queue: &Queue) -> String {
    match &queue.objective {
        None => "none".to_owned(),
        Some(objective) => {
            let late = if queue.is_late() { "  LATE" } else { "" };
            format!("≤ {}{late}", human::duration(objective.wait_seconds))
        }
    }
}

/// As many charts as there is room for.
fn draw_history(frame: &mut Frame<'_>, area: Rect, state: &State, history: &History) {
    let secs = |value: f64| human::duration(value);
    let jobs = |value: f64| human::count(value.round() as u64);
    let per = |value: f64| human::rate(value);
    type Say = fn(f64) -> String;
    let charts: [(&str, &[Option<f64>], Say); 4] = [
        ("latency", &history.latency_seconds, secs),
        ("ready", &history.ready, jobs),
        ("in", &history.enqueued_per_second, per),
        ("out", &history.started_per_second, per),
    ];
    let room = usize::from(area.height / 3).min(charts.len());
    let heights = vec![Constraint::Fill(1); room];
    for ((name, values, say), area) in charts
        .into_iter()
        .zip(Layout::vertical(heights).split(area).iter())
    {
        let [title, bars] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(*area);
        let most = values.iter().flatten().copied().reduce(f64::max);
        let most = match most {
            Some(most) => format!("last hour, highest {}", say(most)),
            None => "nothing is known of the last hour".to_owned(),
        };
        let line = vec![Span::raw(format!("{name}  ")), Span::styled(most, dim())];
        frame.render_widget(Line::from(line), title);
        draw_bars(frame, bars, state, values);
    }
}

/// A bar a minute; a dot where nothing is known.
fn draw_bars(frame: &mut Frame<'_>, area: Rect, state: &State, values: &[Option<f64>]) {
    // Bars are whole numbers: thousandths of the highest.
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let scale = if most > 0.0 { 1000.0 / most } else { 0.0 };
    let bars = values.iter().map(|value| match value {
        Some(value) => SparklineBar::from((value * scale).round() as u64),
        None => SparklineBar::from(None),
    });
    // The present is on the right where not all fit.
    let hidden = values.len().saturating_sub(usize::from(area.width));
    let style = match state.options.colour {
        true => Style::new().fg(Color::Blue),
        false => Style::new(),
    };
    let chart = Sparkline::default()
        .data(bars.skip(hidden))
        .max(1000)
        .absent_value_symbol("·")
        .absent_value_style(dim())
        .style(style);
    frame.render_widget(chart, area);
}
