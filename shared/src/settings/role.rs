//! What each program needs before it starts. A service that lacks something says so and does not start; it never falls
//! back to an embedded adapter, and in production never to the offline provider.

use super::{DatabaseSettings, Environment, SettingError, SettingErrors, Settings, auth::AUTH_ACCEPTED};

/// Which program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `parlance`: everything in one process.
    AllInOne,
    /// `ingest-api`.
    IngestApi,
    /// `llm-worker`.
    LlmWorker,
    /// `persist-worker`.
    PersistWorker,
}

impl Role {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllInOne => "parlance",
            Self::IngestApi => "ingest-api",
            Self::LlmWorker => "llm-worker",
            Self::PersistWorker => "persist-worker",
        }
    }

    fn calls_llm(self) -> bool {
        matches!(self, Self::AllInOne | Self::LlmWorker)
    }

    fn makes_ids(self) -> bool {
        matches!(self, Self::AllInOne | Self::IngestApi)
    }

    /// Whether users' requests reach it. Workers answer health checks, and pushes that carry a token of Google's.
    fn faces_users(self) -> bool {
        matches!(self, Self::AllInOne | Self::IngestApi)
    }
}

impl Settings {
    /// Checks that this program has what it needs.
    ///
    /// # Errors
    /// Everything that is missing, with what is accepted.
    pub fn check_for(&self, role: Role) -> Result<(), SettingErrors> {
        let mut missing = Vec::new();
        let mut need = |name: &'static str, problem: &str, accepted: &str| {
            missing.push(SettingError { name, problem: problem.to_owned(), accepted: accepted.to_owned() });
        };
        let production = self.environment == Environment::Production;
        let alone = role == Role::AllInOne;
        match &self.database {
            DatabaseSettings::Sqlite { .. } if !alone => {
                need("DATABASE_URL", "is missing: separate services share a Postgres", POSTGRES_ACCEPTED);
            }
            DatabaseSettings::Sqlite { .. } if self.pubsub.is_some() => {
                need("DATABASE_URL", "is missing: with a bus on Pub/Sub the database is a Postgres", POSTGRES_ACCEPTED);
            }
            DatabaseSettings::Sqlite { chosen: false } if production => need(
                "DATABASE_URL",
                "is missing, and in production the embedded database must be asked for",
                "DB_TYPE=sqlite, or the URL of a Postgres",
            ),
            DatabaseSettings::Sqlite { .. } | DatabaseSettings::Postgres(_) => {}
        }
        if self.pubsub.is_none() && !alone {
            need(
                "PUBSUB_PROJECT_ID",
                "is missing: separate services share a bus on Pub/Sub",
                "a project's id, or PUBSUB_EMULATOR_HOST with a running emulator",
            );
        }
        if self.id_secret.is_none() && role.makes_ids() && matches!(self.database, DatabaseSettings::Postgres(_)) {
            need("ID_SECRET", "is missing: ids must be recognised by every instance", super::ID_SECRET_ACCEPTED);
        }
        if self.id_secret.is_none() && role == Role::PersistWorker && self.webhooks.are_on(role) {
            need("ID_SECRET", "is missing: with WEBHOOKS=on, deliveries are signed by it", super::ID_SECRET_ACCEPTED);
        }
        if production && role.calls_llm() && self.llm.base_url.is_none() {
            need("LLM_BASE_URL", "is missing in production", super::llm::BASE_URL_ACCEPTED);
        }
        if role.faces_users() && !self.auth.is_configured() {
            if production {
                let problem = "is not set, nor is another AUTH_ variable: in production callers prove who they are";
                need("AUTH_API_KEYS", problem, AUTH_ACCEPTED);
            } else if !self.host.is_loopback() {
                let problem = format!("{} would let others in, and no AUTH_ variable asks who they are", self.host);
                need("HOST", &problem, &format!("a loopback address such as 127.0.0.1, or {AUTH_ACCEPTED}"));
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(SettingErrors(missing)) }
    }
}

const POSTGRES_ACCEPTED: &str = "the URL of a Postgres, or DB_TYPE=postgres with DB_HOST and the other DB_ variables";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    const SECRET: (&str, &str) = ("ID_SECRET", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    const KEYS: (&str, &str) = ("AUTH_API_KEYS", "on");
    const CLOUD: [(&str, &str); 4] = [
        ("ENVIRONMENT", "production"),
        ("DATABASE_URL", "postgres://u@10.0.0.5/d"),
        ("PUBSUB_PROJECT_ID", "my-project"),
        ("HOST", "127.0.0.1"),
    ];

    fn missing(role: Role, variables: &[(&str, &str)]) -> Vec<&'static str> {
        let checked = read(variables).unwrap_or_else(|errors| panic!("{errors}")).check_for(role);
        checked.err().map(|errors| errors.0.iter().map(|error| error.name).collect()).unwrap_or_default()
    }

    #[test]
    fn one_process_needs_nothing_at_all_in_development() {
        assert_eq!(missing(Role::AllInOne, &[]), [""; 0]);
    }

    #[test]
    fn services_need_what_they_share_also_in_development() {
        assert_eq!(missing(Role::IngestApi, &[]), ["DATABASE_URL", "PUBSUB_PROJECT_ID"]);
        assert_eq!(missing(Role::LlmWorker, &[]), ["DATABASE_URL", "PUBSUB_PROJECT_ID"]);
        assert_eq!(missing(Role::PersistWorker, &[]), ["DATABASE_URL", "PUBSUB_PROJECT_ID"]);
    }

    #[test]
    fn production_never_falls_back() {
        assert_eq!(missing(Role::IngestApi, &CLOUD), ["ID_SECRET", "AUTH_API_KEYS"]);
        assert_eq!(missing(Role::LlmWorker, &CLOUD), ["LLM_BASE_URL"]);
        assert_eq!(missing(Role::PersistWorker, &CLOUD), [""; 0]);
        let with_secret: Vec<_> = CLOUD.into_iter().chain([SECRET, KEYS]).collect();
        assert_eq!(missing(Role::IngestApi, &with_secret), [""; 0]);
        let alone = [("ENVIRONMENT", "production"), ("HOST", "127.0.0.1")];
        assert_eq!(missing(Role::AllInOne, &alone), ["DATABASE_URL", "LLM_BASE_URL", "AUTH_API_KEYS"]);
    }

    #[test]
    fn whoever_signs_webhooks_needs_the_secret() {
        let with_webhooks: Vec<_> = CLOUD.into_iter().chain([("WEBHOOKS", "on")]).collect();
        assert_eq!(missing(Role::PersistWorker, &with_webhooks), ["ID_SECRET"]);
        let with_secret: Vec<_> = with_webhooks.into_iter().chain([SECRET]).collect();
        assert_eq!(missing(Role::PersistWorker, &with_secret), [""; 0]);
        assert_eq!(missing(Role::AllInOne, &[("WEBHOOKS", "on")]), [""; 0]);
    }

    #[test]
    fn only_workers_may_be_reached_from_elsewhere_without_identities() {
        let mut open = CLOUD;
        open[3] = ("HOST", "0.0.0.0");
        assert_eq!(missing(Role::PersistWorker, &open), [""; 0]);
        assert_eq!(missing(Role::IngestApi, &open), ["ID_SECRET", "AUTH_API_KEYS"]);
        open[0] = ("ENVIRONMENT", "development");
        assert_eq!(missing(Role::IngestApi, &open), ["ID_SECRET", "HOST"]);
        let asked: Vec<_> = open.into_iter().chain([SECRET, KEYS]).collect();
        assert_eq!(missing(Role::IngestApi, &asked), [""; 0]);
        assert_eq!(missing(Role::AllInOne, &[("HOST", "0.0.0.0")]), ["HOST"]);
        assert_eq!(missing(Role::AllInOne, &[("HOST", "0.0.0.0"), KEYS]), [""; 0]);
    }
}
