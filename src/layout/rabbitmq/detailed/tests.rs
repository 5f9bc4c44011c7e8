use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn read(text: &str, cut: usize) -> Detailed {
    let mut detailed = Detailed::default();
    for part in text.as_bytes().chunks(cut.max(1)) {
        detailed.take(part).unwrap();
    }
    detailed.finish();
    detailed
}

fn recorded(version: &str) -> String {
    let all: Value = serde_json::from_str(include_str!(
        "../../../../tests/fixtures/rabbitmq/detailed.json"
    ))
    .unwrap();
    let lines = all[version].as_array().unwrap().iter();
    lines
        .map(|line| format!("{}\n", line.as_str().unwrap()))
        .collect()
}

#[test]
fn depths_of_a_real_node_without_counters() {
    let rows = read(&recorded("3.10.8"), 100).rows("/", true);
    let big = &rows["h.big"];
    assert_eq!((big.ready, big.unacknowledged), (Some(30_000), Some(0)));
    assert_eq!(big.consumers, Some(0));
    assert!(rows.values().all(|row| row.stats.is_none()));
    let ready: Vec<_> = rows.values().map(|row| (&*row.name, row.ready)).collect();
    let want = [
        ("f.quorum", Some(5)),
        ("h.big", Some(30_000)),
        ("h.classic", Some(3)),
        ("t.quorum", Some(3)),
    ];
    assert_eq!(ready, want);
}

#[test]
fn a_real_node_of_4_0_counts_though_nothing_has_happened_since_it_started() {
    let detailed = read(&recorded("4.0.5"), 4096);
    assert!(detailed.counts_messages());
    let rows = detailed.rows("/", true);
    assert_eq!(rows["t.quorum"].ready, Some(2));
    assert_eq!(rows["t.quorum"].stats, Some(Stats::default()));
    // The totals of one of several nodes are not the cluster's.
    assert_eq!(detailed.rows("/", false)["t.quorum"].stats, None);
}

const COUNTED: &str = "\
# TYPE rabbitmq_detailed_queue_messages_acked_total counter
# TYPE rabbitmq_detailed_queue_exchange_messages_published_total counter
rabbitmq_build_info{rabbitmq_version=\"4.0.5\",erlang_version=\"26\"} 1
rabbitmq_detailed_queue_messages_ready{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 7
rabbitmq_detailed_queue_messages_unacked{vhost=\"a\\\"b\",queue=\"x\\\\y\"} NaN
rabbitmq_detailed_queue_messages_delivered_ack_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 5
rabbitmq_detailed_queue_messages_delivered_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 3
rabbitmq_detailed_queue_get_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 2
rabbitmq_detailed_queue_messages_acked_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 4
rabbitmq_detailed_queue_messages_redelivered_total{vhost=\"a\\\"b\",queue=\"x\\\\y\"} 1
rabbitmq_detailed_queue_exchange_messages_published_total{vhost=\"a\\\"b\",queue=\"x\\\\y\",exchange=\"\"} 9
rabbitmq_detailed_queue_exchange_messages_published_total{vhost=\"a\\\"b\",queue=\"x\\\\y\",exchange=\"e\"} 8
rabbitmq_detailed_queue_messages_acked_total{vhost=\"a\\\"b\",queue=\"gone\"} 4
";

#[test]
fn counters_are_those_of_the_management_api() {
    let detailed = read(COUNTED, 7);
    assert_eq!(detailed.version.as_deref(), Some("4.0.5"));
    let rows = detailed.rows("a\"b", true);
    assert_eq!(rows.len(), 1);
    let row = &rows["x\\y"];
    assert_eq!((row.ready, row.unacknowledged), (Some(7), None));
    let want = Stats {
        publish: 17,
        deliver_get: 10,
        deliver_no_ack: 3,
        get_no_ack: 2,
        redeliver: 1,
        ack: 4,
    };
    assert_eq!(row.stats, Some(want));
}

/// As 3.10.8 wrote it.
const UNESCAPED: &str = r#"
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="jobs "ü""} 4
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="b\s"} 1
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="s.tream"} 1
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="a\\b"} 2
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="a\nb"} 3
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="a",queue="b"} 5
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="end\"} 6
rabbitmq_detailed_queue_messages_ready{vhost="v\",queue="d\",queue="e"} 7
rabbitmq_detailed_queue_process_reductions_total{vhost="/",queue="s.tream"} 0
rabbitmq_detailed_queue_process_reductions_total{vhost="/",queue="b\s"} 7596
"#;

#[test]
fn names_that_are_not_escaped_are_read_and_a_stream_is_told() {
    let build = "rabbitmq_build_info{rabbitmq_version=\"3.10.8\",erlang_version=\"25\"} 1\n";
    for text in [UNESCAPED.to_owned(), format!("{UNESCAPED}{build}")] {
        let detailed = read(&text, 5);
        let rows = detailed.rows("/", true);
        let ready: Vec<_> = rows.values().map(|row| (&*row.name, row.ready)).collect();
        let want = [
            (r#"a",queue="b"#, Some(5)),
            (r"a\\b", Some(2)),
            (r"a\nb", Some(3)),
            (r"b\s", Some(1)),
            (r"end\", Some(6)),
            (r#"jobs "ü""#, Some(4)),
            ("s.tream", Some(1)),
        ];
        assert_eq!(ready, want);
        assert_eq!(rows[r"b\s"].kind, Kind::Other);
        assert_eq!(rows["s.tream"].kind, Kind::Stream);
        let other = detailed.rows(r"v\", true);
        assert_eq!(other[r#"d\",queue="e"#].ready, Some(7));
        assert_eq!(detailed.unreadable, 0);
    }
}

/// Only the version tells these from an escaped `a\b`.
#[test]
fn the_version_decides_what_a_backslash_is() {
    let text = |version: &str| {
        format!(
            "{PREFIX}messages_ready{{vhost=\"/\",queue=\"a\\\\b\"}} 1\n\
             rabbitmq_build_info{{rabbitmq_version=\"{version}\"}} 1\n"
        )
    };
    for (version, name) in [("3.10.8", r"a\\b"), ("3.13.7", r"a\b"), ("4.0.5", r"a\b")] {
        let rows = read(&text(version), 9).rows("/", true);
        assert_eq!(rows.keys().collect::<Vec<_>>(), [name], "{version}");
    }
}

#[test]
fn a_queue_whose_name_cannot_be_read_is_counted() {
    let text = r#"
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="a\",other="q"} 4
rabbitmq_detailed_queue_messages_unacked{vhost="/",queue="a\",other="q"} 4
rabbitmq_detailed_queue_messages_ready{queue="a\"} 4
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="fine"} 4
"#;
    let detailed = read(text, 50);
    assert_eq!(detailed.rows("/", true).len(), 2);
    assert_eq!(detailed.unreadable, 1);
    let mut long = Detailed::default();
    let line = format!(
        "{PREFIX}messages_ready{{vhost=\"/\",queue=\"{}\\\"}} 4\n",
        "x".repeat(10_000)
    );
    for _ in 0..1000 {
        long.take(line.as_bytes()).unwrap();
    }
    assert!(long.held_bytes <= MAX_HELD);
    assert!((100..200).contains(&long.unread), "{}", long.unread);
}

#[test]
fn nodes_that_disagree_about_a_depth_leave_it_unknown() {
    let depth = |ready| {
        let line = format!("{PREFIX}messages_ready{{vhost=\"/\",queue=\"q\"}} {ready}\n");
        read(&line, 9)
    };
    for (other, want) in [(3, Some(3)), (4, None)] {
        let mut detailed = depth(3);
        detailed.merge(depth(other));
        detailed.merge(depth(3));
        let rows = detailed.rows("/", true);
        assert_eq!(rows.get("q").and_then(|row| row.ready), want);
    }
    let mut counted = read(COUNTED, 50);
    counted.merge(read(COUNTED, 60));
    let stats = counted.rows("a\"b", true)["x\\y"].stats.unwrap();
    assert_eq!((stats.publish, stats.ack), (34, 8));
}

#[test]
fn a_mark_changes_with_whatever_a_queue_does_and_is_told_of_one_process_alone() {
    let node = |ready: u64, reductions: u64| {
        let sample =
            |name: &str, value: u64| format!("{PREFIX}{name}{{vhost=\"/\",queue=\"q\"}} {value}\n");
        let text = [
            "rabbitmq_identity_info{rabbitmq_node=\"n@a\",rabbitmq_cluster=\"c\"} 1\n",
            &sample("messages_ready", ready),
            &sample("messages_unacked", 0),
            &sample("process_reductions_total", reductions),
        ];
        read(&text.concat(), 11)
    };
    let still = node(0, 900);
    assert!(still.is_of("c") && !still.is_of("d") && !read(COUNTED, 9).is_of("c"));
    assert!(still.mark("/", "q").is_some());
    assert_eq!(still.mark("/", "q"), node(0, 900).mark("/", "q"));
    for other in [node(1, 900), node(0, 901)] {
        assert_ne!(still.mark("/", "q"), other.mark("/", "q"));
    }
    // A stream has no process; of two nodes one may tell of the past.
    assert_eq!(node(0, 0).mark("/", "q"), None);
    let mut both = node(0, 900);
    both.merge(node(0, 900));
    assert_eq!(both.mark("/", "q"), None);
    assert_eq!(still.mark("/", "other"), None);
    let recorded = read(&recorded("3.10.8"), 100);
    assert!(recorded.mark("/", "h.big").is_some());
    // Here nothing tells of processes.
    assert_eq!(read(COUNTED, 50).mark("a\"b", "x\\y"), None);
}

#[test]
fn a_line_without_end_is_refused() {
    let mut detailed = Detailed::default();
    assert!(detailed.take(&[b'x'; MAX_LINE + 1]).is_err());
}

proptest! {
    #[test]
    fn wherever_it_is_cut_it_says_the_same(cut in 1usize..300) {
        prop_assert_eq!(read(COUNTED, cut).vhosts, read(COUNTED, 10_000).vhosts);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(rabbitmq_detailed_queue_(messages_ready|[a-z_]{0,9})[{](vhost=\")?[ -~]{0,40}\n){0,4}") {
        read(&text, 11);
    }
}
