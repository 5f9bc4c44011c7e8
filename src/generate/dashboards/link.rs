//! Links between the dashboards. They keep the time shown and what the variables choose.

use super::Board;
use serde_json::{Value, json};

/// What every link within Grafana carries on.
const KEPT: &str =
    "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}";

/// From a series or a row to its queue; `label` says how a label of it is written.
pub(super) fn to_queue(label: impl Fn(&str) -> String) -> Value {
    let chosen = ["broker", "system", "queue"].map(|name| format!("var-{name}={}", label(name)));
    json!({
        "title": "This queue",
        "url": format!("/d/{}?{}&{KEPT}", Board::Queue.uid(), chosen.join("&")),
        "targetBlank": false,
    })
}

/// From a dashboard to the others.
pub(super) fn to_others(from: Board) -> Vec<Value> {
    let others = Board::ALL.into_iter().filter(|board| *board != from);
    let link = |board: Board| {
        json!({
            "title": board.name(),
            "tooltip": board.description(),
            "type": "link",
            "icon": "dashboard",
            "url": format!("/d/{}", board.uid()),
            "tags": [],
            "asDropdown": false,
            "targetBlank": false,
            "includeVars": true,
            "keepTime": true,
        })
    };
    others.map(link).collect()
}
