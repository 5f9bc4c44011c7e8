//! Who may read: everybody, or those with the bearer token or the API key.

use super::AppState;
use super::problem::Problem;
use crate::redact::Secret;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

/// What is asked of a client; nothing if neither is set.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `Authorization: Bearer …`
    pub bearer_token: Option<Secret>,
    /// `X-API-Key: …`, the default of KEDA's metrics-api, or `?api_key=…`, its other way.
    pub api_key: Option<Secret>,
    /// `/metrics` is open all the same.
    pub open_metrics: bool,
}

impl Access {
    /// The security schemes of `openapi.json` that let a client in; none where everything is open.
    pub(super) fn schemes(&self) -> Vec<&'static str> {
        let bearer: &[_] = match self.bearer_token {
            Some(_) => &["bearer"],
            None => &[],
        };
        let key: &[_] = match self.api_key {
            Some(_) => &["api_key", "api_key_in_query"],
            None => &[],
        };
        let either: &[_] = match (&self.bearer_token, &self.api_key) {
            (None, None) => &[],
            _ => &["basic"],
        };
        [bearer, key, either].concat()
    }

    fn allows(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let is_open = match uri.path() {
            // For whoever decides whether we run; they tell nothing else.
            "/live" | "/ready" => true,
            "/metrics" => self.open_metrics,
            _ => false,
        };
        let secrets = || self.bearer_token.iter().chain(&self.api_key);
        if is_open || secrets().next().is_none() {
            return true;
        }
        let has = |given: &[u8], secret: &Secret| -> bool {
            given.ct_eq(secret.expose().as_bytes()).into()
        };
        if let Some(secret) = &self.api_key {
            let key = headers.get("x-api-key").map(HeaderValue::as_bytes);
            let query = uri.query().unwrap_or_default().as_bytes();
            let mut pairs = form_urlencoded::parse(query);
            let in_query = pairs.find(|(name, _)| name == "api_key");
            let in_query = in_query.as_ref().map(|(_, key)| key.as_bytes());
            let mut keys = key.into_iter().chain(in_query);
            if keys.any(|key| has(key, secret)) {
                return true;
            }
        }
        let authorization = headers.get(header::AUTHORIZATION);
        match authorization.and_then(|value| credentials(value)) {
            Some(("bearer", token)) => {
                let secret = self.bearer_token.as_ref();
                secret.is_some_and(|secret| has(token.trim().as_bytes(), secret))
            }
            // Browsers know nothing else: either secret as the password of any user.
            Some(("basic", encoded)) => STANDARD
                .decode(encoded.trim())
                .ok()
                .and_then(|pair| {
                    let colon = pair.iter().position(|byte| *byte == b':')?;
                    pair.get(colon + 1..).map(<[u8]>::to_vec)
                })
                .is_some_and(|password| secrets().any(|secret| has(&password, secret))),
            _ => false,
        }
    }
}

/// The scheme and what follows it.
fn credentials(value: &HeaderValue) -> Option<(&'static str, &str)> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let known = ["bearer", "basic"].into_iter();
    let scheme = known
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known))?;
    Some((scheme, rest))
}

/// Answers 401 to those who may not read.
pub(super) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if state.access.allows(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "Not authorized",
        "send the bearer token (Authorization: Bearer …) or the API key (X-API-Key: …) that tailback \
         is configured with",
    );
    let mut response = problem.into_response();
    for scheme in ["Bearer", "Basic realm=\"tailback\""] {
        let scheme = HeaderValue::from_static(scheme);
        response
            .headers_mut()
            .append(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn without_a_secret_everything_is_open() {
        assert!(Access::default().allows(&Uri::from_static("/"), &HeaderMap::new()));
    }

    #[test]
    fn a_secret_must_be_whole_and_in_its_place() {
        let access = Access {
            bearer_token: Some(Secret::new("t0ken-of-the-bearer")),
            api_key: Some(Secret::new("key-of-the-api")),
            open_metrics: false,
        };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (name, value, may) in [
            (
                "authorization",
                "Bearer t0ken-of-the-bearer".to_owned(),
                true,
            ),
            (
                "authorization",
                "bearer  t0ken-of-the-bearer ".to_owned(),
                true,
            ),
            (
                "authorization",
                "Bearer t0ken-of-the-bearer2".to_owned(),
                false,
            ),
            (
                "authorization",
                "Bearer t0ken-of-the-beare".to_owned(),
                false,
            ),
            ("authorization", "Bearer ".to_owned(), false),
            ("authorization", "t0ken-of-the-bearer".to_owned(), false),
            ("authorization", "Bearer key-of-the-api".to_owned(), false),
            ("authorization", basic("me:t0ken-of-the-bearer"), true),
            ("authorization", basic(":key-of-the-api"), true),
            ("authorization", basic("key-of-the-api"), false),
            ("authorization", "Basic %%%".to_owned(), false),
            ("x-api-key", "key-of-the-api".to_owned(), true),
            ("x-api-key", "t0ken-of-the-bearer".to_owned(), false),
            ("x-api-key", String::new(), false),
        ] {
            let found = access.allows(&Uri::from_static("/metrics"), &headers(name, &value));
            assert_eq!(found, may, "{name}: {value}");
        }
        let nothing = HeaderMap::new();
        let open = |path| access.allows(&Uri::from_static(path), &nothing);
        assert_eq!(
            [
                "/?api_key=key-of-the-api",
                "/?queue=a&api_key=key%2Dof-the-api",
                "/?api_key=t0ken-of-the-bearer",
                "/?api_key=",
                "/?key=key-of-the-api",
            ]
            .map(open),
            [true, true, false, false, false]
        );
        assert_eq!(
            ["/live", "/ready", "/metrics", "/", "/live/"].map(open),
            [true, true, false, false, false]
        );
        let access = Access {
            open_metrics: true,
            ..access
        };
        let open = |path| access.allows(&Uri::from_static(path), &nothing);
        assert_eq!(["/metrics", "/"].map(open), [true, false]);
    }
}
