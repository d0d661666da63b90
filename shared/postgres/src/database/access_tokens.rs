//! Access tokens of this process's Google account, for logins into Cloud SQL.
//!
//! google-cloud-auth caches a token and asks for the next one minutes before it expires, in a task of its own; until then the
//! old one is used whatever becomes of the metadata server. Three things it does not do, and so are done here: its requests
//! have no limit of time, its task ends for ever after an error that it takes for permanent, and it keeps a token that the
//! server refuses. In each case it is dropped and another one begun, but not again and again: the task of a dropped one lives
//! until its next step.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use google_cloud_auth::credentials::{AccessTokenCredentials, Builder};
use parlance_shared::{port::PortError, settings::Secret};
use tokio::time::{Instant, timeout_at};

use super::error::unavailable;

/// Enough to log in, for nothing else.
const SCOPE: &str = "https://www.googleapis.com/auth/sqlservice.login";
/// Between two beginnings, after an error: it comes at once.
const AFTER_AN_ERROR: Duration = Duration::from_secs(1);
/// After silence, which may have left a connection hanging, or a refusal, which the next token is likely to meet, too.
const AFTER_SILENCE: Duration = Duration::from_secs(10);

pub(super) struct AccessTokens {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    credentials: Option<AccessTokenCredentials>,
    generation: u64,
    dropped_at: Option<Instant>,
}

pub(super) struct AccessToken {
    secret: Secret,
    generation: u64,
}

impl AccessToken {
    pub(super) fn expose(&self) -> &str {
        self.secret.expose()
    }
}

impl AccessTokens {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// A token that is valid now. The first one is asked for when it is needed.
    pub(super) async fn get(&self, until: Instant, user: &str) -> Result<AccessToken, PortError> {
        let failed =
            |cause: String| unavailable(format!("there is no access token for user {user:?} (DB_IAM_AUTH): {cause}"));
        let (credentials, generation) = self.credentials().map_err(failed)?;
        match timeout_at(until, credentials.access_token()).await {
            Ok(Ok(token)) => Ok(AccessToken { secret: Secret::new(token.token), generation }),
            Ok(Err(error)) => {
                self.drop_those_of(generation, AFTER_AN_ERROR);
                Err(failed(with_causes(&error)))
            }
            Err(_) => {
                self.drop_those_of(generation, AFTER_SILENCE);
                Err(failed("whoever gives them does not answer in time (DB_CONNECT_TIMEOUT)".to_owned()))
            }
        }
    }

    /// This one was refused. Whether the next call gives another one.
    pub(super) fn renew(&self, refused: &AccessToken) -> bool {
        self.drop_those_of(refused.generation, AFTER_SILENCE)
    }

    fn credentials(&self) -> Result<(AccessTokenCredentials, u64), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = match &state.credentials {
            Some(credentials) => credentials.clone(),
            None => {
                // The process-wide choice of a crypto provider; a second call finds it made.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let built = Builder::default().with_scopes([SCOPE]).build_access_token_credentials();
                let credentials = built.map_err(|error| with_causes(&error))?;
                state.credentials.insert(credentials).clone()
            }
        };
        Ok((credentials, state.generation))
    }

    fn drop_those_of(&self, generation: u64, pause: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation != generation {
            return true;
        }
        if state.dropped_at.is_some_and(|at| at.elapsed() < pause) {
            return false;
        }
        *state = State { credentials: None, generation: generation + 1, dropped_at: Some(Instant::now()) };
        true
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        // Some repeat their cause in their own words.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
