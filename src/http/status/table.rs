//! The queues of one page as a table.

use super::html::Html;
use super::link::PageQuery;
use super::page::sorting;
use super::sparkline::sparkline;
use crate::clock::Now;
use crate::http::body::{without_drain, without_max};
use crate::http::listing::{Order, Row, Sort};
use crate::human;
use crate::model::{JobState, Latency, LatencySource, Waits};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A column of numbers that not every system can tell.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Column {
    Jobs(JobState),
    Enqueued,
    Started,
    Drain,
    Workers,
}

impl Column {
    const ALL: [Self; 10] = [
        Self::Jobs(JobState::Ready),
        Self::Jobs(JobState::InProgress),
        Self::Jobs(JobState::Scheduled),
        Self::Jobs(JobState::Retry),
        Self::Jobs(JobState::Deferred),
        Self::Jobs(JobState::Failed),
        Self::Enqueued,
        Self::Started,
        Self::Drain,
        Self::Workers,
    ];

    /// Title, explanation, and what it is sorted by.
    const fn head(self) -> (&'static str, &'static str, Option<Sort>) {
        let (title, meaning) = match self {
            Self::Jobs(JobState::Ready) => ("Ready", "Jobs that a worker could take now"),
            Self::Jobs(JobState::InProgress) => ("Running", "Jobs that workers hold"),
            Self::Jobs(JobState::Scheduled) => ("Scheduled", "Jobs that are due later"),
            Self::Jobs(JobState::Retry) => ("Retry", "Failed jobs that are tried again later"),
            Self::Jobs(JobState::Deferred) => ("Deferred", "Jobs that wait for other jobs"),
            Self::Jobs(JobState::Failed) => ("Failed", "Jobs that are kept as failed"),
            Self::Enqueued => ("In", "Jobs that arrived, over the last one to two minutes"),
            Self::Started => (
                "Out",
                "Jobs that were started, over the last one to two minutes",
            ),
            Self::Drain => (
                "Drains in",
                "Time until the ready jobs are started at the present rate",
            ),
            Self::Workers => (
                "Workers",
                "Workers or consumers attached; busy ones first if known",
            ),
        };
        let sort = match self {
            Self::Jobs(state) => Some(Sort::of(state)),
            Self::Enqueued => Some(Sort::Enqueued),
            Self::Started => Some(Sort::Started),
            Self::Drain => Some(Sort::Drain),
            Self::Workers => None,
        };
        (title, meaning, sort)
    }

    /// What is shown for a queue that has present numbers.
    fn cell(self, row: &Row<'_>) -> Option<String> {
        let queue = row.queue;
        let rate = |rate: Option<f32>| rate.map(|rate| human::rate(f64::from(rate)));
        match self {
            Self::Jobs(state) => queue.jobs.get(state).map(human::count),
            Self::Enqueued => rate(queue.history.rates().0),
            Self::Started => rate(queue.history.rates().1),
            Self::Drain => {
                let drain = queue.flow.as_ref()?.drain?;
                Some(human::duration(drain.as_secs_f64()))
            }
            Self::Workers => match (queue.busy_workers, queue.consumers) {
                (Some(busy), Some(all)) => {
                    Some(format!("{}/{}", human::count(busy), human::count(all)))
                }
                (busy, all) => all.or(busy).map(human::count),
            },
        }
    }
}

/// Columns that at least one queue of the page has something in.
fn columns(rows: &[Row<'_>]) -> Vec<Column> {
    let fresh = || rows.iter().filter(|row| row.is_fresh);
    let all = Column::ALL.into_iter();
    all.filter(|column| {
        *column == Column::Jobs(JobState::Ready) || fresh().any(|row| column.cell(row).is_some())
    })
    .collect()
}

/// The narrowest window that has room for the table, measured with the widest usual contents: what is
/// always there, objectives, and every further column.
pub(super) fn width_rem(rows: &[Row<'_>]) -> f32 {
    let objectives = if has_objectives(rows) { 7.5 } else { 0.0 };
    let is_known =
        |row: &Row<'_>| row.is_fresh && !matches!(row.queue.latency, Latency::Unknown(_));
    let reasons = if rows.iter().all(is_known) { 0.0 } else { 5.0 };
    29.0 + objectives + reasons + 4.25 * columns(rows).len() as f32
}

fn has_objectives(rows: &[Row<'_>]) -> bool {
    rows.iter().any(|row| row.queue.objective.is_some())
}

pub(super) fn table(html: &mut Html, query: &PageQuery, rows: &[Row<'_>], now: Now) {
    let columns = columns(rows);
    // The roles are said again since narrow screens lay the table out as a list.
    html.raw("<table role=\"table\"><caption class=\"vh\">")
        .raw(sorting(query));
    html.raw("</caption><thead role=\"rowgroup\"><tr role=\"row\">");
    head(
        html,
        query,
        ("Queue", "Name, system and broker", Some(Sort::Name)),
        "",
    );
    let latency =
        "How long the oldest ready job has waited, and between which bounds that is certain";
    let sort = match query.sort {
        Sort::Worst => Sort::Worst,
        _ => Sort::Latency,
    };
    head(html, query, ("Latency", latency, Some(sort)), "num");
    head(
        html,
        query,
        ("From", "Where the latency comes from", None),
        "",
    );
    head(
        html,
        query,
        ("Last hour", "Latency, minute by minute", None),
        "",
    );
    for column in &columns {
        head(html, query, column.head(), "num");
    }
    let has_objectives = has_objectives(rows);
    if has_objectives {
        let meaning =
            "How long jobs may wait, and how many of those seen to start did not wait longer";
        head(html, query, ("Objective", meaning, None), "num");
    }
    html.raw("</tr></thead><tbody role=\"rowgroup\">");
    for row in rows {
        self::row(html, &columns, row, now);
        if has_objectives {
            objective(html, row);
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table>");
}

fn head(
    html: &mut Html,
    query: &PageQuery,
    (title, meaning, sort): (&'static str, &'static str, Option<Sort>),
    class: &'static str,
) {
    html.raw("<th role=\"columnheader\" scope=\"col\"")
        .attribute("class", class);
    html.attribute("title", meaning);
    let sorted = sort
        .filter(|sort| *sort == query.sort)
        .map(|_| query.order());
    if let Some(order) = sorted {
        html.attribute("aria-sort", order.as_str());
    }
    html.raw(">");
    match sort {
        None => html.raw(title),
        Some(sort) => {
            html.raw("<a")
                .attribute("href", &query.sorted_by(sort).link());
            html.attribute("id", &format!("sort-{}", sort.as_str()));
            html.raw(">").raw(title);
            html.raw(match sorted {
                Some(Order::Ascending) => " <span aria-hidden=\"true\">▲</span>",
                Some(Order::Descending) => " <span aria-hidden=\"true\">▼</span>",
                None => "",
            });
            html.raw("</a>")
        }
    };
    html.raw("</th>");
}

fn row(html: &mut Html, columns: &[Column], row: &Row<'_>, now: Now) {
    let queue = row.queue;
    let mut key = DefaultHasher::new();
    (&row.broker.name, queue.system, &queue.queue).hash(&mut key);
    html.raw("<tr role=\"row\"")
        .attribute("data-key", &format!("{:x}", key.finish()));
    html.attribute(
        "class",
        match row.is_fresh {
            true => "",
            false => "stale",
        },
    );
    html.raw("><th role=\"rowheader\" scope=\"row\"><span class=\"queue\">")
        .name(&queue.queue);
    html.raw("</span>");
    if row.is_fresh && queue.paused == Some(true) {
        html.raw(" <span class=\"badge\">paused</span>");
    }
    html.raw(" <span class=\"where\">")
        .raw(queue.system.as_str())
        .raw(" · ");
    html.name(&row.broker.name).raw("</span></th>");
    if !row.is_fresh {
        let age = now.mono.saturating_duration_since(queue.observed.mono);
        html.raw("<td role=\"cell\" class=\"num\" data-label=\"Latency\">")
            .unknown();
        html.raw("</td><td role=\"cell\" class=\"from\">▲ not read for ");
        html.text(&human::duration(age.as_secs_f64())).raw("</td>");
    } else {
        latency(html, row);
    }
    html.raw("<td role=\"cell\" class=\"hour\" data-label=\"Last hour\">");
    sparkline(html, &queue.history.points(now));
    html.raw("</td>");
    for column in columns {
        html.raw("<td role=\"cell\" class=\"num\"");
        html.attribute("data-label", column.head().0);
        match column.cell(row).filter(|_| row.is_fresh) {
            Some(text) => html.raw(">").text(&text),
            None if *column == Column::Drain && row.is_fresh => html
                .attribute("title", without_drain(queue))
                .raw(">")
                .unknown(),
            None => html.raw(">").unknown(),
        };
        html.raw("</td>");
    }
}

/// What is asked of the queue, and how it does.
fn objective(html: &mut Html, row: &Row<'_>) {
    html.raw("<td role=\"cell\" class=\"num objective\" data-label=\"Objective\">");
    let Some(objective) = row.queue.objective else {
        html.raw("<span class=\"none\">none set</span></td>");
        return;
    };
    let wait = human::duration(objective.wait.as_secs_f64());
    html.raw("≤ ").text(&wait.replace(".0 s", " s"));
    if row.lateness().is_some_and(|times| times > 1.0) {
        html.raw(" <span class=\"badge late\">▲ late</span>");
    }
    let started = row.queue.waits().map_or(0, Waits::count);
    if let Some(late) = row
        .queue
        .late_starts
        .filter(|_| row.is_fresh && started > 0)
    {
        let share = 100.0 * (1.0 - late as f64 / started as f64).max(0.0);
        // Rounded down: 100 % means all of them.
        let share = match late {
            0 => "100 % on time".to_owned(),
            _ => format!("{:.1} % on time", (share * 10.0).floor() / 10.0),
        };
        let goal = format!("the goal is {:.3} %", objective.ratio * 100.0);
        html.raw(" <span class=\"range\"").attribute("title", &goal);
        html.raw(">").text(&share).raw("</span>");
    }
    html.raw("</td>");
}

/// Latency with its bounds, and where it comes from or why it is not known.
fn latency(html: &mut Html, row: &Row<'_>) {
    html.raw("<td role=\"cell\" class=\"num latency\" data-label=\"Latency\">");
    let age = match row.queue.latency {
        Latency::Empty => {
            html.raw("<span class=\"zero\">0 s</span></td>");
            match row.queue.source {
                // No job has been seen that could tell.
                LatencySource::None => html.raw("<td role=\"cell\" class=\"from\"></td>"),
                known => source(html, known),
            };
            return;
        }
        Latency::Unknown(reason) => {
            html.raw(
                "<span class=\"none\">unknown</span></td><td role=\"cell\" class=\"from why\">",
            );
            html.text(reason.as_str()).raw("</td>");
            return;
        }
        Latency::Known { age, .. } => age,
    };
    let show = |age: std::time::Duration| human::duration(age.as_secs_f64());
    let (estimate, min) = (show(age.estimate), show(age.min));
    html.raw("<b>").text(&estimate).raw("</b>");
    match age.max.map(show) {
        None => {
            html.raw(" <span class=\"range\"");
            html.attribute("title", without_max(row.queue))
                .raw(">at least ");
            html.text(&min).raw("</span>");
        }
        Some(max) if min != max => {
            html.raw(" <span class=\"range\" title=\"certainly between these\">");
            html.text(&min).raw(" – ").text(&max).raw("</span>");
        }
        Some(_) => {}
    }
    html.raw("</td>");
    source(html, row.queue.source);
}

fn source(html: &mut Html, source: LatencySource) -> &mut Html {
    let meaning = match source {
        LatencySource::Message => "The job carries its enqueue time",
        LatencySource::Broker => "The broker keeps the job's enqueue time",
        LatencySource::Flow => "Inferred from how many jobs arrive and leave",
        LatencySource::None => "Nothing tells it",
    };
    html.raw("<td role=\"cell\" class=\"from\"")
        .attribute("title", meaning);
    html.raw(">").raw(source.as_str()).raw("</td>")
}
