//! A Celery message as kombu's Redis transport stores it: a JSON object whose `headers` and
//! `properties` tell when the task was sent and when it may run (kombu 5.0–5.7,
//! `kombu/transport/virtual/base.py`; Celery 4.0–5.7, `celery/app/amqp.py`, task protocol 2).
//! The body comes first in the JSON and is skipped without being decoded.

use crate::model::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The parts of a message that tell of time.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    headers: Value,
    #[serde(default)]
    properties: Value,
}

/// When a task can be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Claimable {
    /// Since a time between these two. `is_redelivered` means that it has been taken before and was
    /// put back, in no particular order; `is_send`, that it is when it was sent.
    Since {
        earliest: Timestamp,
        latest: Timestamp,
        is_redelivered: bool,
        is_send: bool,
    },
    /// Not before its ETA.
    From(Timestamp),
    /// Now, and nobody wrote down since when.
    Untimed,
}

impl Message {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }

    /// When the task is due, if it was sent with an ETA or countdown.
    pub(super) fn eta(&self) -> Option<Timestamp> {
        iso_time(self.headers.get("eta")?.as_str()?)
    }

    pub(super) fn claimable(&self, paths: &[Vec<String>], now: Timestamp) -> Claimable {
        let eta = self.eta();
        let (earliest, latest) = match (eta, self.sent(paths)) {
            (Some(eta), _) if eta > now => return Claimable::From(eta),
            // A task with an ETA is sent before it; from then on it could be taken.
            (Some(eta), None) => (eta, eta),
            // A retry keeps the header of the first send; its own start is the new ETA.
            (Some(eta), Some((earliest, latest))) => (earliest.max(eta), latest.max(eta)),
            (None, Some(sent)) => sent,
            (None, None) => return Claimable::Untimed,
        };
        Claimable::Since {
            earliest,
            latest,
            is_redelivered: self.is_redelivered(),
            is_send: eta.is_none(),
        }
    }

    /// The send time at the first of the paths that holds one.
    fn sent(&self, paths: &[Vec<String>]) -> Option<(Timestamp, Timestamp)> {
        paths.iter().find_map(|path| sent_time(self.at(path)?))
    }

    fn at(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        let root = match first.as_str() {
            "headers" => &self.headers,
            "properties" => &self.properties,
            _ => return None,
        };
        rest.iter()
            .try_fold(root, |value, segment| value.get(segment))
    }

    /// kombu marks what it puts back at a worker's shutdown or after the visibility timeout.
    pub(super) fn is_redelivered(&self) -> bool {
        let is_true = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
        is_true(self.headers.get("redelivered"))
            || is_true(
                self.properties
                    .get("delivery_info")
                    .and_then(|info| info.get("redelivered")),
            )
    }
}

/// A number in any unit, or text with a number or an ISO 8601 time.
pub(crate) fn sent_time(value: &Value) -> Option<(Timestamp, Timestamp)> {
    match value {
        Value::Number(number) => from_number(number.as_f64()?, number.is_f64()),
        Value::String(text) => match text.parse::<f64>() {
            Ok(number) => from_number(number, text.contains('.')),
            Err(_) => iso_time(text).map(|at| (at, at)),
        },
        _ => None,
    }
}

/// Whole seconds were cut off, so the truth is up to a second later.
fn from_number(number: f64, has_fraction: bool) -> Option<(Timestamp, Timestamp)> {
    // Zero and its neighbours are flags or counters that somebody keeps under such a name.
    if number < 1e8 {
        return None;
    }
    let at = Timestamp::from_number_of_unknown_unit(number)?;
    let is_whole_seconds = !has_fraction && number < 1e11;
    let doubt = if is_whole_seconds {
        Duration::from_micros(999_999)
    } else {
        Duration::ZERO
    };
    Some((at, at.plus(doubt)))
}

/// `2026-11-23T04:55:53.811859+00:00`; without an offset it is UTC, as Celery writes with
/// `enable_utc`.
pub(crate) fn iso_time(text: &str) -> Option<Timestamp> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
        .ok()?;
    let micros = i64::try_from(parsed.unix_timestamp_nanos() / 1000).ok()?;
    (micros >= 0).then(|| Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_micros(1_795_410_400_000_000);

    fn paths() -> Vec<Vec<String>> {
        [["properties", "timestamp"], ["headers", "enqueued_at"]]
            .iter()
            .map(|path| path.iter().map(|segment| (*segment).to_owned()).collect())
            .collect()
    }

    fn claimable(message: Value) -> Claimable {
        Message::from_value(&message)
            .unwrap()
            .claimable(&paths(), NOW)
    }

    fn at(secs: f64) -> Timestamp {
        Timestamp::from_secs_f64(secs).unwrap()
    }

    #[test]
    fn the_first_path_that_holds_a_time_counts() {
        assert_eq!(
            claimable(json!({"headers": {"enqueued_at": 1_795_410_390.5}, "properties": {}})),
            Claimable::Since {
                earliest: at(1_795_410_390.5),
                latest: at(1_795_410_390.5),
                is_redelivered: false,
                is_send: true,
            }
        );
        let Claimable::Since {
            earliest, latest, ..
        } = claimable(json!({
            "headers": {"enqueued_at": 1_795_410_390.5},
            "properties": {"timestamp": 1_795_410_380}
        }))
        else {
            panic!("timed");
        };
        assert_eq!(
            (earliest, latest),
            (at(1_795_410_380.0), at(1_795_410_380.999_999))
        );
    }

    #[test]
    fn an_eta_decides_when_it_is_the_later_one() {
        let message = |eta: &str| json!({"headers": {"eta": eta, "enqueued_at": 1_795_410_000.5}});
        assert_eq!(
            claimable(message("2026-11-23T05:06:41+00:00")),
            Claimable::From(at(1_795_410_401.0))
        );
        let Claimable::Since {
            earliest, is_send, ..
        } = claimable(message("2026-11-23T07:06:30+02:00"))
        else {
            panic!("due");
        };
        assert_eq!((earliest, is_send), (at(1_795_410_390.0), false));
    }

    #[test]
    fn what_holds_no_time_is_untimed() {
        for message in [
            json!({}),
            json!({"headers": null, "properties": []}),
            json!({"headers": {"enqueued_at": true, "eta": "soon"}, "properties": {"timestamp": 0}}),
            json!({"headers": {"enqueued_at": "yesterday"}}),
        ] {
            assert_eq!(claimable(message.clone()), Claimable::Untimed, "{message}");
        }
    }

    #[test]
    fn a_message_that_was_put_back_says_so() {
        let Claimable::Since { is_redelivered, .. } =
            claimable(json!({"headers": {"enqueued_at": 1_795_410_390.5, "redelivered": true}}))
        else {
            panic!("timed");
        };
        assert!(is_redelivered);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
            if let Some(message) = Message::decode(&bytes) {
                message.claimable(&paths(), NOW);
            }
            claimable(json!({"headers": {"eta": text.clone(), "enqueued_at": text}}));
        }
    }
}
