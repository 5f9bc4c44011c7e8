//! The main job: real Celery and RQ workers on a real Redis, real Celery on a real RabbitMQ, scraped
//! by a real Prometheus.

use crate::support::process::eventually;
use crate::support::prometheus::Prometheus;
use crate::support::python::{Celery, Rq};
use crate::support::rabbitmq::RabbitMq;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::Tailback;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn everything_at_once_reaches_prometheus() {
    let (redis, rabbit) = (Redis::start(RedisOptions::default()), RabbitMq::shared());
    let vhost = rabbit.vhost();
    let on_redis = Celery::new(&redis.url()).writing_enqueue_times();
    let on_rabbit = Celery::new(&rabbit.url(&vhost));
    let tailback = Tailback::start_config(&format!(
        "[defaults]\ndiscovery_interval = \"1s\"\n\
         [brokers.redis.redis]\nurl = \"{}\"\n\
         [brokers.rabbitmq.rabbitmq]\nurl = \"{}\"\nmanagement_url = \"http://{}\"\n",
        redis.url(),
        rabbit.url(&vhost),
        rabbit.management,
    ));
    let prometheus = Prometheus::start(&[tailback.address]);

    on_redis.send("emails", 40, &[]);
    on_redis.send("waiting", 7, &[]);
    on_rabbit.send("celery", 5, &[]);
    Rq::V3.client(&redis.url(), &["send", "mail", "3"]);
    let worker = on_redis.worker("emails", &["-c", "1"], redis.dir());

    let value = |query: &str, wanted: f64| {
        eventually(&format!("{query} = {wanted}"), PATIENCE, || {
            let samples = prometheus.query(query);
            (samples.len() == 1 && samples[0].value == wanted).then_some(())
        });
    };
    value(
        "tailback_queue_jobs{system=\"celery\",queue=\"emails\",state=\"ready\"}",
        0.0,
    );
    value(
        "tailback_queue_jobs{system=\"celery\",queue=\"waiting\",state=\"ready\"}",
        7.0,
    );
    value(
        "tailback_queue_jobs{broker=\"rabbitmq\",queue=\"celery\",state=\"ready\"}",
        5.0,
    );
    value(
        "tailback_queue_jobs{system=\"rq\",queue=\"mail\",state=\"ready\"}",
        3.0,
    );
    value("sum(tailback_broker_up)", 2.0);
    value(
        "count(tailback_queue_source_info{queue=\"waiting\",source=\"message\"})",
        1.0,
    );
    let older = "tailback_queue_latency_seconds{queue=\"waiting\"} > 1";
    eventually(older, PATIENCE, || {
        (prometheus.query(older).len() == 1).then_some(())
    });
    drop(worker);

    assert_eq!(prometheus.last_scrape_error(), "");
}
