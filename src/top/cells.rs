//! The columns of the table, and which of them fit.

use super::answer::Queue;
use crate::human;

/// A column beside the queue's name.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: u16,
    pub(super) is_number: bool,
    /// What `sort` calls it, to mark the one that counts.
    pub(super) sort: &'static str,
    /// Those of a lower rank are shown first where not all fit.
    rank: u8,
    pub(super) cell: fn(&Queue) -> String,
}

/// Room for the name before further columns are shown.
const NAME_MIN: u16 = 20;

/// Between columns.
pub(super) const GAP: u16 = 1;

/// What is not known.
const UNKNOWN: &str = "-";

const fn number(
    title: &'static str,
    width: u16,
    sort: &'static str,
    rank: u8,
    cell: fn(&Queue) -> String,
) -> Column {
    Column {
        title,
        width,
        is_number: true,
        sort,
        rank,
        cell,
    }
}

const fn words(title: &'static str, width: u16, rank: u8, cell: fn(&Queue) -> String) -> Column {
    Column {
        title,
        width,
        is_number: false,
        sort: "",
        rank,
        cell,
    }
}

const COLUMNS: [Column; 15] = [
    words("SYSTEM", 8, 6, |queue| human::name(&queue.system)),
    words("BROKER", 12, 9, |queue| human::name(&queue.broker)),
    number("LATENCY", 12, "latency", 0, latency),
    words("BOUNDS", 25, 7, bounds),
    words("FROM", 7, 8, |queue| queue.source.clone()),
    number("READY", 9, "ready", 1, |queue| count(queue.jobs.ready)),
    number("RUNNING", 7, "in_progress", 5, |queue| {
        count(queue.jobs.in_progress)
    }),
    number("SCHED", 7, "scheduled", 11, |queue| {
        count(queue.jobs.scheduled)
    }),
    number("RETRY", 7, "retry", 12, |queue| count(queue.jobs.retry)),
    number("DEFER", 7, "deferred", 14, |queue| {
        count(queue.jobs.deferred)
    }),
    number("FAILED", 7, "failed", 10, |queue| count(queue.jobs.failed)),
    number("IN", 8, "enqueued", 3, |queue| {
        rate(queue.enqueued_per_second)
    }),
    number("OUT", 8, "started", 2, |queue| {
        rate(queue.started_per_second)
    }),
    number("DRAINS IN", 11, "drain", 4, |queue| {
        duration(queue.drain_seconds)
    }),
    number("WORKERS", 7, "", 13, workers),
];

/// The columns that fit beside the name, in their order. The one that is sorted by comes first.
pub(super) fn fitting(width: u16, sort: &str) -> Vec<&'static Column> {
    let rank = |column: &Column| match column.sort == sort {
        true => 0,
        false => column.rank + 1,
    };
    let mut by_rank: Vec<_> = COLUMNS.iter().collect();
    by_rank.sort_by_key(|column| rank(column));
    let mut left = width.saturating_sub(NAME_MIN);
    let fit = by_rank.into_iter().take_while(|column| {
        let needed = column.width + GAP;
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    });
    let last = fit.last().map(rank);
    let fit = COLUMNS.iter();
    fit.filter(|column| last.is_some_and(|last| rank(column) <= last))
        .collect()
}

pub(super) fn count(count: Option<u64>) -> String {
    count.map_or_else(|| UNKNOWN.to_owned(), human::count)
}

pub(super) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| UNKNOWN.to_owned(), human::rate)
}

pub(super) fn duration(secs: Option<f64>) -> String {
    secs.map_or_else(|| UNKNOWN.to_owned(), human::duration)
}

/// The estimate; a lower bound alone is marked as one, and what is unknown is a question.
pub(super) fn latency(queue: &Queue) -> String {
    match (queue.latency_seconds, queue.latency_max_seconds) {
        (None, _) => "?".to_owned(),
        (Some(secs), Some(_)) => human::duration(secs),
        (Some(_), None) => format!("≥ {}", duration(queue.latency_min_seconds)),
    }
}

pub(super) fn bounds(queue: &Queue) -> String {
    let Some(max) = queue.latency_max_seconds else {
        return UNKNOWN.to_owned();
    };
    let (min, max) = (duration(queue.latency_min_seconds), human::duration(max));
    match min == max {
        true => max,
        false => format!("{min} – {max}"),
    }
}

pub(super) fn workers(queue: &Queue) -> String {
    match (queue.busy_workers, queue.consumers) {
        (Some(busy), Some(all)) => format!("{busy}/{all}"),
        (busy, all) => count(all.or(busy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_fits_80_columns_and_all_fit_a_wide_terminal() {
        let titles = |width, sort| {
            let fit = fitting(width, sort).into_iter();
            fit.map(|column| column.title).collect::<Vec<_>>()
        };
        assert_eq!(
            titles(80, "worst"),
            ["LATENCY", "READY", "IN", "OUT", "DRAINS IN"]
        );
        assert_eq!(
            titles(80, "failed"),
            ["LATENCY", "READY", "FAILED", "IN", "OUT"]
        );
        assert_eq!(titles(30, "worst"), [""; 0]);
        assert_eq!(titles(40, "worst"), ["LATENCY"]);
        assert_eq!(titles(40, "failed"), ["FAILED"]);
        assert_eq!(titles(250, "worst").len(), COLUMNS.len());
        for width in 0..300 {
            let fit = fitting(width, "retry");
            let used: u16 = fit.iter().map(|column| column.width + GAP).sum();
            assert!(fit.is_empty() || used + NAME_MIN <= width, "{width}");
        }
    }

    #[test]
    fn what_can_be_sorted_by_can_be_shown() {
        for sort in super::super::SORTS {
            let is_shown = COLUMNS.iter().any(|column| column.sort == sort);
            assert!(is_shown || ["worst", "name"].contains(&sort), "{sort}");
        }
    }

    #[test]
    fn what_is_not_known_is_never_a_number() {
        let mut queue = Queue::default();
        assert_eq!(
            (latency(&queue).as_str(), bounds(&queue).as_str()),
            ("?", "-")
        );
        assert_eq!((count(None).as_str(), rate(None).as_str()), ("-", "-"));
        queue.latency_seconds = Some(70.0);
        queue.latency_min_seconds = Some(65.0);
        assert_eq!(latency(&queue), "≥ 1 min 5 s");
        queue.latency_max_seconds = Some(80.0);
        assert_eq!(latency(&queue), "1 min 10 s");
        assert_eq!(bounds(&queue), "1 min 5 s – 1 min 20 s");
    }
}
