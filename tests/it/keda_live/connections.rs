//! The connections that KEDA holds: whether they are still there, and certificates renewed under them.

use super::config;
use crate::support::certificates::Certificates;
use crate::support::keda::Keda;
use crate::support::tailback::Tailback;
use serde_json::json;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How HTTP/2 begins, with settings that say nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: u8 = 6;

/// The type of the next frame.
fn frame(stream: &mut TcpStream) -> io::Result<u8> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream.read_exact(&mut vec![0; length as usize])?;
    Ok(head[3])
}

#[test]
fn a_client_that_answers_no_ping_is_let_go() {
    let tailback = Tailback::start_config(&config("redis://127.0.0.1:1/0"));
    let mut stream = TcpStream::connect(tailback.keda_address()).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    stream.write_all(PREFACE).unwrap();
    while frame(&mut stream).expect("a ping") != PING {}
    let end = loop {
        if let Err(error) = frame(&mut stream) {
            break error;
        }
    };
    let gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    assert!(gone.contains(&end.kind()), "{end}");
}

#[test]
fn renewed_certificates_are_taken_up_without_a_restart() {
    let [dir, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [old, new] = [&dir, &other].map(|dir| Certificates::make(dir.path()));
    let tls = format!(
        "[keda.tls]\ncert_file = '{}'\nkey_file = '{}'\nclient_ca_file = '{}'\n",
        old.server.display(),
        old.server_key.display(),
        old.ca.display()
    );
    let tailback = Tailback::start_config(&format!("{tls}{}", config("redis://127.0.0.1:1/0")));
    let is_answered = |certificates: &Certificates| {
        let keda = Keda::new(tailback.keda_address()).with_tls(certificates, true);
        let answer = keda.ask(&[("GetMetricSpec", &json!({"queue": "a"}))]);
        answer[0].get("metricSpecs").is_some()
    };
    assert_eq!([&old, &new].map(is_answered), [true, false]);
    for (from, to) in [
        (&new.ca, &old.ca),
        (&new.server_key, &old.server_key),
        (&new.server, &old.server),
    ] {
        fs::copy(from, to).unwrap();
    }
    // The file with the authority that the old client trusts is the new one now.
    assert!(is_answered(&new));
}
