//! Certificates of both sides, on both ways.

use super::*;
use crate::support::certificates::Certificates;
use std::path::Path;

#[test]
fn certificates_of_both_sides_are_verified_on_both_ways() {
    let rabbit = RabbitMq::start(RabbitMqOptions {
        mutual_tls: true,
        ..RabbitMqOptions::default()
    });
    rabbit.declare("/", "jobs", &json!({}));
    let url = format!("amqps://guest:guest@{}/%2f", rabbit.amqps);
    let https = format!("management_url = \"https://{}\"", rabbit.management_tls);
    let amqp_alone = "management = false";
    let ours = &rabbit.certificates;
    let dir = tempfile::TempDir::new().unwrap();
    let strangers = Certificates::make(dir.path());
    let poll = |way: &str, ca: &Path, client: Option<&Certificates>, name: &str| {
        let client = client.map_or(String::new(), |own| {
            let (cert, key) = (&own.client, &own.client_key);
            format!("cert_file = {cert:?}\nkey_file = {key:?}\n")
        });
        let tls = format!("ca_file = {ca:?}\nserver_name = {name:?}\n{client}");
        let keys = format!("{way}\ndeclare = [\"jobs\"]\n[brokers.r.rabbitmq.tls]\n{tls}");
        let mut poller = Poller::new(&url, &keys);
        let outcome = poller.poll();
        (outcome, poller)
    };

    let (outcome, poller) = poll(&https, &ours.ca, Some(ours), "localhost");
    let success = outcome.unwrap();
    assert_eq!((names(&success), success.faults.len()), (vec!["jobs"], 0));
    assert_eq!(poller.count("amqp_connect"), 1);

    for way in [https.as_str(), amqp_alone] {
        let cases: [(&str, &Path, Option<&Certificates>, &str); 4] = [
            ("no client certificate", &ours.ca, None, "localhost"),
            ("a stranger's", &ours.ca, Some(&strangers), "localhost"),
            ("another CA", &strangers.ca, Some(ours), "localhost"),
            ("another name", &ours.ca, Some(ours), "elsewhere.example"),
        ];
        for (what, ca, client, name) in cases {
            let error = poll(way, ca, client, name).0.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Tls, "{what}, {way}: {error}");
            assert!(error.message.contains("tls."), "{what}, {way}: {error}");
        }
    }
}
