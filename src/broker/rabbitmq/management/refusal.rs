//! What the refusals of the management API mean, and what to do about them.

use crate::broker::BrokerError;
use crate::broker::rabbitmq::http::Answer;
use crate::model::ErrorKind;
use hyper::StatusCode;
use serde_json::Value;
use std::fmt::Write as _;

/// What a status other than 200 means, and what to do about it.
pub(super) fn refusal(answer: &Answer, vhost: Option<&str>, user: &str) -> BrokerError {
    let node = &answer.node;
    let reason = reason(&answer.body);
    let mut message = format!("the management API at {node} ");
    let kind = match (answer.status, vhost) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)
            if reason.contains("management user") =>
        {
            write!(
                message,
                "refuses the user `{user}`, who lacks a tag for it; run: rabbitmqctl \
                 set_user_tags {user} monitoring"
            )
            .ok();
            ErrorKind::Permission
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(vhost))
            if reason.contains("virtual host") =>
        {
            write!(
                message,
                "lets the user `{user}` see nothing of vhost `{vhost}`; any permission in it will \
                 do, also one to touch nothing: rabbitmqctl set_permissions -p {vhost} {user} \
                 '^$' '^$' '^$'"
            )
            .ok();
            ErrorKind::Permission
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            write!(
                message,
                "refuses the name or password of the user `{user}` ({reason})"
            )
            .ok();
            ErrorKind::Auth
        }
        (StatusCode::NOT_FOUND, Some(vhost)) => {
            write!(
                message,
                "knows no vhost `{vhost}`; check `vhosts` and the path of the URL"
            )
            .ok();
            ErrorKind::Permission
        }
        (status, _) => {
            write!(message, "answered {status} ({reason})").ok();
            ErrorKind::Protocol
        }
    };
    BrokerError::new(kind, message)
}

/// The broker's own words, kept short.
fn reason(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = body
        .get("reason")
        .and_then(Value::as_str)
        .unwrap_or("no reason given");
    reason
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}
