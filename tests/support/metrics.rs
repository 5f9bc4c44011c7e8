//! A reader of the Prometheus text format, written apart from the writer that it checks.

use std::collections::BTreeMap;

/// All samples of one scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub samples: Vec<Sample>,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Metrics {
    /// Panics at the first line that is not valid exposition.
    pub fn parse(text: &str) -> Self {
        let samples = text
            .split('\n')
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| Sample::parse(line).unwrap_or_else(|| panic!("no sample: {line:?}")))
            .collect();
        Self {
            samples,
            text: text.to_owned(),
        }
    }

    /// The value of the one series with this name that has all of `labels`; `None` if there is
    /// none. Panics where several match: the test has to say which it means.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.all(name, labels);
        assert!(found.len() <= 1, "{name}{labels:?} is ambiguous: {found:?}");
        found.first().map(|sample| sample.value)
    }

    /// All series with this name that have all of `labels`.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        self.samples
            .iter()
            .filter(|sample| sample.name == name && sample.has(labels))
            .collect()
    }

    /// The sum over all series with this name that have all of `labels`.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels)
            .iter()
            .map(|sample| sample.value)
            .sum()
    }

    /// `tailback_queue_jobs` of one queue in one state.
    pub fn jobs(&self, system: &str, queue: &str, state: &str) -> Option<f64> {
        let labels = [("system", system), ("queue", queue), ("state", state)];
        self.get("tailback_queue_jobs", &labels)
    }

    /// The names of one system's queues, each once.
    pub fn queues(&self, system: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .all("tailback_queue_jobs", &[("system", system)])
            .iter()
            .map(|sample| sample.labels["queue"].as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Sample {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(key, value)| self.labels.get(*key).is_some_and(|have| have == value))
    }

    fn parse(line: &str) -> Option<Self> {
        let name_end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                if let Some(after) = rest.strip_prefix('}') {
                    rest = after;
                    break;
                }
                let (key, after) = rest.split_once("=\"")?;
                let (value, after) = unescape(after)?;
                if labels.insert(key.to_owned(), value).is_some() {
                    return None;
                }
                rest = after.strip_prefix(',').unwrap_or(after);
            }
        }
        let value = rest.strip_prefix(' ')?.split(' ').next()?.parse().ok()?;
        Some(Self {
            name: name.to_owned(),
            labels,
            value,
        })
    }
}

/// Reads up to the closing quote and returns what comes after it.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                _ => return None,
            },
            char => value.push(char),
        }
    }
    None
}

#[test]
fn labels_are_unescaped_and_found() {
    let metrics = Metrics::parse(
        "# TYPE a gauge\na{queue=\"x\\\\\\\"\\n{}\",broker=\"main\"} 2.5\na{queue=\"\"} 1e3 17\nb 7\n",
    );
    assert_eq!(metrics.get("a", &[("queue", "x\\\"\n{}")]), Some(2.5));
    assert_eq!(metrics.get("a", &[("queue", "")]), Some(1000.0));
    assert_eq!(metrics.get("a", &[("queue", "y")]), None);
    assert_eq!(metrics.get("b", &[]), Some(7.0));
}
