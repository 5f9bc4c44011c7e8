//! The status page in a real browser.

use crate::support::browser::Browser;
use crate::support::http;
use crate::support::process::{PATIENCE, run};
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, patient, quick};
use serde_json::json;
use std::process::Command;

/// Two brokers, the first one with lists: how many jobs are in each.
fn start(first: &Redis, second: &Redis) -> Tailback {
    start_as(quick(&first.url()), second)
}

fn start_as(first: String, second: &Redis) -> Tailback {
    let config = first
        + "[brokers.main.redis.list]\nkeys = ['jobs:*', '<*', 'rtl*']\n[brokers.other.redis]\nurl = '"
        + &second.url()
        + "'\n";
    let tailback = Tailback::start_config(&config);
    tailback.wait_up();
    tailback
}

fn page(tailback: &Tailback, query: &str) -> String {
    format!("http://{}/{query}", tailback.address)
}

/// The names of the queues in the order in which they are shown.
fn names(browser: &mut Browser) -> Vec<String> {
    let names = "[...document.querySelectorAll('tbody .queue')].map(name => name.innerText)";
    serde_json::from_value(browser.eval(names)).unwrap()
}

#[test]
fn it_loads_updates_itself_filters_and_sorts_without_a_complaint() {
    let (redis, other) = (
        Redis::start(RedisOptions::default()),
        Redis::start(RedisOptions::default()),
    );
    redis.cli(&["RPUSH", "jobs:mail", "a"]);
    redis.cli(&["RPUSH", "jobs:reports", "a", "b", "c"]);
    let tailback = start(&redis, &other);
    tailback.wait_jobs("list", "jobs:reports", "ready", 3);
    let mut browser = Browser::start();
    browser.look(1280, 800, false);
    browser.open(&page(&tailback, ""));
    assert_eq!(browser.text("h1"), "tailback");
    browser.wait("document.querySelectorAll('tbody tr').length === 2");
    assert_eq!(
        browser.eval("document.querySelectorAll('li.up').length"),
        json!(2)
    );
    browser.wait("document.querySelectorAll('tbody svg .line').length === 2");

    // By itself: the row stays the same element.
    browser.eval("document.querySelector('tbody tr').marked = true");
    redis.cli(&["RPUSH", "jobs:late", "x", "y"]);
    redis.cli(&["RPUSH", "jobs:reports", "d"]);
    browser.wait("document.querySelectorAll('tbody tr').length === 3");
    browser.wait(
        "[...document.querySelectorAll('td[data-label=Ready]')].some(cell => cell.innerText === '4')",
    );
    assert_eq!(
        browser.eval("[...document.querySelectorAll('tbody tr')].filter(row => row.marked).length"),
        json!(1)
    );

    // By keyboard alone: to the filter, a word, and the address can be shared.
    browser.press("/", Some('/'));
    browser.type_text("LIST mail");
    browser.wait("document.querySelectorAll('tbody tr').length === 1");
    assert_eq!(names(&mut browser), ["jobs:mail"]);
    assert_eq!(browser.eval("document.activeElement.id"), json!("search"));
    browser.wait("location.search === '?search=LIST+mail'");
    browser.type_text("x");
    browser.wait("document.querySelector('.empty') !== null");
    browser.open(&page(&tailback, "?sort=ready"));
    assert_eq!(
        names(&mut browser),
        ["jobs:reports", "jobs:late", "jobs:mail"]
    );
    browser.eval("document.querySelector('#sort-ready').focus()");
    browser.press("Enter", None);
    browser.wait("location.search === '?sort=ready&order=ascending'");
    browser.wait("document.querySelector('tbody .queue').innerText === 'jobs:mail'");
    assert_eq!(
        names(&mut browser),
        ["jobs:mail", "jobs:late", "jobs:reports"]
    );
    assert_eq!(
        browser.eval("document.activeElement.id"),
        json!("sort-ready")
    );
    browser.eval("history.back()");
    browser.wait("document.querySelector('tbody .queue').innerText === 'jobs:reports'");

    // It can be made to hold still.
    browser.eval("document.querySelector('#pause').click()");
    redis.cli(&["RPUSH", "jobs:new", "x"]);
    tailback.wait_jobs("list", "jobs:new", "ready", 1);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(names(&mut browser).len(), 3);
    browser.eval("document.querySelector('#pause').click()");
    browser.wait("document.querySelectorAll('tbody tr').length === 4");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn what_is_down_stale_or_silent_is_said_plainly() {
    let (redis, mut other) = (
        Redis::start(RedisOptions::default()),
        Redis::start(RedisOptions::default()),
    );
    redis.cli(&["RPUSH", "jobs:mail", "a"]);
    other.cli(&["SADD", "rq:queues", "rq:queue:hot"]);
    other.cli(&["RPUSH", "rq:queue:hot", "id"]);
    let mut tailback = start(&redis, &other);
    tailback.wait_jobs("rq", "hot", "ready", 1);
    let mut browser = Browser::start();
    browser.open(&page(&tailback, ""));
    browser.wait("document.querySelectorAll('tbody tr').length === 2");
    other.kill();
    browser.wait("document.querySelector('li.down') !== null");
    let down = browser.text("li.down");
    assert!(down.contains("down") && down.contains("connect"), "{down}");
    browser.wait("document.querySelector('tr.stale') !== null");
    let stale = browser.text("tr.stale");
    assert!(
        stale.contains("hot") && stale.contains("not read for"),
        "{stale}"
    );
    // No number of the past in any cell.
    let ready = "document.querySelector('tr.stale [data-label=Ready]').innerText";
    assert!(!browser.eval(ready).as_str().unwrap().contains('1'));
    assert_eq!(
        browser.eval("document.title"),
        json!("1 broker down – tailback")
    );
    assert_eq!(names(&mut browser), ["jobs:mail", "hot"]);
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");

    tailback.stop("TERM");
    browser.wait("!document.querySelector('#lost').hidden");
    let lost = browser.text("#lost");
    assert!(lost.contains("No answer from tailback since"), "{lost}");
}

#[test]
fn what_is_over_its_objective_comes_first_and_is_called_late() {
    let redis = Redis::start(RedisOptions::default());
    // Longer ago than the other, but that is allowed.
    for (queue, ago) in [("patient", 100), ("urgent", 20)] {
        let key = format!("rq:queue:{queue}");
        redis.cli(&["SADD", "rq:queues", &key]);
        let enqueued = format!(
            "import datetime as d; print((d.datetime.now(d.timezone.utc) - d.timedelta(seconds={ago})).strftime('%Y-%m-%dT%H:%M:%S.%fZ'))"
        );
        let enqueued = run(Command::new("python3").args(["-c", &enqueued]));
        redis.cli(&[
            "HSET",
            &format!("rq:job:{queue}"),
            "enqueued_at",
            enqueued.trim(),
        ]);
        redis.cli(&["RPUSH", &key, queue]);
    }
    let config = quick(&redis.url())
        + "[[objectives]]\nqueue = 'urgent'\nwait = '10s'\n[[objectives]]\nqueue = 'patient'\nwait = '1h'\n";
    let tailback = Tailback::start_config(&config);
    tailback.wait_jobs("rq", "patient", "ready", 1);
    let mut browser = Browser::start();
    browser.open(&page(&tailback, ""));
    browser.wait("document.querySelectorAll('tbody tr').length === 2");
    assert_eq!(names(&mut browser), ["urgent", "patient"]);
    let objectives = "[...document.querySelectorAll('td.objective')].map(cell => cell.innerText)";
    assert_eq!(browser.eval(objectives), json!(["≤ 10 s ▲ late", "≤ 1 h"]));
    assert_eq!(browser.eval("document.title"), json!("1 late – tailback"));
    assert!(browser.text(".summary").contains("1 over their objective"));
    let svg = browser.eval("document.querySelector('svg').getAttribute('aria-label')");
    assert!(
        svg.as_str()
            .unwrap()
            .starts_with("Longest latency in the last"),
        "{svg}"
    );
    browser.open(&page(&tailback, "?sort=latency"));
    assert_eq!(names(&mut browser), ["patient", "urgent"]);
    let history = tailback.json("/api/v1/queues/main/rq/patient/history");
    let latencies = history["latency_seconds"].as_array().unwrap();
    assert_eq!(latencies.len(), 60);
    assert!(latencies[0].is_null(), "{history}");
    assert!(
        latencies.iter().any(|secs| secs.as_f64() > Some(90.0)),
        "{history}"
    );
    assert_eq!(
        tailback.get("/api/v1/queues/main/rq/none/history").status,
        404
    );
    assert_eq!(tailback.get("/api/v1/queues?sort=colour").status, 400);
}

#[test]
fn hostile_names_are_only_names() {
    let (redis, other) = (
        Redis::start(RedisOptions::default()),
        Redis::start(RedisOptions::default()),
    );
    let names = [
        "<script>document.title='owned'</script>",
        "<img src=x onerror=\"document.title='owned'\">",
        "jobs:\" onmouseover=\"x\" '",
        "jobs:</title></main>&lt;",
        "rtl\u{202e}evil",
    ];
    for name in names {
        redis.cli(&["RPUSH", name, "x"]);
    }
    let tailback = start(&redis, &other);
    tailback.wait_until("all names", PATIENCE, |metrics| {
        metrics.all("tailback_queue_jobs", &[]).len() >= names.len()
    });
    let mut browser = Browser::start();
    browser.open(&page(
        &tailback,
        "?search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    ));
    browser.wait("document.querySelector('.empty') !== null");
    browser.open(&page(&tailback, ""));
    browser.wait("document.querySelectorAll('tbody tr').length === 5");
    let shown = self::names(&mut browser);
    for name in names {
        let name = name.replace('\u{202e}', "\\u{202e}");
        assert!(shown.contains(&name), "{name} in {shown:?}");
    }
    assert_eq!(
        browser.eval("document.querySelectorAll('main script, main img').length"),
        json!(0)
    );
    assert_ne!(browser.eval("document.title"), json!("owned"));
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let policy = tailback.get("/");
    let policy = policy.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[test]
fn it_needs_no_script_and_fits_a_phone_and_the_dark() {
    let (redis, other) = (
        Redis::start(RedisOptions::default()),
        Redis::start(RedisOptions::default()),
    );
    redis.cli(&[
        "RPUSH",
        "jobs:mail-with-a-rather-long-name-that-goes-on-and-on-for-a-while",
        "a",
    ]);
    let tailback = start(&redis, &other);
    tailback.wait_until("the queue", PATIENCE, |metrics| {
        !metrics.all("tailback_queue_jobs", &[]).is_empty()
    });
    let mut browser = Browser::start();
    let background = "getComputedStyle(document.body).backgroundColor";
    browser.look(375, 700, true);
    browser.open(&page(&tailback, ""));
    browser.wait("document.querySelectorAll('tbody tr').length === 1");
    assert_eq!(
        browser.eval("document.documentElement.scrollWidth <= innerWidth"),
        json!(true),
        "it scrolls sideways"
    );
    let dark = browser.eval(background);
    browser.look(375, 700, false);
    assert_ne!(browser.eval(background), dark);
    browser.screenshot(&tailback.dir().join("phone.png"));

    browser.without_scripts();
    browser.open(&page(&tailback, "?search=mail"));
    browser.wait("document.querySelectorAll('tbody tr').length === 1");
    assert_eq!(
        browser.eval("document.querySelector('#pause').hidden"),
        json!(true)
    );
    assert_eq!(
        browser.eval("document.querySelector('#search').value"),
        json!("mail")
    );

    let html = tailback.get("/").text();
    assert!(html.contains("jobs:mail-with") && html.contains("http-equiv=\"refresh\""));
    assert!(
        !html.contains("style=") && !html.contains("http://"),
        "{html}"
    );
    let gzip = http::request(
        tailback.address,
        "GET",
        "/",
        &[("Accept-Encoding", "gzip")],
        b"",
    );
    let gzip = gzip.unwrap();
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert!(gzip.body.len() < html.len());
}

#[test]
fn ten_thousand_queues_come_in_pages() {
    let (redis, other) = (
        Redis::start(RedisOptions::default()),
        Redis::start(RedisOptions::default()),
    );
    let mut connection = redis.connection();
    for part in 0..10 {
        let mut pipe = redis::pipe();
        for number in part * 1000..(part + 1) * 1000 {
            let queue = format!("rq:queue:q{number:05}");
            pipe.sadd("rq:queues", &queue).ignore();
            pipe.rpush(&queue, vec!["id"; number % 7 + 1]).ignore();
        }
        pipe.exec(&mut connection).unwrap();
    }
    let tailback = start_as(patient(&redis.url()), &other);
    tailback.wait_until("all of them", PATIENCE, |metrics| {
        metrics.get("tailback_broker_queues", &[("broker", "main")]) == Some(10_000.0)
    });
    let mut browser = Browser::start();
    browser.open(&page(&tailback, "?sort=name&search=q0"));
    browser.wait("document.querySelectorAll('tbody tr').length === 100");
    assert_eq!(browser.text("nav .place"), "1–100 of 10,000");
    browser
        .eval("[...document.querySelectorAll('nav a')].find(a => a.innerText === 'Last').click()");
    browser.wait("document.querySelector('tbody .queue').innerText === 'q09900'");
    assert_eq!(browser.text("nav .place"), "9,901–10,000 of 10,000");
    let size = tailback.get("/").body.len();
    assert!(size < 400_000, "{size} bytes");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let list = tailback.json("/api/v1/queues?sort=ready&limit=3&offset=2");
    assert_eq!(
        (&list["total"], list["queues"].as_array().unwrap().len()),
        (&json!(10_000), 3)
    );
}
