//! The API is what its description says: held to it by schemathesis, over real brokers.

use crate::support::http::request;
use crate::support::python::{App, Celery, Rq, python_of};
use crate::support::rabbitmq::RabbitMq;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick, wait_for};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const TOKEN: &str = "a-token-of-some-length";
const SECONDS: &str = "14";

/// What no one should call a queue.
fn strange() -> Vec<String> {
    let names = [
        "a/b",
        "/",
        "two words",
        "Grüße-日本",
        "100%",
        "%2F",
        "%",
        "?q=1&r#s",
        "a+b;c,d",
        "\"quoted\"\\",
        "line\nbreak\ttab",
        "{broker}",
        ".",
        "..",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.push("long".repeat(500));
    names
}

fn encode(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

#[test]
fn the_api_is_what_its_description_says() {
    let (redis, rabbit) = (Redis::start(RedisOptions::default()), RabbitMq::shared());
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "a/b ü%", &json!({"x-max-priority": 9}));
    rabbit.publish(&vhost, "a/b ü%", "hello", &json!({}));
    let celery = Celery::new(&redis.url()).writing_enqueue_times();
    celery.send("emails", 3, &[]);
    Rq::V3.client(&redis.url(), &["send", "mail", "2"]);
    for name in strange() {
        redis.cli(&["LPUSH", &name, "job"]);
    }
    let lists = format!("list.keys = {}\n", json!(strange()));
    let objective = "[[objectives]]\nqueue = '*'\nwait = '30s'\nservice_time = '1s'\n";
    let open = Tailback::start_config(&format!(
        "{}{lists}[brokers.rabbit.rabbitmq]\nurl = '{}'\nmanagement_url = 'http://{}'\n\
         {objective}",
        quick(&redis.url()),
        rabbit.url(&vhost),
        rabbit.management,
    ));
    let file = redis.dir().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let guarded = Tailback::start_config(&format!(
        "[http]\nbearer_token_file = '{}'\n{}{lists}",
        file.display(),
        quick(&redis.url())
    ));
    let wanted = strange().len() + 3;
    for tailback in [&open, &guarded] {
        let bearer = format!("Bearer {TOKEN}");
        wait_for("all queues are listed", || {
            let may = [("Authorization", bearer.as_str())];
            let list = request(tailback.address, "GET", "/api/v1/queues", &may, b"");
            let total = list.unwrap().json()["total"].as_u64().unwrap();
            total >= (wanted - usize::from(tailback.address == guarded.address)) as u64
        });
    }
    names_are_found_however_they_are_written(&open);
    let fuzz = |tailback: &Tailback, headers: &[&str]| -> Value {
        let url = format!("http://{}", tailback.address);
        let dir = tailback.dir().to_str().unwrap().to_owned();
        let app = App::new().with("api").env("DIR", &dir);
        let args: Vec<&str> = [url.as_str(), SECONDS]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        python_of(&app, "api_fuzz.py", &args)
    };
    let header = format!("Authorization: Bearer {TOKEN}");
    std::thread::scope(|scope| {
        let guarded = scope.spawn(|| fuzz(&guarded, &[&header]));
        let read = fuzz(&open, &[])["queues"].as_u64().unwrap();
        // Two of the names are paths to its client.
        assert_eq!(read, wanted as u64 - 2);
        assert_eq!(guarded.join().unwrap()["queues"], read - 1);
    });
}

fn names_are_found_however_they_are_written(tailback: &Tailback) {
    for name in strange() {
        let path = format!("/api/v1/queues/main/list/{}", encode(&name));
        assert_eq!(tailback.json(&path)["queue"], name.as_str());
        let history = tailback.json(&format!("{path}/history"));
        assert_eq!(history["queue"], name.as_str());
    }
    let rabbit = format!("/api/v1/queues/rabbit/rabbitmq/{}", encode("a/b ü%"));
    wait_for("RabbitMQ has counted", || {
        tailback.json(&rabbit)["jobs"]["ready"] == 1
    });
    let long = format!("/api/v1/queues/main/list/{}", "x".repeat(20_000));
    for (path, status) in [
        ("/api/v1/queues/main/list/%FF", 400),
        ("/api/v1/queues/main/list/%ED%A0%80", 400),
        ("/api/v1/queues/%FF/list/a", 400),
        ("/api/v1/queues/main/list/%00", 404),
        ("/api/v1/queues/main/list/", 404),
        ("/api/v1/queues/main//a", 404),
        (long.as_str(), 404),
        ("/api/v1/queues/main/celery/a%2Fb", 404),
        ("/api/v1/queues?queue=%5Bz-a%5D", 400),
        ("/api/v1/queues?limit=-1", 400),
        ("/api/v1/queues?quee=a", 400),
    ] {
        let answer = tailback.get(path);
        assert_eq!(answer.status, status, "{path:.80}: {answer:?}");
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{path:.80}");
        assert_eq!(answer.json()["status"], status);
    }
    // Apart, since the fuzzer takes 503 for a fault of the server.
    let down = Tailback::start_config(&quick("redis://127.0.0.1:1/0"));
    let answer = down.get("/api/v1/queues/main/celery/emails");
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (503, &json!(503))
    );
    let refused = request(tailback.address, "POST", "/api/v1/brokers", &[], b"{}").unwrap();
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET,HEAD"))
    );
}
