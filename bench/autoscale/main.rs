//! The parts of `make bench-autoscale` that are not real servers and workers: what decides how many
//! workers there are, the least that a fan-out can take, and a simulated day.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench may panic and print"
)]

mod competitors;
mod day;
mod fan_out;
mod hpa;
#[path = "../../tests/flow_sim/random.rs"]
#[allow(dead_code, reason = "shared with others that need more")]
mod random;
mod table;

use clap::Parser;
use competitors::{COMPETITORS, Competitor};
use fan_out::FanOut;
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead as _, Write as _};

#[derive(Debug, Parser)]
enum Command {
    /// Lists the competitors: key and name.
    Competitors,
    /// Decides for one competitor. The first line tells what to ask tailback for; then a line for
    /// each sync on standard input, `{"now": 15, "current": 1, "ready": 1, "metric": 7.5}`, is
    /// answered with the number of pods that there are to be.
    Scale {
        key: String,
        #[arg(long)]
        queue: String,
        #[arg(long, default_value_t = 1)]
        min: u32,
        #[arg(long)]
        max: u32,
    },
    /// The longest and the mean wait of a fan-out with perfect knowledge.
    Bound(FanOut),
    /// Simulates a day for each competitor and seed; prints a table.
    Day {
        #[arg(long, default_value_t = 3000)]
        seeds: u64,
    },
}

#[derive(Debug, Deserialize)]
struct Sync {
    now: f64,
    current: u32,
    ready: u32,
    metric: Option<f64>,
}

fn main() {
    match Command::parse() {
        Command::Competitors => {
            let all = COMPETITORS.iter().map(|each| json!([each.key, each.name]));
            println!("{}", all.collect::<serde_json::Value>());
        }
        Command::Scale {
            key,
            queue,
            min,
            max,
        } => {
            let competitor = Competitor::find(&key).expect("no such competitor");
            println!("{}", json!(competitor.metadata(&queue)));
            let mut scaler = competitor.scaler(min, max);
            for line in std::io::stdin().lock().lines() {
                let sync: Sync = serde_json::from_str(&line.unwrap()).unwrap();
                let pods = scaler.sync(sync.now, sync.current, sync.ready, sync.metric);
                println!("{pods}");
                std::io::stdout().flush().unwrap();
            }
        }
        Command::Bound(fan_out) => {
            let behavior = serde_json::from_value(competitors::advised()).unwrap();
            let (longest, mean) = fan_out::bound(&fan_out, &behavior);
            println!("{}", json!({"max": longest, "mean": mean}));
        }
        Command::Day { seeds } => table::day(seeds),
    }
}
