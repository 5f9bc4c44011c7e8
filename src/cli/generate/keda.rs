//! `generate keda`

use crate::generate::keda::{Flavour, Scaling, Secrets};
use crate::model::System;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use std::time::Duration;

#[derive(Debug, Args)]
pub(in crate::cli) struct KedaArgs {
    /// The queue; for the flavour external also a glob, whose queues are added up.
    #[arg(long, value_name = "NAME")]
    queue: String,
    /// Its broker, as it is named in the configuration.
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Its job system.
    #[arg(long, value_parser = PossibleValuesParser::new(System::ALL.map(System::as_str)), hide_possible_values = true)]
    system: Option<String>,
    /// By which way KEDA asks.
    #[arg(long, value_enum, default_value_t = KedaFlavour::External)]
    flavour: KedaFlavour,
    /// The Deployment of the workers [default: the queue's name and -worker].
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Its namespace.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Fewest pods.
    #[arg(long, value_name = "PODS", default_value_t = 0)]
    min: u32,
    /// Most pods.
    #[arg(long, value_name = "PODS", default_value_t = 20)]
    max: u32,
    /// How long jobs may wait, in place of the objective's `wait`; for the flavour external.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    target_wait: Option<Duration>,
    /// Jobs that one pod runs at the same time [default: as the objective says; 1 for prometheus].
    #[arg(long, value_name = "JOBS")]
    slots_per_worker: Option<u32>,
    /// Whom KEDA asks [default: tailback.NAMESPACE:9829, or http://tailback.NAMESPACE:9828, or
    /// http://prometheus-operated.monitoring:9090].
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Secret with the authority (ca.crt) of tailback's certificate: gRPC with TLS.
    #[arg(long, value_name = "SECRET")]
    ca_secret: Option<String>,
    /// Secret with the certificate (tls.crt, tls.key) that KEDA shows.
    #[arg(long, value_name = "SECRET")]
    client_secret: Option<String>,
    /// Secret with the bearer token (token) that is asked for.
    #[arg(long, value_name = "SECRET")]
    bearer_secret: Option<String>,
    /// Secret with the API key (key) that is asked for.
    #[arg(long, value_name = "SECRET")]
    api_key_secret: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KedaFlavour {
    /// tailback, by gRPC.
    External,
    /// tailback's JSON API.
    MetricsApi,
    /// A Prometheus that scrapes tailback.
    Prometheus,
}

impl From<KedaArgs> for Scaling {
    fn from(args: KedaArgs) -> Self {
        Self {
            flavour: match args.flavour {
                KedaFlavour::External => Flavour::External,
                KedaFlavour::MetricsApi => Flavour::MetricsApi,
                KedaFlavour::Prometheus => Flavour::Prometheus,
            },
            broker: args.broker,
            system: args.system,
            queue: args.queue,
            deployment: args.deployment,
            namespace: args.namespace,
            min: args.min,
            max: args.max,
            target_wait: args.target_wait,
            slots_per_worker: args.slots_per_worker,
            address: args.address,
            secrets: Secrets {
                ca: args.ca_secret,
                client: args.client_secret,
                bearer: args.bearer_secret,
                api_key: args.api_key_secret,
            },
        }
    }
}
