//! The least that a fan-out can take: whoever scales knows at once what is to come, but orders pods at
//! syncs, by the same policies, and waits for them to start.

use super::hpa::{Behavior, Hpa, Target};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Debug, clap::Args)]
pub struct FanOut {
    #[arg(long)]
    pub jobs: u64,
    #[arg(long)]
    pub job_secs: f64,
    /// From the jobs' arrival to the next sync.
    #[arg(long)]
    pub first_sync: f64,
    #[arg(long)]
    pub sync_secs: f64,
    #[arg(long)]
    pub start_secs: f64,
    #[arg(long)]
    pub max: u32,
}

/// Longest and mean wait.
pub fn bound(fan_out: &FanOut, behavior: &Behavior) -> (f64, f64) {
    let mut hpa = Hpa::new(Target::AverageValue(1.0), behavior, 1, fan_out.max);
    let micros = |secs: f64| (secs * 1e6).round() as u64;
    // When each pod is free, soonest first: one is there already.
    let mut free = BinaryHeap::from([Reverse(0)]);
    let (mut pods, mut now) = (1, fan_out.first_sync);
    while pods < fan_out.max {
        let wanted = hpa.sync(now, pods, pods, Some(f64::from(fan_out.max)));
        let start = Reverse(micros(now + fan_out.start_secs));
        free.extend((pods..wanted).map(|_| start));
        (pods, now) = (wanted, now + fan_out.sync_secs);
    }
    let (mut longest, mut sum) = (0, 0.0);
    for _ in 0..fan_out.jobs {
        let Some(Reverse(start)) = free.pop() else {
            break;
        };
        longest = start;
        sum += start as f64 / 1e6;
        free.push(Reverse(start + micros(fan_out.job_secs)));
    }
    (longest as f64 / 1e6, sum / fan_out.jobs as f64)
}

#[test]
fn all_pods_at_once_are_bound_by_their_number() {
    let behavior = serde_json::from_value(serde_json::json!({
        "scaleUp": {"policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]},
    }))
    .unwrap();
    let fan_out = FanOut {
        jobs: 10_000,
        job_secs: 0.15,
        first_sync: 0.0,
        sync_secs: 15.0,
        start_secs: 20.0,
        max: 50,
    };
    // 1,500 s of work and 49 pods that begin 20 s late, shared by 50.
    let (longest, mean) = bound(&fan_out, &behavior);
    assert!((longest - (1500.0 + 980.0) / 50.0).abs() < 0.3, "{longest}");
    assert!(mean > 30.0 && mean < longest, "{mean}");
    let (slower, _) = bound(&fan_out, &Behavior::default());
    assert!(slower > longest + 15.0, "{slower}");
}
