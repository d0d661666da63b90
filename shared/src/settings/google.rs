//! Google Cloud: the bus on Pub/Sub, how its messages come, and whose push requests are believed.

use super::read::Reader;

/// The bus on Pub/Sub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubSubSettings {
    /// `PUBSUB_PROJECT_ID`.
    pub project: String,
    /// `PUBSUB_EMULATOR_HOST`: `HOST:PORT` of Google's emulator instead of the service.
    pub emulator_host: Option<String>,
    /// `PUBSUB_DELIVERY`, `PUSH_…`.
    pub delivery: Delivery,
}

/// How workers get their messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// They ask for them: streaming pull. For worker pools and local runs.
    Pull,
    /// They are sent them over HTTP, by a push subscription or Eventarc. For services that scale to zero.
    Push(PushSettings),
}

/// Whose push requests are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushSettings {
    /// Those with a token of Google's for this audience and service account.
    Verified {
        /// `PUSH_AUDIENCE`: what the subscription (or trigger) was told to ask its tokens for; often the service's URL.
        audience: String,
        /// `PUSH_SERVICE_ACCOUNT`: the e-mail of the account that the subscription (or trigger) was given.
        service_account: String,
        /// `PUSH_JWKS_URL`: where the keys are, if not at Google's usual place.
        jwks_url: Option<url::Url>,
    },
    /// All: the emulator sends no tokens.
    FromEmulator,
}

/// The project that is used with the emulator when none is named.
const EMULATOR_PROJECT: &str = "parlance-local";

pub(super) fn read_pubsub(read: &mut Reader<'_>, production: bool) -> Option<PubSubSettings> {
    let project = read.text("PUBSUB_PROJECT_ID");
    let emulator_host = read.text("PUBSUB_EMULATOR_HOST");
    if let Some(host) = &emulator_host {
        let is_address =
            host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok());
        if !is_address || host.contains("://") {
            read.refuse("PUBSUB_EMULATOR_HOST", format!("{host:?} was given"), "HOST:PORT such as 127.0.0.1:8085");
        } else if production {
            read.refuse(
                "PUBSUB_EMULATOR_HOST",
                "is set with ENVIRONMENT=production: the emulator keeps nothing".to_owned(),
                "nothing in production",
            );
        }
    }
    if let Some(project) = &project
        && !is_project_id(project)
    {
        let accepted = "a project's id: 6 to 30 lower-case letters, digits and hyphens";
        read.refuse("PUBSUB_PROJECT_ID", format!("{project:?} was given"), accepted);
    }
    let is_push = read.choice("PUBSUB_DELIVERY", &[("pull", false), ("push", true)]).unwrap_or(false);
    let project = project.or_else(|| emulator_host.as_ref().map(|_| EMULATOR_PROJECT.to_owned()))?;
    let delivery = if is_push { Delivery::Push(read_push(read, emulator_host.is_some())) } else { Delivery::Pull };
    Some(PubSubSettings { project, emulator_host, delivery })
}

fn read_push(read: &mut Reader<'_>, emulator: bool) -> PushSettings {
    let (audience, service_account) = (read.text("PUSH_AUDIENCE"), read.text("PUSH_SERVICE_ACCOUNT"));
    let jwks_url = read.url("PUSH_JWKS_URL", "an http or https URL of a JSON Web Key Set");
    match (audience, service_account) {
        (Some(audience), Some(service_account)) => PushSettings::Verified { audience, service_account, jwks_url },
        (None, None) if emulator => PushSettings::FromEmulator,
        (audience, _) => {
            let (name, accepted) = match audience {
                None => ("PUSH_AUDIENCE", "the audience that the push subscription asks its tokens for"),
                Some(_) => ("PUSH_SERVICE_ACCOUNT", "the e-mail of the push subscription's service account"),
            };
            read.refuse(name, "is missing although PUBSUB_DELIVERY is push".to_owned(), accepted);
            PushSettings::FromEmulator
        }
    }
}

/// Also those with a domain (`example.com:project`).
fn is_project_id(id: &str) -> bool {
    let local = id.rsplit(':').next().unwrap_or_default();
    (6..=30).contains(&local.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    #[test]
    fn nothing_means_the_embedded_bus() {
        assert_eq!(read(&[]).unwrap().pubsub, None);
    }

    #[test]
    fn the_emulator_needs_no_project() {
        let pubsub = read(&[("PUBSUB_EMULATOR_HOST", "localhost:8085")]).unwrap().pubsub.unwrap();
        assert_eq!((pubsub.project.as_str(), pubsub.delivery), ("parlance-local", Delivery::Pull));
        let push = read(&[("PUBSUB_EMULATOR_HOST", "localhost:8085"), ("PUBSUB_DELIVERY", "push")]);
        assert_eq!(push.unwrap().pubsub.unwrap().delivery, Delivery::Push(PushSettings::FromEmulator));
    }

    #[test]
    fn push_from_google_is_verified_or_refused() {
        let push = [("PUBSUB_PROJECT_ID", "my-project"), ("PUBSUB_DELIVERY", "push")];
        assert_eq!(read(&push).expect_err("no audience").0[0].name, "PUSH_AUDIENCE");
        let with_audience: Vec<_> = push.into_iter().chain([("PUSH_AUDIENCE", "https://w.example")]).collect();
        assert_eq!(read(&with_audience).expect_err("no account").0[0].name, "PUSH_SERVICE_ACCOUNT");
        let whole: Vec<_> = with_audience.into_iter().chain([("PUSH_SERVICE_ACCOUNT", "p@x.example")]).collect();
        let delivery = read(&whole).unwrap().pubsub.unwrap().delivery;
        assert!(matches!(delivery, Delivery::Push(PushSettings::Verified { .. })), "{delivery:?}");
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("PUBSUB_PROJECT_ID", "My Project"),
            ("PUBSUB_EMULATOR_HOST", "http://localhost:8085"),
            ("PUBSUB_EMULATOR_HOST", "localhost"),
            ("PUBSUB_DELIVERY", "both"),
        ] {
            let errors = read(&[(name, value)]).expect_err(name);
            assert_eq!(errors.0[0].name, name, "{errors}");
        }
        let production = [("ENVIRONMENT", "production"), ("HOST", "127.0.0.1"), ("PUBSUB_EMULATOR_HOST", "e:1")];
        assert_eq!(read(&production).expect_err("emulator").0[0].name, "PUBSUB_EMULATOR_HOST");
    }
}
