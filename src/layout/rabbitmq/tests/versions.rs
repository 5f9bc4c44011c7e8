//! What differs between versions: recordings of 3.10.8 and 4.0.5, and for those in between and after
//! what their documentation and sources say.

use super::*;
use crate::layout::rabbitmq::Kind;
use serde_json::json;

const HEADS: &str = include_str!("../../../../tests/fixtures/rabbitmq/heads.json");
const STREAMS: &str = include_str!("../../../../tests/fixtures/rabbitmq/streams.json");
const DOCUMENTED: &str = include_str!("../../../../tests/fixtures/rabbitmq/documented.json");

fn since(secs: i64) -> Head {
    let earliest = Timestamp::from_micros(secs * 1_000_000);
    Head::Since {
        earliest,
        latest: earliest.plus(Duration::from_secs(1)),
        upper_is_hard: true,
        source: LatencySource::Broker,
    }
}

/// What a classic queue with this time at its head shows.
fn head_of(time: &Value, ready: u64, held: u64) -> Head {
    let row = json!({"name": "q", "type": "classic", "messages_ready": ready,
        "messages_unacknowledged": held, "consumers": 0, "head_message_timestamp": time});
    let row = QueueRow::decode(&row).unwrap();
    crate::layout::rabbitmq::bind(&config())
        .observe(&[&row])
        .head
}

#[test]
fn a_recorded_head_is_the_oldest_that_waits_only_while_none_is_held() {
    let file: Value = serde_json::from_str(HEADS).unwrap();
    for (version, sent) in [("3.10.8", 1_795_410_541), ("4.0.5", 1_795_410_619)] {
        let recorded = &file[version];
        for way in ["list_default", "list_columns", "vhost_list"] {
            let head = head_of(&recorded[way][0], 1, 0);
            assert_eq!(head, since(sent), "{version} {way}");
        }
        assert_eq!(head_of(&recorded["detail"], 1, 0), since(sent));
        let page = rows(&recorded["paged_columns"]);
        assert_eq!(page[0].head_timestamp, Some(sent as f64));
        // It is the held one's, and the next one was sent 100 s later.
        let held = &recorded["detail_oldest_unacked_head_ready_is_+100"];
        assert_eq!(held.as_i64(), Some(sent));
        assert_eq!(
            head_of(held, 1, 1),
            Head::Unknown(Reason::IncludesUnacknowledged)
        );
        assert_eq!(
            head_of(&recorded["detail_after_ack"], 1, 0),
            since(sent + 100)
        );
        assert_eq!(head_of(&recorded["transient"], 1, 0), since(sent + 300));
        let big = &recorded["big30k_5kB"];
        let ready = big["messages_ready"].as_u64().unwrap();
        assert_eq!(
            head_of(&big["head_message_timestamp"], ready, 0),
            since(sent - 4000)
        );
    }
    let lazy = &file["3.10.8"]["lazy"]["head_message_timestamp"];
    assert_eq!(head_of(lazy, 4, 0), Head::Unknown(Reason::NoTimestamp));
    // The broker itself can write the time.
    let written = &file["interceptor"];
    assert_eq!(head_of(&written["i.classic"], 2, 0), since(1_795_412_043));
}

#[test]
fn a_recorded_stream_tells_arrivals_and_readers_and_no_waiting() {
    for version in ["3.10.8", "4.0.5"] {
        let stream = &observe(STREAMS, &format!("/{version}"))["s.stream"];
        assert_eq!(
            (stream.jobs, stream.consumers),
            (Jobs::default(), Some(1)),
            "{version}"
        );
        let counters = stream.counters;
        assert_eq!((counters.enqueued, counters.started), (Some(10), None));
    }
}

#[test]
fn a_classic_queue_as_3_12_documents_it() {
    let seen = &observe(DOCUMENTED, "/3.12")["cq"];
    assert_eq!(depths(seen), (Some(2), Some(0), Some(2)));
    assert_eq!(seen.head, since(1_700_000_000));
    assert_eq!(seen.consumer_capacity, Some(1.0));
    let counters = seen.counters;
    assert_eq!(
        (counters.enqueued, counters.started, counters.finished),
        (Some(9), Some(7), Some(7))
    );
}

#[test]
fn the_shorter_list_as_3_13_documents_it() {
    let seen = &observe(DOCUMENTED, "/3.13")["cq"];
    assert_eq!(depths(seen), (Some(2), Some(0), Some(0)));
    // The time of the head is left out with all else that is null.
    assert_eq!(seen.head, Head::Unknown(Reason::NoTimestamp));
    assert_eq!(seen.counters.enqueued, Some(0));
    let file: Value = serde_json::from_str(DOCUMENTED).unwrap();
    assert!(rows(&file["3.13"])[0].drops, "by its policy");
}

#[test]
fn quorum_queues_and_streams_as_4_1_documents_them() {
    let seen = observe(DOCUMENTED, "/4.1");
    assert_eq!(depths(&seen["qq"]), (Some(2), Some(1), Some(0)));
    assert_eq!(seen["sq"].jobs, Jobs::default());
    let file: Value = serde_json::from_str(DOCUMENTED).unwrap();
    let quorum = &rows(&file["4.1"])[0];
    assert_eq!(quorum.time_to_live, Some(Duration::from_secs(100)));
    assert!(!quorum.has_priorities);
}

#[test]
fn priorities_of_quorum_queues_as_4_3_documents_them() {
    let file: Value = serde_json::from_str(DOCUMENTED).unwrap();
    let [even, urgent, other] = &rows(&file["4.3"])[..] else {
        panic!("three rows")
    };
    // One level is in order, whichever it is.
    assert!(!even.has_priorities);
    assert!(urgent.has_priorities);
    // A type that nobody knows yet has depths all the same.
    assert_eq!((other.kind, other.ready), (Kind::Other, Some(1)));
    let with = |levels: Value| {
        let row = json!({"name": "q", "messages_by_priority": levels});
        QueueRow::decode(&row).unwrap().has_priorities
    };
    assert!(!with(Value::Null) && !with(json!({"0": 4, "9": 0})));
    // Written in a way that is not known, it may be several.
    assert!(with(json!([[4, 3]])) && with(Value::from("3")));
}
