//! What was recorded of real job systems (`tests/fixtures/systems.json`), put into a real Redis.

use super::redis::Redis;
use super::root;
use base64::Engine as _;
use redis::{Cmd, Pipeline, cmd};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The first case of one system.
pub struct Recording {
    pub system: String,
    /// Options that it needs.
    pub config: String,
    /// The queues that are to be found there.
    pub queues: BTreeSet<String>,
    /// The list, sorted set or stream that becomes long.
    grows: String,
    keys: Map<String, Value>,
}

/// Those of all systems.
pub fn all() -> Vec<Recording> {
    let systems = json("systems.json");
    let systems = systems.as_array().unwrap();
    systems.iter().map(Recording::new).collect()
}

/// Writes all keys of one case of a file of `tests/fixtures`.
pub fn replay(redis: &Redis, file: &str, case: &str) {
    let mut connection = redis.connection();
    for (key, value) in json(file)[case].as_object().expect(case) {
        for command in commands(key, value, 0) {
            let () = command.query(&mut connection).unwrap();
        }
    }
}

fn json(file: &str) -> Value {
    let path = root().join("tests/fixtures").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Recording {
    fn new(system: &Value) -> Self {
        let case = &system["cases"][0];
        let file = json(system["file"].as_str().unwrap());
        let queues = case["queues"].as_array().unwrap();
        Self {
            system: text(&system["system"]),
            config: text(&case["config"]),
            queues: queues.iter().map(text).collect(),
            grows: text(&case["grows"]),
            keys: file[case["name"].as_str().unwrap()]
                .as_object()
                .unwrap()
                .clone(),
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Writes all its keys; the one that grows has `more` elements besides its own.
    pub fn load(&self, redis: &Redis, more: usize) {
        let mut connection = redis.connection();
        for (key, value) in &self.keys {
            let more = if self.grows == *key { more } else { 0 };
            let commands = commands(key, value, more);
            for chunk in commands.chunks(1000) {
                let mut pipeline = Pipeline::new();
                for command in chunk {
                    pipeline.add_command(command.clone()).ignore();
                }
                let () = pipeline
                    .query(&mut connection)
                    .unwrap_or_else(|error| panic!("{} {key}: {error}", self.system));
            }
        }
    }
}

/// The commands that make a key what it was.
fn commands(key: &str, value: &Value, more: usize) -> Vec<Cmd> {
    let items = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    let on = |name: &str, args: &[Vec<u8>]| cmd(name).arg(key).arg(args).take();
    let mut commands = match value["type"].as_str().unwrap() {
        "list" => list(&items("lrange_0"), value, more)
            .into_iter()
            .map(|element| on("RPUSH", &[element]))
            .collect(),
        "hash" => {
            let fields = value["fields"].as_object().unwrap();
            let set = |(field, value): (&String, &Value)| {
                on("HSET", &[field.clone().into_bytes(), raw(value)])
            };
            fields.iter().map(set).collect()
        }
        "set" => items("members")
            .iter()
            .map(|member| on("SADD", &[raw(member)]))
            .collect(),
        "zset" => {
            let mut entries: Vec<(Vec<u8>, Vec<u8>)> = items("zrange_withscores")
                .iter()
                .map(|pair| (raw(&pair[1]), raw(&pair[0])))
                .collect();
            let last = entries.last().unwrap().clone();
            entries.extend((0..more).map(|n| (last.0.clone(), another(&last.1, n))));
            entries
                .into_iter()
                .map(|(score, member)| on("ZADD", &[score, member]))
                .collect()
        }
        "stream" => stream(key, value, more),
        _ => vec![on("SET", &[raw(&value["value"])])],
    };
    if let Some(ttl) = value["pttl_ms"].as_u64() {
        commands.push(cmd("PEXPIRE").arg(key).arg(ttl).take());
    }
    commands
}

/// All elements from the left: those of which only the number was recorded are like the last one,
/// and what is added stands in the middle, so that both ends stay what they are.
fn list(recorded: &[Value], value: &Value, more: usize) -> Vec<Vec<u8>> {
    let mut elements: Vec<Vec<u8>> = recorded.iter().map(raw).collect();
    let len = value["llen"].as_u64().unwrap() as usize;
    let last = match &value["lindex_-1"] {
        Value::Null => elements.last().unwrap().clone(),
        last => raw(last),
    };
    elements.resize(len, last.clone());
    let middle = len / 2;
    elements.splice(middle..middle, (0..more).map(|n| another(&last, n)));
    elements
}

fn another(element: &[u8], number: usize) -> Vec<u8> {
    [element, format!("-{number}").as_bytes()].concat()
}

/// Entries and groups. Of some streams only the first and the last entry were recorded.
fn stream(key: &str, value: &Value, more: usize) -> Vec<Cmd> {
    let ends = &value["xinfo_stream"];
    let entries = match value["entries"].as_array() {
        Some(entries) => entries.clone(),
        None => vec![ends["first-entry"].clone(), ends["last-entry"].clone()],
    };
    let mut seen = BTreeSet::new();
    let mut commands: Vec<Cmd> = entries
        .iter()
        .filter(|entry| entry.is_array() && seen.insert(entry[0].to_string()))
        .map(|entry| {
            let fields: Vec<Vec<u8>> = entry[1].as_array().unwrap().iter().map(raw).collect();
            cmd("XADD").arg(key).arg(raw(&entry[0])).arg(fields).take()
        })
        .collect();
    commands.extend((0..more).map(|_| cmd("XADD").arg(key).arg("*").arg("data").arg("{}").take()));
    for group in value["groups"].as_array().into_iter().flatten() {
        let facts = group.as_array().unwrap();
        let fact = |name: &str| {
            let at = facts.iter().position(|fact| fact == name).unwrap();
            raw(&facts[at + 1])
        };
        let create = cmd("XGROUP")
            .arg("CREATE")
            .arg(key)
            .arg(fact("name"))
            .take();
        commands.push(
            create
                .clone()
                .arg(fact("last-delivered-id"))
                .arg("MKSTREAM")
                .take(),
        );
    }
    commands
}

/// A string, or the base64 of one that is no UTF-8.
fn raw(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(object) => base64::engine::general_purpose::STANDARD
            .decode(object["base64"].as_str().unwrap())
            .unwrap(),
        other => other.to_string().into_bytes(),
    }
}
