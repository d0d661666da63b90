//! What a new connection proves itself with: the password of the settings, or an access token of this moment.

use std::{fmt, time::Duration};

use parlance_shared::{port::PortError, settings::PostgresSettings};
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, timeout_at};

use super::{
    access_tokens::AccessTokens,
    connect_error::{self, connect_error, is_refused},
    error::unavailable,
};

pub(super) struct Login {
    tokens: Option<AccessTokens>,
    connect_timeout: Duration,
}

impl Login {
    pub(super) fn new(settings: &PostgresSettings) -> Self {
        Self { tokens: settings.iam_auth.then(AccessTokens::new), connect_timeout: settings.connect_timeout }
    }

    /// Connects within the connect timeout.
    pub(super) async fn connect<T, F>(
        &self,
        options: &PgConnectOptions,
        connect: impl Fn(PgConnectOptions) -> F,
    ) -> Result<T, PortError>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        self.connect_until(Instant::now() + self.connect_timeout, options, connect).await
    }

    /// The same with a limit of the caller's own. The server looks at a token only now: the connection outlives it.
    pub(super) async fn connect_until<T, F>(
        &self,
        until: Instant,
        options: &PgConnectOptions,
        connect: impl Fn(PgConnectOptions) -> F,
    ) -> Result<T, PortError>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let Some(tokens) = &self.tokens else {
            return self.within(until, connect(options.clone())).await?.map_err(|error| connect_error(options, error));
        };
        let mut may_try_again = true;
        loop {
            let token = tokens.get(until, options.get_username()).await?;
            let error = match self.within(until, connect(options.clone().password(token.expose()))).await? {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            // One that was revoked, or that is older than this machine's clock believes.
            if is_refused(&error) && tokens.renew(&token) && std::mem::take(&mut may_try_again) {
                continue;
            }
            return Err(connect_error::with_token(options, error));
        }
    }

    async fn within<T>(&self, until: Instant, connecting: impl Future<Output = T>) -> Result<T, PortError> {
        let seconds = self.connect_timeout.as_secs_f32();
        let late = |_| unavailable(format!("no connection could be made within {seconds} s"));
        timeout_at(until, connecting).await.map_err(late)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("tokens", &self.tokens.is_some()).finish_non_exhaustive()
    }
}
