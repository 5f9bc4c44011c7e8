//! The page around the table: what is wrong first, then brokers, the filter, queues, other pages.

use super::brokers;
use super::html::Html;
use super::link::{PAGE, PageQuery};
use super::table;
use crate::clock::Now;
use crate::http::listing::{Order, Row, Sort};
use crate::human;
use crate::model::Snapshot;
use std::time::Duration;

/// How often the page asks again: as often as brokers are polled, within these.
const REFRESH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub(super) struct Page<'a> {
    snapshot: &'a Snapshot,
    query: &'a PageQuery,
    /// Of all queues that match, in the order in which they are shown.
    rows: Vec<Row<'a>>,
    now: Now,
}

impl<'a> Page<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        query: &'a PageQuery,
        mut rows: Vec<Row<'a>>,
        now: Now,
    ) -> Self {
        query.sort.sort(&mut rows, query.order());
        Self {
            snapshot,
            query,
            rows,
            now,
        }
    }

    pub(super) fn render(&self) -> String {
        let mut html = Html::default();
        html.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
        html.text(&self.title()).raw("</title>");
        html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        html.raw("<meta name=\"color-scheme\" content=\"light dark\">");
        html.raw("<link rel=\"icon\" href=\"favicon.svg\" type=\"image/svg+xml\">");
        html.raw("<link rel=\"stylesheet\" href=\"status.css\">");
        html.raw("<link rel=\"stylesheet\" href=\"narrow.css\" id=\"narrow\"");
        let needed = table::width_rem(self.shown().1);
        html.attribute("media", &format!("(max-width: {needed}rem)"))
            .raw(">");
        html.raw("<script src=\"status.js\" defer></script>");
        html.raw("<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript></head><body");
        html.attribute("data-refresh-ms", &self.refresh().as_millis().to_string());
        html.raw("><header><h1>tailback</h1>");
        self.form(&mut html);
        html.raw("<p class=\"clock\"><span id=\"updated\"></span> ");
        html.raw("<button type=\"button\" id=\"pause\" hidden>Pause</button></p></header>");
        html.raw("<p id=\"lost\" class=\"alarm\" role=\"alert\" hidden></p>");
        html.raw("<p id=\"told\" class=\"vh\" role=\"status\"></p><main>");
        brokers::brokers(&mut html, self.snapshot, self.now);
        self.summary(&mut html);
        self.queues(&mut html);
        html.raw("</main><footer><p>tailback ")
            .raw(env!("CARGO_PKG_VERSION"));
        html.raw(" · <a href=\"metrics\">Metrics</a> · ");
        html.raw("<a href=\"api/v1/queues\">Queues</a> and ");
        html.raw("<a href=\"api/v1/brokers\">brokers</a> as JSON</p></footer></body></html>\n");
        html.into_string()
    }

    fn refresh(&self) -> Duration {
        let brokers = self.snapshot.brokers.values();
        let soonest = brokers.map(|broker| broker.interval).min();
        soonest.unwrap_or_default().clamp(REFRESH.0, REFRESH.1)
    }

    fn title(&self) -> String {
        let down = brokers::down(self.snapshot, self.now);
        match (down, self.late(), self.waiting()) {
            (1.., ..) => format!("{down} broker{} down – tailback", plural(down)),
            (0, late @ 1.., _) => format!("{late} late – tailback"),
            (0, 0, waiting @ 1..) => format!("{waiting} waiting – tailback"),
            (0, 0, 0) => "tailback".to_owned(),
        }
    }

    /// Queues in which a job waits.
    fn waiting(&self) -> usize {
        let rows = self.rows.iter().filter(|row| row.is_fresh);
        rows.filter(|row| row.queue.jobs.ready.is_some_and(|ready| ready > 0))
            .count()
    }

    /// Queues whose oldest job has waited longer than their objective allows.
    fn late(&self) -> usize {
        let late = |row: &&Row<'_>| row.lateness().is_some_and(|times| times > 1.0);
        self.rows.iter().filter(late).count()
    }

    fn form(&self, html: &mut Html) {
        html.raw("<form role=\"search\" action=\"./\"><label for=\"search\">Filter</label>");
        html.raw("<input type=\"search\" id=\"search\" name=\"search\" autocomplete=\"off\"");
        html.raw(" spellcheck=\"false\" placeholder=\"queue, system or broker\"");
        html.raw(" title=\"Words that are in the names; press / to come here\"");
        html.attribute("value", &self.query.search).raw(">");
        let hidden = |html: &mut Html, name: &'static str, value: &'static str| {
            html.raw("<input type=\"hidden\"").attribute("name", name);
            html.attribute("value", value).raw(">");
        };
        hidden(html, "sort", self.query.sort.as_str());
        hidden(html, "order", self.query.order().as_str());
        html.raw("<noscript><button>Filter</button></noscript></form>");
    }

    fn summary(&self, html: &mut Html) {
        let stale = self.rows.iter().filter(|row| !row.is_fresh).count();
        html.raw("<h2>Queues</h2><p class=\"summary\">");
        let total = self.rows.len();
        html.text(&human::count(total as u64)).raw(" queue");
        html.raw(plural(total));
        if !self.query.search.is_empty() {
            html.raw(" with “").text(&self.query.search).raw("”");
        }
        let parts = [
            (self.late(), " over their objective"),
            (self.waiting(), " with ready jobs"),
            (stale, " without present numbers"),
        ];
        for (count, what) in parts {
            if count > 0 {
                html.raw(", ").text(&human::count(count as u64)).raw(what);
            }
        }
        html.raw("</p>");
    }

    fn queues(&self, html: &mut Html) {
        if self.rows.is_empty() {
            html.raw("<p class=\"empty\">");
            match self.query.search.is_empty() {
                true => html.raw(
                    "No queue has been found. Has a producer or worker of the job system been \
                     connected yet, and is this the right database or virtual host?",
                ),
                false => {
                    html.raw("No queue has these words in its names. <a href=\"./\">Show all</a>")
                }
            };
            html.raw("</p>");
            return;
        }
        let (offset, shown) = self.shown();
        table::table(html, self.query, shown, self.now);
        self.pager(html, offset, shown.len());
    }

    /// The queues of this page, and how many come before them.
    fn shown(&self) -> (usize, &[Row<'a>]) {
        // What was on a later page may have gone.
        let last = self.rows.len().saturating_sub(1) / PAGE * PAGE;
        let offset = self.query.offset.min(last);
        let rest = self.rows.get(offset..).unwrap_or_default();
        (offset, rest.get(..PAGE).unwrap_or(rest))
    }

    fn pager(&self, html: &mut Html, offset: usize, shown: usize) {
        if shown == self.rows.len() {
            return;
        }
        html.raw("<nav aria-label=\"Pages\">");
        let mut link = |to: Option<usize>, text: &'static str| match to {
            Some(to) => {
                html.raw("<a").attribute("href", &self.query.at(to).link());
                html.raw(">").raw(text).raw("</a>");
            }
            None => {
                html.raw("<span>").raw(text).raw("</span>");
            }
        };
        let (next, last) = (offset + shown, (self.rows.len() - 1) / PAGE * PAGE);
        let back = (offset > 0).then(|| offset.saturating_sub(PAGE));
        let on = (next < self.rows.len()).then_some(next);
        link(back.map(|_| 0), "First");
        link(back, "Previous");
        link(on, "Next");
        link(on.map(|_| last), "Last");
        let count = |number: usize| human::count(number as u64);
        html.raw("<span class=\"place\">");
        html.text(&format!("{}–{}", count(offset + 1), count(next)));
        html.raw(" of ")
            .text(&count(self.rows.len()))
            .raw("</span></nav>");
    }
}

pub(super) const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// How a list is sorted, for the table's caption.
pub(super) fn sorting(query: &PageQuery) -> &'static str {
    match (query.sort, query.order()) {
        (Sort::Worst, Order::Descending) => "Queues, longest waits first",
        (_, Order::Ascending) => "Queues, sorted upwards",
        (_, Order::Descending) => "Queues, sorted downwards",
    }
}
