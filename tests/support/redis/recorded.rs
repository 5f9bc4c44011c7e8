//! Keys recorded from real job systems, put back into a real Redis.

use super::Redis;
use base64::Engine as _;
use redis::{Pipeline, pipe};
use serde_json::Value;

/// Puts the keys of one case of a file of `tests/fixtures` back, as far as they were recorded: of a
/// long list the first few elements.
pub fn replay(redis: &Redis, file: &str, case: &str) {
    let path = crate::support::root().join("tests/fixtures").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let mut pipeline = pipe();
    for (key, value) in recorded[case].as_object().expect(case) {
        put(&mut pipeline, key, value);
    }
    pipeline.exec(&mut redis.connection()).unwrap();
}

fn put(pipeline: &mut Pipeline, key: &str, value: &Value) {
    let items = |name: &str| value[name].as_array().unwrap().iter();
    match value["type"].as_str().unwrap() {
        "list" => {
            for element in items("lrange_0") {
                pipeline.rpush(key, raw(element));
            }
        }
        "set" => {
            for member in items("members") {
                pipeline.sadd(key, raw(member));
            }
        }
        "hash" => {
            for (field, content) in value["fields"].as_object().unwrap() {
                pipeline.hset(key, field, raw(content));
            }
        }
        "zset" => {
            for pair in items("zrange_withscores") {
                let score = String::from_utf8(raw(&pair[1])).unwrap();
                pipeline.zadd(key, raw(&pair[0]), score);
            }
        }
        "string" => {
            pipeline.set(key, raw(&value["value"]));
        }
        other => panic!("{key} is a {other}"),
    }
}

/// A string, or the base64 of one that is no UTF-8.
fn raw(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(object) => base64::engine::general_purpose::STANDARD
            .decode(object["base64"].as_str().unwrap())
            .unwrap(),
        other => panic!("{other}"),
    }
}
