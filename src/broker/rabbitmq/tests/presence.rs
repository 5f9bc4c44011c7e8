//! What is there of a broker: its management API, its statistics, its nodes, its AMQP.

use super::*;

#[tokio::test]
async fn another_web_server_is_no_management_api() {
    let node = Node::start(|_| Some((404, "not here".to_owned()))).await;
    let error = failure(&mut source(&[node.address], "")).await;
    assert_eq!(error.kind, ErrorKind::Connect);
    assert!(error.message.contains("rabbitmq-plugins enable"), "{error}");
}

#[tokio::test]
async fn a_broker_without_statistics_is_asked_for_depths_alone() {
    let node = Node::start(|path| {
        if path.starts_with("/api/overview") {
            return Some((200, r#"{"disable_stats":true}"#.to_owned()));
        }
        basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))
    })
    .await;
    source(&[node.address], "").poll().await.unwrap();
    assert_eq!(node.times("enable_queue_totals=true"), 1);
}

#[tokio::test]
async fn what_a_broker_does_not_count_is_not_zero() {
    for (rates, counted) in [("none", None), ("basic", Some(0))] {
        let node = Node::start(move |path| {
            if path.starts_with("/api/overview") {
                return Some((200, format!(r#"{{"rates_mode":"{rates}"}}"#)));
            }
            let row = r#"{"items":[{"name":"a","type":"classic","messages_ready":3,
                "messages_unacknowledged":0,"consumers":1}],"page_count":1}"#;
            let is_list = path.starts_with("/api/queues");
            is_list
                .then(|| (200, row.to_owned()))
                .or_else(|| basics(path))
        })
        .await;
        let seen = source(&[node.address], "").poll().await.unwrap();
        let seen = &seen.observations[0];
        let counters = seen.counters;
        let all = [counters.enqueued, counters.started, counters.finished];
        assert_eq!((seen.jobs.ready, all), (Some(3), [counted; 3]), "{rates}");
        assert_eq!(counters.redelivered, counted, "{rates}");
    }
}

#[tokio::test]
async fn a_new_queue_is_judged_by_exchanges_as_new() {
    let polls = Mutex::new(0);
    let node = Node::start(move |path| {
        if path.starts_with("/api/overview") {
            return basics(path);
        }
        let mut polls = polls.lock().unwrap();
        if path.starts_with("/api/exchanges") {
            let body = match *polls {
                0 => page(&[], 1, 0),
                _ => r#"{"items":[{"name":"celeryev","type":"topic"},
                    {"name":"b","type":"direct"}],"page_count":1}"#
                    .to_owned(),
            };
            return Some((200, body));
        }
        *polls += 1;
        Some((
            200,
            if *polls == 1 {
                page(&["a"], 1, 1)
            } else {
                page(&["a", "b"], 1, 2)
            },
        ))
    })
    .await;
    let mut source = source(&[node.address], "");
    source.poll().await.unwrap();
    let systems: Vec<_> = source
        .poll()
        .await
        .unwrap()
        .observations
        .iter()
        .map(|seen| (seen.system.as_str(), seen.queue.to_string()))
        .collect();
    assert_eq!(
        systems,
        [("rabbitmq", "a".to_owned()), ("celery", "b".to_owned())]
    );
    source.poll().await.unwrap();
    assert_eq!(node.times("/api/exchanges"), 2);
}

#[tokio::test]
async fn a_management_api_that_was_there_is_missed_for_a_while_before_amqp_stands_in() {
    let is_there = Arc::new(Mutex::new(true));
    let there = Arc::clone(&is_there);
    let node = Node::start(move |path| {
        if !*there.lock().unwrap() {
            return None;
        }
        basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))
    })
    .await;
    let mut source = source(&[node.address], "declare = [\"b\"]");
    // AMQP is not there either, which is a fault beside the management API's numbers.
    let success = source.poll().await.unwrap();
    assert_eq!((names(&success), success.faults.len()), (vec!["a"], 0));
    *is_there.lock().unwrap() = false;
    for _ in 0..super::super::substitute::POLLS_BEFORE_FALLBACK {
        let error = failure(&mut source).await;
        assert!(!error.message.contains("127.0.0.1:1"), "{error}");
    }
    let error = failure(&mut source).await;
    assert!(error.message.contains("127.0.0.1:1"), "{error}");
    *is_there.lock().unwrap() = true;
    assert_eq!(names(&source.poll().await.unwrap()), ["a"]);
}

#[tokio::test]
async fn counters_are_those_of_one_node_only_where_the_broker_says_so() {
    for (listeners, are_sums) in [
        (r#"[{"node":"a@h"},{"node":"a@h"}]"#, false),
        (r#"[{"node":"a@h"},{"node":"b@h"}]"#, true),
        ("[]", true),
    ] {
        let node = Node::start(move |path| {
            if path.starts_with("/api/overview") {
                return Some((200, format!(r#"{{"listeners":{listeners}}}"#)));
            }
            basics(path).or_else(|| Some((200, page(&["a"], 1, 1))))
        })
        .await;
        let success = source(&[node.address], "").poll().await.unwrap();
        let seen = &success.observations[0];
        assert_eq!(seen.counters_are_sums, are_sums, "{listeners}");
    }
}

/// lapin's threads of this process.
#[cfg(target_os = "linux")]
fn connection_threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with("lapin-io-loop"))
        .count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_amqp_port_costs_its_time_limit_and_leaves_no_thread_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "[brokers.r.rabbitmq]\nurl = \"amqp://{}\"\nmanagement = false\ndeclare = [\"a\"]\n\
         timeout = \"100ms\"\ninterval = \"1s\"",
        silent.local_addr().unwrap()
    );
    let config = Config::from_toml(&text, "test.toml", &Environment::default()).unwrap();
    let Endpoint::RabbitMq(endpoint) = &config.brokers[0].endpoint else {
        panic!("a RabbitMQ")
    };
    let mut source = RabbitMqSource::new(&config.brokers[0], endpoint);
    assert_eq!(failure(&mut source).await.kind, ErrorKind::Timeout);
    for _ in 0..100 {
        if connection_threads() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{} threads are left", connection_threads());
}
