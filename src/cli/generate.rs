//! `generate`: files for other programs, on standard output.

use crate::generate::alerts::{self, Form, Links};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(super) enum Generate {
    /// Rules for Prometheus, and for Alertmanager which of them keep others quiet. They read the
    /// objectives of the configuration from the metrics, so they hold for whichever are in force.
    Alerts(AlertsArgs),
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

/// The whole file.
pub(super) fn generate(what: &Generate) -> String {
    match what {
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
            alerts::file(form, &links)
        }
    }
}
