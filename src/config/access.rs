//! What every kind of broker needs to be reached: URL, user, password, TLS.

use super::Tls;
use super::environment::Environment;
use super::fault::{At, Placed};
use super::reader::Table;
use super::url::BrokerUrl;
use crate::redact::Secret;
use rustls_pki_types::ServerName;
use std::io::Read;
use std::path::PathBuf;

/// A password file larger than this is not one.
const MAX_PASSWORD_BYTES: u64 = 64 * 1024;

/// The parts of a URL, or a fault.
pub(super) fn parse_url(table: &Table<'_>, url: &Placed<String>) -> Option<BrokerUrl> {
    or_fault(table, &url.at, BrokerUrl::parse(&url.value))
}

/// The value, or its fault at `at`.
pub(super) fn or_fault<T>(
    table: &Table<'_>,
    at: &At,
    result: Result<T, impl Into<String>>,
) -> Option<T> {
    result
        .map_err(|message| table.notes.fault(at, message))
        .ok()
}

/// A user name and password that stand beside the URL.
pub(super) struct Credentials {
    pub(super) username: Option<Placed<String>>,
    pub(super) password: Option<Placed<Secret>>,
}

impl Credentials {
    /// `keys`: the names of the user name, the password's file, the password's variable.
    pub(super) fn read(table: &Table<'_>, keys: [&'static str; 3], env: &Environment) -> Self {
        let [username, file, variable] = keys;
        Self {
            username: table.text(username),
            password: read_secret(table, [file, variable], env),
        }
    }

    /// Joins them with those in the URL; what is given twice is a fault.
    pub(super) fn join(
        self,
        table: &Table<'_>,
        url: Option<&BrokerUrl>,
    ) -> (Option<String>, Option<Secret>) {
        let in_url = url.and_then(|url| url.username.clone());
        if let (Some(in_url), Some(beside)) = (&in_url, &self.username)
            && *in_url != beside.value
        {
            table
                .notes
                .fault(&beside.at, "differs from the user name in the URL");
        }
        let username = self.username.map(|username| username.value).or(in_url);
        let in_url = url.and_then(|url| url.password.clone());
        if let (Some(_), Some(beside)) = (&in_url, &self.password) {
            table.notes.fault(
                &beside.at,
                "cannot be used together with a password in the URL",
            );
        }
        (
            username,
            self.password.map(|password| password.value).or(in_url),
        )
    }
}

/// A secret. `keys`: the names of its file and of its variable.
pub(super) fn read_secret(
    table: &Table<'_>,
    keys: [&'static str; 2],
    env: &Environment,
) -> Option<Placed<Secret>> {
    let [file, variable] = keys;
    let (from_file, from_variable) = (table.text(file), table.text(variable));
    if let (Some(_), Some(variable)) = (&from_file, &from_variable) {
        let message = format!("cannot be used together with `{file}`");
        table.notes.fault(&variable.at, message);
    }
    let (at, secret) = match (from_file, from_variable) {
        (Some(path), _) => (path.at, password_in_file(&path.value)),
        (None, Some(name)) => (name.at, password_in_variable(&name.value, env)),
        (None, None) => return None,
    };
    or_fault(table, &at, secret).map(|value| Placed { value, at })
}

/// What the file holds, without the line break that editors put at the end. The messages name no
/// file, since a password may have been written in place of its name.
fn password_in_file(path: &str) -> Result<Secret, String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_PASSWORD_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot read the file of this name: {error}"))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_PASSWORD_BYTES) {
        return Err(format!(
            "names a file of more than {MAX_PASSWORD_BYTES} bytes"
        ));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    match text.strip_suffix('\r').unwrap_or(text) {
        "" => Err("names an empty file".into()),
        password => Ok(Secret::new(password)),
    }
}

fn password_in_variable(name: &str, env: &Environment) -> Result<Secret, String> {
    match env.get(name) {
        Ok(None | Some("")) => Err("the environment variable of this name is not set".into()),
        Ok(Some(password)) => Ok(Secret::new(password)),
        Err(error) => Err(format!(
            "cannot use the environment variable of this name: {error}"
        )),
    }
}

/// Reads `[….tls]`. `encrypted`: whether any of the URLs asks for TLS, if they are known.
pub(super) fn read_tls(parent: &Table<'_>, encrypted: Option<bool>, schemes: &str) -> Tls {
    let table = parent.table("tls");
    let [ca_file, cert_file, key_file] =
        ["ca_file", "cert_file", "key_file"].map(|key| table.text(key));
    let server_name = table.text("server_name");
    if table.is_present() && encrypted == Some(false) {
        table.fault(format!("needs a URL with TLS, that is {schemes}"));
    }
    match (&cert_file, &key_file) {
        (Some(cert), None) => table.notes.fault(&cert.at, "needs `key_file` too"),
        (None, Some(key)) => table.notes.fault(&key.at, "needs `cert_file` too"),
        _ => {}
    }
    for file in [&ca_file, &cert_file, &key_file].into_iter().flatten() {
        if file.value.is_empty() {
            table.notes.fault(&file.at, "must not be empty");
        }
    }
    if let Some(name) = &server_name
        && ServerName::try_from(name.value.as_str()).is_err()
    {
        table
            .notes
            .fault(&name.at, "must be a host name or an IP address");
    }
    table.finish();
    let path = |file: Option<Placed<String>>| file.map(|file| PathBuf::from(file.value));
    Tls {
        ca_file: path(ca_file),
        cert_file: path(cert_file),
        key_file: path(key_file),
        server_name: server_name.map(|name| name.value),
    }
}
