//! Celery's events on Redis: kombu publishes them (`PUBLISH`), and whoever is subscribed then hears
//! them. A connection of its own; the server closes it if too much is unread
//! (`client-output-buffer-limit pubsub`).

use super::connect::Connector;
use super::guard::{Allowance, Guard, OVERSIZE};
use super::quarantine::Quarantine;
use crate::broker::BrokerError;
use crate::broker::events::{Inbox, Listen, OPENING};
use crate::broker::wire::{Meter, Stream};
use crate::config::Redis;
use crate::layout::celery::events::{Decoded, decode_envelope};
use crate::model::ErrorKind;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::time::timeout;

/// After so long without a word the server is asked whether it is there; it has as long to answer.
const SILENCE: Duration = Duration::from_secs(15);

/// Parts of a message: what it is, pattern, channel, payload.
const MAX_PARTS: usize = 8;

pub(super) struct Subscription {
    pub(super) config: Redis,
    pub(super) pattern: Vec<u8>,
    pub(super) max_payload: u64,
    pub(super) meter: Arc<Meter>,
}

/// One part of a reply.
#[derive(Debug, PartialEq)]
enum Part {
    Bytes(Vec<u8>),
    Error(String),
    Nothing,
}

/// A connection that only listens.
struct Subscriber {
    reader: BufReader<ReadHalf<Guard<Box<dyn Stream>>>>,
    writer: WriteHalf<Guard<Box<dyn Stream>>>,
    allowance: Allowance,
    max_payload: u64,
    place: String,
}

impl Listen for Subscription {
    async fn listen(&mut self, inbox: &Inbox) -> BrokerError {
        let opened = timeout(OPENING, self.open()).await.unwrap_or_else(|_| {
            let message = format!("events: no subscription within {OPENING:?}");
            Err(BrokerError::new(ErrorKind::Timeout, message))
        });
        match opened {
            Err(error) => error,
            Ok(mut subscriber) => {
                inbox.opened();
                let error = subscriber.read(inbox, &self.meter).await;
                BrokerError::new(
                    ErrorKind::Connect,
                    format!(
                        "{}: the subscription to Celery's events has ended: {error}; a server closes \
                         it if events come faster than they are read (client-output-buffer-limit \
                         pubsub)",
                        subscriber.place
                    ),
                )
            }
        }
    }
}

impl Subscription {
    async fn open(&self) -> Result<Subscriber, BrokerError> {
        let quarantine = Arc::<Mutex<Quarantine>>::default();
        let connector = Connector {
            config: &self.config,
            max_payload: self.max_payload,
            meter: &self.meter,
            quarantine: &quarantine,
        };
        let (stream, place) = connector.stream().await?;
        let allowance = Allowance::default();
        let guard = Guard::new(stream, self.max_payload, allowance.clone());
        let (reader, writer) = tokio::io::split(guard);
        let mut subscriber = Subscriber {
            reader: BufReader::new(reader),
            writer,
            allowance,
            max_payload: self.max_payload,
            place,
        };
        if let Some(password) = &self.config.password {
            let mut login: Vec<&[u8]> = vec![b"AUTH"];
            login.extend(self.config.username.as_deref().map(str::as_bytes));
            login.push(password.expose().as_bytes());
            subscriber.ask(&login, ErrorKind::Auth).await?;
        }
        // Only so that `CLIENT LIST` says who this is; a refusal does not matter.
        let name: [&[u8]; 3] = [b"CLIENT", b"SETNAME", b"tailback-events"];
        subscriber.ask(&name, ErrorKind::Permission).await.ok();
        self.meter.count("psubscribe", 1);
        let subscribe = [b"PSUBSCRIBE", self.pattern.as_slice()];
        subscriber.ask(&subscribe, ErrorKind::Permission).await?;
        Ok(subscriber)
    }
}

impl Subscriber {
    /// Sends a command and reads its reply.
    async fn ask(&mut self, command: &[&[u8]], refused: ErrorKind) -> Result<(), BrokerError> {
        let broken = |place: &str, error: io::Error| {
            let message = format!("{place}: the connection for events broke: {error}");
            BrokerError::new(ErrorKind::Connect, message)
        };
        let sent = self.send(command).await;
        sent.map_err(|error| broken(&self.place, error))?;
        let reply = self.message().await;
        let reply = reply.map_err(|error| broken(&self.place, error))?;
        match reply.first() {
            Some(Part::Error(error)) => {
                let advice = match refused {
                    ErrorKind::Auth => "check the user name and password",
                    _ => {
                        "Celery's events need the rule in docs/celery-events.md: +psubscribe, and & \
                         with the very pattern"
                    }
                };
                let message = format!("{}: events: {error} ({advice})", self.place);
                Err(BrokerError::new(refused, message))
            }
            _ => Ok(()),
        }
    }

    async fn send(&mut self, command: &[&[u8]]) -> io::Result<()> {
        let mut line = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            line.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            line.extend_from_slice(part);
            line.extend_from_slice(b"\r\n");
        }
        self.writer.write_all(&line).await?;
        self.writer.flush().await
    }

    /// Reads until the connection breaks.
    async fn read(&mut self, inbox: &Inbox, meter: &Meter) -> io::Error {
        loop {
            match self.next(meter).await {
                Err(error) => return error,
                Ok(parts) => match parts.as_slice() {
                    [Part::Bytes(kind), _, _, payload] if kind == b"pmessage" => match payload {
                        Part::Bytes(payload) => inbox.take(decode_envelope(payload)),
                        Part::Error(error) if error.starts_with(OVERSIZE) => {
                            let complaint = "it is larger than `max_payload_bytes`";
                            inbox.take(Decoded::unreadable(complaint));
                        }
                        _ => inbox.take(Decoded::unreadable("it is no text")),
                    },
                    // What answers a ping.
                    _ => {}
                },
            }
        }
    }

    /// The next message. Asks whether the server is still there if none comes.
    async fn next(&mut self, meter: &Meter) -> io::Result<Vec<Part>> {
        // Nothing of a message is lost while waiting for its first byte.
        if timeout(SILENCE, self.reader.fill_buf()).await.is_err() {
            meter.count("ping", 1);
            self.send(&[b"PING"]).await?;
            if timeout(SILENCE, self.reader.fill_buf()).await.is_err() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.message().await
    }

    async fn message(&mut self) -> io::Result<Vec<Part>> {
        self.allowance.set(self.max_payload);
        let line = self.line().await?;
        let Some(count) = line.strip_prefix('*') else {
            return Ok(vec![self.part(&line).await?]);
        };
        let count = count.parse().ok().filter(|count| *count <= MAX_PARTS);
        let count = count.ok_or(io::ErrorKind::InvalidData)?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let line = self.line().await?;
            parts.push(self.part(&line).await?);
        }
        Ok(parts)
    }

    /// A line without its end.
    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).await?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The part that a line begins.
    async fn part(&mut self, line: &str) -> io::Result<Part> {
        let (kind, rest) = line.split_at_checked(1).ok_or(io::ErrorKind::InvalidData)?;
        Ok(match kind {
            "-" => Part::Error(rest.to_owned()),
            "$" if rest != "-1" => {
                // The guard lets nothing through that is larger than we allow.
                let length: usize = rest.parse().map_err(|_| io::ErrorKind::InvalidData)?;
                let mut bytes = vec![0; length + 2];
                self.reader.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                Part::Bytes(bytes)
            }
            "*" => return Err(io::ErrorKind::InvalidData.into()),
            _ => Part::Nothing,
        })
    }
}
