//! Users with the least of rights, and what `check` says of what they lack.

use super::*;
use crate::support::tailback::tailback;

/// What `check` says, and its exit code.
pub(super) fn check(url: &str, keys: &str) -> (Option<i32>, String) {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("tailback.toml");
    std::fs::write(
        &file,
        format!("[brokers.r.rabbitmq]\nurl = {url:?}\n{keys}\n"),
    )
    .unwrap();
    let output = tailback(&["check", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("hunter2"), "{said}");
    (output.status.code(), said)
}

#[test]
fn check_says_what_a_user_lacks() {
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    let nothing = ("^$", "^$", "^$");
    let watcher = format!("watcher-{vhost}");
    let manager = format!("manager-{vhost}");
    let client = format!("client-{vhost}");
    let stranger = format!("stranger-{vhost}");
    for (user, tag) in [
        (&watcher, "monitoring"),
        (&manager, "management"),
        (&client, ""),
        (&stranger, "monitoring"),
    ] {
        rabbit.user(user, "hunter2", tag);
    }
    for user in [&watcher, &manager, &client] {
        rabbit.permit(user, &vhost, nothing);
    }
    let management = management_of(rabbit);
    let check_as = |user: &str, keys: &str| {
        let url = rabbit.url_as(&format!("{user}:hunter2"), &vhost);
        check(&url, &format!("{management}\n{keys}"))
    };

    // Both tags will do, with access to the vhost and to nothing in it.
    for user in [&watcher, &manager] {
        let (code, said) = check_as(user, "declare = [\"jobs\"]");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("rabbitmq  jobs"), "{said}");
        assert!(
            said.contains("source: read through the management API"),
            "{said}"
        );
        assert!(!said.contains("problem"), "{said}");
    }

    // The tag without access to the vhost.
    let (code, said) = check_as(&stranger, "declare = [\"jobs\"]");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED (permission)"), "{said}");
    let advice = format!("set_permissions -p {vhost} {stranger} '^$' '^$' '^$'");
    assert!(said.contains(&advice), "{said}");

    // No tag: what is named is read through AMQP, and what is missing is told.
    let (code, said) = check_as(&client, "declare = [\"jobs\"]");
    assert_eq!(code, Some(1), "{said}");
    let advice = format!("set_user_tags {client} monitoring");
    assert!(
        said.contains("rabbitmq  jobs") && said.contains(&advice),
        "{said}"
    );
    assert!(said.contains("source: read through AMQP alone"), "{said}");
    let (code, said) = check_as(&client, "");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("FAILED (permission)") && said.contains(&advice),
        "{said}"
    );

    // Without the management API wanted, that user lacks nothing.
    let url = rabbit.url_as(&format!("{client}:hunter2"), &vhost);
    let (code, said) = check(&url, "management = false\ndeclare = [\"jobs\"]");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("source: read through AMQP alone"), "{said}");
}

#[test]
fn a_queue_that_may_not_be_declared_leaves_the_others_readable() {
    // What RabbitMQ from 4.2.7 on answers (403) to a user without rights on the queue, 3.10 answers
    // (405) for an exclusive queue of another connection: either closes the channel.
    let rabbit = RabbitMq::shared();
    let vhost = rabbit.vhost();
    rabbit.declare(&vhost, "jobs", &json!({}));
    let owner = Client::new(&rabbit.url(&vhost));
    let options = lapin::options::QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    let declaring = owner
        .channel
        .queue_declare("aaa-mine".into(), options, FieldTable::default());
    owner.runtime.block_on(declaring).unwrap();
    let keys = "management = false\ndeclare = [\"aaa-mine\", \"jobs\"]";
    let success = Poller::new(&rabbit.url(&vhost), keys).poll().unwrap();
    assert_eq!(names(&success), ["jobs"]);
    let [fault] = success.faults.as_slice() else {
        panic!("{:?}", success.faults)
    };
    assert_eq!(fault.kind, ErrorKind::Permission);
    assert!(fault.message.contains("4.2.7"), "{fault:?}");
    assert_eq!(success.dropped[&DropReason::Unreadable], 1);
}
