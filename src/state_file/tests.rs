use super::format::{Refusal, decode, encode, with_header};
use super::stamp::Unusable;
use super::*;
use crate::broker::Source;
use crate::broker::redis::RedisSource;
use crate::config::{Config, Environment};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn brokers(text: &str) -> Vec<Broker> {
    Config::from_toml(text, "c.toml", &Environment::default())
        .unwrap()
        .brokers
}

fn main_broker() -> Vec<Broker> {
    brokers("[brokers.main.redis]\nurl = 'redis://:hunter2@one/0'\n")
}

fn section(broker: &Broker, stamp: Stamp) -> Section {
    let memory = r#"{"run_id":"abc","layouts":{"list":{"fingerprint":1,"epoch":2,"queues":
        [{"name":"am9icw","lists":[{"total":7,"ready":2,"epoch":1,"head_size":3,"held":
        {"tail":{"element":"YWJj","number":7},"near":null,"far":null,"head":9,"pace":1.5}}]}]}}}"#;
    let flows = r#"{"clock":[1,2],"queues":[{"system":"list","queue":"jobs","flow":{"Active":
        {"span":{"from":20,"to":10},"broker_time":5,"was_seen":true,"lines":[{"id":0,"epoch":1,
        "arrived":7,"arrivals":{"events":1.0,"secs":2.0,"age":10},"started":null,"curve":{"knots":
        [[0,null,null],[5,500,900],[7,10,30]],"arrived":7,"departed":5,"furthest":5,
        "unordered_until":-5,"span":{"from":20,"to":10}}}],"totals":{"enqueued":7,"started":5,
        "removed":0,"put_back":0,"censored":0,"counts":0},"waits":null,"departures":{"events":0.0,
        "secs":0.0,"age":null}}}}]}"#;
    Section {
        identity: Identity::of(broker),
        stamp,
        is_last: true,
        flows: serde_json::from_str(flows).unwrap(),
        memory: serde_json::from_str(memory).unwrap(),
    }
}

fn written() -> Vec<u8> {
    let section = section(&main_broker()[0], Stamp::now());
    encode([&section].into_iter()).unwrap()
}

/// All but the one that is locked.
fn files(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "state.lock")
        .collect();
    names.sort();
    names
}

/// What is loaded for `main`, and the files there are then.
fn try_load(bytes: &[u8], brokers: &[Broker]) -> (Loaded, Vec<String>) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    std::fs::write(&path, bytes).unwrap();
    let loaded = load(&path, brokers, &Stamp::now());
    let files = files(&dir);
    (loaded, files)
}

fn is_set_aside(files: &[String]) -> bool {
    matches!(files, [name] if name.starts_with("state.bad-"))
}

#[test]
fn what_is_written_is_read_again() {
    let bytes = written();
    let again = encode(decode(&bytes).unwrap().iter()).unwrap();
    assert_eq!(bytes, again);
    let (loaded, files) = try_load(&bytes, &main_broker());
    let earlier = &loaded.brokers["main"];
    assert_eq!(earlier.flows.queues(), 1);
    assert!(earlier.is_last);
    assert!(
        earlier.shift.gap < 5.0 && earlier.shift.doubt < 1.1,
        "{:?}",
        earlier.shift
    );
    assert_eq!(
        (loaded.sections.len(), files),
        (1, vec!["state".to_owned()])
    );
}

#[test]
fn neither_password_nor_payload_can_be_seen_in_messages() {
    let broker = &main_broker()[0];
    let section = section(broker, Stamp::now());
    assert!(!String::from_utf8(written()).unwrap().contains("hunter2"));
    let debug = format!("{section:?}");
    // "abc", as text, as base64 and as bytes.
    for payload in ["YWJj", "tail", "97, 98, 99"] {
        assert!(!debug.contains(payload), "{debug}");
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let bytes = written();
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "{length}");
    }
    for length in [0, 5, 30, bytes.len() - 1] {
        let (loaded, files) = try_load(&bytes[..length], &main_broker());
        assert!(
            loaded.brokers.is_empty() && is_set_aside(&files),
            "{files:?}"
        );
    }
}

#[test]
fn a_file_with_any_bit_flipped_is_refused() {
    let bytes = written();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(decode(&flipped).is_err(), "{at} {bit}");
        }
    }
}

#[test]
fn a_later_format_is_refused_even_if_it_could_be_read() {
    let bytes = written();
    let body = bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
    assert!(decode(&with_header(1, body)).is_ok());
    let later = with_header(2, body);
    assert_eq!(decode(&later).unwrap_err(), Refusal::OtherVersion(2));
    assert!(is_set_aside(&try_load(&later, &main_broker()).1));
}

#[test]
fn state_of_other_brokers_is_refused_and_that_of_some_is_left_out() {
    for other in [
        "[brokers.main.redis]\nurl = 'redis://two/0'\n",
        "[brokers.other.redis]\nurl = 'redis://one/0'\n",
        "[brokers.main.redis]\nurl = 'redis://one/1'\n",
        "[brokers.main.redis]\nurl = 'redis://one/0'\n[brokers.main.redis.celery]\npriority_steps = [0, 5]\n",
        "[brokers.main.redis]\nurl = 'redis://one/0'\n[brokers.main.redis.list]\nhead = 'left'\n",
        "[brokers.main.rabbitmq]\nurl = 'amqp://one/x'\n",
    ] {
        let (loaded, files) = try_load(&written(), &brokers(other));
        assert!(loaded.brokers.is_empty() && is_set_aside(&files), "{other}");
    }
    // The password may change, and a broker may come.
    let two = brokers(
        "[brokers.main.redis]\nurl = 'redis://:new@one/0'\n[brokers.more.redis]\nurl = 'redis://two/0'\n",
    );
    let (loaded, files) = try_load(&written(), &two);
    assert_eq!((loaded.brokers.len(), files.len()), (1, 1));
    let both = two.iter().map(|broker| section(broker, Stamp::now()));
    let both: Vec<Section> = both.collect();
    let (loaded, files) = try_load(&encode(both.iter()).unwrap(), &main_broker());
    assert_eq!((loaded.brokers.len(), files.len()), (1, 1));
}

#[test]
fn times_are_taken_over_only_where_clocks_can_be_trusted() {
    let then = Stamp::at(1_000_000, Some(("a", 500.0)));
    let shift = |wall, boot| then.shift_to(&Stamp::at(wall, boot));
    let same = shift(1_000_060, Some(("a", 560.3))).unwrap();
    assert_eq!((same.now, same.gap.round()), (1000.0, 60.0));
    assert!((0.3..0.4).contains(&same.doubt), "{same:?}");
    // The machine was started again: only the wall clock is left.
    let reboot = shift(1_000_060, Some(("b", 20.0))).unwrap();
    assert_eq!(reboot.gap, 60.0);
    assert!(reboot.doubt > 1.0, "{reboot:?}");
    assert!(shift(1_000_060, None).is_ok());
    assert_eq!(shift(999_999, None), Err(Unusable::Backwards));
    assert_eq!(shift(999_999, Some(("a", 560.0))), Err(Unusable::Backwards));
    assert_eq!(shift(1_000_000 + 7 * 3600, None), Err(Unusable::TooOld));
    for uptime in [440.0, 700.0, f64::NAN] {
        assert_eq!(
            shift(1_000_060, Some(("a", uptime))),
            Err(Unusable::ClocksDisagree)
        );
    }
}

#[test]
fn state_from_the_future_is_not_used() {
    let ahead = Stamp::at(i64::MAX / 2_000_000, None);
    let bytes = encode([&section(&main_broker()[0], ahead)].into_iter()).unwrap();
    assert!(try_load(&bytes, &main_broker()).0.brokers.is_empty());
}

#[test]
fn what_is_no_file_is_refused_and_only_the_last_bad_one_is_kept() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    let load = || load(&path, &main_broker(), &Stamp::now());
    assert!(load().brokers.is_empty());
    assert!(files(&dir).is_empty());
    std::fs::write(dir.path().join("state.bad-17"), "old").unwrap();
    std::fs::write(dir.path().join("state.bad-mine"), "not ours").unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(load().brokers.is_empty());
    let names = files(&dir);
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!names.contains(&"state.bad-17".to_owned()), "{names:?}");
    assert!(names.contains(&"state.bad-mine".to_owned()), "{names:?}");
}

#[test]
fn the_file_is_replaced_as_a_whole_and_for_us_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "precious").unwrap();
    // What lies in the way is neither followed nor kept.
    std::os::unix::fs::symlink(&elsewhere, dir.path().join("state.new")).unwrap();
    for text in ["one", "two"] {
        disk::replace(&path, text.as_bytes()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
    assert_eq!(files(&dir), ["elsewhere", "state"]);
    assert!(disk::replace(&dir.path().join("no/state"), b"x").is_err());
}

#[tokio::test]
async fn a_path_that_cannot_be_written_does_not_stop_the_writer() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("later/state");
    let writer = Writer::new(
        path.clone(),
        std::time::Duration::from_millis(1),
        Loaded::default(),
    );
    let (sections, incoming) = tokio::sync::mpsc::channel(1);
    let writer = tokio::spawn(writer.run(incoming));
    let one = || section(&main_broker()[0], Stamp::now());
    sections.send(one()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!path.exists());
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    sections.send(one()).await.unwrap();
    drop(sections);
    writer.await.unwrap();
    assert!(decode(&std::fs::read(&path).unwrap()).is_ok());
}

#[test]
fn who_does_not_write_the_file_does_not_move_it_either() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    std::fs::write(&path, "no state").unwrap();
    let other = disk::lock(&path).unwrap();
    let load = || load(&path, &main_broker(), &Stamp::now());
    let mut loaded = load();
    assert!(!loaded.lock.take(&path));
    assert_eq!(files(&dir), ["state"]);
    drop(other);
    assert!(loaded.lock.take(&path));
    drop(loaded);
    assert!(load().lock.take(&path) && is_set_aside(&files(&dir)));
}

#[test]
fn a_source_that_was_never_polled_leaves_what_was_there() {
    let broker = &main_broker()[0];
    let Endpoint::Redis(redis) = &broker.endpoint else {
        panic!("a Redis");
    };
    let mut source = RedisSource::new(broker, redis);
    source.remember(Some(section(broker, Stamp::now()).memory));
    assert!(source.memory().is_none());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_taken_for_state(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_body_of_anything_never_panics(body in "[\\[\\]{}\",:a-z0-9]{0,200}") {
        let loaded = decode(&with_header(1, body.as_bytes()));
        prop_assert!(loaded.is_err() || loaded.unwrap().is_empty());
    }

    #[test]
    fn changed_anywhere_it_is_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = written();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        prop_assert!(decode(&bytes).is_err());
    }
}
