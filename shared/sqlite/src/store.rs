//! (being written)

use crate::Database;

/// (being written)
pub struct SqliteStore {
    _database: Database,
}
