use super::*;

fn mail() -> Scaling {
    Scaling {
        queue: "mail".to_owned(),
        max: 20,
        ..Scaling::default()
    }
}

#[test]
fn it_is_what_the_manual_explains() {
    let manual = include_str!("../../../docs/autoscaling.md");
    let shown = |scaling: &Scaling| {
        let text = file(scaling).unwrap();
        assert!(
            manual.contains(&text),
            "docs/autoscaling.md does not show\n{text}"
        );
    };
    shown(&mail());
    let trigger = |scaling: &Scaling| {
        let text = file(scaling).unwrap();
        let triggers = text.split_once("  triggers:\n").unwrap().1;
        assert!(
            manual.contains(triggers),
            "docs/autoscaling.md does not show\n{triggers}"
        );
    };
    let named = Scaling {
        broker: Some("main".to_owned()),
        system: Some("celery".to_owned()),
        ..mail()
    };
    trigger(&Scaling {
        flavour: Flavour::MetricsApi,
        ..named.clone()
    });
    trigger(&Scaling {
        flavour: Flavour::Prometheus,
        ..named
    });
}

#[test]
fn what_makes_no_sense_is_told_by_its_option() {
    let faults = |change: fn(&mut Scaling)| {
        let mut scaling = mail();
        change(&mut scaling);
        let faults = file(&scaling).unwrap_err();
        faults.join("\n")
    };
    let some = |text: &str| Some(text.to_owned());
    assert!(file(&mail()).is_ok());
    for (change, words) in [
        (
            (|s| s.queue = String::new()) as fn(&mut Scaling),
            "--queue must not be empty",
        ),
        (
            |s| s.queue = "日本".to_owned(),
            "--deployment \"-worker\" (made of the queue's name)",
        ),
        (
            |s| s.deployment = Some("Mail_1".to_owned()),
            "--deployment \"Mail_1\" is no name",
        ),
        (|s| s.deployment = Some("a".repeat(254)), "--deployment"),
        (
            |s| s.namespace = Some("a.b".to_owned()),
            "--namespace \"a.b\"",
        ),
        (|s| s.max = 0, "--max must be at least 1"),
        (|s| s.min = 21, "--min 21 is above --max 20"),
        (
            |s| s.target_wait = Some(Duration::ZERO),
            "--target-wait must be above 0s",
        ),
        (
            |s| s.slots_per_worker = Some(0),
            "--slots-per-worker must be at least 1",
        ),
        (
            |s| s.address = Some("http://tailback:9828".to_owned()),
            "must be HOST:PORT",
        ),
        (
            |s| s.address = Some("tailback".to_owned()),
            "must be HOST:PORT",
        ),
        (
            |s| s.address = Some("a b:1".to_owned()),
            "has a space in it",
        ),
        (
            |s| s.secrets.ca = Some(String::new()),
            "--ca-secret \"\" is no name",
        ),
        (
            |s| s.secrets.bearer = Some("b".to_owned()),
            "--bearer-secret cannot be used",
        ),
        (
            |s| s.secrets.api_key = Some("b".to_owned()),
            "--api-key-secret cannot be used",
        ),
    ] {
        let found = faults(change);
        assert!(found.contains(words), "{words}: {found}");
    }
    let asked = |flavour| Scaling {
        flavour,
        broker: some("main"),
        system: some("celery"),
        ..mail()
    };
    for flavour in [Flavour::MetricsApi, Flavour::Prometheus] {
        assert!(file(&asked(flavour)).is_ok());
        let wrong = Scaling {
            broker: None,
            system: None,
            queue: "mail*".to_owned(),
            target_wait: Some(Duration::from_secs(5)),
            address: some("tailback:9828"),
            secrets: Secrets {
                ca: some("ca"),
                client: some("client"),
                bearer: some("token"),
                api_key: some("key"),
            },
            ..asked(flavour)
        };
        let found = file(&wrong).unwrap_err().join("\n");
        for words in [
            "--broker is needed",
            "--system is needed",
            "a glob as --queue",
            "--target-wait cannot be used",
            "must be a URL",
            "--ca-secret cannot be used",
            "--client-secret cannot be used",
            "--bearer-secret and --api-key-secret",
        ] {
            assert!(found.contains(words), "{words}: {found}");
        }
        let is_key = found.contains("--api-key-secret cannot be used");
        assert_eq!(is_key, flavour == Flavour::Prometheus);
    }
}

#[test]
fn a_name_may_hold_anything() {
    let text = file(&Scaling {
        deployment: Some("w".to_owned()),
        flavour: Flavour::MetricsApi,
        broker: Some("main".to_owned()),
        system: Some("list".to_owned()),
        queue: "a/b \"%\"\n\u{85}ü".to_owned(),
        ..mail()
    })
    .unwrap();
    let url = "url: \"http://tailback.default:9828/api/v1/queues/main/list/a%2Fb%20%22%25%22%0A%C2%85%C3%BC\"";
    assert!(text.contains(url), "{text}");
    let text = file(&Scaling {
        deployment: Some("w".to_owned()),
        queue: "a\n\u{85}\u{7f}ü".to_owned(),
        ..mail()
    })
    .unwrap();
    assert!(text.contains("queue: \"a\\n\\u0085\\u007fü\"\n"), "{text}");
}
