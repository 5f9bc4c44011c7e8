//! `top`: the queues in a terminal. [`state`] folds keys and answers, [`view`] draws, [`conn`] asks
//! the JSON API, of an instance that runs or of one in this process. Knows no broker.

mod answer;
mod cells;
mod conn;
mod detail;
mod plain;
mod state;
mod view;

pub use conn::Conn;
pub use plain::once;
pub use state::SORTS;

use answer::Answer;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use state::{Action, State};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often it asks again.
const REFRESH: Duration = Duration::from_secs(1);

/// What is shown at first, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whom the numbers are from, for the title.
    pub title: String,
    pub sort: &'static str,
    pub search: String,
    /// Without it only bold and reversed text tells things apart, and words.
    pub colour: bool,
}

/// Shows the queues until the user has seen enough, or until cancelled.
pub async fn run(conn: Conn, options: Options, cancelled: CancellationToken) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let result = watch(&mut terminal, conn, options, cancelled).await;
    ratatui::try_restore()?;
    result
}

async fn watch(
    terminal: &mut DefaultTerminal,
    conn: Conn,
    options: Options,
    cancelled: CancellationToken,
) -> io::Result<()> {
    let mut events = events();
    let mut state = State::new(options);
    let mut asking: Pin<Box<dyn Future<Output = Answer> + Send>> = Box::pin(std::future::pending());
    let mut is_asking = false;
    loop {
        terminal.draw(|frame| view::draw(frame, &mut state))?;
        let action = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Ok(()),
            event = events.recv() => match event {
                None => return Err(io::Error::other("the terminal is gone")),
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => state.key(key),
                // It is drawn anew, and may show more.
                Some(Event::Resize(..)) => {
                    terminal.autoresize()?;
                    terminal.draw(|frame| view::draw(frame, &mut state))?;
                    Action::Ask
                }
                Some(_) => Action::Nothing,
            },
            answer = &mut asking, if is_asking => {
                is_asking = false;
                state.fold(answer);
                Action::Nothing
            }
            () = tokio::time::sleep(REFRESH), if !is_asking => Action::Ask,
        };
        match action {
            Action::Quit => return Ok(()),
            Action::Nothing => {}
            // An older question is dropped: nobody waits for its answer any more.
            Action::Ask => {
                asking = Box::pin(answer::ask(conn.clone(), state.question()));
                is_asking = true;
            }
        }
    }
}

/// Keys and changes of size. Reading blocks, so it has a thread, which ends with the process.
fn events() -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(64);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}
