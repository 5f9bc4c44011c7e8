//! The rules of Grafana's dashboard-linter, and those that we add: one complaint for each that is broken.
//! That queries are PromQL is for Prometheus to say, in `dashboards_live`.

use super::grafana::{Dashboard, names, text};
use serde_json::Value;

/// Of the units that Grafana has, those that we use.
const UNITS: &[&str] = &[
    "s",
    "short",
    "cps",
    "percentunit",
    "bytes",
    "binBps",
    "none",
];
/// What Okabe and Ito found to be told apart by everybody, and no colour.
const COLOURS: &[&str] = &[
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#999999",
    "transparent",
];

pub fn lint(dashboard: &Dashboard) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |rule: &str, what: &str| complaints.push(format!("{rule}: {what}"));
    whole(dashboard, &mut complain);
    for variable in dashboard.variables() {
        one_variable(dashboard, variable, &mut complain);
    }
    for panel in dashboard.panels() {
        one_panel(panel, &mut complain);
        for query in dashboard.queries_of(panel) {
            let mut complain = |rule: &str, what: &str| {
                complain(rule, &format!("{what} in {}: {}", query.panel, query.expr));
            };
            expression(query.expr, query.format == "heatmap", &mut complain);
            if query.legend.is_empty() {
                complain("legend", "none");
            }
        }
    }
    let mut colours = Vec::new();
    colours_of(&dashboard.json, &mut colours);
    for colour in colours.iter().filter(|colour| !COLOURS.contains(colour)) {
        complain("colours", colour);
    }
    complaints
}

fn whole(dashboard: &Dashboard, complain: &mut impl FnMut(&str, &str)) {
    let json = &dashboard.json;
    if json["editable"] != false {
        complain("uneditable-dashboard-rule", "editable");
    }
    if !json["__inputs"].is_null() || !json["id"].is_null() {
        complain("provisioning", "made for one Grafana");
    }
    for name in ["datasource", "job", "instance", "broker", "system", "queue"] {
        if dashboard.variable(name).is_none() {
            complain(&format!("template-{name}-rule"), "missing");
        }
    }
    let panels: Vec<_> = json["panels"].as_array().unwrap().iter().collect();
    for (index, panel) in panels.iter().enumerate() {
        let place = Place::of(panel);
        for other in &panels[..index] {
            if other["id"] == panel["id"] || Place::of(other).overlaps(&place) {
                complain(
                    "layout",
                    &format!("{} and {}", other["title"], panel["title"]),
                );
            }
        }
        if place.x.1 > 24 {
            complain("layout", &format!("{} is too wide", panel["title"]));
        }
    }
}

struct Place {
    x: (u64, u64),
    y: (u64, u64),
}

impl Place {
    fn of(panel: &Value) -> Self {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        Self {
            x: (x, x + w),
            y: (y, y + h),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let both = |one: (u64, u64), other: (u64, u64)| one.0 < other.1 && other.0 < one.1;
        both(self.x, other.x) && both(self.y, other.y)
    }
}

fn one_variable(dashboard: &Dashboard, variable: &Value, complain: &mut impl FnMut(&str, &str)) {
    let name = text(&variable["name"]);
    if variable["type"] == "datasource" {
        let is_right = name == "datasource"
            && variable["label"] == "Data source"
            && variable["query"] == "prometheus"
            && dashboard.variables()[0] == *variable;
        if !is_right {
            complain("template-datasource-rule", name);
        }
        return;
    }
    let rule = format!("template-{name}-rule");
    if variable["datasource"]["uid"] != "${datasource}" || variable["type"] != "query" {
        complain(&rule, "not a query of the data source");
    }
    if variable["multi"] != true || variable["label"].as_str().is_none_or(str::is_empty) {
        complain(&rule, "no label, or for one value only");
    }
    if ["job", "instance"].contains(&name) && variable["allValue"] != ".+" {
        complain(&rule, "allValue");
    }
    if variable["refresh"] != 2 {
        complain("template-on-time-change-reload", name);
    }
    let query = text(&variable["query"]["query"]);
    if !query.starts_with("label_values(tailback_") || !query.ends_with(&format!(", {name})")) {
        complain("template-label-promql-rule", query);
    }
    let pattern = format!("${name}\"");
    let mut queries = dashboard.queries().into_iter();
    if !queries.any(|query| query.expr.contains(&pattern)) {
        complain("template-unused-rule", name);
    }
}

fn one_panel(panel: &Value, complain: &mut impl FnMut(&str, &str)) {
    let title = text(&panel["title"]);
    let mut sources = vec![&panel["datasource"]];
    let targets = panel["targets"].as_array().unwrap();
    sources.extend(targets.iter().map(|target| &target["datasource"]));
    for source in sources {
        if source["uid"] != "${datasource}" || source["type"] != "prometheus" {
            complain("panel-datasource-rule", title);
        }
    }
    if targets.is_empty() {
        complain("panel-no-targets-rule", title);
    }
    if title.is_empty() || panel["description"].as_str().is_none_or(str::is_empty) {
        complain("panel-title-description-rule", title);
    }
    let defaults = &panel["fieldConfig"]["defaults"];
    let mut units = vec![&defaults["unit"]];
    for special in panel["fieldConfig"]["overrides"].as_array().unwrap() {
        let properties = special["properties"].as_array().unwrap().iter();
        let properties = properties.filter(|property| property["id"] == "unit");
        units.extend(properties.map(|property| &property["value"]));
    }
    if units
        .iter()
        .any(|unit| !UNITS.iter().any(|known| *unit == known))
    {
        complain("panel-units-rule", title);
    }
    // What is not known is a gap, and is called so.
    if panel["type"] == "timeseries" && defaults["custom"]["spanNulls"] != false {
        complain("unknown is not zero", title);
    }
    if !defaults["noValue"].is_string() {
        complain("unknown is not zero", title);
    }
}

fn expression(expr: &str, is_heatmap: bool, complain: &mut impl FnMut(&str, &str)) {
    if expr.contains("vector(") || expr.contains("absent(") {
        complain("unknown is not zero", "made up");
    }
    if expr.contains("rate(") && !expr.contains("[$__rate_interval]") {
        complain("target-rate-interval-rule", "another interval");
    }
    for (name, after) in names(expr) {
        let is_metric = name == "up"
            || ["tailback_", "process_", "scrape_"]
                .iter()
                .any(|start| name.starts_with(start));
        if name.contains(':') {
            complain("recording rules", name);
        }
        if !is_metric {
            continue;
        }
        let (matchers, rest) = match after
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
        {
            Some(parts) => parts,
            None => ("", after),
        };
        for label in ["job", "instance"] {
            if !matchers.contains(&format!("{label}=~\"${label}\"")) {
                complain(&format!("target-{label}-rule"), name);
            }
        }
        let before = &expr[..expr.len() - after.len() - name.len()];
        let function = before.strip_suffix('(').unwrap_or_default();
        let function = function
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next();
        let window = rest.split_once(']').map_or("", |(window, _)| window);
        let (is_rate, is_increase) = (function == Some("rate"), function == Some("increase"));
        if name.ends_with("_total") && !is_rate && !is_increase {
            complain("target-counter-agg-rule", name);
        }
        if is_rate && window != "[$__rate_interval" {
            complain("target-rate-interval-rule", name);
        }
        if name.ends_with("_bucket") && !is_heatmap && !before.contains("histogram_quantile(") {
            complain("target-histogram-rule", name);
        }
    }
}

/// Everything that is a colour: hexadecimal, or a name of Grafana's.
fn colours_of<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let is_colour = ["color", "fixedColor", "iconColor"].contains(&key.as_str());
                match value.as_str() {
                    Some(colour) if is_colour => found.push(colour),
                    _ => colours_of(value, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| colours_of(value, found)),
        _ => {}
    }
}
