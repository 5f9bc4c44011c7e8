//! The description is that of the code: neither may have what the other has not.

mod bodies;

use super::*;
use crate::http::api::ListQuery;
use crate::http::interface;
use crate::model::flow::Counts;
use crate::model::{DropReason, ErrorKind, FlowBasis, LatencySource, System};
use crate::redact::Secret;
use axum::extract::Query;
use axum::http::Uri;
use std::collections::BTreeSet;

fn written() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn names(list: &Value) -> BTreeSet<String> {
    let text = |item: &Value| item.as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_paths_are_those_that_are_served() {
    let document = written();
    let served = interface().map(|(path, _)| path.to_owned());
    assert_eq!(keys(&document["paths"]), BTreeSet::from(served));
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods: Vec<_> = keys(item)
            .into_iter()
            .filter(|key| key != "parameters")
            .collect();
        assert_eq!(methods, ["get"], "{path}");
        let get = &item["get"];
        let is_open = get["security"] == json!([]);
        assert_eq!(is_open, get["responses"].get("401").is_none(), "{path}");
    }
}

/// What may stand in a query in place of `given`, as the reader of queries says.
fn expected(given: &str) -> BTreeSet<String> {
    let uri: Uri = format!("/?{given}").parse().unwrap();
    let error = Query::<ListQuery>::try_from_uri(&uri).unwrap_err();
    let text = error.body_text();
    let (_, expected) = text.split_once("expected").unwrap();
    let names = expected.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn the_parameters_are_those_that_are_read() {
    let document = written();
    let parameters = &document["paths"]["/api/v1/queues"]["get"]["parameters"];
    let named = |name: &str| {
        let mut all = parameters.as_array().unwrap().iter();
        all.find(|each| each["name"] == name).unwrap()["schema"].clone()
    };
    let all = parameters.as_array().unwrap().iter();
    let mut described: BTreeSet<String> = all
        .map(|each| each["name"].as_str().unwrap().to_owned())
        .collect();
    let key = &document["components"]["securitySchemes"]["api_key_in_query"]["name"];
    described.insert(key.as_str().unwrap().to_owned());
    assert_eq!(described, expected("zzz=1"));
    for name in ["sort", "order"] {
        let read = expected(&format!("{name}=zzz"));
        assert_eq!(names(&named(name)["enum"]), read, "{name}");
    }
    for name in ["offset", "limit"] {
        let schema = named(name);
        let accepts = |number: i128| {
            let uri: Uri = format!("/?{name}={number}").parse().unwrap();
            Query::<ListQuery>::try_from_uri(&uri).is_ok()
        };
        let [least, most] =
            ["minimum", "maximum"].map(|key| i128::from(schema[key].as_i64().unwrap()));
        let numbers = [least - 1, least, most, most + 1];
        assert_eq!(numbers.map(accepts), [false, true, true, false], "{name}");
    }
}

#[test]
fn the_closed_sets_are_those_of_the_model() {
    let document = written();
    let said = |pointer: &str| names(document.pointer(pointer).unwrap_or(&Value::Null));
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let schema = |name: &str| format!("/components/schemas/{name}");
    let systems: BTreeSet<String> = set(&System::ALL.map(System::as_str));
    for owner in ["Queue", "History", "SystemTotals"] {
        let pointer = format!("{}/properties/system/enum", schema(owner));
        assert_eq!(said(&pointer), systems, "{owner}");
    }
    assert_eq!(said("/components/parameters/system/schema/enum"), systems);
    let kinds: BTreeSet<String> = set(&ErrorKind::ALL.map(ErrorKind::as_str));
    let pointer = format!("{}/properties/kind/enum", schema("PollError"));
    assert_eq!(said(&pointer), kinds);
    let broker = &document["components"]["schemas"]["Broker"]["properties"];
    assert_eq!(keys(&broker["errors"]["properties"]), kinds);
    let reasons: BTreeSet<String> = set(&DropReason::ALL.map(DropReason::as_str));
    assert_eq!(keys(&broker["queues_dropped"]["properties"]), reasons);
    use LatencySource::{Broker, Flow, Message, None as Nothing};
    let sources = set(&[Message, Broker, Flow, Nothing].map(LatencySource::as_str));
    assert_eq!(
        said(&format!("{}/properties/source/enum", schema("Queue"))),
        sources
    );
    let basis = set(&[
        FlowBasis::Empty,
        FlowBasis::Timestamp,
        FlowBasis::TimestampRejected,
        FlowBasis::Curve,
        FlowBasis::Cold,
        FlowBasis::PutBack,
        FlowBasis::Unordered,
        FlowBasis::Unknown,
    ]
    .map(FlowBasis::as_str));
    assert_eq!(
        said(&format!("{}/properties/basis/enum", schema("Flow"))),
        basis
    );
    let counts = set(&Counts::ALL.map(Counts::as_str));
    assert_eq!(
        said(&format!("{}/properties/counts/enum", schema("Flow"))),
        counts
    );
}

#[test]
fn what_is_asked_of_clients_is_what_the_process_asks() {
    let secret = || Some(Secret::new("of-sixteen-signs"));
    let said = |access: &Access| {
        let document: Value = serde_json::from_slice(&super::document(access)).unwrap();
        let schemes = &document["components"]["securitySchemes"];
        let mut ways = BTreeSet::new();
        for way in document["security"].as_array().into_iter().flatten() {
            ways.extend(keys(way));
        }
        assert!(ways.is_subset(&keys(schemes)), "{ways:?}");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let is_open = document["paths"]["/metrics"]["get"]["security"] == json!([]);
        (ways.into_iter().collect::<Vec<_>>().join(" "), is_open)
    };
    let mut access = Access::default();
    assert_eq!(said(&access), (String::new(), false));
    access.bearer_token = secret();
    assert_eq!(said(&access), ("basic bearer".to_owned(), false));
    access.api_key = secret();
    access.open_metrics = true;
    let all = "api_key api_key_in_query basic bearer".to_owned();
    assert_eq!(said(&access), (all, true));
}
