//! Connections beside the pool, for parts that keep one for themselves: those that write under other session settings,
//! and listeners, since LISTEN belongs to a session.

use std::time::Duration;

use parlance_shared::{port::PortError, settings::PostgresSettings};
use sqlx::{
    ConnectOptions as _, PgConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::timeout;

use super::{Database, connect_error::connect_error, error::unavailable, options};

impl Database {
    /// A connection of the caller's own, with these session settings, such as `("synchronous_commit", "off")`. The caller
    /// bounds its calls in time and makes a new one when one fails.
    pub(crate) async fn dedicated(&self, session: &[(&str, &str)]) -> Result<PgConnection, PortError> {
        connect_with(&self.settings, session).await
    }

    /// Listens to channels. The listener connects again by itself when its connection breaks; what was sent meanwhile is
    /// lost, and a connection that died without a word is only noticed by asking: catch up by cursor, and now and then.
    pub(crate) async fn listen(&self, channels: &[&str]) -> Result<PgListener, PortError> {
        let options = options::dedicated(&self.settings, &[]);
        let one = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.settings.connect_timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        within(self.settings.connect_timeout, &options, async {
            let mut listener = PgListener::connect_with(&one).await?;
            listener.ignore_pool_close_event(true);
            listener.listen_all(channels.iter().copied()).await?;
            Ok(listener)
        })
        .await
    }
}

/// The same without a [`Database`].
pub(super) async fn connect_with(
    settings: &PostgresSettings,
    session: &[(&str, &str)],
) -> Result<PgConnection, PortError> {
    let options = options::dedicated(settings, session);
    within(settings.connect_timeout, &options, options.connect()).await
}

async fn within<T>(
    bound: Duration,
    options: &PgConnectOptions,
    connecting: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, PortError> {
    match timeout(bound, connecting).await {
        Ok(connected) => connected.map_err(|error| connect_error(options, error)),
        Err(_) => Err(unavailable(format!("no connection could be made within {} s", bound.as_secs_f32()))),
    }
}
