//! Celery's events (4.0–5.7, `celery/events/`): a JSON object each, or a list of them where a worker
//! has gathered some (`task.multi`). Redis has them in kombu's envelope, with the body in base64.
//!
//! Anybody can publish there, so whatever is not as Celery writes it is counted and left.

use super::message::iso_time;
use crate::layout::name::shown;
use crate::model::Timestamp;
use crate::model::tasks::{Event, TaskStep, What, WorkerState};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::time::Duration;

/// Longer ids and names are not Celery's.
const MAX_TEXT: usize = 1024;

/// What a message holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    pub events: Vec<Event>,
    /// Events that could not be read; a message that could not be read at all is one.
    pub faults: u64,
    /// What was wrong with the first of them.
    pub complaint: Option<String>,
}

impl Decoded {
    fn fault(&mut self, complaint: impl Into<String>) {
        self.faults += 1;
        self.complaint.get_or_insert_with(|| complaint.into());
    }

    /// A message that could not be read.
    pub fn unreadable(complaint: impl Into<String>) -> Self {
        let mut decoded = Self::default();
        decoded.fault(complaint);
        decoded
    }
}

/// The pattern of the channels on which kombu publishes the events of one database.
pub fn channels(prefix: &str, db: u32, exchange: &str) -> Vec<u8> {
    let channel = format!("{prefix}/{db}.{exchange}/");
    let mut pattern = crate::layout::glob::escape(channel.as_bytes());
    pattern.push(b'*');
    pattern
}

/// A message as kombu publishes it on Redis.
pub fn decode_envelope(payload: &[u8]) -> Decoded {
    let Ok(envelope) = serde_json::from_slice::<Value>(payload) else {
        return Decoded::unreadable("it is no message of kombu's");
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let Some(body) = envelope.get("body").and_then(Value::as_str) else {
        return Decoded::unreadable("it has no body");
    };
    let properties = envelope.get("properties");
    let encoding = text(properties.and_then(|properties| properties.get("body_encoding")));
    let body = match encoding.as_deref() {
        Some("base64") => match STANDARD.decode(body) {
            Ok(body) => body,
            Err(_) => return Decoded::unreadable("its body is not the base64 that it says it is"),
        },
        None => body.as_bytes().to_vec(),
        Some(_) => return Decoded::unreadable("its body has an encoding that kombu does not have"),
    };
    let headers = envelope.get("headers");
    let compression = headers.and_then(|headers| headers.get("compression"));
    decode(
        text(envelope.get("content-type")).as_deref(),
        text(envelope.get("content-encoding")).as_deref(),
        compression.is_some_and(|compression| !compression.is_null()),
        &body,
    )
}

/// The body of a message, with what its properties say of it.
pub fn decode(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    is_compressed: bool,
    body: &[u8],
) -> Decoded {
    if content_type.is_some_and(|of| of != "application/json") {
        return Decoded::unreadable("it is not JSON: set `event_serializer = \"json\"` in Celery");
    }
    let is_text = content_encoding.is_none_or(|encoding| {
        ["utf-8", "utf8", "us-ascii", "binary"].contains(&&*encoding.to_ascii_lowercase())
    });
    if is_compressed || !is_text {
        return Decoded::unreadable("it is compressed or not UTF-8");
    }
    let mut decoded = Decoded::default();
    match serde_json::from_slice(body) {
        Ok(Value::Array(events)) => events.iter().for_each(|event| decoded.add(event)),
        Ok(event @ Value::Object(_)) => decoded.add(&event),
        _ => decoded.fault("its body is no JSON object or list"),
    }
    decoded
}

impl Decoded {
    fn add(&mut self, event: &Value) {
        match read(event) {
            Ok(event) => self.events.push(event),
            Err(complaint) => self.fault(complaint),
        }
    }
}

fn read(event: &Value) -> Result<Event, &'static str> {
    let text = |key| {
        let text = event.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
    };
    let kind = text("type").ok_or("an event has no type")?;
    let secs = event.get("timestamp").and_then(Value::as_f64);
    let at = secs.and_then(Timestamp::from_secs_f64);
    // Seconds since 1970 at any offset of the host: `utcoffset` is only for display.
    let at = at.ok_or("an event has no timestamp")?;
    let sender = text("hostname")
        .ok_or("an event has no hostname")?
        .to_owned();
    let number = |key| event.get(key).and_then(Value::as_u64);
    let secs = |key| {
        let secs = event.get(key).and_then(Value::as_f64)?;
        Duration::try_from_secs_f64(secs).ok()
    };
    let attempt =
        || number("retries").map_or(0, |retries| u32::try_from(retries).unwrap_or(u32::MAX));
    let step = match kind {
        "task-sent" => TaskStep::Sent {
            queue: text("queue").map(|queue| shown(queue.as_bytes())),
            attempt: attempt(),
            due: text("eta").and_then(iso_time),
        },
        "task-received" => TaskStep::Received {
            name: shown(text("name").ok_or("task-received has no name")?.as_bytes()),
            attempt: attempt(),
        },
        "task-started" => TaskStep::Started,
        "task-succeeded" => TaskStep::Succeeded {
            runtime: secs("runtime"),
        },
        "task-failed" => TaskStep::Failed,
        "task-retried" => TaskStep::Retried,
        "task-revoked" => TaskStep::Revoked,
        "task-rejected" => TaskStep::Rejected,
        _ => {
            let what = match kind {
                "worker-online" => What::Worker(WorkerState::Online),
                "worker-offline" => What::Worker(WorkerState::Offline),
                "worker-heartbeat" => What::Worker(WorkerState::Alive {
                    active: number("active"),
                    every: secs("freq"),
                }),
                _ => What::Other,
            };
            return Ok(Event { sender, at, what });
        }
    };
    let id = text("uuid")
        .ok_or("an event of a task has no uuid")?
        .to_owned();
    Ok(Event {
        sender,
        at,
        what: What::Task { id, step },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Recorded from Celery 5.7 and kombu 5.7.
    const RECORDED: &str = include_str!("../../../tests/fixtures/celery-events.json");

    fn envelope(body: &Value) -> Value {
        json!({
            "body": STANDARD.encode(body.to_string()), "content-type": "application/json",
            "content-encoding": "utf-8", "headers": {"hostname": "w@h"},
            "properties": {"body_encoding": "base64"},
        })
    }

    fn decoded(envelope: &Value) -> Decoded {
        decode_envelope(envelope.to_string().as_bytes())
    }

    #[test]
    fn what_celery_publishes_is_read_whole() {
        let recorded: Vec<(String, String)> = serde_json::from_str(RECORDED).unwrap();
        let mut kinds: Vec<&str> = Vec::new();
        let mut lists = 0;
        for (channel, message) in &recorded {
            let pattern = channels("", 0, "celeryev");
            assert!(
                crate::layout::glob::matches(&pattern, channel.as_bytes()),
                "{channel}"
            );
            let decoded = decode_envelope(message.as_bytes());
            assert_eq!(
                (decoded.faults, &decoded.complaint),
                (0, &None),
                "{channel}"
            );
            lists += usize::from(decoded.events.len() > 1);
            kinds.extend(
                decoded
                    .events
                    .iter()
                    .map(|event| event.what.kind().as_str()),
            );
            for event in &decoded.events {
                if let What::Task {
                    step: TaskStep::Sent { queue, .. },
                    ..
                } = &event.what
                {
                    assert_eq!(queue.as_deref(), Some("emails"));
                }
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(
            kinds,
            [
                "failed",
                "received",
                "rejected",
                "retried",
                "revoked",
                "sent",
                "started",
                "succeeded",
                "worker"
            ]
        );
        assert!(lists > 0);
    }

    #[test]
    fn other_prefixes_and_databases_have_other_channels() {
        let pattern = channels("{my*app}:", 3, "celeryev");
        assert_eq!(pattern, b"{my\\*app}:/3.celeryev/*");
    }

    #[test]
    fn one_bad_event_leaves_its_neighbours() {
        let good =
            json!({"type": "task-started", "uuid": "a", "hostname": "w@h", "timestamp": 1.5});
        let bad = [
            json!(7),
            json!({"type": "task-started", "hostname": "w@h", "timestamp": 1.5}),
            json!({"type": "task-started", "uuid": 7, "hostname": "w@h", "timestamp": 1.5}),
            json!({"type": "task-started", "uuid": "a", "hostname": "w@h", "timestamp": "now"}),
            json!({"type": "task-started", "uuid": "a", "hostname": "w@h", "timestamp": -1.5}),
            json!({"type": "task-received", "uuid": "a", "hostname": "w@h", "timestamp": 1.5}),
            json!({"type": "task-started", "uuid": "x".repeat(9999), "hostname": "h", "timestamp": 1}),
        ];
        let mut all = vec![good.clone()];
        all.extend(bad);
        all.push(good);
        let decoded = decoded(&envelope(&json!(all)));
        assert_eq!((decoded.events.len(), decoded.faults), (2, 7));
        assert!(decoded.complaint.is_some());
    }

    #[test]
    fn a_message_that_is_not_as_kombu_writes_it_is_one_fault() {
        let good =
            json!({"type": "task-started", "uuid": "a", "hostname": "w@h", "timestamp": 1.5});
        let good = envelope(&good);
        assert_eq!(decoded(&good).faults, 0);
        for (pointer, value) in [
            ("/body", json!("%%%")),
            ("/body", json!(null)),
            ("/body", json!(STANDARD.encode("text"))),
            ("/content-type", json!("application/x-python-serialize")),
            ("/content-encoding", json!("utf-16")),
            ("/headers", json!({"compression": "application/x-gzip"})),
            ("/properties/body_encoding", json!("rot13")),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            let decoded = decoded(&bad);
            assert_eq!((decoded.events.len(), decoded.faults), (0, 1), "{bad}");
        }
        assert_eq!(decode_envelope(b"\xff\x00").faults, 1);
        // Without base64 the body is the text itself.
        let plain = json!({"body": "{}", "content-type": "application/json"});
        assert_eq!(
            decoded(&plain).complaint.as_deref(),
            Some("an event has no type")
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decode_envelope(&bytes);
            decode(None, None, false, &bytes);
        }
    }
}
