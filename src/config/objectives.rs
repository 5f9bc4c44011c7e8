//! `[[objectives]]`: how long jobs may wait, by queue.

use super::filter::glob_fault;
use super::reader::Table;
use super::suggest::list;
use crate::model::{self, Objective, System};
use globset::{Glob, GlobMatcher};
use std::sync::Arc;
use std::time::Duration;

/// All of them, in the order of the file. The first that matches a queue holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objectives(Arc<[Entry]>);

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    selector: Selector,
    objective: Objective,
}

/// Globs over the labels of a queue; one that is absent matches all.
#[derive(Debug, Clone)]
struct Selector {
    broker: Option<GlobMatcher>,
    system: Option<GlobMatcher>,
    queue: Option<GlobMatcher>,
}

const MILLISECOND: Duration = Duration::from_millis(1);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
const MAX_SLOTS: u64 = 100_000;

impl model::Objectives for Objectives {
    fn of(&self, broker: &str, system: System, queue: &str) -> Option<Objective> {
        let holds = |entry: &&Entry| entry.selector.matches(broker, system, queue);
        self.0.iter().find(holds).map(|entry| entry.objective)
    }
}

/// The objectives of a file whose brokers have these names.
pub(super) fn read(root: &Table<'_>, brokers: &[&str]) -> Objectives {
    let mut entries: Vec<Entry> = Vec::new();
    for table in root.list("objectives") {
        let selector = Selector::read(&table, brokers);
        let objective = read_objective(&table);
        if let (Some(selector), Some(objective)) = (selector, objective) {
            if entries.iter().any(|earlier| earlier.selector == selector) {
                table.fault("names the same queues as an earlier one, which holds for them");
            }
            entries.push(Entry {
                selector,
                objective,
            });
        }
        table.finish();
    }
    Objectives(entries.into())
}

fn read_objective(table: &Table<'_>) -> Option<Objective> {
    let wait = table.duration("wait", MILLISECOND..=MONTH);
    let ratio = table.share("ratio");
    let utilization = table.share("utilization");
    let slots = table.integer("slots_per_worker", 1..=MAX_SLOTS);
    let service_time = table.duration("service_time", MILLISECOND..=MONTH);
    if !table.has("wait") {
        table.fault("needs `wait`, the longest time that a job may wait");
    }
    if let Some(ratio) = ratio.as_ref().filter(|ratio| ratio.value >= 1.0) {
        let message = "must be below 1: that no job at all is ever late cannot be kept";
        table.notes.fault(&ratio.at, message);
    }
    Some(Objective {
        wait: wait?.value,
        ratio: ratio.map_or(Objective::DEFAULT_RATIO, |ratio| ratio.value),
        utilization: utilization.map_or(Objective::DEFAULT_UTILIZATION, |share| share.value),
        slots_per_worker: slots
            .and_then(|slots| u32::try_from(slots.value).ok())
            .unwrap_or(1),
        service_time: service_time.map(|time| time.value),
    })
}

// === impl Selector ===

impl Selector {
    /// `None` if nothing or rubbish is selected; then there is a fault.
    fn read(table: &Table<'_>, brokers: &[&str]) -> Option<Self> {
        let systems = System::ALL.map(System::as_str);
        let [broker, system, queue] = ["broker", "system", "queue"].map(|key| table.text(key));
        if ["broker", "system", "queue"]
            .iter()
            .all(|key| !table.has(key))
        {
            table.fault("needs `broker`, `system` or `queue`; `queue = \"*\"` is all queues");
            return None;
        }
        let compile = |text: Option<super::fault::Placed<String>>,
                       known: Option<(&[&str], &str)>| {
            let Some(text) = text else {
                return Ok(None);
            };
            let fault = |message: String| table.notes.fault(&text.at, message);
            let Ok(glob) = Glob::new(&text.value) else {
                glob_fault(&text.value).map(fault);
                return Err(());
            };
            let matcher = glob.compile_matcher();
            if let Some((names, what)) = known
                && !names.iter().any(|name| matcher.is_match(name))
            {
                fault(format!("matches no {what}; there are {}", list(names)));
            }
            Ok(Some(matcher))
        };
        let known = (!brokers.is_empty()).then_some((brokers, "broker of this file"));
        let broker = compile(broker, known);
        let system = compile(system, Some((&systems, "job system")));
        let queue = compile(queue, None);
        Some(Self {
            broker: broker.ok()?,
            system: system.ok()?,
            queue: queue.ok()?,
        })
    }

    fn matches(&self, broker: &str, system: System, queue: &str) -> bool {
        let is_match =
            |glob: &Option<GlobMatcher>, text| glob.as_ref().is_none_or(|glob| glob.is_match(text));
        is_match(&self.broker, broker)
            && is_match(&self.system, system.as_str())
            && is_match(&self.queue, queue)
    }

    fn written(&self) -> [Option<&str>; 3] {
        [&self.broker, &self.system, &self.queue]
            .map(|glob| glob.as_ref().map(|glob| glob.glob().glob()))
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.written() == other.written()
    }
}
