//! What the log did in this process, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Segments written.
    pub flushes: u64,
    /// Rows written for resume.
    pub rows_stored: u64,
    /// Queries for segments.
    pub fetches: u64,
    /// Segments read.
    pub segments_read: u64,
    /// Queries for turns with their stored text.
    pub loads: u64,
    /// Times that readers were behind because a piece was missing.
    pub gaps: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) flushes: Count,
    pub(super) rows_stored: Count,
    pub(super) fetches: Count,
    pub(super) segments_read: Count,
    pub(super) loads: Count,
    pub(super) gaps: Count,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn read(&self) -> LogStats {
        LogStats {
            flushes: self.flushes.get(),
            rows_stored: self.rows_stored.get(),
            fetches: self.fetches.get(),
            segments_read: self.segments_read.get(),
            loads: self.loads.get(),
            gaps: self.gaps.get(),
        }
    }
}
