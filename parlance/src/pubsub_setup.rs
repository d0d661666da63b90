//! `parlance pubsub setup`: the topics and subscriptions of a deployment, on Google Cloud or on its emulator.

use std::time::Duration;

use clap::{Args, Subcommand};
use parlance_pubsub::setup::{self, PushTarget, SetupOptions};
use parlance_service::cloud;
use parlance_shared::{Lifecycle, settings::Settings, topology};

use crate::operator::{
    exit::{self, Stop},
    output,
};

/// The whole of it: a dozen calls, each bounded by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to do on Pub/Sub.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Makes what is missing, corrects what differs, and says what it can't correct. May be repeated.
    Setup(Setup),
}

/// How it should be.
#[derive(Debug, Args)]
pub struct Setup {
    /// Changes nothing; exit code 1 when anything is missing or differs.
    #[arg(long)]
    check: bool,
    /// Says what there should be on Google Cloud, and looks at nothing: for whoever makes it by other means.
    #[arg(long, conflicts_with = "check")]
    print: bool,
    /// Messages of this subscription are pushed to a service instead of pulled, e.g. llm-worker=https://w.example/push.
    #[arg(long, value_name = "SUBSCRIPTION=URL", value_parser = push_target)]
    push: Vec<PushTarget>,
    /// The service account whose token goes with each push (PUSH_SERVICE_ACCOUNT of the worker).
    #[arg(long, value_name = "EMAIL", requires = "push")]
    push_service_account: Option<String>,
    /// What that token is for (PUSH_AUDIENCE of the worker); without it the URL.
    #[arg(long, value_name = "AUDIENCE", requires = "push_service_account")]
    push_audience: Option<String>,
    /// Pushes carry the bare event, with its attributes as headers.
    #[arg(long, requires = "push")]
    unwrapped: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn push_target(text: &str) -> Result<PushTarget, String> {
    match text.split_once('=') {
        Some((subscription, endpoint)) if !subscription.is_empty() && endpoint.starts_with("http") => Ok(PushTarget {
            subscription: subscription.to_owned(),
            endpoint: endpoint.to_owned(),
            ..PushTarget::default()
        }),
        _ => Err("must be a subscription and a URL, such as llm-worker=https://worker.example/push".to_owned()),
    }
}

/// Does what was asked and prints what was found and done.
pub async fn run(action: Action, settings: &Settings) -> std::process::ExitCode {
    let Action::Setup(setup) = action;
    exit::code(run_setup(setup, settings).await)
}

async fn run_setup(setup: Setup, settings: &Settings) -> Result<bool, Stop> {
    let Some(pubsub) = &settings.pubsub else {
        return Err(Stop::Usage("PUBSUB_PROJECT_ID is missing: set it, or PUBSUB_EMULATOR_HOST".to_owned()));
    };
    let (check, print, json) = (setup.check, setup.print, setup.json);
    let options = options(setup);
    if print {
        let described = setup::describe(&pubsub.project, &topology::ALL, &options)?;
        match json {
            true => output::print_json(&described)?,
            false => output::print(&described.iter().map(ToString::to_string).collect::<String>())?,
        }
        return Ok(true);
    }
    let lifecycle = Lifecycle::new();
    let bus = cloud::connect_bus(pubsub, &lifecycle).await.map_err(|error| Stop::Failed(error.to_string()))?;
    let working = async {
        match check {
            true => bus.plan(&topology::ALL, &options).await,
            false => bus.apply(&topology::ALL, &options).await,
        }
    };
    let report = tokio::time::timeout(PATIENCE, working)
        .await
        .map_err(|_| Stop::Failed(format!("Pub/Sub did not answer within {} s", PATIENCE.as_secs())))??;
    match json {
        true => output::print_json(&report)?,
        false => output::print(&report.to_string())?,
    }
    Ok(report.is_in_order())
}

fn options(setup: Setup) -> SetupOptions {
    let targets = setup.push.into_iter().map(|target| PushTarget {
        service_account: setup.push_service_account.clone(),
        audience: setup.push_audience.clone(),
        unwrapped: setup.unwrapped,
        ..target
    });
    SetupOptions { push: targets.collect() }
}
