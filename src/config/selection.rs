//! Which job systems to look for and which queues to export.

use super::fault::Placed;
use super::filter::glob_fault;
use super::reader::Table;
use super::suggest::list;
use super::{Layouts, QueueFilter};
use crate::model::{BrokerKind, System};

/// Whether queues of this system can be in a broker of this kind.
const fn can_be_in(system: System, kind: BrokerKind) -> bool {
    match system {
        System::Celery | System::Dramatiq => true,
        System::Rq
        | System::Huey
        | System::Arq
        | System::Taskiq
        | System::Sidekiq
        | System::Bullmq
        | System::Resque
        | System::Asynq
        | System::Stream
        | System::List => matches!(kind, BrokerKind::Redis),
        System::RabbitMq => matches!(kind, BrokerKind::RabbitMq),
    }
}

const fn broker_title(kind: BrokerKind) -> &'static str {
    match kind {
        BrokerKind::Redis => "a Redis",
        BrokerKind::RabbitMq => "a RabbitMQ",
        BrokerKind::Simulated => "a simulation",
    }
}

pub(super) fn read_layouts(table: &Table<'_>, kind: BrokerKind) -> Layouts {
    let Some(Err(written)) = table.word_or_texts("layouts", "auto") else {
        return Layouts::Auto;
    };
    let known: Vec<System> = System::ALL
        .into_iter()
        .filter(|system| can_be_in(*system, kind))
        .collect();
    let names = list(
        &known
            .iter()
            .map(|system| system.as_str())
            .collect::<Vec<_>>(),
    );
    if written.value.is_empty() {
        table
            .notes
            .fault(&written.at, format!("must have at least one of {names}"));
    }
    let mut chosen = Vec::new();
    for name in &written.value {
        match known.iter().find(|system| system.as_str() == name.value) {
            Some(system) if chosen.contains(system) => {
                table.notes.fault(&name.at, "is listed twice");
            }
            Some(system) => chosen.push(*system),
            None => {
                let message = format!(
                    "the systems that {} can have are {names}",
                    broker_title(kind)
                );
                table.notes.fault(&name.at, message);
            }
        }
    }
    Layouts::Only(chosen)
}

pub(super) fn read_filter(table: &Table<'_>) -> QueueFilter {
    let [include, exclude] = ["include", "exclude"].map(|key| read_globs(table, key));
    let is_valid = include.is_some() && exclude.is_some();
    let (include, exclude) = (include.unwrap_or_default(), exclude.unwrap_or_default());
    if let Some(written) = &include
        && written.value.is_empty()
    {
        table.notes.fault(
            &written.at,
            "must have a glob; [\"*\"] includes every queue",
        );
    }
    let globs =
        |written: Option<Placed<Vec<String>>>| written.map_or_else(Vec::new, |globs| globs.value);
    match QueueFilter::new(&globs(include), &globs(exclude)) {
        Ok(filter) => filter,
        Err(_) => {
            // Each glob is valid by itself, so together they are too much.
            if is_valid {
                table.fault("`include` and `exclude` have too many or too long globs");
            }
            QueueFilter::default()
        }
    }
}

/// A list of globs: `Some(None)` if it is not written, `None` if one of them is wrong.
fn read_globs(table: &Table<'_>, key: &'static str) -> Option<Option<Placed<Vec<String>>>> {
    let Some(written) = table.texts(key) else {
        return Some(None);
    };
    let mut is_valid = true;
    for glob in &written.value {
        if let Some(message) = glob_fault(&glob.value) {
            table.notes.fault(&glob.at, message);
            is_valid = false;
        }
    }
    let values = written.value.into_iter().map(|glob| glob.value).collect();
    is_valid.then_some(Some(Placed {
        value: values,
        at: written.at,
    }))
}

/// A list of globs over queue names; empty if it is not written.
pub(super) fn read_queue_globs(table: &Table<'_>, key: &'static str) -> Vec<String> {
    read_globs(table, key)
        .flatten()
        .map_or_else(Vec::new, |globs| globs.value)
}
