//! What each kind of panel needs in Grafana's model.

use super::link;
use super::look::{Kind, Look, Stroke, Unit};
use super::panel::{Panel, Target, datasource, ref_id};
use serde_json::{Map, Value, json};

impl Kind {
    pub(super) const fn plugin(self) -> &'static str {
        match self {
            Self::Stat | Self::Word => "stat",
            Self::Lines | Self::Stack => "timeseries",
            Self::Heatmap => "heatmap",
            Self::Timeline => "state-timeline",
            Self::Table => "table",
        }
    }

    /// The query: as of now where one value is shown, so that none of the past passes for it.
    pub(super) fn target(self, target: &Target, ref_id: String) -> Value {
        let is_now = matches!(self, Self::Stat | Self::Word | Self::Table);
        let format = match self {
            Self::Heatmap => "heatmap",
            Self::Table => "table",
            _ => "time_series",
        };
        json!({
            "refId": ref_id,
            "datasource": datasource(),
            "editorMode": "code",
            "expr": target.expr,
            "legendFormat": target.legend,
            "format": format,
            "instant": is_now,
            "range": !is_now,
        })
    }

    pub(super) fn custom(self, has_limit: bool) -> Value {
        match self {
            Self::Lines | Self::Stack => {
                let is_stack = self == Self::Stack;
                json!({
                    "drawStyle": "line",
                    "lineInterpolation": "linear",
                    "lineWidth": if is_stack { 1 } else { 2 },
                    "lineStyle": { "fill": "solid" },
                    "fillOpacity": if is_stack { 60 } else { 0 },
                    "gradientMode": "none",
                    // A single value between gaps is a point.
                    "showPoints": "auto",
                    "pointSize": 4,
                    // What is not known is a gap.
                    "spanNulls": false,
                    "insertNulls": false,
                    "stacking": { "mode": if is_stack { "normal" } else { "none" }, "group": "A" },
                    "axisPlacement": "auto",
                    "thresholdsStyle": { "mode": if has_limit { "dashed" } else { "off" } },
                })
            }
            Self::Timeline => json!({ "fillOpacity": 75, "lineWidth": 0 }),
            Self::Table => json!({
                "align": "auto",
                "cellOptions": { "type": "auto" },
                "filterable": true,
                "inspect": false,
            }),
            Self::Heatmap => json!({ "scaleDistribution": { "type": "linear" } }),
            Self::Stat | Self::Word => json!({}),
        }
    }
}

impl Panel {
    pub(super) fn options(&self) -> Value {
        let legend = json!({
            "showLegend": true,
            "displayMode": "table",
            "placement": "bottom",
            "calcs": ["mean", "max"],
        });
        match self.kind {
            Kind::Stat | Kind::Word => json!({
                "colorMode": "value",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": if self.kind == Kind::Word { "name" } else { "auto" },
                "reduceOptions": { "calcs": ["last"], "fields": "", "values": false },
            }),
            Kind::Lines | Kind::Stack => json!({
                "legend": legend,
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Kind::Timeline => json!({
                "mergeValues": true,
                "showValue": "auto",
                "alignValue": "left",
                "rowHeight": 0.8,
                "legend": { "showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": [] },
                "tooltip": { "mode": "single", "sort": "none" },
            }),
            Kind::Heatmap => json!({
                "calculate": false,
                "cellGap": 1,
                // Light to dark in every way of seeing it.
                "color": {
                    "mode": "scheme", "scheme": "Cividis", "fill": super::colour::ORANGE,
                    "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": false,
                },
                "exemplars": { "color": super::colour::VERMILLION },
                "filterValues": { "le": 1e-9 },
                "legend": { "show": true },
                "rowsFrame": { "layout": "auto" },
                "tooltip": { "mode": "single", "yHistogram": true, "showColorScale": true },
                "yAxis": { "axisPlacement": "left", "unit": Unit::Seconds.as_str(), "reverse": false },
            }),
            Kind::Table => {
                let sorted = self.sorted_by.iter();
                let sorted = sorted.map(|title| json!({ "displayName": title, "desc": true }));
                json!({
                    "showHeader": true,
                    "cellHeight": "sm",
                    "sortBy": sorted.collect::<Vec<_>>(),
                    "footer": {
                        "show": false, "enablePagination": true,
                        "reducer": ["sum"], "countRows": false, "fields": "",
                    },
                })
            }
        }
    }

    pub(super) fn overrides(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            if let Some(look) = target.look {
                all.push(override_of(
                    "byFrameRefID",
                    &ref_id(index),
                    &look.properties(),
                ));
            }
            if self.kind == Kind::Table {
                all.push(override_of("byName", target.legend, &self.cell(target)));
            }
        }
        for (name, look) in &self.named {
            all.push(override_of("byName", name, &look.properties()));
        }
        if self.kind == Kind::Table && self.links_queues {
            let field = |label: &str| format!("${{__data.fields.{label}:percentencode}}");
            let links = ("links", json!([link::to_queue(field)]));
            all.push(override_of("byName", &title_of("queue"), &[links]));
        }
        all
    }

    /// How the cells of a column look: with a background where a limit is passed.
    fn cell(&self, target: &Target) -> Vec<(&'static str, Value)> {
        let unit = target.unit.unwrap_or(self.unit).as_str();
        let mut properties = vec![("unit", json!(unit))];
        if self.limit.is_some() && self.sorted_by.first() == Some(&target.legend) {
            let cell = json!({ "type": "color-background", "mode": "basic" });
            properties.push(("custom.cellOptions", cell));
        }
        properties
    }

    /// One row for each set of labels, labels first, and the names that people read.
    pub(super) fn transformations(&self) -> Value {
        let (mut names, mut order) = (Map::new(), Map::new());
        for label in self.labels {
            order.insert((*label).to_owned(), json!(order.len()));
            names.insert((*label).to_owned(), json!(title_of(label)));
        }
        for (index, target) in self.targets.iter().enumerate() {
            let name = format!("Value #{}", ref_id(index));
            order.insert(name.clone(), json!(order.len()));
            names.insert(name, json!(target.legend));
        }
        json!([
            { "id": "merge", "options": {} },
            { "id": "organize", "options": {
                "excludeByName": { "Time": true },
                "includeByName": {},
                "indexByName": order,
                "renameByName": names,
            } },
        ])
    }
}

/// The title of a label's column.
fn title_of(label: &str) -> String {
    let mut chars = label.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn override_of(matcher: &str, which: &str, properties: &[(&str, Value)]) -> Value {
    let properties = properties.iter();
    let properties = properties.map(|(id, value)| json!({ "id": id, "value": value }));
    json!({
        "matcher": { "id": matcher, "options": which },
        "properties": properties.collect::<Vec<_>>(),
    })
}

impl Look {
    fn properties(&self) -> Vec<(&'static str, Value)> {
        let line = match self.stroke {
            Stroke::Solid => json!({ "fill": "solid" }),
            Stroke::Dashed => json!({ "fill": "dash", "dash": [10, 10] }),
            Stroke::Dotted => json!({ "fill": "dot", "dash": [0, 10] }),
        };
        let mut all = vec![
            (
                "color",
                json!({ "mode": "fixed", "fixedColor": self.colour }),
            ),
            ("custom.lineStyle", line),
        ];
        if let Some(other) = self.filled_to {
            all.push(("custom.fillBelowTo", json!(other)));
            all.push(("custom.fillOpacity", json!(15)));
        }
        all
    }
}
