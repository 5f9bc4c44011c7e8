//! A panel: what it asks, and how its series look.

use super::colour;
use super::look::{Kind, Look, Unit};
use serde_json::{Value, json};

/// One query.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) expr: String,
    /// The name of its series; in a table the title of its column.
    pub(super) legend: &'static str,
    /// None: of many series, told apart by their names.
    pub(super) look: Option<Look>,
    /// Of a column, where it is not the panel's.
    pub(super) unit: Option<Unit>,
}

#[derive(Debug)]
pub(super) struct Panel {
    pub(super) kind: Kind,
    pub(super) title: &'static str,
    pub(super) description: String,
    pub(super) unit: Unit,
    /// Of 24 columns.
    pub(super) width: u32,
    pub(super) targets: Vec<Target>,
    /// Looks of series by name, where one query gives several.
    pub(super) named: Vec<(&'static str, Look)>,
    /// From which value on it is a matter of concern.
    pub(super) limit: Option<f64>,
    /// What values mean in words, worst first.
    pub(super) words: Vec<(&'static str, &'static str, &'static str)>,
    /// What is shown where there is no value.
    pub(super) no_value: &'static str,
    /// Links each series or row to its queue.
    pub(super) links_queues: bool,
    /// Of a table: its label columns, and the columns by which it is sorted, largest first.
    pub(super) labels: &'static [&'static str],
    pub(super) sorted_by: &'static [&'static str],
}

impl Panel {
    pub(super) fn new(kind: Kind, title: &'static str, unit: Unit, width: u32) -> Self {
        Self {
            kind,
            title,
            description: String::new(),
            unit,
            width,
            targets: Vec::new(),
            named: Vec::new(),
            limit: None,
            words: Vec::new(),
            no_value: "not known",
            links_queues: false,
            labels: &[],
            sorted_by: &[],
        }
    }

    /// One number as of now, in a sixth of the width.
    pub(super) fn stat(title: &'static str, unit: Unit, description: &str, expr: String) -> Self {
        Self::new(Kind::Stat, title, unit, 4)
            .about(description)
            .each(title, expr)
    }

    pub(super) fn about(mut self, description: &str) -> Self {
        self.description = description.to_owned();
        self
    }

    /// A query that gives one series.
    pub(super) fn one(mut self, legend: &'static str, look: Look, expr: String) -> Self {
        self.targets.push(Target {
            expr,
            legend,
            look: Some(look),
            unit: None,
        });
        self
    }

    /// A query that gives a series for each of something.
    pub(super) fn each(mut self, legend: &'static str, expr: String) -> Self {
        self.targets.push(Target {
            expr,
            legend,
            look: None,
            unit: None,
        });
        self
    }

    /// A column of a table.
    pub(super) fn column(mut self, title: &'static str, unit: Unit, expr: String) -> Self {
        self.targets.push(Target {
            expr,
            legend: title,
            look: None,
            unit: Some(unit),
        });
        self
    }

    pub(super) fn rows(
        mut self,
        labels: &'static [&'static str],
        sorted_by: &'static [&'static str],
    ) -> Self {
        self.labels = labels;
        self.sorted_by = sorted_by;
        self
    }

    pub(super) fn named(mut self, looks: &[(&'static str, Look)]) -> Self {
        self.named = looks.to_vec();
        self
    }

    pub(super) const fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    pub(super) fn words(mut self, words: &[(&'static str, &'static str, &'static str)]) -> Self {
        self.words = words.to_vec();
        self
    }

    pub(super) const fn without(mut self, no_value: &'static str) -> Self {
        self.no_value = no_value;
        self
    }

    pub(super) const fn linking_queues(mut self) -> Self {
        self.links_queues = true;
        self
    }

    /// As Grafana reads it.
    pub(super) fn json(&self, id: u32, at: (u32, u32), height: u32) -> Value {
        let panel = json!({
            "id": id,
            "type": self.kind.plugin(),
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": { "x": at.0, "y": at.1, "w": self.width, "h": height },
            "fieldConfig": { "defaults": self.defaults(), "overrides": self.overrides() },
            "options": self.options(),
            "targets": self.targets.iter().enumerate().map(|(index, target)| {
                self.kind.target(target, ref_id(index))
            }).collect::<Vec<_>>(),
        });
        if self.kind == Kind::Table {
            return with(panel, "transformations", self.transformations());
        }
        panel
    }

    fn defaults(&self) -> Value {
        // In a table only what is of concern has a background.
        let usual = match self.kind {
            Kind::Table => "transparent",
            _ => colour::BLUE,
        };
        let mut steps = vec![json!({ "color": usual, "value": null })];
        if let Some(limit) = self.limit {
            steps.push(json!({ "color": colour::VERMILLION, "value": limit }));
        }
        let words = self
            .words
            .iter()
            .enumerate()
            .map(|(index, (value, text, colour))| {
                (
                    (*value).to_owned(),
                    json!({ "text": text, "color": colour, "index": index }),
                )
            });
        let options: serde_json::Map<_, _> = words.collect();
        let mappings = if options.is_empty() {
            json!([])
        } else {
            json!([{ "type": "value", "options": options }])
        };
        let is_chart = matches!(self.kind, Kind::Lines | Kind::Stack);
        let mode = if is_chart {
            "palette-classic-by-name"
        } else {
            "thresholds"
        };
        let defaults = json!({
            "unit": self.unit.as_str(),
            "noValue": self.no_value,
            "color": { "mode": mode },
            "thresholds": { "mode": "absolute", "steps": steps },
            "mappings": mappings,
            "custom": self.kind.custom(self.limit.is_some()),
        });
        if !is_chart {
            return defaults;
        }
        let defaults = with(defaults, "min", json!(0));
        if !self.links_queues {
            return defaults;
        }
        let label = |label: &str| format!("${{__field.labels.{label}:percentencode}}");
        with(defaults, "links", json!([super::link::to_queue(label)]))
    }
}

/// The object with one more property.
pub(super) fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Value::Object(object) = &mut object {
        object.insert(name.to_owned(), value);
    }
    object
}

pub(super) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

pub(super) fn ref_id(index: usize) -> String {
    let letter = u8::try_from(index).map_or(b'Z', |index| b'A' + index);
    char::from(letter).to_string()
}
