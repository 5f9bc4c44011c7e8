//! How the brokers are. What is down is said in words, not by colour alone.

use super::html::Html;
use super::page::plural;
use crate::clock::Now;
use crate::human;
use crate::model::{BrokerKind, BrokerSnapshot, Snapshot};

/// What a broker's polls have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// Not polled yet.
    Starting,
    Up,
    /// The last poll failed; what the one before said still counts.
    Failing,
    /// No poll has succeeded for so long that nothing is known of the present.
    Down,
}

impl Health {
    fn of(broker: &BrokerSnapshot, now: Now) -> Self {
        match () {
            () if broker.polls == 0 => Self::Starting,
            () if broker.is_up(now) => Self::Up,
            () if broker.is_fresh(now) => Self::Failing,
            () => Self::Down,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Down => "down",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Starting => "… first poll",
            Self::Up => "● up",
            Self::Failing => "▲ failing",
            Self::Down => "✖ down",
        }
    }
}

/// Brokers that are down.
pub(super) fn down(snapshot: &Snapshot, now: Now) -> usize {
    let brokers = snapshot.brokers.values();
    brokers
        .filter(|broker| Health::of(broker, now) == Health::Down)
        .count()
}

pub(super) fn brokers(html: &mut Html, snapshot: &Snapshot, now: Now) {
    html.raw("<h2 class=\"vh\">Brokers</h2><ul class=\"brokers\">");
    for broker in snapshot.brokers.values() {
        one(html, broker, now);
    }
    html.raw("</ul>");
}

fn one(html: &mut Html, broker: &BrokerSnapshot, now: Now) {
    let health = Health::of(broker, now);
    html.raw("<li")
        .attribute("class", health.class())
        .raw("><p>");
    html.raw("<strong class=\"state\">").raw(health.words());
    html.raw("</strong> <b>")
        .name(&broker.name)
        .raw("</b> <span>");
    html.raw(broker.kind.as_str());
    if let Some(version) = &broker.version {
        html.raw(" ").text(version);
    }
    html.raw("</span>");
    let since = broker.last_success.map(|at| {
        let age = now.mono.saturating_duration_since(at.mono);
        human::duration(age.as_secs_f64())
    });
    match health {
        Health::Starting => {}
        Health::Up => {
            let queues = broker.fresh_queues(now).count();
            html.raw(" <span>").text(&human::count(queues as u64));
            html.raw(" queue").raw(plural(queues));
            html.raw("</span> <span>polled every ");
            let interval = human::duration(broker.interval.as_secs_f64());
            html.text(&interval.replace(".0 s", " s"));
            html.raw("</span>");
        }
        Health::Failing | Health::Down => {
            html.raw(" <span>");
            match since {
                Some(since) => html.raw("last good poll ").text(&since).raw(" ago"),
                None => html.raw("no poll has succeeded yet"),
            };
            html.raw("</span>");
        }
    }
    let dropped: u64 = broker.dropped.values().sum();
    if dropped > 0 && broker.is_fresh(now) {
        html.raw(" <span class=\"warn\">▲ ")
            .text(&human::count(dropped));
        html.raw(" not shown (");
        let reasons: Vec<_> = broker
            .dropped
            .keys()
            .map(|reason| reason.as_str())
            .collect();
        html.text(&reasons.join(", ")).raw(")</span>");
    }
    html.raw("</p>");
    if broker.kind == BrokerKind::Simulated {
        html.raw("<p>Nothing of it is real: its queues are simulated in this process.</p>");
    }
    if let Some(error) = &broker.last_error {
        html.raw("<p class=\"error\">").text(error.kind.as_str());
        html.raw(": ").text(&error.message).raw("</p>");
    }
    html.raw("</li>");
}
