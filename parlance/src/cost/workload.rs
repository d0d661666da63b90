//! What there is to do in a month, and what was assumed to say so.

use super::Cost;

/// Hours of a month, as Google counts them.
pub(super) const HOURS: f64 = 730.0;
/// Seconds of a month.
pub(super) const SECONDS: f64 = HOURS * 3600.0;
/// Days of a month.
pub(super) const DAYS: f64 = HOURS / 24.0;
pub(super) const GIB: f64 = 1_073_741_824.0;
pub(super) const TIB: f64 = 1_099_511_627_776.0;
pub(super) const MILLION: f64 = 1_000_000.0;

/// CPU of one reply of 100 tokens, all services together: 1.5 s for 1,000, measured (bench/README.md).
const CPU_SECONDS: f64 = 0.0015;
const CPU_TOKENS: f64 = 100.0;
/// Instances are not filled up: what is above is for peaks.
const FULL: f64 = 0.6;
/// Requests to ingest-api for a message: the POST, the stream, a look at the list.
pub(super) const INGEST_REQUESTS: f64 = 3.0;
/// What those last that do not stream; Cloud Run rounds up to this.
const SHORT_SECONDS: f64 = 0.1;
/// Turns of a worker that pulls (WORKER_CONCURRENCY).
const PULL_CONCURRENCY: f64 = 1024.0;
/// An event without its text.
const ENVELOPE_BYTES: f64 = 1000.0;
/// What a user writes at once. Prompts are longer by what was said before; that does not go over the bus.
const MESSAGE_BYTES: f64 = 400.0;
const TOKEN_BYTES: f64 = 4.0;
/// A token as a server-sent event.
const EVENT_BYTES: f64 = 70.0;
/// Answers and headers of a message besides.
const ANSWER_BYTES: f64 = 3000.0;
/// So long topics and subscriptions keep messages.
const RETENTION_DAYS: f64 = 7.0;
/// Our own log lines of a message and its calls, measured with LOG_LEVEL=info.
const LOG_BYTES: f64 = 5500.0;
/// Cloud Run's own line of a request.
const REQUEST_LOG_BYTES: f64 = 1500.0;
/// What a scrape of one instance has, and how often it happens.
pub(super) const SERIES: f64 = 150.0;
pub(super) const SCRAPE_SECONDS: f64 = 30.0;
/// Conditions of infra/modules/observability.
pub(super) const ALERT_CONDITIONS: f64 = 12.0;
/// Secrets of a deployment with one fallback model and both sidecars.
pub(super) const SECRETS: f64 = 5.0;
/// Images that the clean-up policy keeps, compressed.
pub(super) const IMAGES_GIB: f64 = 1.0;

/// One service's work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Requests in the month.
    pub(super) requests: f64,
    /// Requests open at once, on average, in the hours of use.
    pub(super) open: f64,
}

/// What there is to do in a month.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) messages: f64,
    pub(super) reply_seconds: f64,
    pub(super) ingest: Load,
    pub(super) llm: Load,
    pub(super) persist: Load,
    /// CPU that is needed at once, on average, in the hours of use.
    cpu: f64,
    /// Seconds of use in the month.
    pub(super) in_use: f64,
    pub(super) pubsub_bytes: f64,
    pub(super) retained_bytes: f64,
    pub(super) egress_bytes: f64,
    pub(super) own_log_bytes: f64,
    per_instance: f64,
    vcpus: f64,
}

impl Workload {
    pub(super) fn of(cost: &Cost, least_bytes: f64) -> Self {
        let per_day = f64::from(cost.messages_per_day);
        let messages = per_day * DAYS;
        let (input, output) = (f64::from(cost.input_tokens), f64::from(cost.output_tokens));
        let reply_seconds = cost.first_token_seconds + output / cost.tokens_per_second;
        let day_in_use = f64::from(cost.hours_of_use) * 3600.0;
        let rate = per_day / day_in_use;
        let load = |requests: f64, seconds: f64| Load { requests: messages * requests, open: rate * seconds };
        let request_bytes = (ENVELOPE_BYTES + MESSAGE_BYTES).max(least_bytes);
        let reply_bytes = (ENVELOPE_BYTES + TOKEN_BYTES * output).max(least_bytes);
        // A request is published and handed to llm-worker and persist-worker, a reply is published and handed to the latter.
        let bus_bytes = 3.0 * request_bytes + 2.0 * reply_bytes;
        Self {
            messages,
            reply_seconds,
            ingest: load(INGEST_REQUESTS, reply_seconds + (INGEST_REQUESTS - 1.0) * SHORT_SECONDS),
            llm: load(1.0, reply_seconds),
            persist: load(2.0, 2.0 * SHORT_SECONDS),
            cpu: rate * CPU_SECONDS * (output / CPU_TOKENS).max(1.0),
            in_use: day_in_use * DAYS,
            pubsub_bytes: messages * bus_bytes,
            retained_bytes: per_day * RETENTION_DAYS * bus_bytes,
            egress_bytes: messages * (output * EVENT_BYTES + ANSWER_BYTES + input * TOKEN_BYTES),
            own_log_bytes: messages * LOG_BYTES,
            per_instance: f64::from(cost.concurrency),
            vcpus: f64::from(cost.vcpus),
        }
    }

    /// Instances that have a request open, on average, in the hours of use. Requests come at random: with so many open on
    /// average, the share of time with at least one is 1 - e^-open.
    pub(super) fn busy_instances(&self, load: Load) -> f64 {
        (1.0 - (-load.open).exp()).max(load.open / self.per_instance).max(self.for_cpu())
    }

    /// Instances of a worker pool: it does not scale by itself, so there are whole ones.
    pub(super) fn pool_instances(&self, load: Load, least: f64) -> f64 {
        (load.open / PULL_CONCURRENCY).max(self.for_cpu()).ceil().max(least)
    }

    /// Logs: ours, and Cloud Run's own of so many requests.
    pub(super) fn log_bytes(&self, requests: f64) -> f64 {
        self.own_log_bytes + requests * REQUEST_LOG_BYTES
    }

    fn for_cpu(&self) -> f64 {
        self.cpu / (self.vcpus * FULL)
    }
}

/// What was assumed, in sentences.
pub(super) fn assumptions(cost: &Cost, workload: &Workload) -> Vec<String> {
    vec![
        format!(
            "a reply takes {:.1} s ({} s to the first token, {} tokens/s); its stream and its push request are open that long, and \
             open requests are what Cloud Run bills",
            workload.reply_seconds, cost.first_token_seconds, cost.tokens_per_second
        ),
        format!(
            "the day's messages come within {} h, at random; up to {} requests share an instance of {} vCPU and {} MiB",
            cost.hours_of_use, cost.concurrency, cost.vcpus, cost.memory_mib
        ),
        format!(
            "CPU: {CPU_SECONDS} s for a reply of {CPU_TOKENS} tokens (measured for all services together, counted here for each), \
             instances at most {:.0} % full",
            FULL * 100.0
        ),
        format!(
            "a month has {HOURS} h; {INGEST_REQUESTS} calls of ingest-api for a message; the bus keeps {RETENTION_DAYS} days; \
             {SERIES} series for each instance every {SCRAPE_SECONDS} s; {} kB of own logs for a message and {} kB for a request",
            LOG_BYTES / 1000.0,
            REQUEST_LOG_BYTES / 1000.0
        ),
        "not counted: summaries, headings and retries of the model, cached input, builds, traces, a load balancer, support, taxes"
            .to_owned(),
    ]
}
