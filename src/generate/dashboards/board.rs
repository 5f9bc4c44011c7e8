//! What all dashboards have: variables, annotations, links, and rows of panels.

use super::panel::{Panel, datasource, with};
use super::query::{foreign, max_by, select};
use super::{Board, colour, link};
use crate::metrics::MetricDef;
use crate::metrics::catalog::{BROKER_UP, BUILD_INFO, QUEUE_SOURCE};
use serde_json::{Value, json};

/// Of Grafana 10.4 to 11: what newer ones read as well.
const SCHEMA: u32 = 39;

/// Panels beside each other, under a title; all of one height.
pub(super) struct Row {
    title: &'static str,
    height: u32,
    panels: Vec<Panel>,
}

impl Row {
    pub(super) const fn new(title: &'static str, height: u32, panels: Vec<Panel>) -> Self {
        Self {
            title,
            height,
            panels,
        }
    }
}

/// The whole file.
pub(super) fn json(board: Board, rows: &[Row]) -> Value {
    json!({
        "uid": board.uid(),
        "title": format!("tailback: {}", board.name().to_lowercase()),
        "description": board.description(),
        "tags": ["tailback"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": false,
        // One crosshair in all panels.
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "browser",
        "links": link::to_others(board),
        "annotations": { "list": annotations() },
        "templating": { "list": variables(board) },
        "panels": panels(rows),
    })
}

/// From left to right; a panel that no longer fits begins a new line.
fn panels(rows: &[Row]) -> Vec<Value> {
    let (mut all, mut y) = (Vec::new(), 0);
    let mut id = 0;
    let mut next = || {
        id += 1;
        id
    };
    for row in rows {
        all.push(json!({
            "id": next(),
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 },
            "panels": [],
        }));
        y += 1;
        let mut x = 0;
        for panel in &row.panels {
            if x + panel.width > 24 {
                (x, y) = (0, y + row.height);
            }
            all.push(panel.json(next(), (x, y), row.height));
            x += panel.width;
        }
        y += row.height;
    }
    all
}

fn variables(board: Board) -> Vec<Value> {
    let mut all = vec![json!({
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "refresh": 1,
        "current": {},
    })];
    for (name, of) in [
        ("job", &BUILD_INFO),
        ("instance", &BUILD_INFO),
        ("broker", &BROKER_UP),
        ("system", &QUEUE_SOURCE),
        ("queue", &QUEUE_SOURCE),
    ] {
        all.push(variable(name, of, board));
    }
    all
}

/// The values of a label among what the variables before it choose.
fn variable(name: &'static str, of: &MetricDef, board: Board) -> Value {
    let chosen = select(of);
    // A variable cannot depend on itself, nor on those after it.
    let (known, _) = chosen
        .split_once(&format!("{name}=~"))
        .unwrap_or((&chosen, ""));
    let known = known.trim_end_matches([' ', ',', '{']);
    let known = if known.contains('{') {
        format!("{known}}}")
    } else {
        known.to_owned()
    };
    let query = format!("label_values({known}, {name})");
    // Every target has a job and an instance; a broker, system and queue have them not all.
    let all_value = if ["job", "instance"].contains(&name) {
        ".+"
    } else {
        ".*"
    };
    let has_all = !(board == Board::Queue && name == "queue");
    let current = if has_all {
        json!({ "selected": true, "text": ["All"], "value": ["$__all"] })
    } else {
        json!({})
    };
    let variable = json!({
        "name": name,
        "label": label(name),
        "type": "query",
        "datasource": datasource(),
        "definition": query,
        "query": { "query": query, "refId": format!("variable-{name}") },
        "regex": "",
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": true,
        "includeAll": has_all,
        "current": current,
    });
    if has_all {
        return with(variable, "allValue", json!(all_value));
    }
    variable
}

const fn label(name: &str) -> &str {
    match name.as_bytes() {
        b"job" => "Job",
        b"instance" => "Instance",
        b"broker" => "Broker",
        b"system" => "System",
        _ => "Queue",
    }
}

fn annotations() -> Vec<Value> {
    let started = foreign("process_start_time_seconds");
    let ours = select(&BUILD_INFO);
    let started = max_by(
        "job, instance",
        &format!("{started} and on (job, instance) {ours}"),
    );
    // An alert about a broker has no queue, and one about tailback no broker either.
    let alerts = "max by (alertname, severity, broker, system, queue) (ALERTS{alertname=~\"Tailback.*\", \
                  alertstate=\"firing\", broker=~\"$broker|\", system=~\"$system|\", queue=~\"$queue|\"})";
    vec![
        json!({
            "name": "Annotations & Alerts",
            "builtIn": 1,
            "type": "dashboard",
            "datasource": { "type": "grafana", "uid": "-- Grafana --" },
            "enable": true,
            "hide": true,
            "iconColor": colour::SKY,
        }),
        annotation(
            "Alerts",
            colour::VERMILLION,
            alerts,
            (
                "{{alertname}}",
                "{{queue}} {{system}} {{broker}}",
                "severity",
            ),
            false,
        ),
        // Where the time of the start is the value, a new pod is seen as well as a restart in place.
        annotation(
            "Restarts",
            colour::PURPLE,
            &format!("1000 * {started}"),
            ("tailback has started", "{{job}} {{instance}}", "instance"),
            true,
        ),
    ]
}

fn annotation(
    name: &str,
    colour: &str,
    expr: &str,
    (title, text, tags): (&str, &str, &str),
    value_is_time: bool,
) -> Value {
    json!({
        "name": name,
        "datasource": datasource(),
        "enable": true,
        "hide": false,
        "iconColor": colour,
        "expr": expr,
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": tags,
        "useValueForTime": value_is_time,
    })
}
