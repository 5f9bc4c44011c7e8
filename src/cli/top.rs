//! `top`: the queues in a terminal, of an instance that runs, or polled here.

use super::{BrokerArgs, exit, fail, load, runtime};
use crate::clock;
use crate::config::{Config, Environment};
use crate::http::{self, Access, AppState};
use crate::metrics::OwnMetrics;
use crate::poll::{self, Store};
use crate::signal::Signals;
use crate::top::{self, Conn, Options, SORTS};
use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long `--once` waits for the first polls of the brokers.
const FIRST_POLLS: Duration = Duration::from_secs(20);

const INSTANCE: &str = "http://127.0.0.1:9828";

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// Poll these brokers (or those of --config) instead of asking a running tailback.
    #[command(flatten)]
    brokers: BrokerArgs,
    /// The running tailback to ask [default: http://127.0.0.1:9828].
    #[arg(long, value_name = "URL", conflicts_with_all = ["urls", "config"])]
    url: Option<String>,
    /// Print one plain table and end.
    #[arg(long)]
    once: bool,
    /// What to sort by.
    #[arg(long, value_name = "WHAT", default_value = "worst", value_parser = PossibleValuesParser::new(SORTS))]
    sort: String,
    /// Only queues with these words in their names.
    #[arg(long, value_name = "WORDS", default_value = "")]
    search: String,
}

pub(super) fn top(args: TopArgs) -> u8 {
    let environment = Environment::of_process();
    let has_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !args.once && !has_terminal {
        return fail(exit::USAGE, "top needs a terminal; --once prints one table");
    }
    let is_here = !args.brokers.urls.is_empty() || args.brokers.config.is_some();
    let config = match is_here
        .then(|| load(&args.brokers, &environment))
        .transpose()
    {
        Ok(config) => config,
        Err(faults) => return fail(exit::USAGE, &faults.to_string()),
    };
    let url = args.url.as_deref().unwrap_or(INSTANCE);
    let remote = match Conn::remote(url) {
        Ok(conn) => conn,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let is_set = |name: &str| matches!(environment.get(name), Ok(Some(value)) if !value.is_empty());
    let options = Options {
        title: match &config {
            Some(config) => names(config),
            None => url.to_owned(),
        },
        sort: SORTS
            .into_iter()
            .find(|sort| *sort == args.sort)
            .unwrap_or("worst"),
        search: args.search,
        colour: !is_set("NO_COLOR"),
    };
    let result = runtime().and_then(|runtime| {
        let result = runtime.block_on(show(config, remote, options, args.once));
        // A poll that hangs must not hold up the exit.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(code) => code,
        Err(error) => fail(exit::FAILURE, &format!("{error:#}")),
    }
}

fn names(config: &Config) -> String {
    let names: Vec<_> = config.brokers.iter().map(|broker| &*broker.name).collect();
    names.join(", ")
}

async fn show(
    config: Option<Config>,
    remote: Conn,
    options: Options,
    once: bool,
) -> anyhow::Result<u8> {
    let mut signals = Signals::install().context("cannot take over signals")?;
    let cancelled = CancellationToken::new();
    let conn = match config {
        None => remote,
        Some(config) => poll_here(config, once, &cancelled).await?,
    };
    if once {
        let from = options.title.clone();
        let (text, is_partial) = match top::once(conn, options).await {
            Ok(answer) => answer,
            Err(error) => return Ok(fail(exit::UNAVAILABLE, &format!("{from}: {error}"))),
        };
        // Nothing can be done about a closed output.
        std::io::stdout().write_all(text.as_bytes()).ok();
        return Ok(if is_partial { exit::UNAVAILABLE } else { 0 });
    }
    let mut shown = tokio::spawn(top::run(conn, options, cancelled.clone()));
    tokio::select! {
        shown = &mut shown => shown?.context("cannot use the terminal")?,
        _ = signals.next() => {
            cancelled.cancel();
            shown.await?.context("cannot use the terminal")?;
        }
    }
    Ok(0)
}

/// Polls as `run` does, with the API in this process alone. Waits for the first polls if asked to.
async fn poll_here(
    config: Config,
    wait: bool,
    cancelled: &CancellationToken,
) -> anyhow::Result<Conn> {
    let brokers = config.brokers.iter().map(|broker| &*broker.name);
    let own = OwnMetrics::new(env!("CARGO_PKG_VERSION"), "", brokers)?;
    let (store, mut snapshot) = Store::new(&config.brokers);
    let store = store
        .with_wait_buckets(&config.metrics.wait_buckets)
        .with_objectives(&config.objectives);
    let router = http::router(AppState::new(
        snapshot.clone(),
        own.clone(),
        Access::default(),
    ));
    tokio::spawn(poll::run(
        config.brokers,
        store,
        own,
        None,
        cancelled.clone(),
    ));
    let until = clock::now().mono + FIRST_POLLS;
    while wait && !snapshot.borrow_and_update().first_round_done() {
        if tokio::time::timeout_at(until, snapshot.changed())
            .await
            .is_err()
        {
            break;
        }
    }
    Ok(Conn::Local(router))
}
