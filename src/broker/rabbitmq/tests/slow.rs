//! Pages and virtual hosts that are slow hold up nothing but themselves.

use super::*;
use std::time::Duration;

/// Two pages of two queues; those of `silent` are never answered.
async fn node_with(silent: Arc<Mutex<Vec<&'static str>>>) -> Node {
    Node::start(move |path| {
        if silent
            .lock()
            .unwrap()
            .iter()
            .any(|part| path.contains(part))
        {
            return Some((NEVER, String::new()));
        }
        basics(path)
            .or_else(|| {
                path.starts_with("/api/exchanges/w?")
                    .then(|| (200, page(&[], 1, 0)))
            })
            .or_else(|| {
                let names = if path.contains("page=1&") {
                    ["a", "b"]
                } else {
                    ["c", "d"]
                };
                Some((200, page(&names, 2, 4)))
            })
    })
    .await
}

#[tokio::test]
async fn a_slow_page_keeps_what_was_known_and_leaves_the_others_fresh() {
    let silent = Arc::default();
    let node = node_with(Arc::clone(&silent)).await;
    let mut source = source(&[node.address], "timeout = \"1s\"\nvhosts = [\"v\", \"w\"]");
    let success = source.poll().await.unwrap();
    assert_eq!((success.observations.len(), success.faults.len()), (8, 0));

    // The first page, which tells how many there are, as well as any other.
    for (page, lost, rest) in [
        ("/queues/v?page=1&", ["a", "b"], ["c", "d"]),
        ("/queues/v?page=2&", ["c", "d"], ["a", "b"]),
    ] {
        *silent.lock().unwrap() = vec![page];
        let started = crate::clock::now().mono;
        let success = source.poll().await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(names(&success)[..2], rest);
        assert_eq!(success.observations.len(), 6);
        let kept: Vec<&str> = success.kept.iter().map(|(_, queue)| &**queue).collect();
        assert_eq!(kept, lost);
        let kinds: Vec<_> = success.faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, [ErrorKind::Timeout]);
    }

    // All that is wanted of one vhost.
    *silent.lock().unwrap() = vec!["/queues/v?"];
    let success = source.poll().await.unwrap();
    assert_eq!((success.observations.len(), success.kept.len()), (4, 4));
    assert_eq!(success.faults.len(), 1);

    silent.lock().unwrap().clear();
    let success = source.poll().await.unwrap();
    assert_eq!((success.observations.len(), success.kept.len()), (8, 0));
    assert_eq!(success.faults, []);
}
