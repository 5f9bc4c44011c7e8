//! Refuses large payloads on their way in. Redis cannot be asked for a part of a list element, so
//! a reply that is larger than we allow is dropped byte by byte as it arrives, and an error takes
//! its place: the connection stays in step and no memory grows.
//!
//! RESP2 only, which is what we speak: lines, and bulk strings announced by `$length`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The error code that stands where an oversized payload was.
pub(super) const OVERSIZE: &str = "OVERSIZE";

/// Bulk strings up to this size always pass: keys, ids, timestamps.
const SMALL: u64 = 4096;

/// How many payload bytes may still come in for the present batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes` if there are as many left.
    fn take(&self, bytes: u64) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }
}

/// Longer lines than this are no Redis's: errors and numbers are short.
const MAX_LINE: usize = 64 * 1024;

/// The filter, as a state machine over the incoming bytes.
#[derive(Debug)]
struct Filter {
    max_payload: u64,
    allowance: Allowance,
    state: State,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Inside a line, which may turn out to announce a bulk string.
    Line,
    /// This many bytes of a bulk string and its line end are still to pass.
    Pass(u64),
    /// This many are still to be dropped.
    Drop(u64),
}

/// A stream whose incoming bytes run through the filter.
pub(super) struct Guard<S> {
    inner: S,
    filter: Filter,
    raw: Box<[u8]>,
    ready: Vec<u8>,
    taken: usize,
}

// === impl Filter ===

impl Filter {
    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            match self.state {
                State::Pass(left) => {
                    let (pass, rest) = split(input, left);
                    out.extend_from_slice(pass);
                    input = rest;
                    self.state = Self::after(left - pass.len() as u64, State::Pass);
                }
                State::Drop(left) => {
                    let (dropped, rest) = split(input, left);
                    input = rest;
                    self.state = Self::after(left - dropped.len() as u64, State::Drop);
                }
                State::Line => match input.iter().position(|byte| *byte == b'\n') {
                    None => {
                        self.line.extend_from_slice(input);
                        return;
                    }
                    Some(end) => {
                        let (line, rest) = input.split_at(end + 1);
                        self.line.extend_from_slice(line);
                        input = rest;
                        self.line_done(out);
                    }
                },
            }
        }
    }

    fn after(left: u64, state: fn(u64) -> State) -> State {
        if left == 0 { State::Line } else { state(left) }
    }

    fn line_done(&mut self, out: &mut Vec<u8>) {
        match announced(&self.line) {
            Some(length) if !self.allows(length) => {
                out.extend_from_slice(format!("-{OVERSIZE} {length}\r\n").as_bytes());
                self.state = State::Drop(length.saturating_add(2));
            }
            Some(length) => {
                out.extend_from_slice(&self.line);
                self.state = State::Pass(length.saturating_add(2));
            }
            None => out.extend_from_slice(&self.line),
        }
        self.line.clear();
    }

    fn allows(&self, length: u64) -> bool {
        length <= SMALL || (length <= self.max_payload && self.allowance.take(length))
    }
}

fn split(input: &[u8], at: u64) -> (&[u8], &[u8]) {
    input.split_at(usize::try_from(at).map_or(input.len(), |at| at.min(input.len())))
}

/// The length that a `$length` line announces; `None` for other lines and for the nil bulk string.
fn announced(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"$")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

// === impl Guard ===

impl<S> Guard<S> {
    pub(super) fn new(inner: S, max_payload: u64, allowance: Allowance) -> Self {
        Self {
            inner,
            filter: Filter {
                max_payload,
                allowance,
                state: State::Line,
                line: Vec::new(),
            },
            raw: vec![0; 16 * 1024].into_boxed_slice(),
            ready: Vec::new(),
            taken: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let left = this.ready.get(this.taken..).unwrap_or_default();
            if !left.is_empty() {
                let take = left.len().min(buf.remaining());
                buf.put_slice(left.get(..take).unwrap_or_default());
                this.taken += take;
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.taken = 0;
            let mut raw = ReadBuf::new(&mut this.raw);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut raw))?;
            if raw.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.filter.feed(raw.filled(), &mut this.ready);
            if this.filter.line.len() > MAX_LINE {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a line without an end: this is no Redis",
                )));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(max_payload: u64, allowance: u64) -> Filter {
        let left = Allowance::default();
        left.set(allowance);
        Filter {
            max_payload,
            allowance: left,
            state: State::Line,
            line: Vec::new(),
        }
    }

    fn bulk(size: usize) -> Vec<u8> {
        [
            format!("${size}\r\n").as_bytes(),
            &vec![b'\n'; size],
            b"\r\n",
        ]
        .concat()
    }

    #[test]
    fn a_large_payload_becomes_an_error_and_its_neighbours_stand() {
        let input = [
            b"*3\r\n:1\r\n".as_slice(),
            &bulk(9000),
            b"+OK\r\n$-1\r\n",
            &bulk(5000),
        ]
        .concat();
        let want = [
            b"*3\r\n:1\r\n-OVERSIZE 9000\r\n+OK\r\n$-1\r\n".as_slice(),
            &bulk(5000),
        ]
        .concat();
        for chunk in [1, 2, 7, input.len()] {
            let (mut filter, mut out) = (filter(8000, 1 << 20), Vec::new());
            input
                .chunks(chunk)
                .for_each(|part| filter.feed(part, &mut out));
            assert_eq!(out, want, "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_batch_cannot_bring_in_more_than_its_allowance() {
        let (mut filter, mut out) = (filter(8000, 12_000), Vec::new());
        filter.feed(&[bulk(8000), bulk(8000), bulk(4096)].concat(), &mut out);
        assert_eq!(
            out,
            [bulk(8000), b"-OVERSIZE 8000\r\n".to_vec(), bulk(4096)].concat()
        );
    }

    proptest! {
        #[test]
        fn what_is_small_passes_unchanged(parts in prop::collection::vec(0usize..300, 0..20), chunk in 1usize..64) {
            let input: Vec<u8> = parts.iter().flat_map(|size| bulk(*size)).collect();
            let (mut filter, mut out) = (filter(1024, 0), Vec::new());
            input.chunks(chunk).for_each(|part| filter.feed(part, &mut out));
            prop_assert_eq!(out, input);
        }

        #[test]
        fn garbage_never_panics(input in prop::collection::vec(any::<u8>(), 0..2000)) {
            filter(10, 10).feed(&input, &mut Vec::new());
        }
    }
}
