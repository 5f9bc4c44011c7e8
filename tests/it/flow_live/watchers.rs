//! Two that watch the same queue.

use super::*;

/// Tasks that are sent.
const TASKS: u32 = 3000;

#[test]
fn two_that_watch_the_same_queue_agree_within_their_bounds() {
    let redis = Redis::start(RedisOptions::default());
    let celery = Celery::new(&redis.url()).settings(&json!({"worker_prefetch_multiplier": 1}));
    let _worker = celery.worker("flow", &["-c", "2"], redis.dir());
    let configuration = quick(&redis.url())
        .replace("200ms", "1s")
        .replace("1500ms", "9s");
    let first = Tailback::start_config(&configuration);
    first.wait_jobs("celery", "flow", "ready", 0);
    // Out of step with the first.
    std::thread::sleep(Duration::from_millis(430));
    let second = Tailback::start_config(&configuration);
    second.wait_jobs("celery", "flow", "ready", 0);
    let times = redis.dir().join("times");
    let mut pairs = Vec::new();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            celery.send("flow", TASKS, &["--record", times.to_str().unwrap()]);
        });
        let until = now() + 60.0;
        let is_done = |tailback: &Tailback| {
            let queue = tailback.json(QUEUE);
            queue["jobs"]["ready"] == 0 && queue["started_total"].as_u64() > Some(0)
        };
        while now() < until && !(sending.is_finished() && is_done(&first) && is_done(&second)) {
            pairs.push([first.json(QUEUE), second.json(QUEUE)]);
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    std::thread::sleep(Duration::from_secs(3));
    let compared = pairs.iter().filter(|both| do_ages_agree(both)).count();
    assert!(compared > 10, "{compared}");
    // Nothing is counted before it has come, and the later one has counted it too, but for as many as
    // came while its poll was under way, between the broker's counts and the lists: what was then in a
    // list hides as many that came and went, until the list turns over.
    let longest = longest_poll(&first).max(longest_poll(&second));
    let hidden = most_sent_within(&recorded(&times), longest) + f64::from(ON_THE_WAY);
    let apart = pairs.iter().filter_map(counted_apart).fold(0.0, f64::max);
    println!("counts at most {apart} apart; {hidden} came in {longest} s, the longest poll");
    assert!(apart <= hidden, "{apart} apart, {hidden} in {longest} s");
    let totals = [first.json(QUEUE), second.json(QUEUE)].map(|queue| {
        let of = |name: &str| queue[name].as_u64().unwrap();
        assert_eq!(queue["flow"]["counts"], "exact");
        (of("enqueued_total"), of("started_total"))
    });
    println!("{compared} pairs of polls agree; enqueued and started {totals:?}");
    assert_eq!(totals, [(u64::from(TASKS), u64::from(TASKS)); 2]);
}

/// Tasks that a worker has popped and not yet noted as delivered, one for each of its processes and
/// one more.
const ON_THE_WAY: u32 = 3;

/// The most tasks that were sent within any span of so many seconds.
fn most_sent_within(tasks: &[(f64, f64)], secs: f64) -> f64 {
    let mut sent: Vec<f64> = tasks.iter().map(|(sent, _)| *sent).collect();
    sent.sort_by(f64::total_cmp);
    let within =
        |(index, first): (usize, &f64)| sent.partition_point(|sent| sent - first <= secs) - index;
    sent.iter().enumerate().map(within).max().unwrap_or(0) as f64
}

/// By how much the earlier of two polls has counted more than the later one.
fn counted_apart(both: &[Value; 2]) -> Option<f64> {
    let [Some(a), Some(b)] = both
        .each_ref()
        .map(|queue| queue["observed_timestamp_seconds"].as_f64())
    else {
        return None;
    };
    let [first, second] = both
        .each_ref()
        .map(|queue| queue["enqueued_total"].as_f64().unwrap_or(0.0));
    Some(if a <= b {
        first - second
    } else {
        second - first
    })
}

/// Whether both show a backlog; then they must not contradict each other.
fn do_ages_agree(both: &[Value; 2]) -> bool {
    let of = |name: &str| both.each_ref().map(|queue| queue[name].as_f64());
    let [Some(a), Some(b)] = of("observed_timestamp_seconds") else {
        return false;
    };
    let (mins, maxs) = (of("latency_min_seconds"), of("latency_max_seconds"));
    let ([Some(min_a), Some(min_b)], [Some(max_a), Some(max_b)]) = (mins, maxs) else {
        return false;
    };
    if max_a == 0.0 || max_b == 0.0 {
        return false;
    }
    // The head of the later poll came no earlier than that of the one before, so it ages no faster
    // than time passes; and it is at least as young as that one's bounds allow.
    let since = |at: f64, min: f64, max: f64| (at - max, at - min);
    let ((_, latest), (earliest, _)) = if a <= b {
        (since(b, min_b, max_b), since(a, min_a, max_a))
    } else {
        (since(a, min_a, max_a), since(b, min_b, max_b))
    };
    assert!(earliest <= latest + 0.05, "{both:?}");
    true
}
