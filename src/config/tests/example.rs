//! `config.example.toml` shows every key with its true default.

use super::super::Config;
use super::super::fault::Notes;
use super::{load, no_env};
use std::collections::BTreeSet;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

const URLS_ALONE: &str = "
    [brokers.main.redis]
    url = 'redis://localhost:6379/0'
    [brokers.events.rabbitmq]
    url = 'amqp://localhost:5672/%2f'
";

/// Its keys are only looked for where there is one.
const OBJECTIVE: &str = "
    [[objectives]]
    queue = '*'
    wait = '30s'
";

/// The paths of all keys and tables that the reader knows.
fn known_keys() -> BTreeSet<String> {
    let notes = Notes::default();
    let text = format!("{URLS_ALONE}{OBJECTIVE}");
    Config::read_toml(&text, "c.toml", &no_env(), &notes);
    let keys = notes.keys();
    assert!(notes.conclude(()).is_ok());
    // Neither broker is of the other's kind.
    keys.into_iter()
        .filter(|key| key != "brokers.main.rabbitmq" && key != "brokers.events.redis")
        .collect()
}

/// A line of the example that holds a table's header or a key, commented out or not.
enum Line {
    Table(String),
    Key(String),
}

fn read(line: &str) -> Option<Line> {
    let line = line.strip_prefix('#').unwrap_or(line);
    if line.starts_with('[') {
        let is_bracket = |letter| matches!(letter, '[' | ']');
        return Some(Line::Table(line.trim_matches(is_bracket).to_owned()));
    }
    let (key, _) = line.split_once(" = ")?;
    let is_key = key
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_key.then(|| Line::Key(key.to_owned()))
}

#[test]
fn every_default_in_the_example_is_the_built_in_one() {
    assert_eq!(load(EXAMPLE), load(URLS_ALONE));
}

#[test]
fn the_example_has_the_keys_of_the_reader_and_no_others() {
    let mut shown = BTreeSet::from(["brokers".to_owned()]);
    let mut table = String::new();
    for line in EXAMPLE.lines().filter_map(read) {
        match line {
            Line::Table(name) => table = name,
            Line::Key(key) => assert!(shown.insert(format!("{table}.{key}")), "{table}.{key}"),
        }
        shown.insert(table.clone());
    }
    assert_eq!(shown, known_keys());
}

#[test]
fn the_commented_examples_are_of_the_right_form() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let mut tried = 0;
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with('#') || !matches!(read(line), Some(Line::Key(_))) {
            continue;
        }
        let mut text = lines.clone();
        text[at] = line.trim_start_matches('#');
        // Its table's header may be commented out too.
        let is_header = |line: &&str| matches!(read(line), Some(Line::Table(_)));
        let header = text[..at].iter().rposition(is_header).unwrap();
        text[header] = text[header].trim_start_matches('#');
        if let Err(faults) = Config::from_toml(&text.join("\n"), "c.toml", &no_env()) {
            let faults = faults.to_string();
            // What its value needs elsewhere is missing; nothing else may be wrong with it.
            let is_about_others = [
                "needs ",
                "cannot be used together",
                "cannot read the file",
                "is not set",
            ];
            for fault in faults.lines() {
                assert!(
                    is_about_others.iter().any(|part| fault.contains(part)),
                    "{fault}"
                );
            }
        }
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn every_table_refuses_unknown_keys() {
    let tables: BTreeSet<String> = EXAMPLE
        .lines()
        .filter_map(read)
        .filter_map(|line| match line {
            Line::Table(table) => Some(table),
            Line::Key(_) => None,
        })
        .collect();
    for table in tables {
        // At the end, where a table can begin that is not there yet.
        let text = format!("{URLS_ALONE}{OBJECTIVE}\n");
        let header = match text.contains(&format!("[[{table}]]")) {
            true => format!("[[{table}]]\n"),
            false => format!("[{table}]\n"),
        };
        let text = match text.contains(&header) {
            true => text.replace(&header, &format!("{header}zzz = 1\n")),
            false => format!("{text}{header}zzz = 1\n"),
        };
        let faults = super::faults(&text, &no_env());
        assert!(
            faults.contains(&format!("{table}.zzz: unknown key")),
            "{table}: {faults}"
        );
    }
}
