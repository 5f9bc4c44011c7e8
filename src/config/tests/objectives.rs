//! `[[objectives]]`: which holds for which queue, and what is refused.

use super::super::Config;
use super::{load, no_env};
use crate::model::{Objective, Objectives, System};
use std::time::Duration;

const BROKERS: &str = "
[brokers.main.redis]
url = 'redis://h'
[brokers.other.redis]
url = 'redis://i'
";

fn loaded(objectives: &str) -> Config {
    load(&format!("{BROKERS}{objectives}"))
}

/// The faults' lines, columns and words; the first line of `objectives` is line 1.
fn faults(objectives: &str) -> Vec<String> {
    let text = format!("{objectives}\n{BROKERS}");
    super::faults(&text, &no_env())
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_first_that_matches_holds() {
    let config = loaded(
        "
        [[objectives]]
        broker = 'other'
        queue = 'mail*'
        wait = '5s'
        [[objectives]]
        queue = 'mail*'
        wait = '30s'
        ratio = 0.9
        utilization = 1
        slots_per_worker = 4
        service_time = '250ms'
        [[objectives]]
        system = '{rq,celery}'
        wait = '1h'",
    );
    let of = |broker, system, queue| {
        let objective = config.objectives.of(broker, system, queue);
        objective.map(|objective| objective.wait.as_secs())
    };
    for (broker, system, queue, wait) in [
        ("other", System::List, "mail/eu", Some(5)),
        ("main", System::List, "mail/eu", Some(30)),
        ("main", System::Rq, "mail", Some(30)),
        ("main", System::Rq, "email", Some(3600)),
        ("other", System::Celery, "x", Some(3600)),
        ("main", System::List, "x", None),
    ] {
        assert_eq!(of(broker, system, queue), wait, "{broker} {queue}");
    }
    assert_eq!(
        config.objectives.of("main", System::List, "mail"),
        Some(Objective {
            wait: Duration::from_secs(30),
            ratio: 0.9,
            utilization: 1.0,
            slots_per_worker: 4,
            service_time: Some(Duration::from_millis(250)),
        })
    );
    assert_eq!(
        config.objectives.of("main", System::Rq, "x"),
        Some(Objective {
            wait: Duration::from_secs(3600),
            ratio: Objective::DEFAULT_RATIO,
            utilization: Objective::DEFAULT_UTILIZATION,
            slots_per_worker: 1,
            service_time: None,
        })
    );
}

#[test]
fn without_any_no_queue_has_one() {
    let none = loaded("").objectives;
    assert_eq!(none.of("main", System::Rq, "x"), None);
    let urls = ["redis://h".to_owned()];
    let config = Config::load(None, &urls, &no_env()).unwrap();
    assert_eq!(config.objectives, none);
}

#[test]
fn each_fault_is_told_with_its_place() {
    for (objectives, want) in [
        (
            "[[objectives]]\nwait = '1s'",
            "c.toml:1:1: objectives: needs `broker`, `system` or `queue`; `queue = \"*\"` is all \
             queues",
        ),
        (
            "[[objectives]]\nqueue = '*'",
            "c.toml:1:1: objectives: needs `wait`, the longest time that a job may wait",
        ),
        (
            "[[objectives]]\nqueue = '*'\nwait = 30",
            "c.toml:3:8: objectives.wait: needs a unit and quotes, for example \"500ms\", \"5s\" or \
             \"1h 30m\"",
        ),
        (
            "[[objectives]]\nqueue = '[a'\nwait = '1s'",
            "c.toml:2:9: objectives.queue: is not a valid glob: unclosed character class; missing \
             ']'",
        ),
        (
            "[[objectives]]\nqueue = '*'\nwait = '1s'\nratio = 1",
            "c.toml:4:9: objectives.ratio: must be below 1: that no job at all is ever late cannot \
             be kept",
        ),
        (
            "[[objectives]]\nqueue = '*'\nwait = '1s'\nratio = 0.0",
            "c.toml:4:9: objectives.ratio: must be a number above 0 and at most 1",
        ),
        (
            "[[objectives]]\nqueue = '*'\nwait = '1s'\nutilization = 1.5",
            "c.toml:4:15: objectives.utilization: must be a number above 0 and at most 1",
        ),
        (
            "[[objectives]]\nqueue = '*'\nwait = '1s'\nslots_per_worker = 0",
            "c.toml:4:20: objectives.slots_per_worker: must be between 1 and 100000",
        ),
        (
            "[[objectives]]\nqueue = '*'\nwait = '1s'\ntarget = '1s'",
            "c.toml:4:1: objectives.target: unknown key; known here: `broker`, `system`, `queue`, \
             `wait`, `ratio`, `utilization`, `slots_per_worker` and `service_time`",
        ),
        (
            "[[objectives]]\nbroker = 'mian'\nwait = '1s'",
            "c.toml:2:10: objectives.broker: matches no broker of this file; there are `main` and \
             `other`",
        ),
        (
            "[[objectives]]\nsystem = 'python'\nwait = '1s'",
            "c.toml:2:10: objectives.system: matches no job system; there are ",
        ),
        (
            "[[objectives]]\nqueue = 'a'\nwait = '1s'\n[[objectives]]\nqueue = 'a'\nwait = '2s'",
            "c.toml:4:1: objectives: names the same queues as an earlier one, which holds for them",
        ),
        (
            "[objectives]\nqueue = 'a'",
            "c.toml:1:1: objectives: must be tables, each with the header [[objectives]]",
        ),
        (
            "objectives = [1]",
            "c.toml:1:14: objectives: must be tables, each with the header [[objectives]]",
        ),
    ] {
        let found = faults(objectives);
        assert_eq!(found.len(), 1, "{objectives}: {found:#?}");
        assert!(found[0].starts_with(want), "{objectives}: {found:#?}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let found = faults(
        "[[objectives]]\nratio = 2\n[[objectives]]\nqueue = '{'\nwait = 'soon'\nservice_time = '0s'",
    );
    assert_eq!(found.len(), 6, "{found:#?}");
}
