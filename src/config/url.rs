//! Takes a broker's URL apart: `scheme://user:password@host:port,host:port/path?query`.
//!
//! By hand, because lists of hosts with ports are no URLs to the `url` crate. What is wrong is said
//! without showing any of the URL.

use super::HostPort;
use crate::redact::Secret;
use percent_encoding::percent_decode_str;
use std::net::Ipv6Addr;

/// The parts of a URL. User name and password are decoded, path and query are not.
pub(super) struct BrokerUrl {
    /// In lower case.
    pub(super) scheme: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    hosts: Vec<(String, Option<u16>)>,
    /// What follows the first slash behind the hosts; `None` without that slash.
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
}

type Result<T> = std::result::Result<T, &'static str>;

const ENCODE: &str = "holds an `@`, `/`, `?` or `#` at a place where it means something else; \
                      write it as %40, %2F, %3F or %23 in a user name, password or path";

impl BrokerUrl {
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text
            .chars()
            .any(|letter| letter.is_whitespace() || letter.is_control())
        {
            return Err("holds white space or a control character, which must be percent-encoded");
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if scheme.is_empty()
            || !scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
        {
            return Err("is not a URL, for example `redis://localhost:6379/0` or \
                        `amqp://guest@localhost:5672/%2f`");
        }
        if rest.contains('#') {
            return Err(ENCODE);
        }
        let (rest, query) = split_off(rest, '?');
        let (authority, path) = split_off(rest, '/');
        // The part of a password behind an unencoded slash would else be taken for a path.
        if [path, query]
            .into_iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            return Err(ENCODE);
        }
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = split_off(user, ':');
        let username = non_empty(decode(username)?);
        let password = password
            .map(decode)
            .transpose()?
            .and_then(non_empty)
            .map(Secret::new);
        let hosts = match hosts {
            "" => Vec::new(),
            hosts => hosts.split(',').map(host).collect::<Result<_>>()?,
        };
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            username,
            password,
            hosts,
            path: path.map(str::to_owned),
            query: query.map(str::to_owned),
        })
    }

    pub(super) fn has_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// The hosts, at least one, with `port` where none is written.
    pub(super) fn hosts(&self, port: u16) -> Result<Vec<HostPort>> {
        if self.hosts.is_empty() {
            return Err("has no host");
        }
        let with_port = |(host, own): &(String, Option<u16>)| HostPort {
            host: host.clone(),
            port: own.unwrap_or(port),
        };
        Ok(self.hosts.iter().map(with_port).collect())
    }

    /// A word for where this leads, to name a broker by: the first host or the socket's file.
    pub(super) fn place_name(&self) -> Option<String> {
        match self.hosts.first() {
            Some((host, _)) => Some(host.clone()),
            None => self.path.as_deref()?.rsplit('/').next().map(str::to_owned),
        }
    }

    /// Fails if there is a query, for URLs that can have none.
    pub(super) fn without_query(&self) -> Result<()> {
        match self.query {
            Some(_) => Err("must have no parameters behind a `?`; they are not used"),
            None => Ok(()),
        }
    }
}

/// Percent-decodes a part of a URL.
pub(super) fn decode(text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("is not UTF-8 once it is percent-decoded"),
    }
}

fn split_off(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((text, rest)) => (text, Some(rest)),
        None => (text, None),
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn host(text: &str) -> Result<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (address, rest) = text
                .split_once(']')
                .ok_or("lacks the `]` behind an IPv6 address")?;
            address
                .parse::<Ipv6Addr>()
                .map_err(|_| "has no IPv6 address between `[` and `]`")?;
            match rest.strip_prefix(':') {
                None if !rest.is_empty() => return Err("must have only a port behind `]`"),
                port => (address, port),
            }
        }
        None => {
            let (host, port) = split_off(text, ':');
            if port.is_some_and(|port| port.contains(':')) {
                return Err(
                    "has an IPv6 address without `[` and `]` around it, or a user name \
                            and password without a host",
                );
            }
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.is_empty() {
                return Err("has no host");
            }
            if host.len() > 253 || !host.bytes().all(is_allowed) {
                return Err("has a host that is neither a name nor an address");
            }
            (host, port)
        }
    };
    Ok((host.to_owned(), port.map(parse_port).transpose()?))
}

fn parse_port(text: &str) -> Result<u16> {
    // `parse` alone would take a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err("has a port that is not between 1 and 65535"),
    }
}
