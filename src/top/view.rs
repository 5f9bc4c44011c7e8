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

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let troubles = troubles(state);
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
    let mut spans = vec![
        Span::styled("tailback top", bold(state, Color::Cyan)),
        Span::raw(format!("  {}", state.options.title)),
    ];
    if let Some(shown) = &state.shown {
        let up = shown.brokers.iter().filter(|broker| broker.up).count();
        let total = human::count(shown.list.total as u64);
        spans.push(Span::raw(format!("  {total} queues")));
        spans.push(Span::raw(format!(
            "  {up}/{} brokers up",
            shown.brokers.len()
        )));
    }
    Line::from(spans)
}

/// What is wrong, a line each.
fn troubles(state: &State) -> Vec<Line<'static>> {
    let alarm = |text: String| Line::styled(text, bold(state, Color::Red));
    if let Some(lost) = &state.lost {
        let old = if state.shown.is_some() {
            "; the numbers below are old"
        } else {
            ""
        };
        return vec![alarm(format!("NO ANSWER{old}: {lost}"))];
    }
    let Some(shown) = &state.shown else {
        return Vec::new();
    };
    let mut lines: Vec<_> = shown
        .list
        .unavailable
        .iter()
        .map(|unavailable| alarm(format!("DOWN  {}", human::name(&unavailable.reason))))
        .collect();
    let failing = |broker: &&Broker| !broker.up && broker.fresh;
    lines.extend(shown.brokers.iter().filter(failing).map(|broker| {
        let name = human::name(&broker.broker);
        alarm(format!("FAILING  broker {name}: its last poll failed"))
    }));
    let more = lines.len().saturating_sub(TROUBLES);
    lines.truncate(TROUBLES);
    if more > 0 {
        lines.push(alarm(format!("and {more} more")));
    }
    lines
}

fn list(frame: &mut Frame<'_>, area: Rect, state: &State) {
    if state
        .shown
        .as_ref()
        .is_some_and(|shown| shown.list.queues.is_empty())
    {
        let text = match state.options.search.is_empty() {
            true => "No queue has been found yet.",
            false => "No queue has these words in its names. Esc shows all.",
        };
        frame.render_widget(Paragraph::new(format!("\n  {text}")), area);
        return;
    }
    let columns = fitting(area.width);
    let heads = columns.iter().map(|column| {
        let is_sorted = column.sort == state.options.sort
            || (column.sort == "latency" && state.options.sort == "worst");
        let mark = match (is_sorted, state.is_reversed) {
            (false, _) => "",
            (true, false) => "↓",
            (true, true) => "↑",
        };
        cell(format!("{}{mark}", column.title), column)
    });
    let heads = std::iter::once(Cell::new("QUEUE")).chain(heads);
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
        Mode::Queue => Line::styled("Esc back  q quit", dim()),
        Mode::List => {
            let filter = match state.options.search.as_str() {
                "" => String::new(),
                search => format!("filter: {}  ", human::name(search)),
            };
            let sort = format!("sort: {}  ", state.options.sort);
            Line::from(vec![
                Span::styled(filter, bold(state, Color::Cyan)),
                Span::raw(sort),
                Span::styled("↑↓ Enter look  / filter  s sort  r reverse  q quit", dim()),
            ])
        }
    }
}
