//! Which URLs are refused, in exact words.

use super::super::Environment;
use super::{load_faults, no_env};

#[test]
fn urls() {
    const ENCODE: &str = "holds an `@`, `/`, `?` or `#` at a place where it means something else; \
                          write it as %40, %2F, %3F or %23 in a user name, password or path";
    const NO_URL: &str = "is not a URL, for example `redis://localhost:6379/0` or \
                          `amqp://guest@localhost:5672/%2f`";
    const PORT: &str = "has a port that is not between 1 and 65535";
    const DB: &str = "has a database that is not a whole number";
    const SOCKET: &str = "must name a socket by its absolute path, for example \
                          `redis+unix:///run/redis/redis.sock?db=0`";
    const MASTER: &str = "has no name of a master behind the hosts, for example \
                          `redis+sentinel://sentinel:26379/mymaster/0`";
    const BARE: &str = "has an IPv6 address without `[` and `]` around it, or a user name and \
                        password without a host";
    const PARAMETER: &str = "has a parameter behind `?` other than `db`; TLS is set in the table \
                             `tls`, user and password before the host or by their own keys";
    for (url, fault) in [
        ("", NO_URL),
        ("localhost", NO_URL),
        ("chekc", NO_URL),
        ("redis:h", NO_URL),
        ("://h", NO_URL),
        (
            "http://h",
            "must begin with `redis://`, `rediss://`, `unix://`, `redis+unix://`, \
             `redis+sentinel://`, `rediss+sentinel://`, `redis+cluster://`, `rediss+cluster://`, \
             `amqp://` or `amqps://`",
        ),
        ("redis://", "has no host"),
        ("redis://u@", "has no host"),
        ("redis://:6379", "has no host"),
        ("redis+cluster://h,,i", "has no host"),
        ("redis://h:0", PORT),
        ("redis://h:+1", PORT),
        ("redis://h:65536", PORT),
        ("redis://h:", PORT),
        ("redis://::1", BARE),
        ("redis://u:p:6379/0", BARE),
        ("redis://[::1", "lacks the `]` behind an IPv6 address"),
        ("redis://[h]:1", "has no IPv6 address between `[` and `]`"),
        ("redis://[::1]x", "must have only a port behind `]`"),
        (
            "redis://ü",
            "has a host that is neither a name nor an address",
        ),
        (
            "redis://a b",
            "holds white space or a control character, which must be percent-encoded",
        ),
        ("redis://u:%ff@h", "is not UTF-8 once it is percent-decoded"),
        ("amqp://h/%ff", "is not UTF-8 once it is percent-decoded"),
        ("redis://u:p/w@h", ENCODE),
        ("redis://u:p?w@h", ENCODE),
        ("redis://u:p#w@h", ENCODE),
        (
            "redis://h,i",
            "has several hosts; they need `redis+sentinel://` or `redis+cluster://`",
        ),
        ("redis://h/x", DB),
        ("redis://h/0/1", DB),
        ("redis://h/+1", DB),
        ("redis://h/4294967296", DB),
        ("redis+sentinel://h/m/x", DB),
        ("redis://h/1?db=2", "names two databases"),
        ("redis://h?ssl_cert_reqs=none", PARAMETER),
        ("redis://h?db=1&x=2", PARAMETER),
        ("unix://run/redis.sock", SOCKET),
        ("unix:///", SOCKET),
        ("redis+sentinel://h", MASTER),
        ("redis+sentinel://h//0", MASTER),
        (
            "redis+cluster://h/1",
            "names a database; a cluster has only 0",
        ),
        (
            "redis+cluster://h?db=1",
            "names a database; a cluster has only 0",
        ),
        (
            "amqp://h?heartbeat=5",
            "must have no parameters behind a `?`; they are not used",
        ),
    ] {
        assert_eq!(
            load_faults(None, &[url], &no_env()),
            format!("argument 1: {fault}"),
            "{url}"
        );
    }
}

#[test]
fn arguments_and_the_variable() {
    let env = Environment::from_pairs([("TAILBACK_BROKERS", "redis://h:0")]);
    assert_eq!(
        load_faults(None, &[], &env),
        "TAILBACK_BROKERS: has a port that is not between 1 and 65535"
    );
    let env = Environment::from_pairs([("TAILBACK_BROKERS", "redis://h, redis://i:0 amqp://")]);
    assert_eq!(
        load_faults(None, &[], &env),
        "TAILBACK_BROKERS, URL 2: has a port that is not between 1 and 65535
TAILBACK_BROKERS, URL 3: has no host"
    );
    assert_eq!(
        load_faults(None, &["redis://h", "x", "redis://h"], &no_env()),
        "argument 2: is not a URL, for example `redis://localhost:6379/0` or \
         `amqp://guest@localhost:5672/%2f`
argument 3: is the same URL as an earlier one"
    );
    let none = "no broker is configured; give a URL, for example \
                `tailback redis://localhost:6379/0`, the same in TAILBACK_BROKERS, or a file with \
                `--config`";
    assert_eq!(load_faults(None, &[], &no_env()), none);
    assert_eq!(
        load_faults(
            None,
            &[],
            &Environment::from_pairs([("TAILBACK_BROKERS", " ,")])
        ),
        none
    );
}
