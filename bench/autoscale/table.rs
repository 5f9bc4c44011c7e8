//! The simulated day of many seeds as a Markdown table.

use super::competitors::COMPETITORS;
use super::day::{self, Outcome};
use std::sync::atomic::{AtomicU64, Ordering};

/// Simulates on all cores and prints median and 95th percentile over the seeds.
pub fn day(seeds: u64) {
    let next = AtomicU64::new(0);
    let mut all: Vec<Vec<Outcome>> = COMPETITORS.iter().map(|_| Vec::new()).collect();
    let work = || {
        let mut found = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return found;
            }
            let arrivals = day::arrivals(seed);
            let each = COMPETITORS.iter();
            found.push(
                each.map(|competitor| day::run(competitor, &arrivals, seed))
                    .collect::<Vec<_>>(),
            );
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for outcomes in thread.join().unwrap() {
                for (all, outcome) in all.iter_mut().zip(outcomes) {
                    all.push(outcome);
                }
            }
        }
    });
    println!(
        "| {seeds} days, median / p95 | mean wait s | max wait s | late % | cost × | reversals | late % × cost |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (competitor, outcomes) in COMPETITORS.iter().zip(&all) {
        let cell = |of: &dyn Fn(&Outcome) -> f64, digits: usize| {
            let mut each: Vec<f64> = outcomes.iter().map(of).collect();
            each.sort_by(f64::total_cmp);
            let at = |share: f64| each[((each.len() - 1) as f64 * share).round() as usize];
            format!("{:.digits$} / {:.digits$}", at(0.5), at(0.95))
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            competitor.name,
            cell(&|day| day.mean_wait, 2),
            cell(&|day| day.max_wait, 0),
            cell(&|day| day.late_share * 100.0, 2),
            cell(&|day| day.cost, 2),
            cell(&|day| day.reversals, 0),
            cell(&|day| day.late_share * 100.0 * day.cost, 2),
        );
    }
}
