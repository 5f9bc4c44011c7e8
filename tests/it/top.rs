//! `tailback top` in a real terminal.

use crate::support::process::{PATIENCE, Process, eventually, free_port};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{BINARY, Tailback, patient, quick, tailback};
use crate::support::terminal::Terminal;
use std::process::Command;

const ESC: &str = "\x1b";
const DOWN: &str = "\x1b[B";

/// RQ queues with so many jobs.
fn redis(queues: &[(&str, usize)]) -> Redis {
    let redis = Redis::start(RedisOptions::default());
    for (queue, jobs) in queues {
        let key = format!("rq:queue:{queue}");
        redis.cli(&["SADD", "rq:queues", &key]);
        let mut push = vec!["RPUSH", &key];
        push.extend(vec!["id"; *jobs]);
        redis.cli(&push);
    }
    redis
}

fn start(redis: &Redis, queues: usize) -> Tailback {
    let tailback = Tailback::start_config(&patient(&redis.url()));
    // A scrape of 10,000 queues would cost more than what it waits for.
    eventually("all queues", 2 * PATIENCE, || {
        let list = tailback.json("/api/v1/queues?limit=1");
        (list["total"] == queues).then_some(())
    });
    tailback
}

fn url(tailback: &Tailback) -> String {
    format!("http://{}", tailback.address)
}

/// The line of a queue.
fn row<'a>(screen: &'a str, queue: &str) -> Option<&'a str> {
    screen.lines().find(|line| line.starts_with(queue))
}

/// Whether so many jobs of a queue are shown as ready. What is read may be a part of a screen that is
/// being drawn, so all that a test wants is waited for.
fn is_ready(screen: &str, queue: &str, jobs: &str) -> bool {
    row(screen, queue).is_some_and(|row| row.split_whitespace().nth(2) == Some(jobs))
}

#[test]
fn queues_are_sorted_filtered_and_looked_at_by_keys() {
    let redis = redis(&[("mail", 2), ("reports", 30), ("slow-ones", 7)]);
    let tailback = start(&redis, 3);
    let mut top = Terminal::start(BINARY, &["top", "--url", &url(&tailback)], &[]);
    let screen = top.wait("all queues", |screen| {
        let jobs = [("mail", "2"), ("reports", "30"), ("slow-ones", "7")];
        screen.contains("3 queues")
            && screen.contains("1/1 brokers up")
            && jobs
                .iter()
                .all(|(queue, jobs)| is_ready(screen, queue, jobs))
    });
    assert!(
        screen.lines().all(|line| line.chars().count() <= 80),
        "{screen}"
    );
    assert!(top.is_coloured());

    // It keeps itself up to date.
    redis.cli(&["RPUSH", "rq:queue:mail", "x", "y"]);
    top.wait("mail has 4", |screen| is_ready(screen, "mail", "4"));

    let order = |screen: &str| {
        let first = screen.lines().find_map(|line| {
            ["mail", "reports", "slow-ones"]
                .into_iter()
                .find(|name| line.starts_with(name))
        });
        first.unwrap_or_default().to_owned()
    };
    top.keys("ss");
    top.wait("most ready first", |screen| {
        screen.contains("sort: ready") && order(screen) == "reports" && screen.contains("READY↓")
    });
    top.keys("r");
    top.wait("fewest ready first", |screen| {
        order(screen) == "mail" && screen.contains("READY↑")
    });

    top.keys("/rq SLOW");
    top.wait("one is left", |screen| {
        screen.contains("filter: rq SLOW") && row(screen, "mail").is_none()
    });
    top.keys("\r");
    top.wait_for("/ filter");
    top.keys("\r");
    top.wait("one queue", |screen| {
        let parts = ["last hour, highest", "rq on main", "ready     7"];
        parts.iter().all(|part| screen.contains(part))
    });
    top.keys(ESC);
    top.wait("the list again", |screen| {
        row(screen, "slow-ones").is_some() && !screen.contains("last hour, highest")
    });
    top.keys(ESC);
    top.wait("all of them", |screen| row(screen, "reports").is_some());

    // The second one is pointed at.
    top.keys(DOWN);
    top.keys("\r");
    top.wait("the second one", |screen| {
        row(screen, "slow-ones").is_some_and(|row| row.trim_end() == "slow-ones")
            && screen.contains("last hour, highest")
    });
    top.keys("q");
    assert!(top.wait_end().success());
    assert!(top.is_restored(), "{}", top.text());
}

#[test]
fn any_size_is_drawn_and_all_of_ten_thousand_queues_can_be_reached() {
    let redis = Redis::start(RedisOptions::default());
    let mut connection = redis.connection();
    let mut pipe = redis::pipe();
    for number in 0..10_000 {
        let key = format!("rq:queue:q{number:05}");
        pipe.sadd("rq:queues", &key).ignore();
        pipe.rpush(&key, "id").ignore();
    }
    pipe.exec(&mut connection).unwrap();
    let tailback = start(&redis, 10_000);
    let args = ["top", "--url", &url(&tailback), "--sort", "name"];
    let mut top = Terminal::start(BINARY, &args, &[]);
    top.wait("the first ones", |screen| {
        screen.contains("q00020") && !screen.contains("BOUNDS")
    });
    top.keys("G");
    top.wait("the last ones", |screen| {
        screen.contains("q09999") && screen.contains("q09980")
    });
    top.keys("k\x1b[5~");
    top.wait_for("q09977");
    for (rows, columns) in [(50, 160), (3, 10), (1, 1), (10, 40), (24, 80)] {
        top.resize(rows, columns);
        if rows > 9 {
            top.wait("queues", |screen| screen.contains("q099"));
        }
        if columns > 150 {
            top.wait("more of each and more of them", |screen| {
                screen.contains("BOUNDS") && screen.contains("FROM") && screen.lines().count() > 40
            });
        }
    }
    // A key that comes at the same instant as a change of size may be read only with the next one.
    top.wait_for("r reverse");
    top.keys("\x03");
    assert!(top.wait_end().success());
    assert!(top.is_restored());
}

#[test]
fn it_does_without_colour() {
    let redis = redis(&[("mail", 2)]);
    let tailback = start(&redis, 1);
    let args = ["top", "--url", &url(&tailback)];
    let top = Terminal::start(BINARY, &args, &[("NO_COLOR", "1")]);
    top.wait_for("mail");
    top.keys("\r");
    top.wait_for("last hour, highest");
    assert!(!top.is_coloured());
}

#[test]
fn it_polls_a_broker_by_itself_and_says_when_that_is_down() {
    let mut redis = redis(&[("mail", 3), ("esc\x1b[2Jape", 1)]);
    let config = quick(&redis.url());
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, config).unwrap();
    let path = path.to_str().unwrap();
    let mut top = Terminal::start(BINARY, &["top", "--config", path], &[]);
    top.wait("both queues", |screen| {
        is_ready(screen, "mail", "3") && screen.contains("esc\\u{1b}[2Jape")
    });
    top.keys("sssssss");
    top.wait("what it is sorted by", |screen| screen.contains("FAILED↓"));
    redis.kill();
    top.wait("it is down, and why", |screen| {
        screen.contains("DOWN")
            && screen.contains("main has not been polled")
            && screen.contains("Connection refused")
            && screen.contains("No queue is known at present")
            && row(screen, "mail").is_none()
    });
    Command::new("kill")
        .arg(top.pid().to_string())
        .status()
        .unwrap();
    assert!(top.wait_end().success());
    assert!(top.is_restored());
}

#[test]
fn an_instance_that_goes_away_and_comes_back_is_asked_again() {
    let redis = redis(&[("mail", 3)]);
    let listen = format!("127.0.0.1:{}", free_port());
    let dir = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(BINARY);
    command.args([&redis.url(), "--listen", &listen]);
    let top = Terminal::start(BINARY, &["top", "--url", &format!("http://{listen}")], &[]);
    top.wait_for("NO ANSWER");
    let mut instance = Process::spawn("tailback", &command, dir.path());
    top.wait("it is there", |screen| {
        row(screen, "mail").is_some() && !screen.contains("NO ANSWER")
    });
    instance.kill();
    top.wait("it is gone", |screen| {
        screen.contains("the numbers below are old") && row(screen, "mail").is_some()
    });
    let _instance = Process::spawn("tailback", &command, dir.path());
    top.wait("it is there again", |screen| {
        row(screen, "mail").is_some() && !screen.contains("NO ANSWER")
    });
}

#[test]
fn once_prints_a_table_and_ends() {
    let redis = redis(&[("mail", 3), ("reports", 5)]);
    let here = tailback(&["top", "--once", "--sort", "ready", &redis.url()]);
    let instance = start(&redis, 2);
    let there = tailback(&["top", "--once", "--sort", "ready", "--url", &url(&instance)]);
    for output in [here, there] {
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("QUEUE") && lines.len() == 3, "{text}");
        assert!(
            lines[1].starts_with("reports") && lines[2].starts_with("mail"),
            "{text}"
        );
        assert!(!text.contains('\x1b'), "{text}");
    }
    let closed = format!("http://127.0.0.1:{}", free_port());
    let nobody = tailback(&["top", "--once", "--url", &closed]);
    assert_eq!(nobody.status.code(), Some(69), "{nobody:?}");
    let no_terminal = tailback(&["top", "--url", &closed]);
    assert_eq!(no_terminal.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&no_terminal.stderr).contains("--once"));
    let tls = tailback(&["top", "--once", "--url", "https://localhost"]);
    assert_eq!(tls.status.code(), Some(64));
}
