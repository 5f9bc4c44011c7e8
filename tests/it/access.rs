//! Who is answered over HTTP where a token or a key is asked for.

use crate::support::http::request;
use crate::support::tailback::{Tailback, tailback};

const TOKEN: &str = "a-token-of-some-length";
const KEY: &str = "a-key-of-some-length";

#[test]
fn only_those_who_know_the_secret_read_more_than_whether_we_live() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let config = |more: &str| {
        let config = dir.path().join("config.toml");
        let text = format!(
            "[http]\nbearer_token_file = '{}'\napi_key_env = 'API_KEY'\n{more}\n\
             [brokers.main.redis]\nurl = 'redis://127.0.0.1:1/0'\n",
            file.display()
        );
        std::fs::write(&config, text).unwrap();
        Tailback::start_with(&["--config", config.to_str().unwrap()], &[("API_KEY", KEY)])
    };
    let guarded = config("");
    let get = |path: &str, headers: &[(&str, &str)]| {
        request(guarded.address, "GET", path, headers, b"").unwrap()
    };
    let bearer = format!("Bearer {TOKEN}");
    let may = [("Authorization", bearer.as_str())];
    let paths = [
        "/",
        "/metrics",
        "/api/v1/queues",
        "/api/v1/brokers",
        "/nothing",
    ];
    for path in paths {
        let refused = get(path, &[]);
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(
            refused.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        let problem = refused.json();
        assert_eq!(
            (&problem["status"], &problem["title"]),
            (&401.into(), &"Not authorized".into())
        );
        let wanted = if path == "/nothing" { 404 } else { 200 };
        assert_eq!(get(path, &may).status, wanted, "{path}");
        assert_eq!(get(path, &[("X-API-Key", KEY)]).status, wanted, "{path}");
        assert_eq!(get(path, &[("X-API-Key", TOKEN)]).status, 401, "{path}");
    }
    assert_eq!(get("/live", &[]).status, 200);
    assert_ne!(get("/ready", &[]).status, 401);
    // The container's own check needs none.
    let own = guarded.address.to_string();
    assert!(
        tailback(&["check", "--self", "--listen", &own])
            .status
            .success()
    );
    assert!(!guarded.logs().contains(TOKEN) && !guarded.logs().contains(KEY));

    let open = config("open_metrics = true");
    assert_eq!(open.get("/metrics").status, 200);
    assert_eq!(open.get("/api/v1/queues").status, 401);
}
