//! What Google Cloud charges: a dated table, built in or from a file.

use std::{fs, path::Path};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The table that is used unless a file is named.
const BUILT_IN: &str = include_str!("../../cloud-prices.json");

/// All prices, in US dollars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudPrices {
    #[serde(default, rename = "comment")]
    _comment: String,
    /// When the table was put together.
    pub(crate) date: String,
    /// Where its figures are from, and how sure they are.
    #[serde(default)]
    pub(crate) sources: Vec<Source>,
    pub(crate) cloud_run: CloudRun,
    pub(crate) cloud_sql: CloudSql,
    pub(crate) pubsub: PubSub,
    pub(crate) network: Network,
    pub(crate) observability: Observability,
    pub(crate) secret_manager: SecretManager,
    pub(crate) artifact_registry: ArtifactRegistry,
}

/// Where figures are from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    of: String,
    page: String,
    seen: String,
}

/// A price or an amount: a number from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Amount(pub(crate) f64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if (0.0..=1e12).contains(&number) {
            Ok(Self(number))
        } else {
            Err(D::Error::custom(format!("{number} is not an amount: from 0 to 1000000000000")))
        }
    }
}

/// A price that depends on the region: Cloud Run's regions are of two kinds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tiered {
    pub(crate) tier_1: Amount,
    tier_2: Amount,
}

impl Tiered {
    pub(crate) fn of(self, tier: u8) -> f64 {
        if tier == 2 { self.tier_2.0 } else { self.tier_1.0 }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudRun {
    pub(crate) request_based: RequestBased,
    pub(crate) instance_based: InstanceBased,
    pub(crate) worker_pool: InstanceBased,
}

/// Billed while a request is open; kept instances cost little without one.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestBased {
    pub(crate) vcpu_second: Tiered,
    pub(crate) idle_vcpu_second: Tiered,
    pub(crate) gib_second: Tiered,
    pub(crate) million_requests: Amount,
    pub(crate) free_vcpu_seconds: Amount,
    pub(crate) free_gib_seconds: Amount,
    pub(crate) free_requests: Amount,
}

/// Billed while an instance exists.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstanceBased {
    pub(crate) vcpu_second: Tiered,
    pub(crate) gib_second: Tiered,
    pub(crate) free_vcpu_seconds: Amount,
    pub(crate) free_gib_seconds: Amount,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudSql {
    pub(crate) vcpu_hour: Amount,
    pub(crate) memory_gib_hour: Amount,
    pub(crate) f1_micro_hour: Amount,
    pub(crate) g1_small_hour: Amount,
    pub(crate) ssd_gib_month: Amount,
    pub(crate) backup_gib_month: Amount,
    pub(crate) ha_factor: Amount,
    pub(crate) tier_2_factor: Amount,
    pub(crate) one_year_commitment_discount: Amount,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PubSub {
    pub(crate) tib: Amount,
    pub(crate) free_gib: Amount,
    /// A request counts as so many bytes at least.
    pub(crate) least_bytes: Amount,
    pub(crate) retained_gib_month: Amount,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) egress_gib: Amount,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Observability {
    pub(crate) logs_gib: Amount,
    pub(crate) free_logs_gib: Amount,
    pub(crate) million_samples: Amount,
    pub(crate) alert_condition_month: Amount,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretManager {
    pub(crate) version_month: Amount,
    pub(crate) free_versions: Amount,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArtifactRegistry {
    pub(crate) gib_month: Amount,
    pub(crate) free_gib: Amount,
}

impl CloudPrices {
    /// The table that comes with this version, or the one in a file.
    ///
    /// # Errors
    /// A sentence that names the file, and what is wrong where.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, String> {
        let Some(path) = file else { return Self::parse(BUILT_IN) };
        let text = fs::read_to_string(path).map_err(|error| format!("--prices {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| {
            format!(
                "--prices {}: {error}; accepted is a table in the shape of parlance/cloud-prices.json",
                path.display()
            )
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}
