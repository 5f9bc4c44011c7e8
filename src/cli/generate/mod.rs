//! `generate`: files for other programs.

mod acl;
mod keda;

use super::exit;
use crate::generate::alerts::{self, Form, Links};
use crate::generate::dashboards::Board;
use crate::generate::keda as scaling;
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

/// Every key of the configuration, with its default.
const CONFIG: &str = include_str!("../../../config.example.toml");

#[derive(Debug, Subcommand)]
pub(super) enum Generate {
    /// Rules for Prometheus, and for Alertmanager which of them keep others quiet. They read the
    /// objectives of the configuration from the metrics, so they hold for whichever are in force.
    Alerts(AlertsArgs),
    /// Dashboards for Grafana, to import or to provision.
    Dashboards(DashboardsArgs),
    /// A ScaledObject, by which KEDA scales the workers of a queue.
    Keda(Box<keda::KedaArgs>),
    /// The rule by which a broker lets tailback read what it reads, and nothing else.
    Acl(acl::AclArgs),
    /// The configuration file: every key with its default.
    Config,
}

#[derive(Debug, Args)]
pub(super) struct AlertsArgs {
    /// For whom.
    #[arg(long, value_enum, default_value_t = AlertsForm::Prometheus)]
    form: AlertsForm,
    /// Where the runbooks are; an alert links its section of them.
    #[arg(long, value_name = "URL", default_value = "docs/runbooks.md")]
    runbooks: String,
    /// Where Grafana is; without it, alerts link dashboards by their paths.
    #[arg(long, value_name = "URL", default_value = "")]
    grafana: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AlertsForm {
    /// A file for `rule_files`.
    Prometheus,
    /// A PrometheusRule for the Prometheus Operator.
    PrometheusRule,
    /// `inhibit_rules` for Alertmanager.
    Alertmanager,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct DashboardsArgs {
    /// Print this one.
    #[arg(value_enum)]
    name: Option<Name>,
    /// Write all of them into this folder, over those that are there.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// All queues, worst first.
    Overview,
    /// A queue.
    Queue,
    /// Brokers, and tailback itself.
    Broker,
    /// Required and present workers.
    Autoscaling,
}

/// What to print: the whole file, or the names of those that were written. Or the exit code and what is
/// wrong.
pub(super) fn generate(what: Generate) -> Result<String, (u8, String)> {
    let usage = |faults: Vec<String>| (exit::USAGE, faults.join("\n"));
    match what {
        Generate::Keda(args) => scaling::file(&(*args).into()).map_err(usage),
        Generate::Acl(args) => args.rule().map_err(usage),
        Generate::Config => Ok(CONFIG.to_owned()),
        Generate::Alerts(args) => {
            let form = match args.form {
                AlertsForm::Prometheus => Form::Prometheus,
                AlertsForm::PrometheusRule => Form::PrometheusRule,
                AlertsForm::Alertmanager => Form::Alertmanager,
            };
            let links = Links {
                runbooks: args.runbooks.clone(),
                grafana: args.grafana.trim_end_matches('/').to_owned(),
            };
            Ok(alerts::file(form, &links))
        }
        Generate::Dashboards(args) => match (&args.dir, args.name) {
            (Some(dir), _) => write_dashboards(dir).map_err(|error| (exit::FAILURE, error)),
            (None, name) => Ok(name.map(|name| name.board().file()).unwrap_or_default()),
        },
    }
}

impl Name {
    const fn board(self) -> Board {
        match self {
            Self::Overview => Board::Overview,
            Self::Queue => Board::Queue,
            Self::Broker => Board::Broker,
            Self::Autoscaling => Board::Autoscaling,
        }
    }
}

fn write_dashboards(dir: &Path) -> Result<String, String> {
    let failed = |path: &Path, error: std::io::Error| {
        format!("dashboards: cannot write {}: {error}", path.display())
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let mut written = String::new();
    for board in Board::ALL {
        let path = dir.join(board.file_name());
        std::fs::write(&path, board.file()).map_err(|error| failed(&path, error))?;
        written += &format!("{}\n", path.display());
    }
    Ok(written)
}
