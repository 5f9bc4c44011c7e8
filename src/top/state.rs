//! What is shown and asked for: the fold of keys and answers. Neither draws nor asks.

use super::Options;
use super::answer::{Answer, Answers, Question, Queue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a list can be sorted by, in the words of the API.
pub const SORTS: [&str; 12] = [
    "worst",
    "latency",
    "ready",
    "in_progress",
    "scheduled",
    "retry",
    "deferred",
    "failed",
    "enqueued",
    "started",
    "drain",
    "name",
];

/// What follows from a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Ask,
    Quit,
}

/// What keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    List,
    /// Keys are letters of the filter.
    Filter,
    /// One queue.
    Queue,
}

pub(super) struct State {
    pub(super) options: Options,
    pub(super) mode: Mode,
    pub(super) is_reversed: bool,
    /// The rows that fit, as last drawn.
    pub(super) height: usize,
    /// Of all that match: the first one shown, and the one that is pointed at.
    pub(super) offset: usize,
    pub(super) selected: usize,
    /// The one that is looked at closely.
    pub(super) open: Option<Queue>,
    /// What was said last, and what it was asked as.
    pub(super) shown: Option<Answers>,
    shown_offset: usize,
    /// Why there is no newer answer.
    pub(super) lost: Option<String>,
    asked_offset: usize,
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            mode: Mode::List,
            is_reversed: false,
            height: 20,
            offset: 0,
            selected: 0,
            open: None,
            shown: None,
            shown_offset: 0,
            lost: None,
            asked_offset: 0,
        }
    }

    /// What to ask for at present.
    pub(super) fn question(&mut self) -> Question {
        self.asked_offset = self.offset;
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let order = match self.is_descending() {
            true => "descending",
            false => "ascending",
        };
        Question {
            list: format!(
                "api/v1/queues?sort={}&order={order}&search={}&offset={}&limit={}",
                self.options.sort,
                encode(&self.options.search),
                self.offset,
                self.height,
            ),
            queue: self.open.as_ref().map(|open| {
                let names = [&open.broker, &open.system, &open.queue].map(|name| encode(name));
                format!("api/v1/queues/{}", names.join("/"))
            }),
        }
    }

    /// Numbers usually are, names not.
    pub(super) fn is_descending(&self) -> bool {
        (self.options.sort != "name") != self.is_reversed
    }

    pub(super) fn fold(&mut self, answer: Answer) {
        match answer {
            Ok(answers) => {
                self.lost = None;
                self.shown_offset = self.asked_offset;
                self.shown = Some(answers);
                self.select(self.selected);
            }
            // What is shown stays, and is said to be old.
            Err(error) => self.lost = Some(error),
        }
    }

    pub(super) fn total(&self) -> usize {
        self.shown.as_ref().map_or(0, |shown| shown.list.total)
    }

    /// The rows at hand with their places among all.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, &Queue)> {
        let queues = self.shown.iter().flat_map(|shown| &shown.list.queues);
        (self.shown_offset..).zip(queues)
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return Action::Quit;
        }
        match self.mode {
            Mode::Filter => self.key_in_filter(key.code),
            Mode::Queue => match key.code {
                KeyCode::Char('q') => Action::Quit,
                KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Left => {
                    self.mode = Mode::List;
                    self.open = None;
                    Action::Ask
                }
                _ => Action::Nothing,
            },
            Mode::List => self.key_in_list(key.code),
        }
    }

    fn key_in_filter(&mut self, key: KeyCode) -> Action {
        match key {
            KeyCode::Enter => self.mode = Mode::List,
            KeyCode::Esc => {
                self.mode = Mode::List;
                self.options.search.clear();
            }
            KeyCode::Backspace => {
                self.options.search.pop();
            }
            KeyCode::Char(c) => self.options.search.push(c),
            _ => return Action::Nothing,
        }
        (self.offset, self.selected) = (0, 0);
        Action::Ask
    }

    fn key_in_list(&mut self, key: KeyCode) -> Action {
        let page = self.height.max(1);
        match key {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Esc if self.options.search.is_empty() => return Action::Nothing,
            KeyCode::Esc => self.options.search.clear(),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('s') => self.sort(1),
            KeyCode::Char('S') => self.sort(SORTS.len() - 1),
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Down | KeyCode::Char('j') => return self.select(self.selected + 1),
            KeyCode::Up | KeyCode::Char('k') => {
                return self.select(self.selected.saturating_sub(1));
            }
            KeyCode::PageDown => return self.select(self.selected + page),
            KeyCode::PageUp => return self.select(self.selected.saturating_sub(page)),
            KeyCode::Home | KeyCode::Char('g') => return self.select(0),
            KeyCode::End | KeyCode::Char('G') => return self.select(usize::MAX),
            KeyCode::Enter | KeyCode::Right => {
                let selected = self.rows().find(|(place, _)| *place == self.selected);
                let Some(open) = selected.map(|(_, queue)| queue.clone()) else {
                    return Action::Nothing;
                };
                self.open = Some(open);
                self.mode = Mode::Queue;
                return Action::Ask;
            }
            _ => return Action::Nothing,
        }
        (self.offset, self.selected) = (0, 0);
        Action::Ask
    }

    /// So many ways of sorting further.
    fn sort(&mut self, by: usize) {
        let now = SORTS.iter().position(|sort| *sort == self.options.sort);
        let next = (now.unwrap_or(0) + by) % SORTS.len();
        if let Some(sort) = SORTS.get(next) {
            self.options.sort = sort;
        }
        self.is_reversed = false;
    }

    /// Points at a row and brings it into view.
    pub(super) fn select(&mut self, place: usize) -> Action {
        let last = self.total().saturating_sub(1);
        self.selected = place.min(last);
        let before = self.offset;
        let top = (self.selected + 1).saturating_sub(self.height.max(1));
        self.offset = self.offset.clamp(top, self.selected.max(top));
        match self.offset == before {
            true => Action::Nothing,
            false => Action::Ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::List;
    use super::*;

    fn state(total: usize, height: usize) -> State {
        let mut state = State::new(Options {
            title: String::new(),
            sort: "worst",
            search: String::new(),
            colour: true,
        });
        state.height = height;
        state.fold(Ok(answers(total, 0..height.min(total))));
        state
    }

    fn answers(total: usize, places: std::ops::Range<usize>) -> Answers {
        let queues = places.map(|place| Queue {
            queue: format!("a/{place}"),
            ..Queue::default()
        });
        Answers {
            list: List {
                queues: queues.collect(),
                total,
                unavailable: Vec::new(),
            },
            ..Answers::default()
        }
    }

    fn press(state: &mut State, code: KeyCode) -> Action {
        state.key(KeyEvent::from(code))
    }

    #[test]
    fn the_window_follows_what_is_pointed_at() {
        let mut state = state(100, 10);
        assert_eq!(press(&mut state, KeyCode::Up), Action::Nothing);
        for _ in 0..9 {
            assert_eq!(press(&mut state, KeyCode::Down), Action::Nothing);
        }
        assert_eq!(press(&mut state, KeyCode::Down), Action::Ask);
        assert_eq!((state.offset, state.selected), (1, 10));
        press(&mut state, KeyCode::End);
        assert_eq!((state.offset, state.selected), (90, 99));
        assert!(state.question().list.ends_with("&offset=90&limit=10"));
        // There are fewer by now.
        state.fold(Ok(answers(3, 0..0)));
        assert_eq!((state.offset, state.selected), (2, 2));
        press(&mut state, KeyCode::Home);
        assert_eq!((state.offset, state.selected), (0, 0));
    }

    #[test]
    fn what_is_pointed_at_is_told_by_its_place_and_not_by_its_line() {
        let mut state = state(100, 10);
        press(&mut state, KeyCode::PageDown);
        state.question();
        press(&mut state, KeyCode::Up);
        // Before the answer the old lines are still there, and after it other ones.
        assert!(
            state
                .rows()
                .any(|(place, queue)| place == 9 && queue.queue == "a/9")
        );
        state.fold(Ok(answers(100, 1..11)));
        press(&mut state, KeyCode::Enter);
        let open = state.open.as_ref().map(|open| open.queue.as_str());
        assert_eq!((open, state.mode), (Some("a/9"), Mode::Queue));
    }

    #[test]
    fn a_filter_is_typed_kept_and_dropped() {
        let mut state = state(5, 10);
        press(&mut state, KeyCode::Char('/'));
        for c in "qa&".chars() {
            assert_eq!(press(&mut state, KeyCode::Char(c)), Action::Ask);
        }
        assert!(state.question().list.contains("&search=qa%26&"));
        press(&mut state, KeyCode::Backspace);
        press(&mut state, KeyCode::Enter);
        assert_eq!(
            (state.mode, state.options.search.as_str()),
            (Mode::List, "qa")
        );
        press(&mut state, KeyCode::Esc);
        assert_eq!(state.options.search, "");
        assert_eq!(press(&mut state, KeyCode::Char('q')), Action::Quit);
    }

    #[test]
    fn a_queue_is_asked_for_by_its_encoded_name_and_loss_keeps_what_was_shown() {
        let mut state = state(2, 10);
        press(&mut state, KeyCode::Enter);
        let path = state.question().queue.unwrap();
        assert_eq!(path, "api/v1/queues///a%2F0");
        state.fold(Err("refused".to_owned()));
        assert_eq!((state.lost.as_deref(), state.total()), (Some("refused"), 2));
        press(&mut state, KeyCode::Esc);
        press(&mut state, KeyCode::Char('s'));
        press(&mut state, KeyCode::Char('r'));
        let list = state.question().list;
        assert!(list.contains("sort=latency&order=ascending"), "{list}");
    }
}
