//! Whether a folder's database is the one that this program expects, and whole.

use std::path::Path;

use sqlx::SqliteConnection;

use super::{
    MIGRATOR,
    inspect::{InspectError, Inspection},
    latest_known,
    status::{Applied, applied, states},
};

/// What [`validate`] found. Empty lists are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationReport {
    /// Migrations whose file is not the one that was applied.
    pub drift: Vec<i64>,
    /// Applied migrations that are later than any this program has.
    pub newer: Vec<i64>,
    /// Other applied migrations that this program does not have.
    pub unknown: Vec<i64>,
    /// Migrations that are not applied yet.
    pub pending: Vec<i64>,
    /// Damage, as SQLite's integrity check words it.
    pub damage: Vec<String>,
}

impl ValidationReport {
    /// Nothing is wrong and nothing is pending.
    pub fn is_valid(&self) -> bool {
        *self == Self::default()
    }

    /// One sentence for each thing that is not as it should be.
    pub fn problems(&self) -> Vec<String> {
        let known = latest_known();
        let mut problems = Vec::new();
        problems.extend(
            self.drift
                .iter()
                .map(|version| format!("migration {version} differs from the one that was applied to this database")),
        );
        problems.extend(self.newer.iter().map(|version| {
            format!(
                "the database has schema version {version}, this program knows up to {known}; use the newer program"
            )
        }));
        problems.extend(
            self.unknown
                .iter()
                .map(|version| format!("migration {version} was applied, but this program has no such one")),
        );
        problems.extend(
            self.pending
                .iter()
                .map(|version| format!("migration {version} is not applied; run `parlance migrate init`")),
        );
        problems.extend(self.damage.iter().map(|finding| format!("the database is damaged: {finding}")));
        problems
    }
}

/// Compares the database with this program's migrations and checks every page of it. Takes as long as reading the file.
///
/// # Errors
/// See [`InspectError`]. A folder without a database is valid to read and has every migration pending.
pub async fn validate(folder: &Path) -> Result<ValidationReport, InspectError> {
    let Some(mut inspection) = Inspection::open(folder).await? else {
        return Ok(compare(&[]));
    };
    let applied = applied(&mut inspection.connection).await.map_err(|cause| inspection.failed(cause))?;
    let mut report = compare(&applied);
    report.damage = damage(&mut inspection.connection).await.map_err(|cause| inspection.failed(cause))?;
    inspection.close().await;
    Ok(report)
}

fn compare(applied: &[Applied]) -> ValidationReport {
    let known = latest_known();
    let mut report = ValidationReport::default();
    for state in states(applied) {
        let list = match (state.known, state.pending) {
            (false, _) if state.version > known => &mut report.newer,
            (false, _) => &mut report.unknown,
            (true, true) => &mut report.pending,
            (true, false) => continue,
        };
        list.push(state.version);
    }
    let checksum = |version| MIGRATOR.iter().find(|migration| migration.version == version).map(|m| &*m.checksum);
    report.drift = applied
        .iter()
        .filter(|row| checksum(row.version).is_some_and(|expected| expected != row.checksum))
        .map(|row| row.version)
        .collect();
    report
}

async fn damage(connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    let findings: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(connection).await?;
    Ok(findings.into_iter().filter(|finding| finding != "ok").collect())
}
