//! Draws the state. Everything that colour says, words or bold letters say too.

use super::answer::Broker;
use super::cells::{self, Column, fitting};
use super::detail;
use super::state::{Mode, State};
use crate::human;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

/// Brokers that are not well, told in lines of their own; more are only counted.
const TROUBLES: usize = 4;

/// Of the height, for troubles.
const TROUBLES_PART: usize = 3;

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let width = usize::from(frame.area().width);
    let mut troubles: Vec<Line<'_>> = troubles(state)
        .iter()
        .flat_map(|trouble| wrapped(trouble, width))
        .map(|line| Line::styled(line, bold(state, Color::Red)))
        .collect();
    troubles.truncate(usize::from(frame.area().height) / TROUBLES_PART);
    let [title, trouble, body, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(troubles.len()).unwrap_or(0)),
        Constraint::Min(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    // One line is the table's head.
    state.height = usize::from(body.height.saturating_sub(1)).max(1);
    frame.render_widget(head(state), title);
    frame.render_widget(Paragraph::new(troubles), trouble);
    match state.mode {
        Mode::Queue => detail::draw(frame, body, state),
        Mode::List | Mode::Filter => list(frame, body, state),
    }
    frame.render_widget(foot(state), footer);
}

/// Bold, and in this colour where there are colours.
pub(super) fn bold(state: &State, colour: Color) -> Style {
    let style = Style::new().add_modifier(Modifier::BOLD);
    match state.options.colour {
        true => style.fg(colour),
        false => style,
    }
}

/// Less important.
pub(super) fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn head(state: &State) -> Line<'_> {
    let mut spans = vec![Span::styled("tailback top", bold(state, Color::Cyan))];
    if let Some(shown) = &state.shown {
        let up = shown.brokers.iter().filter(|broker| broker.up).count();
        let total = human::count(shown.list.total as u64);
        spans.push(Span::raw(format!("  {total} queues")));
        spans.push(Span::raw(format!(
            "  {up}/{} brokers up",
            shown.brokers.len()
        )));
    }
    spans.push(Span::styled(format!("  {}", state.options.title), dim()));
    Line::from(spans)
}

/// What is wrong, each in its words.
fn troubles(state: &State) -> Vec<String> {
    if let Some(lost) = &state.lost {
        let old = if state.shown.is_some() {
            "; the numbers below are old"
        } else {
            ""
        };
        return vec![format!("NO ANSWER{old}: {lost}")];
    }
    let Some(shown) = &state.shown else {
        return Vec::new();
    };
    let unavailable = shown.list.unavailable.iter();
    let mut all: Vec<_> = unavailable
        .map(|unavailable| format!("DOWN  {}", human::name(&unavailable.reason)))
        .collect();
    let failing = |broker: &&Broker| !broker.up && broker.fresh;
    all.extend(shown.brokers.iter().filter(failing).map(|broker| {
        let name = human::name(&broker.broker);
        format!("FAILING  broker {name}: its last poll failed")
    }));
    let more = all.len().saturating_sub(TROUBLES);
    all.truncate(TROUBLES);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
}

/// A text in lines of at most so many characters, broken between words where there are some.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let mut left: Vec<char> = word.chars().collect();
        while !left.is_empty() {
            let room = width.saturating_sub(used);
            let length = left.len() - usize::from(left.ends_with(&[' ']));
            let taken = match length > room {
                // Too long for any line.
                true if used == 0 => room.max(1),
                true => 0,
                false => left.len(),
            };
            if taken == 0 {
                lines.push(String::new());
                used = 0;
                continue;
            }
            if let Some(line) = lines.last_mut() {
                line.extend(left.drain(..taken));
            }
            used += taken;
        }
    }
    lines
}

fn list(frame: &mut Frame<'_>, area: Rect, state: &State) {
    if let Some(shown) = &state.shown
        && shown.list.queues.is_empty()
    {
        let text = match (
            state.options.search.is_empty(),
            shown.list.unavailable.is_empty(),
        ) {
            (false, _) => "No queue has these words in its names. Esc shows all.",
            (true, true) => "No queue has been found yet.",
            (true, false) => "No queue is known at present.",
        };
        frame.render_widget(Paragraph::new(format!("\n  {text}")), area);
        return;
    }
    let sort = match state.options.sort {
        "worst" => "latency",
        sort => sort,
    };
    let columns = fitting(area.width, sort);
    let title = |title: &str, by: &str| match (by == sort, state.is_descending()) {
        (false, _) => title.to_owned(),
        (true, true) => format!("{title}↓"),
        (true, false) => format!("{title}↑"),
    };
    let heads = columns
        .iter()
        .map(|column| cell(title(column.title, column.sort), column));
    let heads = std::iter::once(Cell::new(title("QUEUE", "name"))).chain(heads);
    let head =
        Row::new(heads).style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED));
    let rows = state.rows().map(|(place, queue)| {
        let mut name = human::name(&queue.queue);
        if queue.paused == Some(true) {
            name.insert_str(0, "[paused] ");
        }
        if queue.is_late() {
            name.insert_str(0, "! ");
        }
        let cells = columns
            .iter()
            .map(|column| cell((column.cell)(queue), column));
        let cells = std::iter::once(Cell::new(name)).chain(cells);
        let is_waiting = queue.latency_seconds.is_none_or(|secs| secs > 0.0);
        let style = match (queue.is_late(), is_waiting) {
            (true, _) => bold(state, Color::Red),
            (false, true) => Style::new(),
            (false, false) => dim(),
        };
        Row::new(cells).style(match place == state.selected {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => style,
        })
    });
    let widths = columns
        .iter()
        .map(|column| Constraint::Length(column.width));
    let widths = std::iter::once(Constraint::Min(1)).chain(widths);
    let table = Table::new(rows, widths)
        .header(head)
        .column_spacing(cells::GAP);
    frame.render_widget(table, area);
}

fn cell(text: String, column: &Column) -> Cell<'static> {
    let alignment = match column.is_number {
        true => Alignment::Right,
        false => Alignment::Left,
    };
    Cell::new(Line::from(text).alignment(alignment))
}

fn foot(state: &State) -> Line<'_> {
    match state.mode {
        Mode::Filter => Line::from(vec![
            Span::styled("filter: ", bold(state, Color::Cyan)),
            Span::raw(human::name(&state.options.search)),
            Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED)),
            Span::styled("  Enter keeps it, Esc drops it", dim()),
        ]),
        Mode::Queue => Line::styled("q quit  Esc back", dim()),
        Mode::List => {
            let filter = match state.options.search.as_str() {
                "" => String::new(),
                search => format!("filter: {}  ", human::name(search)),
            };
            let sort = format!("sort: {}  ", state.options.sort);
            Line::from(vec![
                Span::styled(filter, bold(state, Color::Cyan)),
                Span::raw(sort),
                Span::styled("q quit  ↑↓ Enter look  / filter  s sort  r reverse", dim()),
            ])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_broken_between_words_where_they_can_be() {
        for (width, want) in [
            (80, vec!["it is down: refused"]),
            (11, vec!["it is down:", "refused"]),
            (6, vec!["it is", "down:", "refuse", "d"]),
            (
                1,
                "itisdown:refused"
                    .split("")
                    .filter(|c| !c.is_empty())
                    .collect(),
            ),
        ] {
            let lines = wrapped("it is down: refused", width);
            let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
            let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            assert_eq!(lines, want, "{width}");
        }
        assert_eq!(wrapped("", 0), [""]);
        assert_eq!(wrapped("ab", 0).concat(), "ab");
    }
}
