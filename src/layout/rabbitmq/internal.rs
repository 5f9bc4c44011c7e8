//! Queues that hold no jobs: what clients and job systems use for talking back.

use super::QueueRow;

/// Whether a queue is of the kinds that are left out unless `internal_queues` asks for them.
pub fn is_internal(row: &QueueRow) -> bool {
    let name = row.name.as_str();
    row.exclusive
        // kombu's mailboxes for remote control: `celery@HOST.celery.pidbox` of a worker,
        // `UUID.reply.celery.pidbox` of who asks it (kombu/pidbox.py).
        || name.ends_with(".pidbox")
        // What a worker or monitor listens to for events (celery/events/receiver.py).
        || name.starts_with("celeryev.")
        // Named by the broker, for somebody who did not care for the name.
        || name.starts_with("amq.gen-")
        || name.starts_with("amq.rabbitmq.reply-to")
        // Replies of Celery's rpc result backend (celery/backends/rpc.py).
        || (row.auto_delete && row.expires && is_uuid(name))
}

fn is_uuid(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_talks_back_is_internal_and_what_holds_jobs_is_not() {
        const UUID: &str = "cc09a803-f4c0-3fba-b859-479e9b4f0f6d";
        for (name, internal) in [
            ("celery", false),
            ("celery@vm.celery.pidbox", true),
            ("f1.reply.celery.pidbox", true),
            ("celeryev.14f4e324", true),
            ("celeryevents", false),
            ("amq.gen-4sW", true),
            ("amq.rabbitmq.reply-to.g1h2", true),
            (UUID, false),
        ] {
            assert_eq!(is_internal(&QueueRow::named(name)), internal, "{name}");
        }
        let replies = QueueRow {
            auto_delete: true,
            expires: true,
            ..QueueRow::named(UUID)
        };
        assert!(is_internal(&replies));
        assert!(is_internal(&QueueRow {
            exclusive: true,
            ..QueueRow::named("jobs")
        }));
    }
}
