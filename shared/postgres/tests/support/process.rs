//! What of turns and their log a process of a service has.

use std::{sync::Arc, time::Duration};

use parlance_postgres::{Database, LogOptions, PostgresTurns, Role};
use parlance_shared::{Clock, Lifecycle, settings::PostgresSettings};
use sqlx::AssertSqlSafe;

use super::{TestDatabase, connect};

pub struct Process {
    pub turns: Arc<PostgresTurns>,
    pub lifecycle: Lifecycle,
    database: Database,
}

impl Process {
    pub fn start(database: &TestDatabase, role: Role) -> Self {
        Self::with(database.service.clone(), role)
    }

    pub fn with(settings: PostgresSettings, role: Role) -> Self {
        Self::with_clock(settings, role, Clock::system())
    }

    pub fn with_clock(settings: PostgresSettings, role: Role, clock: Clock) -> Self {
        let (database, lifecycle) = (Database::new(settings, clock), Lifecycle::new());
        let turns = Arc::new(PostgresTurns::start(database.clone(), &lifecycle, LogOptions::new(role)));
        Self { turns, lifecycle, database }
    }

    /// Nothing is flushed or released; its connections are gone.
    pub async fn kill(self) {
        assert!(self.lifecycle.stop(Duration::ZERO, Duration::from_secs(5)).await);
        self.database.close().await;
    }
}

impl TestDatabase {
    /// Lets so much time pass for leases.
    pub async fn let_pass(&self, by: Duration) {
        let millis = by.as_millis();
        self.admin(&format!("UPDATE turns SET leased_until = leased_until - {millis} * interval '1 ms'")).await;
    }

    /// Cuts the service's connections that are like that.
    pub async fn terminate(&self, condition: &str) -> usize {
        let mut connection = connect(&self.admin).await;
        let sql = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1 AND ({condition})"
        );
        let user = self.service.user.clone();
        sqlx::query(AssertSqlSafe(sql)).bind(user).fetch_all(&mut connection).await.unwrap().len()
    }
}
