//! What a month costs, by deployment and part.

use parlance_shared::prices::Price;
use serde::Serialize;

use super::{
    Cost, Database,
    deployment::{Billing, Deployment},
    prices::{CloudPrices, InstanceBased},
    workload::{
        ALERT_CONDITIONS, GIB, HOURS, IMAGES_GIB, Load, MILLION, SCRAPE_SECONDS, SECONDS, SECRETS, SERIES, TIB,
        Workload,
    },
};

/// A part of the bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    LanguageModel,
    IngestApi,
    LlmWorker,
    PersistWorker,
    CloudRunFree,
    Database,
    PubSub,
    Network,
    Logs,
    Metrics,
    Rest,
}

impl Part {
    pub(super) const ALL: [Self; 11] = [
        Self::LanguageModel,
        Self::IngestApi,
        Self::LlmWorker,
        Self::PersistWorker,
        Self::CloudRunFree,
        Self::Database,
        Self::PubSub,
        Self::Network,
        Self::Logs,
        Self::Metrics,
        Self::Rest,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::LanguageModel => "language model",
            Self::IngestApi => "Cloud Run: ingest-api",
            Self::LlmWorker => "Cloud Run: llm-worker",
            Self::PersistWorker => "Cloud Run: persist-worker",
            Self::CloudRunFree => "Cloud Run: free amount",
            Self::Database => "Cloud SQL",
            Self::PubSub => "Pub/Sub",
            Self::Network => "network",
            Self::Logs => "logs",
            Self::Metrics => "metrics and alerts",
            Self::Rest => "secrets, images",
        }
    }
}

/// A month's cost of one deployment, in US dollars.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    pub(super) deployment: Deployment,
    pub(super) parts: [(Part, f64); 11],
}

impl Estimate {
    pub(super) fn total(&self) -> f64 {
        self.parts.iter().map(|(_, usd)| usd).sum()
    }

    pub(super) fn of(&self, part: Part) -> f64 {
        self.parts.iter().filter(|(each, _)| *each == part).map(|(_, usd)| usd).sum()
    }

    /// The dearest parts with their shares of the total.
    pub(super) fn dearest(&self) -> Vec<(Part, f64)> {
        let total = self.total();
        let mut parts: Vec<(Part, f64)> = self.parts.iter().filter(|(_, usd)| *usd > 0.0).copied().collect();
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        parts.into_iter().take(3).map(|(part, usd)| (part, usd / total)).collect()
    }
}

/// Everything an estimate is made of.
#[derive(Clone, Debug)]
pub(super) struct Basis<'a> {
    pub(super) cost: Cost,
    /// What the model costs; none for one that costs nothing by the token.
    pub(super) model: Option<Price>,
    pub(super) prices: &'a CloudPrices,
    /// The share of Cloud SQL's list price that is paid.
    pub(super) database_share: f64,
    /// Cloud Run's own lines of requests are kept.
    pub(super) request_logs: bool,
}

impl Basis<'_> {
    pub(super) fn workload(&self) -> Workload {
        Workload::of(&self.cost, self.prices.pubsub.least_bytes.0)
    }

    pub(super) fn estimate(&self, deployment: Deployment) -> Estimate {
        let work = self.workload();
        let mut run = CloudRunBill::new(self, &work);
        let worker = deployment.workers();
        let ingest = run.service(deployment.ingest(), work.ingest);
        let llm = run.service(worker, work.llm);
        let persist = run.service(worker, work.persist);
        let free = if self.cost.without_free_amounts { 0.0 } else { run.free() };
        let observed = &self.prices.observability;
        let logs = work.log_bytes(if self.request_logs { run.all_requests } else { 0.0 }) / GIB;
        let samples = run.instance_seconds / SCRAPE_SECONDS * SERIES / MILLION;
        let secrets = (SECRETS - self.free(self.prices.secret_manager.free_versions.0)).max(0.0);
        let images = (IMAGES_GIB - self.free(self.prices.artifact_registry.free_gib.0)).max(0.0);
        let usd = |part: Part| match part {
            Part::LanguageModel => self.language_model(&work),
            Part::IngestApi => ingest,
            Part::LlmWorker => llm,
            Part::PersistWorker => persist,
            Part::CloudRunFree => -free,
            Part::Database => self.database(),
            Part::PubSub => self.pubsub(&work),
            Part::Network => work.egress_bytes / GIB * self.prices.network.egress_gib.0,
            Part::Logs => (logs - self.free(observed.free_logs_gib.0)).max(0.0) * observed.logs_gib.0,
            Part::Metrics => samples * observed.million_samples.0 + ALERT_CONDITIONS * observed.alert_condition_month.0,
            Part::Rest => {
                secrets * self.prices.secret_manager.version_month.0
                    + images * self.prices.artifact_registry.gib_month.0
            }
        };
        Estimate { deployment, parts: Part::ALL.map(|part| (part, usd(part))) }
    }

    fn free(&self, amount: f64) -> f64 {
        if self.cost.without_free_amounts { 0.0 } else { amount }
    }

    fn language_model(&self, work: &Workload) -> f64 {
        let Some(price) = self.model else { return 0.0 };
        #[allow(clippy::cast_precision_loss, reason = "prices are far below 2^52")]
        let (input, output) = (price.input as f64, price.output as f64);
        let tokens = f64::from(self.cost.input_tokens) * input + f64::from(self.cost.output_tokens) * output;
        // Millionths of a dollar for a million tokens.
        work.messages * tokens / MILLION / MILLION
    }

    fn database(&self) -> f64 {
        let prices = &self.prices.cloud_sql;
        let hour = match self.cost.database {
            Database::F1Micro => prices.f1_micro_hour.0,
            Database::G1Small => prices.g1_small_hour.0,
            Database::Custom { vcpus, memory_mib } => {
                f64::from(vcpus) * prices.vcpu_hour.0 + f64::from(memory_mib) / 1024.0 * prices.memory_gib_hour.0
            }
        };
        let copies = if self.cost.ha { prices.ha_factor.0 } else { 1.0 };
        let region = if self.cost.region_tier == 2 { prices.tier_2_factor.0 } else { 1.0 };
        let storage = f64::from(self.cost.database_gib);
        let disk = storage * prices.ssd_gib_month.0 * copies + storage * prices.backup_gib_month.0;
        (hour * HOURS * copies * self.database_share + disk) * region
    }

    fn pubsub(&self, work: &Workload) -> f64 {
        let prices = &self.prices.pubsub;
        let volume = (work.pubsub_bytes - self.free(prices.free_gib.0) * GIB).max(0.0) / TIB;
        volume * prices.tib.0 + work.retained_bytes / GIB * prices.retained_gib_month.0
    }
}

/// Adds up what Cloud Run bills: its free amounts are of all services together.
struct CloudRunBill<'a> {
    basis: &'a Basis<'a>,
    work: &'a Workload,
    /// What the free amounts are taken off, in dollars: vCPU, memory and requests of the one billing, vCPU and memory of the others.
    request_based: [f64; 3],
    instance_based: [f64; 2],
    worker_pool: [f64; 2],
    instance_seconds: f64,
    all_requests: f64,
}

impl<'a> CloudRunBill<'a> {
    fn new(basis: &'a Basis<'a>, work: &'a Workload) -> Self {
        Self {
            basis,
            work,
            request_based: [0.0; 3],
            instance_based: [0.0; 2],
            worker_pool: [0.0; 2],
            instance_seconds: 0.0,
            all_requests: 0.0,
        }
    }

    fn service(&mut self, billing: Billing, load: Load) -> f64 {
        let cost = &self.basis.cost;
        let (tier, vcpus) = (cost.region_tier, f64::from(cost.vcpus));
        let gib = f64::from(cost.memory_mib) / 1024.0;
        let run = &self.basis.prices.cloud_run;
        let least = f64::from(cost.min_instances);
        let busy = self.work.busy_instances(load);
        match billing {
            Billing::Requests { kept } => {
                let least = if kept { least } else { 0.0 };
                let active = busy * self.work.in_use;
                // Kept instances idle outside the hours of use, and within them as far as they are not needed.
                let idle = least * (SECONDS - self.work.in_use) + (least - busy).max(0.0) * self.work.in_use;
                let cpu = active * vcpus * run.request_based.vcpu_second.of(tier);
                let idle_cpu = idle * vcpus * run.request_based.idle_vcpu_second.of(tier);
                let memory = (active + idle) * gib * run.request_based.gib_second.of(tier);
                let requests = load.requests / MILLION * run.request_based.million_requests.0;
                add(&mut self.request_based, [cpu, memory, requests]);
                self.instance_seconds += active + idle;
                self.all_requests += load.requests;
                cpu + idle_cpu + memory + requests
            }
            Billing::Instances => {
                let seconds = least * (SECONDS - self.work.in_use) + busy.max(least) * self.work.in_use;
                self.all_requests += load.requests;
                self.instance_seconds += seconds;
                let bill = by_instance(&run.instance_based, tier, seconds * vcpus, seconds * gib);
                add(&mut self.instance_based, bill);
                bill.iter().sum()
            }
            Billing::Pool => {
                let seconds = self.work.pool_instances(load, least) * SECONDS;
                self.instance_seconds += seconds;
                let bill = by_instance(&run.worker_pool, tier, seconds * vcpus, seconds * gib);
                add(&mut self.worker_pool, bill);
                bill.iter().sum()
            }
        }
    }

    /// What is taken off: the free amounts at the prices of tier 1, wherever one is.
    fn free(&self) -> f64 {
        let run = &self.basis.prices.cloud_run;
        let requests = &run.request_based;
        let off = |bill: f64, amount: f64, price: f64| bill.min(amount * price);
        let [cpu, memory, calls] = self.request_based;
        let by_request = off(cpu, requests.free_vcpu_seconds.0, requests.vcpu_second.tier_1.0)
            + off(memory, requests.free_gib_seconds.0, requests.gib_second.tier_1.0)
            + off(calls, requests.free_requests.0 / MILLION, requests.million_requests.0);
        let by_instance = |bill: [f64; 2], prices: &InstanceBased| {
            off(bill[0], prices.free_vcpu_seconds.0, prices.vcpu_second.tier_1.0)
                + off(bill[1], prices.free_gib_seconds.0, prices.gib_second.tier_1.0)
        };
        by_request
            + by_instance(self.instance_based, &run.instance_based)
            + by_instance(self.worker_pool, &run.worker_pool)
    }
}

fn by_instance(prices: &InstanceBased, tier: u8, vcpu_seconds: f64, gib_seconds: f64) -> [f64; 2] {
    [vcpu_seconds * prices.vcpu_second.of(tier), gib_seconds * prices.gib_second.of(tier)]
}

fn add<const N: usize>(sums: &mut [f64; N], amounts: [f64; N]) {
    for (sum, amount) in sums.iter_mut().zip(amounts) {
        *sum += amount;
    }
}
