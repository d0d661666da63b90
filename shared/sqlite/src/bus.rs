//! (being written)

use crate::Database;

/// (being written)
pub struct SqliteBus {
    _database: Database,
}
