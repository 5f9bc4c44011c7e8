//! Builds a [`Config`] from URLs alone.
//!
//! # Names of brokers that are given as URLs alone
//!
//! One Redis is named `redis`, one RabbitMQ `rabbitmq`. Several of a kind are named by their first
//! host (or socket file) too: `redis-cache`, `redis-sessions`; of those with the same host all but
//! the first get a number: `redis-cache-2`. So the order of URLs with different hosts does not
//! matter, and who wants to choose a name, or keep it when a second broker comes, writes a file.

use super::environment::Environment;
use super::fault::{Faults, Notes, Place};
use super::load::read_broker;
use super::poll::PollKeys;
use super::reader::{Source, Table};
use super::suggest::schemes;
use super::url::BrokerUrl;
use super::{Broker, Config, Http, Metrics, Objectives, State, rabbitmq, redis};
use crate::model::BrokerKind;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const NO_BROKER: &str = "no broker is configured; give a URL, for example \
                         `tailback redis://localhost:6379/0`, the same in TAILBACK_BROKERS, or a \
                         file with `--config`";

/// Leaves room for a number within the 64 characters of a name.
const MAX_DERIVED_NAME: usize = 56;

impl Config {
    /// The configuration that a list of URLs makes, with defaults for everything else.
    pub fn from_urls(urls: &[String], env: &Environment) -> Result<Self, Faults> {
        Self::from_places(urls, |nth| format!("argument {nth}"), env)
    }

    /// The same, with the place of the URL of each number, counted from 1.
    pub(super) fn from_places(
        urls: &[String],
        place: impl Fn(usize) -> String,
        env: &Environment,
    ) -> Result<Self, Faults> {
        if urls.is_empty() {
            return Err(Faults::single(Place::Nowhere, NO_BROKER));
        }
        let notes = Notes::default();
        let kinds: Vec<_> = urls.iter().map(|url| kind_of(url)).collect();
        let mut brokers: Vec<Broker> = Vec::new();
        for (nth, (url, kind)) in urls.iter().zip(&kinds).enumerate() {
            let source = Source::Url(place(nth + 1).into());
            let key = Spanned::new(0..0, "url".into());
            let value = Spanned::new(0..0, DeValue::String(url.into()));
            let document = DeTable::from_iter([(key, value)]);
            let table = Table::root(&notes, &source, &document);
            let defaults = PollKeys::default();
            match kind {
                Err(message) => table.fault(message),
                Ok(_) if urls.iter().take(nth).any(|earlier| earlier == url) => {
                    table.fault("is the same URL as an earlier one");
                }
                Ok(kind) => {
                    let is_alone = kinds.iter().filter(|other| *other == &Ok(*kind)).count() == 1;
                    let name = derive_name(*kind, url, is_alone, &brokers);
                    brokers.extend(read_broker(table, &name, *kind, &defaults, env));
                }
            }
        }
        brokers.sort_by(|a, b| a.name.cmp(&b.name));
        notes.conclude(Self {
            http: Http::default(),
            keda: None,
            metrics: Metrics::default(),
            state: State::default(),
            brokers,
            objectives: Objectives::default(),
        })
    }
}

/// Splits at white space, and at commas that are followed by another URL: those within a URL stand
/// between hosts.
pub(super) fn split_urls(text: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut url = String::new();
        for part in word.split(',') {
            if !url.is_empty() && part.contains("://") {
                urls.push(std::mem::take(&mut url));
            } else if !url.is_empty() {
                url.push(',');
            }
            url.push_str(part);
        }
        urls.push(url);
    }
    for url in &mut urls {
        url.truncate(url.trim_end_matches(',').len());
    }
    urls.retain(|url| !url.is_empty());
    urls
}

/// The kind of broker that a URL's scheme means.
fn kind_of(url: &str) -> Result<BrokerKind, String> {
    let scheme = BrokerUrl::parse(url)?.scheme;
    if redis::schemes().contains(&scheme.as_str()) {
        Ok(BrokerKind::Redis)
    } else if rabbitmq::SCHEMES.contains(&scheme.as_str()) {
        Ok(BrokerKind::RabbitMq)
    } else {
        let known = [redis::schemes(), rabbitmq::SCHEMES.to_vec()].concat();
        Err(format!("must begin with {}", schemes(&known)))
    }
}

fn derive_name(kind: BrokerKind, url: &str, is_alone: bool, others: &[Broker]) -> String {
    let kind = kind.as_str();
    if is_alone {
        return kind.to_owned();
    }
    let place = BrokerUrl::parse(url).ok().and_then(|url| url.place_name());
    let name = place.map_or_else(|| kind.to_owned(), |place| format!("{kind}-{place}"));
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let name: String = name
        .chars()
        .map(|letter| if is_allowed(letter) { letter } else { '-' })
        .take(MAX_DERIVED_NAME)
        .collect();
    let is_taken = |name: &str| others.iter().any(|broker| &*broker.name == name);
    (2..)
        .map(|number| format!("{name}-{number}"))
        .find(|numbered| !is_taken(numbered))
        .filter(|_| is_taken(&name))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_between_urls_only() {
        for (list, urls) in [
            ("", &[][..]),
            (" , ,", &[]),
            ("redis://a", &["redis://a"]),
            ("redis://a,amqp://b", &["redis://a", "amqp://b"]),
            (",redis://a,, amqp://b,\n", &["redis://a", "amqp://b"]),
            ("redis://a,,amqp://b", &["redis://a", "amqp://b"]),
            (
                "redis://:p,,w@a,b,amqp://c",
                &["redis://:p,,w@a,b", "amqp://c"],
            ),
            ("a,b", &["a,b"]),
        ] {
            assert_eq!(split_urls(list), urls, "{list:?}");
        }
    }
}
