//! What a Redis was asked, command by command.

use super::Redis;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

/// `MONITOR` from now on.
pub struct Monitor {
    lines: Arc<Mutex<Vec<String>>>,
    stream: UnixStream,
}

impl Monitor {
    pub fn start(redis: &Redis) -> Self {
        let mut stream = UnixStream::connect(redis.socket()).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (reader, into) = (
            BufReader::new(stream.try_clone().unwrap()),
            Arc::clone(&lines),
        );
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        Self { lines, stream }
    }

    /// Every command so far: its name in lower case and its arguments, as Redis quotes them.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|line| words(line)).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // The reader ends with its stream.
        self.stream.shutdown(std::net::Shutdown::Both).ok();
    }
}

/// `+1795409600.123 [0 127.0.0.1:6379] "llen" "key"`.
fn words(line: &str) -> Option<Vec<String>> {
    let (_, quoted) = line.split_once("] \"")?;
    let words = quoted.strip_suffix('"')?.split("\" \"");
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    words.first_mut()?.make_ascii_lowercase();
    Some(words)
}
