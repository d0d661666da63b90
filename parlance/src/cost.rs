//! `parlance cost`: what a month on Google Cloud costs, in four ways to run it, and what lowers it.
//!
//! A calculation, not a bill: prices are those of a dated table (`parlance/cloud-prices.json`, or `--prices`), the model's
//! those of `PRICES_FILE` or `shared/prices.json`; what else it takes is assumed, and said. It needs no deployment.
//!
//! With `--json` it prints one object: `{inputs, deployments: [{deployment, parts: {part: usd}, total_usd, usd_per_1000_messages}],
//! dominates: [{part, share}], levers: [{change, saves_usd}], assumptions, prices: {date, sources}}`; `dominates` and `levers` are
//! those of `--deployment`.
//!
//! Exit codes: 0 printed, 1 it can't be printed, 2 wrong usage.

mod deployment;
mod estimate;
mod levers;
mod prices;
mod report;
mod workload;

#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, process::ExitCode, str::FromStr};

use clap::{Args, value_parser};
use parlance_shared::prices::{Price, PriceTable};

use self::{deployment::Deployment, estimate::Basis, prices::CloudPrices};
use crate::operator::{
    exit::{Stop, code},
    output::{print, print_json},
};

/// The model that costs nothing by the token: one of one's own.
const OWN_MODEL: &str = "none";

/// What there is to do, and how.
#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Cost {
    /// Messages that users send in a day.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(0..=100_000_000))]
    messages_per_day: u32,
    /// Tokens of a prompt: the message, and what is said again of the conversation.
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = value_parser!(u32).range(0..=10_000_000))]
    input_tokens: u32,
    /// Tokens of a reply.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = value_parser!(u32).range(0..=1_000_000))]
    output_tokens: u32,
    /// The model, as in PRICES_FILE or shared/prices.json; none for one that costs nothing by the token.
    #[arg(long, value_name = "NAME", default_value = "gpt-5-mini")]
    model: String,
    /// Instances of each service that are always there, except in push-zero.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1000))]
    min_instances: u32,
    /// Cloud Run's tier of the region: 1 (such as europe-west1, us-central1) or 2 (such as europe-west2, europe-west3).
    #[arg(long, value_name = "TIER", default_value_t = 1, value_parser = value_parser!(u8).range(1..=2))]
    region_tier: u8,
    /// The database with a standby in another zone.
    #[arg(long)]
    ha: bool,
    /// The database: db-f1-micro, db-g1-small, or db-custom-VCPUS-MEBIBYTES such as db-custom-2-7680.
    #[arg(long, value_name = "TIER", default_value = "db-custom-1-3840")]
    database: Database,
    /// Disk of the database, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 10, value_parser = value_parser!(u32).range(10..=65_536))]
    database_gib: u32,
    /// Hours of a day in which the messages come.
    #[arg(long, value_name = "HOURS", default_value_t = 12, value_parser = value_parser!(u32).range(1..=24))]
    hours_of_use: u32,
    /// How fast the model speaks.
    #[arg(long, value_name = "N", default_value_t = 50.0, value_parser = from(1.0, 100_000.0))]
    tokens_per_second: f64,
    /// How long it thinks before.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = from(0.0, 600.0))]
    first_token_seconds: f64,
    /// Requests that share an instance.
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = value_parser!(u32).range(1..=1000))]
    concurrency: u32,
    /// CPUs of an instance.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=8))]
    vcpus: u32,
    /// Memory of an instance, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = value_parser!(u32).range(128..=32_768))]
    memory_mib: u32,
    /// As if another project of the billing account had used Google's free amounts up.
    #[arg(long)]
    without_free_amounts: bool,
    /// Which way to run it the advice is for.
    #[arg(long, value_name = "NAME", value_enum, default_value = "push-always")]
    deployment: Deployment,
    /// Google Cloud's prices, in the shape of parlance/cloud-prices.json.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Calculates with the models' prices that the settings name.
pub fn run(cost: &Cost, models: &PriceTable) -> ExitCode {
    code(cost.print(models))
}

impl Cost {
    fn print(&self, models: &PriceTable) -> Result<bool, Stop> {
        let prices = CloudPrices::read(self.prices.as_deref()).map_err(Stop::Usage)?;
        let basis = self.basis(models, &prices).map_err(Stop::Usage)?;
        if self.json {
            print_json(&report::json(&basis, models))?;
        } else {
            print(&report::text(&basis, models))?;
        }
        Ok(true)
    }

    fn basis<'a>(&self, models: &PriceTable, prices: &'a CloudPrices) -> Result<Basis<'a>, String> {
        Ok(Basis { cost: self.clone(), model: self.price(models)?, prices, database_share: 1.0, request_logs: true })
    }

    fn price(&self, models: &PriceTable) -> Result<Option<Price>, String> {
        if self.model == OWN_MODEL {
            return Ok(None);
        }
        models.price(&self.model).map(Some).ok_or_else(|| {
            let mut known: Vec<&str> = models.known().map(|(model, _)| model).collect();
            known.sort_unstable();
            format!(
                "--model: the price of {:?} is not known; known are names that begin with {}; {OWN_MODEL} is one that costs nothing by the \
                 token; PRICES_FILE adds others",
                self.model,
                known.join(", ")
            )
        })
    }
}

/// A size of Cloud SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    F1Micro,
    G1Small,
    Custom { vcpus: u32, memory_mib: u32 },
}

impl Database {
    /// The next smaller size that is sensible: half of it, and below one CPU the shared ones.
    fn one_step_down(self) -> Option<Self> {
        match self {
            Self::F1Micro => None,
            Self::G1Small => Some(Self::F1Micro),
            Self::Custom { vcpus: 1, .. } => Some(Self::G1Small),
            Self::Custom { vcpus, memory_mib } => {
                // Odd numbers of CPUs do not exist, except for one; memory comes in steps of 256 MiB, 3840 at least.
                let half = vcpus / 2;
                let vcpus = if half > 1 { half - half % 2 } else { 1 };
                Some(Self::Custom { vcpus, memory_mib: (memory_mib / 2 / 256 * 256).max(3840) })
            }
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F1Micro => f.write_str("db-f1-micro"),
            Self::G1Small => f.write_str("db-g1-small"),
            Self::Custom { vcpus, memory_mib } => write!(f, "db-custom-{vcpus}-{memory_mib}"),
        }
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let accepted = || {
            "accepted are db-f1-micro, db-g1-small and db-custom-VCPUS-MEBIBYTES with 1 to 96 vCPUs and 3840 to 638976 MiB".to_owned()
        };
        match text {
            "db-f1-micro" => return Ok(Self::F1Micro),
            "db-g1-small" => return Ok(Self::G1Small),
            _ => {}
        }
        let (vcpus, memory) =
            text.strip_prefix("db-custom-").and_then(|rest| rest.split_once('-')).ok_or_else(accepted)?;
        let (Ok(vcpus), Ok(memory_mib)) = (vcpus.parse(), memory.parse()) else { return Err(accepted()) };
        if (1..=96).contains(&vcpus) && (3840..=638_976).contains(&memory_mib) {
            Ok(Self::Custom { vcpus, memory_mib })
        } else {
            Err(accepted())
        }
    }
}

/// A number between two others.
fn from(least: f64, most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| match text.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("accepted is a number from {least} to {most}")),
    }
}
