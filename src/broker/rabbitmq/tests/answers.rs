//! Nodes that fail, and answers that are none.

use super::*;

#[tokio::test]
async fn a_node_that_fails_is_left_for_one_that_does_not() {
    let ill = Node::start(|_| Some((503, String::new()))).await;
    let well = Node::start(|path| basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))).await;
    let mut source = source(&[ill.address, well.address], "");
    for _ in 0..3 {
        assert_eq!(names(&source.poll().await.unwrap()), ["a"]);
    }
    assert_eq!(ill.times("/api/"), 1);
    assert_eq!(well.times("/api/overview"), 1);
    assert_eq!(well.times("/api/queues"), 3);
}

#[tokio::test]
async fn a_closed_idle_connection_is_no_failure() {
    let polls = Mutex::new(0);
    let node = Node::start(move |path| {
        basics(path).or_else(|| {
            let mut polls = polls.lock().unwrap();
            *polls += 1;
            (*polls != 2).then(|| (200, page(&["a"], 1, 1)))
        })
    })
    .await;
    let mut source = source(&[node.address], "");
    source.poll().await.unwrap();
    assert_eq!(names(&source.poll().await.unwrap()), ["a"]);
    assert_eq!(node.times("/api/queues"), 3);
}

#[tokio::test]
async fn what_is_no_answer_of_rabbitmqs_is_said_to_be_none() {
    let list_answers = |status: u16, body: &'static str| {
        Node::start(move |path| basics(path).or_else(|| Some((status, body.to_owned()))))
    };
    for (status, body, kind) in [
        (200, "<html>hello</html>", ErrorKind::Decode),
        (200, "[1,", ErrorKind::Decode),
        (200, "{\"items\":7}", ErrorKind::Decode),
        (200, "[]", ErrorKind::Decode),
        (200, "", ErrorKind::Decode),
        (418, "{}", ErrorKind::Protocol),
        (500, "{}", ErrorKind::Protocol),
        (400, OUT_OF_RANGE_OF_ANOTHER_KIND, ErrorKind::Protocol),
    ] {
        let node = list_answers(status, body).await;
        let error = failure(&mut source(&[node.address], "")).await;
        assert_eq!(error.kind, kind, "{body}: {error}");
    }
    let rows = r#"{"items":[7,{"name":"a"},{"name":null}],"page_count":1}"#;
    let node = list_answers(200, rows).await;
    let success = source(&[node.address], "").poll().await.unwrap();
    assert_eq!(names(&success), ["a"]);
    assert_eq!(success.dropped.values().sum::<u64>(), 2);
    assert_eq!(success.faults[0].kind, ErrorKind::Decode);
}

const OUT_OF_RANGE_OF_ANOTHER_KIND: &str = r#"{"error":"invalid_pagination_parameters"}"#;

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let node = Node::start(|path| {
        basics(path).or_else(|| Some((200, " ".repeat(super::super::http::MAX_BODY_BYTES + 1))))
    })
    .await;
    let error = failure(&mut source(&[node.address], "")).await;
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("more than"), "{error}");
}

#[tokio::test]
async fn recorded_refusals_of_3_10_and_4_0_name_what_is_missing() {
    const API: &str = include_str!("../../../../tests/fixtures/rabbitmq/api.json");
    let file: serde_json::Value = serde_json::from_str(API).unwrap();
    for version in ["3.10.8", "4.0.5"] {
        for (refusal, advice) in [
            ("no_tag", "set_user_tags"),
            ("no_permission_in_vhost", "set_permissions"),
        ] {
            let recorded = &file[version][refusal];
            let status = u16::try_from(recorded["err"].as_u64().unwrap()).unwrap();
            let body = recorded["body"].as_str().unwrap().to_owned();
            // The overview is for all who have a tag.
            let of_all = move |path: &str| basics(path).filter(|_| refusal != "no_tag");
            let node =
                Node::start(move |path| of_all(path).or_else(|| Some((status, body.clone()))))
                    .await;
            let error = failure(&mut source(&[node.address], "")).await;
            assert_eq!(error.kind, ErrorKind::Permission, "{version} {refusal}");
            assert!(error.message.contains(advice), "{version}: {error}");
        }
    }
}
