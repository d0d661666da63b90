//! The ways to run the three services that are compared.

use clap::ValueEnum;
use serde::Serialize;

/// A way to run the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Deployment {
    /// The bus pushes; without work there are no instances.
    PushZero,
    /// The bus pushes; some instances are kept, their CPU is billed while a request is open.
    PushWarm,
    /// The bus pushes; some instances are kept, their CPU is always there and billed.
    PushAlways,
    /// Workers pull, in worker pools; ingest-api as in push-warm.
    Pull,
}

/// How Cloud Run bills a service.
#[derive(Clone, Copy, Debug)]
pub(super) enum Billing {
    /// While requests are open.
    Requests {
        /// Whether `--min-instances` are kept.
        kept: bool,
    },
    /// While instances exist; `--min-instances` are kept.
    Instances,
    /// A worker pool of `--min-instances` or more.
    Pool,
}

impl Deployment {
    pub(super) const ALL: [Self; 4] = [Self::PushZero, Self::PushWarm, Self::PushAlways, Self::Pull];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::PushZero => "push-zero",
            Self::PushWarm => "push-warm",
            Self::PushAlways => "push-always",
            Self::Pull => "pull",
        }
    }

    pub(super) fn ingest(self) -> Billing {
        match self {
            Self::PushZero => Billing::Requests { kept: false },
            Self::PushWarm | Self::Pull => Billing::Requests { kept: true },
            Self::PushAlways => Billing::Instances,
        }
    }

    pub(super) fn workers(self) -> Billing {
        match self {
            Self::Pull => Billing::Pool,
            other => other.ingest(),
        }
    }
}
