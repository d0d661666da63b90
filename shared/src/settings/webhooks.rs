//! Whether and where the ends of tasks are told.

use std::time::Duration;

use super::{Role, read::Reader};

/// `WEBHOOK…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `WEBHOOKS`; none where it is not set.
    pub on: Option<bool>,
    /// `WEBHOOK_ALLOW_PRIVATE`: plain http, and targets on private and loopback addresses, are taken, too.
    pub allow_private: bool,
    /// `WEBHOOK_TRACEPARENT`: deliveries say which trace they belong to.
    pub traceparent: bool,
    /// `WEBHOOK_RETRY_BUDGET`: how long after the end a delivery is tried.
    pub retry_budget: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self { on: None, allow_private: false, traceparent: false, retry_budget: Duration::from_secs(24 * 3600) }
    }
}

impl WebhookSettings {
    /// Whether this program has to do with them. Separate services must be told, as two of them take part and both need the
    /// secret of the ids; one process has what it needs.
    pub fn are_on(&self, role: Role) -> bool {
        self.on.unwrap_or(role == Role::AllInOne)
    }
}

pub(super) fn read_webhooks(read: &mut Reader<'_>) -> WebhookSettings {
    let default = WebhookSettings::default();
    let switch = [("on", true), ("off", false)];
    WebhookSettings {
        on: read.choice("WEBHOOKS", &switch),
        allow_private: read.choice("WEBHOOK_ALLOW_PRIVATE", &switch).unwrap_or(default.allow_private),
        traceparent: read.choice("WEBHOOK_TRACEPARENT", &switch).unwrap_or(default.traceparent),
        retry_budget: read.duration("WEBHOOK_RETRY_BUDGET").unwrap_or(default.retry_budget),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    #[test]
    fn one_process_has_them_unless_told_otherwise_and_services_when_told() {
        let webhooks = |variables: &[(&str, &str)]| read(variables).unwrap().webhooks;
        let on = |settings: WebhookSettings| {
            [Role::AllInOne, Role::IngestApi, Role::PersistWorker].map(|role| settings.are_on(role))
        };
        assert_eq!(on(webhooks(&[])), [true, false, false]);
        assert_eq!(on(webhooks(&[("WEBHOOKS", "on")])), [true; 3]);
        assert_eq!(on(webhooks(&[("WEBHOOKS", "off")])), [false; 3]);
        assert!(!webhooks(&[]).allow_private && !webhooks(&[("ENVIRONMENT", "development")]).allow_private);
    }

    #[test]
    fn wrong_values_are_named() {
        for name in ["WEBHOOKS", "WEBHOOK_ALLOW_PRIVATE", "WEBHOOK_RETRY_BUDGET"] {
            assert_eq!(read(&[(name, "yes")]).expect_err(name).0[0].name, name);
        }
    }
}
