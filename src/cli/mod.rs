//! The commands, one file each. The only part that prints.

mod check;
mod generate;
mod health;
mod run;
mod top;

use crate::config::{Config, Environment, Faults};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit codes, of `sysexits.h` where it has one.
mod exit {
    pub(super) const USAGE: u8 = 64;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const FAILURE: u8 = 1;
}

/// Tells how long background jobs wait: finds the queues of Celery, RQ, Sidekiq, BullMQ, Dramatiq,
/// Huey, ARQ, TaskIQ, Resque, Asynq, Redis Streams and RabbitMQ in a broker, reads them without
/// changing anything, and answers Prometheus.
#[derive(Debug, Parser)]
#[command(
    name = "tailback",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  tailback redis://cache:6379/0\n  tailback check amqp://user@rabbit:5672/%2f\n  tailback run --config /etc/tailback.toml"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Poll the brokers and serve their metrics (the default).
    Run(RunArgs),
    /// Connect once, list the queues found, and say what is missing.
    Check(CheckArgs),
    /// Serve simulated queues, to see the page and the metrics without any broker.
    Demo(DemoArgs),
    /// Show the queues in the terminal, worst first.
    Top(top::TopArgs),
    /// Write files: alert rules, dashboards, KEDA's objects, access rules, the configuration.
    #[command(subcommand)]
    Generate(generate::Generate),
    /// Print a completion script for a shell.
    Completions { shell: Shell },
}

/// Where the brokers are.
#[derive(Debug, Args)]
struct BrokerArgs {
    /// Broker URLs: redis://, rediss://, redis+unix://, redis+sentinel://, redis+cluster://,
    /// amqp://, amqps://. Without any, TAILBACK_BROKERS.
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Configuration file (TOML) instead of URLs.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Address to serve HTTP on [default: 0.0.0.0:9828].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Also answer KEDA (gRPC) on this address, for example 0.0.0.0:9829.
    #[arg(long, value_name = "ADDR")]
    keda_listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Address to serve HTTP on [default: 127.0.0.1:9828].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    brokers: BrokerArgs,
    /// Only ask the tailback on this machine whether it is alive; for container health checks.
    #[arg(long = "self")]
    own: bool,
    /// With --self: the address that it serves HTTP on [default: 0.0.0.0:9828].
    #[arg(long, value_name = "ADDR", requires = "own")]
    listen: Option<SocketAddr>,
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // Nothing can be done about a closed output.
            error.print().ok();
            return code.into();
        }
    };
    let code = match cli.command {
        None => run(cli.run),
        Some(Command::Run(args)) => run(args),
        Some(Command::Check(args)) => check(args),
        Some(Command::Demo(args)) => demo(&args),
        Some(Command::Top(args)) => top::top(args),
        Some(Command::Generate(what)) => match generate::generate(what) {
            Ok(text) => print(text.as_bytes()),
            Err((code, error)) => fail(code, &error),
        },
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tailback", &mut script);
            print(&script)
        }
    };
    code.into()
}

fn print(text: &[u8]) -> u8 {
    // Nothing can be done about a closed output.
    std::io::stdout().write_all(text).ok();
    0
}

fn run(args: RunArgs) -> u8 {
    let environment = Environment::of_process();
    if let Err(error) = init_logging(&environment) {
        return fail(exit::USAGE, &error);
    }
    let mut config = match load(&args.brokers, &environment) {
        Ok(config) => config,
        Err(faults) => return fail(exit::USAGE, &faults.to_string()),
    };
    if let Some(listen) = args.listen {
        config.http.listen = listen;
    }
    if let Some(listen) = args.keda_listen {
        config.keda.get_or_insert_default().listen = listen;
    }
    serve(config, |_| {})
}

fn demo(args: &DemoArgs) -> u8 {
    if let Err(error) = init_logging(&Environment::of_process()) {
        return fail(exit::USAGE, &error);
    }
    let mut config = match Config::simulated() {
        Ok(config) => config,
        Err(faults) => return fail(exit::FAILURE, &faults.to_string()),
    };
    if let Some(listen) = args.listen {
        config.http.listen = listen;
    }
    serve(config, |listen| {
        // Nothing can be done about a closed output.
        writeln!(
            std::io::stdout(),
            "Simulated queues: nothing here is real, and no broker is asked.\n\
             Open http://{listen}/ or run `tailback top --url http://{listen}`; Ctrl-C ends it."
        )
        .ok();
    })
}

fn init_logging(environment: &Environment) -> Result<(), String> {
    let filter = environment
        .get("TAILBACK_LOG")
        .map_err(|error| format!("TAILBACK_LOG: {error}"));
    crate::logging::init(filter?)
}

/// Lives until a signal.
fn serve(config: Config, listening: impl FnOnce(SocketAddr)) -> u8 {
    match runtime().and_then(|runtime| {
        let result = runtime.block_on(run::run(config, listening));
        // A poll that hangs must not hold up the exit.
        runtime.shutdown_background();
        result
    }) {
        Ok(()) => 0,
        Err(error) => fail(exit::FAILURE, &format!("{error:#}")),
    }
}

fn check(args: CheckArgs) -> u8 {
    let environment = Environment::of_process();
    if args.own {
        let listen = match (args.listen, &args.brokers.config) {
            (Some(listen), _) => listen,
            (None, None) => crate::config::Http::default().listen,
            (None, Some(_)) => match load(&args.brokers, &environment) {
                Ok(config) => config.http.listen,
                Err(faults) => return fail(exit::USAGE, &faults.to_string()),
            },
        };
        return match health::ask(listen) {
            Ok(()) => 0,
            Err(error) => fail(exit::FAILURE, &format!("{error:#}")),
        };
    }
    let config = match load(&args.brokers, &environment) {
        Ok(config) => config,
        Err(faults) => return fail(exit::USAGE, &faults.to_string()),
    };
    match runtime() {
        Ok(runtime) => runtime.block_on(check::check(config)),
        Err(error) => fail(exit::FAILURE, &format!("{error:#}")),
    }
}

fn load(args: &BrokerArgs, environment: &Environment) -> Result<Config, Faults> {
    Config::load(args.config.as_deref(), &args.urls, environment)
}

/// One worker: pollers wait for the network most of the time, and a sidecar must stay small. With
/// 10,000 queues a second one costs 20 MB, which the allocator keeps for each thread apart.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build()?)
}

fn fail(code: u8, message: &str) -> u8 {
    // Nothing can be done about a closed output.
    writeln!(std::io::stderr(), "tailback: {message}").ok();
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_url_alone_runs() {
        let cli = Cli::try_parse_from(["tailback", "redis://a", "amqp://b", "--listen", "[::1]:1"]);
        let cli = cli.unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.brokers.urls, ["redis://a", "amqp://b"]);
        assert_eq!(cli.run.listen.unwrap().port(), 1);
    }
}
