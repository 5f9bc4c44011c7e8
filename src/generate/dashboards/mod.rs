//! Dashboards for Grafana, in its classic form: a data source to choose and nothing to fill in, so that
//! one file is both imported and provisioned.
//!
//! They ask for metrics of the catalog alone and need none of the recording rules. What is not known
//! is a gap, never zero.

mod autoscaling;
mod board;
mod broker;
mod colour;
mod draw;
mod link;
mod look;
mod overview;
mod panel;
mod query;
mod queue;

#[cfg(test)]
mod tests;

/// A dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    Overview,
    Queue,
    Broker,
    Autoscaling,
}

impl Board {
    pub const ALL: [Self; 4] = [Self::Overview, Self::Queue, Self::Broker, Self::Autoscaling];

    /// The part of its address that never changes.
    pub const fn uid(self) -> &'static str {
        match self {
            Self::Overview => "tailback-overview",
            Self::Queue => "tailback-queue",
            Self::Broker => "tailback-broker",
            Self::Autoscaling => "tailback-autoscaling",
        }
    }

    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Overview => "overview.json",
            Self::Queue => "queue.json",
            Self::Broker => "broker.json",
            Self::Autoscaling => "autoscaling.json",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Queue => "Queue",
            Self::Broker => "Broker and exporter",
            Self::Autoscaling => "Autoscaling",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Overview => "All queues, worst first",
            Self::Queue => {
                "One queue, or several taken together: waits, depth, flow, failures, workers"
            }
            Self::Broker => {
                "Whether brokers are watched, what that costs them, and tailback itself"
            }
            Self::Autoscaling => {
                "Job slots that are needed and that there are, and what comes of it"
            }
        }
    }

    /// The whole file.
    pub fn file(self) -> String {
        let rows = match self {
            Self::Overview => overview::rows(),
            Self::Queue => queue::rows(),
            Self::Broker => broker::rows(),
            Self::Autoscaling => autoscaling::rows(),
        };
        format!("{:#}\n", board::json(self, &rows))
    }
}
