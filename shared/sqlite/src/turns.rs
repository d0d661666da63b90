//! (being written)
use crate::Database;
/// (being written)
pub struct SqliteTurns { _database: Database }
