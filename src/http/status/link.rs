//! What of the page is asked for, and links to the same page asked for otherwise.

use crate::http::listing::{Order, Sort};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

/// Queues on one page.
pub(super) const PAGE: usize = 100;

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(in crate::http) struct PageQuery {
    pub(in crate::http) search: String,
    pub(super) sort: Sort,
    pub(super) order: Option<Order>,
    pub(super) offset: usize,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self {
            search: String::new(),
            sort: Sort::Worst,
            order: None,
            offset: 0,
        }
    }
}

impl PageQuery {
    pub(super) fn order(&self) -> Order {
        self.order.unwrap_or(Order::usual(self.sort))
    }

    /// A link to this.
    pub(super) fn link(&self) -> String {
        let usual = Self::default();
        let mut pairs = Serializer::new(String::new());
        if !self.search.is_empty() {
            pairs.append_pair("search", &self.search);
        }
        if self.sort != usual.sort {
            pairs.append_pair("sort", self.sort.as_str());
        }
        if self.order() != Order::usual(self.sort) {
            pairs.append_pair("order", self.order().as_str());
        }
        if self.offset > 0 {
            pairs.append_pair("offset", &self.offset.to_string());
        }
        format!("./?{}", pairs.finish())
    }

    /// Sorted by this from the beginning; the other way round if it already is.
    pub(super) fn sorted_by(&self, sort: Sort) -> Self {
        let is_sorted = self.sort == sort && sort != Sort::Worst;
        Self {
            sort,
            order: is_sorted.then(|| self.order().reversed()),
            offset: 0,
            ..self.clone()
        }
    }

    pub(super) fn at(&self, offset: usize) -> Self {
        Self {
            offset,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_what_differs_and_is_read_back() {
        let query = PageQuery {
            search: "a&b=c d".to_owned(),
            ..PageQuery::default()
        };
        let link = query.sorted_by(Sort::Ready).sorted_by(Sort::Ready).at(100);
        let link = link.link();
        assert_eq!(
            link,
            "./?search=a%26b%3Dc+d&sort=ready&order=ascending&offset=100"
        );
        let uri: axum::http::Uri = link.trim_start_matches('.').parse().unwrap();
        let read = axum::extract::Query::<PageQuery>::try_from_uri(&uri)
            .unwrap()
            .0;
        assert_eq!(read.link(), link);
        assert_eq!(PageQuery::default().link(), "./?");
    }
}
