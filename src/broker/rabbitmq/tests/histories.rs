//! What becomes of queues whose histories cannot be had.

use super::*;

/// A queue with a message of which nothing but a count is known.
const WAITING: &str = r#"{"items":[{"name":"q","type":"classic","messages_ready":1,
    "messages_unacknowledged":0,"consumers":0,"message_stats":{"publish":1}}],"page_count":1}"#;

#[tokio::test]
async fn a_history_that_cannot_be_had_costs_its_queue_precision_and_nothing_else() {
    // A server error is asked for once more, on a connection of its own.
    for (status, kind, times) in [(500, ErrorKind::Protocol, 2), (401, ErrorKind::Auth, 1)] {
        let node = Node::start(move |path| {
            if path.starts_with("/api/queues/v/q") {
                return Some((status, r#"{"reason":"no"}"#.to_owned()));
            }
            let list = path.starts_with("/api/queues/v?");
            list.then(|| (200, WAITING.to_owned()))
                .or_else(|| basics(path))
        })
        .await;
        let mut source = source(&[node.address], "");
        let success = source.poll().await.unwrap();
        assert_eq!(names(&success), ["q"]);
        assert!(success.observations[0].flow.is_some());
        let kinds: Vec<_> = success.faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, [kind]);
        assert_eq!(node.times("/api/queues/v/q"), times);
    }
}
