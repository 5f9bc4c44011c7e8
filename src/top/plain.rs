//! One table as plain text, for scripts and where there is no terminal.

use super::answer::{Answers, ask};
use super::cells::fitting;
use super::state::State;
use super::{Conn, Options};
use crate::human;
use std::fmt::Write as _;

/// More queues than anyone reads; the rest is counted.
const LIMIT: usize = 1000;

/// The table, and whether a broker is missing from it.
pub async fn once(conn: Conn, options: Options) -> Result<(String, bool), String> {
    let mut state = State::new(options);
    state.height = LIMIT;
    let answers = ask(conn, state.question()).await?;
    Ok((text(&answers), !answers.list.unavailable.is_empty()))
}

fn text(answers: &Answers) -> String {
    let queues = &answers.list.queues;
    let names: Vec<_> = queues
        .iter()
        .map(|queue| human::name(&queue.queue))
        .collect();
    let lengths = names.iter().map(|name| name.chars().count());
    let width = lengths.max().unwrap_or(0).clamp("QUEUE".len(), 40);
    let columns = fitting(u16::MAX, "");
    let mut text = String::new();
    let mut line = |name: &str, cells: Vec<String>| {
        let mut line = format!("{name:<width$}");
        for (column, cell) in columns.iter().zip(cells) {
            let width = usize::from(column.width);
            // Writing to a string cannot fail.
            match column.is_number {
                true => write!(line, "  {cell:>width$}").ok(),
                false => write!(line, "  {cell:<width$}").ok(),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let titles = columns.iter().map(|column| column.title.to_owned());
    line("QUEUE", titles.collect());
    for (name, queue) in names.iter().zip(queues) {
        line(
            name,
            columns.iter().map(|column| (column.cell)(queue)).collect(),
        );
    }
    let more = answers.list.total - queues.len().min(answers.list.total);
    if more > 0 {
        writeln!(text, "… and {more} more").ok();
    }
    for unavailable in &answers.list.unavailable {
        writeln!(text, "not available: {}", unavailable.reason).ok();
    }
    text
}
