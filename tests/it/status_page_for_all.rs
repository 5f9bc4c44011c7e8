//! The status page for those who use a keyboard, a screen reader, a small window, or little contrast.

use crate::support::browser::Browser;
use crate::support::python::Rq;
use crate::support::redis::{Redis, RedisOptions};
use crate::support::tailback::{Tailback, quick};
use serde_json::{Value, json};

const OBJECTIVES: &str = "[[objectives]]\nqueue = '*'\nwait = '1s'\n";

/// Two brokers with queues that have much to tell, or little: late, unknown, empty.
fn start(redis: &Redis, other: &Redis) -> Tailback {
    let url = redis.url();
    Rq::V3.client(&url, &["send", "mail", "3"]);
    Rq::V3.client(&url, &["defer", "mail", "1"]);
    redis.cli(&["RPUSH", "jobs:of-which-nothing-is-known", "a"]);
    other.cli(&["SADD", "rq:queues", "rq:queue:elsewhere"]);
    other.cli(&["RPUSH", "rq:queue:elsewhere", "id"]);
    let config = format!(
        "{}[brokers.main.redis.list]\nkeys = ['jobs:*']\n[brokers.other.redis]\nurl = '{}'\n{OBJECTIVES}",
        quick(&url),
        other.url()
    );
    let tailback = Tailback::start_config(&config);
    tailback.wait_jobs("rq", "mail", "deferred", 1);
    tailback.wait_jobs("rq", "elsewhere", "ready", 1);
    tailback.wait_jobs("list", "jobs:of-which-nothing-is-known", "ready", 1);
    tailback
}

fn open(tailback: &Tailback) -> Browser {
    let mut browser = Browser::start();
    browser.look(1280, 800, false);
    browser.open(&format!("http://{}/", tailback.address));
    browser.wait("document.querySelectorAll('tbody tr').length >= 4");
    browser.wait("document.querySelector('.badge.late') !== null");
    browser
}

fn both() -> (Redis, Redis) {
    let start = || Redis::start(RedisOptions::default());
    (start(), start())
}

#[test]
fn nothing_is_cut_off_at_any_width() {
    let (redis, other) = both();
    let tailback = start(&redis, &other);
    let mut browser = open(&tailback);
    let mut layouts = Vec::new();
    for width in (320..1700).step_by(60) {
        browser.look(width, 800, false);
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(
            browser.eval(fits),
            json!(true),
            "{width}: it scrolls sideways"
        );
        let display = browser.eval("getComputedStyle(document.querySelector('tbody td')).display");
        layouts.push(display.as_str().unwrap() == "table-cell");
    }
    assert_eq!((layouts[0], layouts.last()), (false, Some(&true)));
    assert!(layouts.is_sorted(), "{layouts:?}");
}

#[test]
fn text_stands_out_by_day_and_night() {
    // The contrast of each text with what is behind it, as WCAG 2 reckons.
    let low = r"(() => {
        const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
        const light = ([r, g, b]) => {
            const part = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
        };
        const behind = (element) => {
            for (; element; element = element.parentElement) {
                const colour = parse(getComputedStyle(element).backgroundColor);
                if (colour.length === 3) return colour;
            }
        };
        const found = [];
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const element = walker.currentNode.parentElement;
            if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
            const pair = [parse(getComputedStyle(element).color), behind(element)].map(light);
            const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
            if (!(contrast >= 4.5)) found.push(`${walker.currentNode.data}: ${contrast}`);
        }
        return found;
    })()";
    let (redis, mut other) = both();
    let tailback = start(&redis, &other);
    let mut browser = open(&tailback);
    other.kill();
    browser.wait("document.querySelector('li.down') !== null");
    browser.wait("document.querySelector('tr.stale') !== null");
    for dark in [false, true] {
        browser.look(1280, 800, dark);
        assert_eq!(browser.eval(low), json!([]), "dark: {dark}");
    }
}

/// What assistive technology is told of the page: role and name of everything.
fn tree(browser: &mut Browser) -> Vec<(String, String)> {
    browser.call("Accessibility.enable", json!({}));
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let of = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
    nodes
        .filter(|node| node["ignored"] != true)
        .map(|node| (of(node, "role"), of(node, "name")))
        .collect()
}

#[test]
fn a_screen_reader_finds_names_and_is_not_talked_at() {
    let (redis, mut other) = both();
    let tailback = start(&redis, &other);
    let mut browser = open(&tailback);
    for width in [1280, 375] {
        browser.look(width, 800, false);
        let tree = tree(&mut browser);
        let named = |wanted: &str| {
            let of_role = tree.iter().filter(|(role, _)| role == wanted);
            of_role.map(|(_, name)| name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(named("searchbox"), ["Filter"]);
        assert_eq!(named("table"), ["Queues, longest waits first"], "{width}");
        assert!(
            named("columnheader")
                .iter()
                .any(|name| name.starts_with("Ready"))
        );
        let rows = named("rowheader");
        assert!(rows.iter().any(|name| name.starts_with("mail")), "{rows:?}");
        let images = named("image");
        assert!(images.len() >= 4, "{tree:?}");
        let unnamed = |name: &&str| name.trim().is_empty();
        for role in [
            "image",
            "link",
            "button",
            "rowheader",
            "columnheader",
            "navigation",
        ] {
            assert!(
                !named(role).iter().any(unnamed),
                "{role} at {width}: {tree:?}"
            );
        }
    }

    // Numbers change by themselves, and that is not read aloud.
    let told = "document.getElementById('told').textContent";
    let cell = "[...document.querySelectorAll('td[data-label=Ready]')].map(td => td.innerText)";
    redis.cli(&[
        "RPUSH",
        "jobs:of-which-nothing-is-known",
        "b",
        "c",
        "d",
        "e",
    ]);
    browser.wait(&format!("{cell}.includes('5')"));
    assert_eq!(browser.eval(told), json!(""));
    // What somebody has asked for is, and a broker that goes down.
    browser.press("/", Some('/'));
    browser.type_text("mail");
    browser.wait(&format!("{told}.includes('with “mail”')"));
    other.kill();
    browser.wait(&format!("{told} === 'Brokers down: 1.'"));
    other.restart();
    browser.wait(&format!("{told} === 'No broker is down any more.'"));
}

#[test]
fn everything_is_reached_by_keyboard_and_shows_where_it_is() {
    let (redis, other) = both();
    let tailback = start(&redis, &other);
    let mut browser = open(&tailback);
    let mut reached = Vec::new();
    loop {
        browser.press("Tab", None);
        let focused = browser.eval(
            "(() => {
                const element = document.activeElement;
                const style = getComputedStyle(element);
                const seen = element.matches(':focus-visible') && style.outlineStyle !== 'none';
                return [element.id || element.innerText, seen, element === document.body];
            })()",
        );
        let name = focused[0].as_str().unwrap().to_owned();
        if focused[2] == true || reached.contains(&name) {
            break;
        }
        assert_eq!(focused[1], true, "the focus is not seen on {name}");
        reached.push(name);
    }
    let all = browser.eval(
        "[...document.querySelectorAll('a, button, input')]
            .filter(element => element.checkVisibility())
            .map(element => element.id || element.innerText)",
    );
    let all: Vec<String> = serde_json::from_value(all).unwrap();
    assert_eq!(reached, all);
    assert_eq!(&reached[..2], ["search", "pause"]);
}
