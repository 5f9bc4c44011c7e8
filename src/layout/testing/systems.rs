//! `docs/systems.md`: what each system on Redis can tell, found out by polling what was recorded of
//! it. With `UPDATE_SYSTEMS=1` the test writes the page's table.

use super::Driven;
use super::recordings;
use crate::layout::BindRedis;
use crate::layout::redis::Outcome;
use crate::model::flow::HeadState;
use crate::model::{Counters, Head, JobState, Jobs, Observation, System, SystemTotals};
use std::collections::{BTreeMap, BTreeSet};

/// What the page says of one system: a cell by its row's name. A cell has a word for each way in
/// which the number was told.
#[derive(Default)]
struct Column {
    cells: BTreeMap<&'static str, BTreeSet<&'static str>>,
    costs: Vec<usize>,
    overviews: Vec<usize>,
}

/// The rows, in their order.
const ROWS: &[&str] = &[
    "ready",
    "in progress",
    "scheduled",
    "retry",
    "deferred",
    "failed",
    "ready by priority",
    "latency",
    "hard upper bound",
    "oldest in progress",
    "next due",
    "waits",
    "run times",
    "enqueued",
    "started",
    "finished",
    "failures",
    "retries",
    "workers",
    "busy workers",
    "paused",
];

const EACH: &str = "yes";
const TOGETHER: &str = "all queues";

// === impl Column ===

impl Column {
    fn of(system: System, bind: BindRedis) -> Self {
        let mut column = Self::default();
        let recording = recordings::of(system);
        for case in &recording.cases {
            for driven in recording.drive(case, bind) {
                column.take(&driven, system);
            }
        }
        column
    }

    fn take(&mut self, driven: &Driven, system: System) {
        for outcome in &driven.outcomes {
            let Outcome::Observed(seen) = outcome else {
                panic!("{}: {outcome:?}", system.as_str());
            };
            assert_eq!(seen.system, system);
            self.observe(seen);
        }
        if let Some(totals) = &driven.totals {
            self.total(totals);
        }
        self.costs.extend(&driven.costs);
        self.overviews.push(driven.overview);
    }

    fn mark(&mut self, row: &'static str, word: &'static str, is_known: bool) {
        assert!(ROWS.contains(&row));
        if is_known {
            self.cells.entry(row).or_default().insert(word);
        }
    }

    fn observe(&mut self, seen: &Observation) {
        self.jobs(&seen.jobs, EACH);
        self.counters(&seen.counters, EACH);
        self.heads(seen);
        self.mark("ready by priority", EACH, !seen.priorities.is_empty());
        self.mark(
            "oldest in progress",
            EACH,
            seen.oldest_in_progress.is_some(),
        );
        self.mark("next due", EACH, seen.next_due.is_some());
        self.mark("workers", EACH, seen.consumers.is_some());
        self.mark("busy workers", EACH, seen.busy_workers.is_some());
        self.mark("paused", EACH, seen.paused.is_some());
        // Inferred only where it is not told.
        let measured = seen.measured.as_ref().filter(|seen| !seen.is_sample);
        for (row, is_told) in [
            ("waits", measured.is_some()),
            ("enqueued", seen.counters.enqueued.is_some()),
            ("started", seen.counters.started.is_some()),
        ] {
            self.mark(row, "flow", seen.flow.is_some() && !is_told);
        }
        if let Some(measured) = &seen.measured {
            let word = if measured.is_sample { "sample" } else { EACH };
            self.mark("waits", word, !measured.waits.is_empty());
            self.mark("run times", word, !measured.runs.is_empty());
        }
    }

    /// Where latency comes from, and whether an older job can be ruled out.
    fn heads(&mut self, seen: &Observation) {
        let mut known = Vec::new();
        if let Head::Since {
            source,
            upper_is_hard,
            ..
        } = seen.head
        {
            known.push((source.as_str(), upper_is_hard));
        }
        let lines = seen.flow.iter().flat_map(|flow| &flow.lines);
        let lines = lines.filter(|line| line.ready > 0);
        known.extend(lines.filter_map(|line| match line.head.state {
            HeadState::Stamped {
                source,
                upper_is_hard,
                ..
            } => Some((source.as_str(), upper_is_hard)),
            // Of what was there before us only a lower bound is known; what comes later has both.
            HeadState::Waiting => Some(("flow", true)),
            HeadState::AllDueLater | HeadState::Unknown(_) => None,
        }));
        for (source, upper_is_hard) in known {
            self.mark("latency", source, true);
            self.mark("hard upper bound", EACH, upper_is_hard);
        }
    }

    fn total(&mut self, totals: &SystemTotals) {
        self.jobs(&totals.jobs, TOGETHER);
        self.counters(&totals.counters, TOGETHER);
        self.mark("next due", TOGETHER, totals.next_due.is_some());
        self.mark("workers", TOGETHER, totals.slots.is_some());
        self.mark("busy workers", TOGETHER, totals.busy_workers.is_some());
    }

    fn jobs(&mut self, jobs: &Jobs, word: &'static str) {
        let rows = ROWS.iter().zip(JobState::ALL);
        for (row, state) in rows {
            self.mark(row, word, jobs.get(state).is_some());
        }
    }

    fn counters(&mut self, counters: &Counters, word: &'static str) {
        for (row, counter) in [
            ("enqueued", counters.enqueued),
            ("started", counters.started),
            ("finished", counters.finished),
            ("failures", counters.failures),
            ("retries", counters.retries),
        ] {
            self.mark(row, word, counter.is_some());
        }
    }

    fn cell(&self, row: &str) -> String {
        let words: Vec<&str> = self.cells.get(row).into_iter().flatten().copied().collect();
        match words.is_empty() {
            true => "–".to_owned(),
            false => words.join(", "),
        }
    }
}

/// The least and the most.
fn range(numbers: &[usize]) -> String {
    let (Some(least), Some(most)) = (numbers.iter().min(), numbers.iter().max()) else {
        panic!("nothing was polled");
    };
    match least == most {
        true => least.to_string(),
        false => format!("{least}–{most}"),
    }
}

fn table() -> String {
    let columns: Vec<(System, Column)> = recordings::layouts()
        .map(|(system, bind)| (system, Column::of(system, bind)))
        .collect();
    let line = |name: &str, cell: &dyn Fn(&Column) -> String| {
        let cells = columns
            .iter()
            .map(|(_, column)| format!(" {} |", cell(column)));
        format!("| {name} |{}\n", cells.collect::<String>())
    };
    let names = columns
        .iter()
        .map(|(system, _)| format!(" `{}` |", system.as_str()));
    let mut table = format!(
        "| |{}\n|---|{}\n",
        names.collect::<String>(),
        "---|".repeat(columns.len())
    );
    for row in ROWS {
        table += &line(row, &|column| column.cell(row));
    }
    table += &line("commands a queue and poll", &|column| range(&column.costs));
    table += &line("commands a poll besides", &|column| {
        range(&column.overviews)
    });
    table
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn docs_systems_tells_what_each_layout_can() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/systems.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("by a test -->\n").unwrap();
    let (kept, after) = rest.split_once("<!-- /systems -->").unwrap();
    let table = table();
    if std::env::vars_os().any(|(name, _)| name == "UPDATE_SYSTEMS") {
        let page = format!("{before}by a test -->\n{table}<!-- /systems -->{after}");
        std::fs::write(path, page).unwrap();
    } else {
        assert_eq!(
            kept, table,
            "run `UPDATE_SYSTEMS=1 cargo test --lib docs_systems`"
        );
    }
}
