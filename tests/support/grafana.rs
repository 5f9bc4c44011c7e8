//! The shipped dashboards as Grafana would ask them: every query, with the variables filled in.

use super::root;
use serde_json::Value;

pub struct Dashboard {
    pub file: String,
    pub json: Value,
}

/// One query of a panel.
#[derive(Debug)]
pub struct Query<'a> {
    pub panel: &'a str,
    /// `timeseries`, `table`, …
    pub kind: &'a str,
    pub expr: &'a str,
    pub legend: &'a str,
    pub format: &'a str,
    pub is_instant: bool,
}

impl Dashboard {
    /// All of them.
    pub fn shipped() -> Vec<Self> {
        let files = std::fs::read_dir(root().join("dashboards")).unwrap();
        let mut all: Vec<Self> = files
            .map(|entry| {
                let path = entry.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                Self {
                    file: path.file_name().unwrap().to_string_lossy().into_owned(),
                    json: serde_json::from_str(&text).unwrap(),
                }
            })
            .collect();
        all.sort_by(|one, other| one.file.cmp(&other.file));
        assert!(all.len() >= 4, "{}", all.len());
        all
    }

    pub fn uid(&self) -> &str {
        text(&self.json["uid"])
    }

    /// Without rows, which are headings.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        let panels = self.json["panels"].as_array().unwrap().iter();
        panels.filter(|panel| panel["type"] != "row")
    }

    pub fn queries(&self) -> Vec<Query<'_>> {
        self.panels()
            .flat_map(|panel| self.queries_of(panel))
            .collect()
    }

    pub fn queries_of<'a>(&self, panel: &'a Value) -> Vec<Query<'a>> {
        let targets = panel["targets"].as_array().unwrap().iter();
        let queries = targets.map(|target| Query {
            panel: text(&panel["title"]),
            kind: text(&panel["type"]),
            expr: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
            format: text(&target["format"]),
            is_instant: target["instant"] == true,
        });
        queries.collect()
    }

    pub fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().unwrap()
    }

    pub fn variable(&self, name: &str) -> Option<&Value> {
        let mut all = self.variables().iter();
        all.find(|variable| variable["name"] == name)
    }

    /// The query of the annotation with this name.
    pub fn annotation(&self, name: &str) -> &str {
        let all = self.json["annotations"]["list"].as_array().unwrap();
        let found = all.iter().find(|annotation| annotation["name"] == name);
        text(&found.unwrap_or_else(|| panic!("{}: no {name}", self.file))["expr"])
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A query with its variables replaced as Grafana does it.
pub fn fill(query: &str, variables: &[(&str, &str)]) -> String {
    variables
        .iter()
        .fold(query.to_owned(), |query, (name, value)| {
            query.replace(&format!("${name}"), value)
        })
}

/// The metrics and other names in an expression, with what follows them.
pub fn names(expr: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$';
    let (mut rest, mut quoted) = (expr, false);
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            if end == 0 {
                quoted ^= first == '"';
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let (name, after) = rest.split_at(end);
            rest = after;
            if !quoted && !first.is_ascii_digit() {
                return Some((name, after));
            }
        }
    })
}

#[test]
fn names_are_found_outside_of_quotes() {
    let expr = "sum by (a) (rate(x_total{job=~\"$job\", b=\"up y\"}[$__range])) > 0.5";
    let found: Vec<_> = names(expr).map(|(name, _)| name).collect();
    assert_eq!(
        found,
        ["sum", "by", "a", "rate", "x_total", "job", "b", "$__range"]
    );
}
