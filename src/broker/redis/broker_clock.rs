//! The server's clock, on which times are compared.

use super::session::Session;
use crate::broker::BrokerError;
use crate::clock;
use crate::model::Timestamp;

/// The broker's clock as seen from ours, with the doubt that the round trip leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrokerClock {
    /// What to add to our clock, at least and at most, in microseconds.
    ahead: (i64, i64),
}

impl BrokerClock {
    pub(super) async fn read(session: &mut Session) -> Result<Self, BrokerError> {
        let before = clock::now().wall.micros();
        let server = session.time().await?.micros();
        let after = clock::now().wall.micros();
        Ok(Self {
            ahead: (server - after, server - before),
        })
    }

    pub(super) fn earliest(self) -> Timestamp {
        Timestamp::from_micros(clock::now().wall.micros() + self.ahead.0)
    }

    pub(super) fn latest(self) -> Timestamp {
        Timestamp::from_micros(clock::now().wall.micros() + self.ahead.1)
    }

    pub(super) fn now(self) -> Timestamp {
        let (least, most) = self.ahead;
        Timestamp::from_micros(clock::now().wall.micros() + least.midpoint(most))
    }
}
