//! The recordings of all job systems: `tests/fixtures/systems.json` names them, for these tests and
//! for the live ones.
//!
//! A case is what a Redis held at a moment (`now`, Unix seconds), with the queues that are to be
//! found there; `before` names the case of the same Redis that is polled ahead of it, `config` holds
//! options. The first case of each system is what the live tests put into one Redis; `grows` is the
//! list, sorted set or stream of it that becomes long where they count commands.

use super::{Driven, Keyspace};
use crate::config::{Config, Endpoint, Environment};
use crate::layout::redis::{Layout, Outcome};
use crate::layout::{BindRedis, LAYOUTS};
use crate::model::{System, Timestamp};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recording {
    system: String,
    file: String,
    pub(super) cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    name: String,
    before: Option<String>,
    now: u32,
    #[serde(default)]
    config: String,
    grows: Option<String>,
    queues: BTreeSet<String>,
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// Large enough for every recorded payload.
const MAX_PAYLOAD: u64 = 1 << 20;

pub(super) fn all() -> Vec<Recording> {
    serde_json::from_str(&read("systems.json")).unwrap()
}

/// The recordings of a system; every layout on Redis must have some.
pub(super) fn of(system: System) -> Recording {
    let system = system.as_str();
    let found = all().into_iter().find(|known| known.system == system);
    found.unwrap_or_else(|| panic!("no recordings of {system}: name them in systems.json"))
}

/// The layouts on Redis.
pub(super) fn layouts() -> impl Iterator<Item = (System, BindRedis)> {
    LAYOUTS
        .iter()
        .filter_map(|row| Some((row.system, row.redis?)))
}

fn read(file: &str) -> String {
    let path = Path::new(FOLDER).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

// === impl Recording ===

impl Recording {
    pub(super) fn keys(&self, case: &str) -> Keyspace {
        Keyspace::recorded(&read(&self.file), case)
    }

    /// Each case, with a new layout for it and its time.
    pub(super) fn bound(
        &self,
        bind: BindRedis,
    ) -> impl Iterator<Item = (Box<dyn Layout>, Keyspace, Timestamp)> {
        let bound = move |case: &Case| (case.bind(bind), self.keys(&case.name), case.now());
        self.cases.iter().map(bound)
    }

    /// Polls a case twice with a new layout, after what was before it, and gives what each of the
    /// last two polls saw and asked.
    pub(super) fn drive(&self, case: &Case, bind: BindRedis) -> Vec<Driven> {
        let mut layout = case.bind(bind);
        let now = case.now();
        if let Some(before) = &case.before {
            self.keys(before).drive(&mut *layout, now);
        }
        let keys = self.keys(&case.name);
        let later = now.plus(Duration::from_secs(1));
        [now, later].map(|at| keys.drive(&mut *layout, at)).into()
    }
}

// === impl Case ===

impl Case {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs_f64(self.now.into()).unwrap()
    }

    fn bind(&self, bind: BindRedis) -> Box<dyn Layout> {
        let text = format!(
            "[brokers.main.redis]\nurl = 'redis://nowhere'\n{}",
            self.config
        );
        let config = Config::from_toml(&text, &self.name, &Environment::default());
        let config = config.unwrap_or_else(|faults| panic!("{faults}"));
        match &config.brokers[0].endpoint {
            Endpoint::Redis(redis) => bind(redis, MAX_PAYLOAD),
            Endpoint::RabbitMq(_) | Endpoint::Simulated => unreachable!(),
        }
    }
}

#[test]
fn every_recorded_queue_is_found_under_its_own_system_and_nothing_else_is() {
    for (system, bind) in layouts() {
        let own = of(system);
        let grows = own.cases[0].grows.as_ref();
        let grows = grows.unwrap_or_else(|| panic!("{}: what grows?", own.system));
        assert!(
            own.keys(&own.cases[0].name)
                .0
                .contains_key(grows.as_bytes())
        );
        for case in &own.cases {
            for seen in own.drive(case, bind) {
                let names = seen.outcomes.iter().map(|outcome| match outcome {
                    Outcome::Observed(seen) => seen.queue.to_string(),
                    other => panic!("{}: {other:?}", case.name),
                });
                assert_eq!(names.collect::<BTreeSet<_>>(), case.queues, "{}", case.name);
            }
        }
        // Other systems' keys are none of its business; some of its queues are in no key.
        let bound = || own.cases[0].bind(bind);
        let always = Keyspace::default().discover(&mut *bound());
        for other in all().iter().filter(|other| other.system != own.system) {
            for case in &other.cases {
                let found = other.keys(&case.name).discover(&mut *bound());
                assert_eq!(found, always, "{} took {}", own.system, other.system);
            }
        }
    }
}
