//! Lists that change while they are read.

use super::*;
use serde_json::Value;

#[tokio::test]
async fn a_queue_that_goes_away_between_two_pages_takes_no_other_along() {
    let reads = Mutex::new(0);
    let node = Node::start(move |path| {
        basics(path).or_else(|| {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            // `a` goes after the first page was read, and `c` moves onto that page.
            Some(match (*reads, path.contains("page=1&")) {
                (1, _) => (200, page(&["a", "b"], 2, 4)),
                (2, _) => (200, page(&["d"], 2, 3)),
                (_, true) => (200, page(&["b", "c"], 2, 3)),
                (_, false) => (200, page(&["d"], 2, 3)),
            })
        })
    })
    .await;
    let mut source = source(&[node.address], "");
    let success = source.poll().await.unwrap();
    assert_eq!(names(&success), ["a", "b", "c", "d"]);
    assert_eq!(node.times("/api/queues/v?"), 4);
    let success = source.poll().await.unwrap();
    assert_eq!(names(&success), ["b", "c", "d"]);
}

#[tokio::test]
async fn a_page_that_is_gone_is_the_end_of_the_list() {
    let node = Node::start(|path| {
        basics(path).or_else(|| {
            Some(match path.contains("page=1&") {
                true => (200, page(&["a", "b"], 2, 3)),
                false => (400, OUT_OF_RANGE.to_owned()),
            })
        })
    })
    .await;
    let success = source(&[node.address], "").poll().await.unwrap();
    assert_eq!(names(&success), ["a", "b"]);
}

#[tokio::test]
async fn a_known_queue_that_is_on_no_page_is_looked_for_again() {
    let reads = Mutex::new(0);
    let node = Node::start(move |path| {
        basics(path).or_else(|| {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            // At the second poll `a` goes and `e` comes between the pages: the length stays.
            Some(match (*reads, path.contains("page=1&")) {
                (1 | 3, _) => (200, page(&["a", "b"], 2, 4)),
                (2, _) => (200, page(&["c", "d"], 2, 4)),
                (4, _) => (200, page(&["d", "e"], 2, 4)),
                (_, true) => (200, page(&["b", "c"], 2, 4)),
                (_, false) => (200, page(&["d", "e"], 2, 4)),
            })
        })
    })
    .await;
    let mut source = source(&[node.address], "");
    source.poll().await.unwrap();
    let success = source.poll().await.unwrap();
    assert_eq!(names(&success), ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn recorded_pages_of_3_10_and_4_0_are_read() {
    const API: &str = include_str!("../../../../tests/fixtures/rabbitmq/api.json");
    let file: Value = serde_json::from_str(API).unwrap();
    for (version, queues) in [
        ("3.10.8", ["f.classic", "f.quorum"]),
        ("4.0.5", ["celery", "celery_delayed"]),
    ] {
        // One of many pages, which are then asked for in one piece.
        let page = &file[version]["page"];
        let (page, items) = (page.to_string(), page["items"].to_string());
        let node = Node::start(move |path| {
            basics(path).or_else(|| {
                Some(if path.contains("page=1&") {
                    (200, page.clone())
                } else if path.contains("page=") {
                    (400, OUT_OF_RANGE.to_owned())
                } else {
                    (200, items.clone())
                })
            })
        })
        .await;
        let success = source(&[node.address], "").poll().await.unwrap();
        assert_eq!(names(&success), queues, "{version}");
        assert_eq!(success.dropped.len(), 0);
    }
}
