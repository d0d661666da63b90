//! Connections beside the pool, for parts that keep one for themselves: those that write under other session settings,
//! and listeners, since LISTEN belongs to a session.

use parlance_shared::{port::PortError, settings::PostgresSettings};
use sqlx::{
    ConnectOptions as _, PgConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use super::{Database, login::Login, options};

impl Database {
    /// A connection of the caller's own, with these session settings, such as `("synchronous_commit", "off")`. The caller
    /// bounds its calls in time and makes a new one when one fails.
    pub(crate) async fn dedicated(&self, session: &[(&str, &str)]) -> Result<PgConnection, PortError> {
        connect_as(&self.login, &self.settings, session).await
    }

    /// Listens to channels. The listener connects again by itself when its connection breaks; what was sent meanwhile is
    /// lost, and a connection that died without a word is only noticed by asking: catch up by cursor, and now and then.
    pub(crate) async fn listen(&self, channels: &[&str]) -> Result<PgListener, PortError> {
        let connect_timeout = self.settings.connect_timeout;
        let listening = |options| async move {
            // It is made for one connection: whoever listens makes another listener when that breaks, with another login.
            let one = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(connect_timeout)
                .max_lifetime(None)
                .idle_timeout(None)
                .test_before_acquire(false)
                .connect_lazy_with(options);
            let mut listener = PgListener::connect_with(&one).await?;
            listener.ignore_pool_close_event(true);
            listener.listen_all(channels.iter().copied()).await?;
            Ok(listener)
        };
        self.login.connect(&options::dedicated(&self.settings, &[]), listening).await
    }
}

/// The same without a [`Database`].
pub(super) async fn connect_with(
    settings: &PostgresSettings,
    session: &[(&str, &str)],
) -> Result<PgConnection, PortError> {
    connect_as(&Login::new(settings), settings, session).await
}

async fn connect_as(
    login: &Login,
    settings: &PostgresSettings,
    session: &[(&str, &str)],
) -> Result<PgConnection, PortError> {
    let connecting = |options: PgConnectOptions| async move { options.connect().await };
    login.connect(&options::dedicated(settings, session), connecting).await
}
