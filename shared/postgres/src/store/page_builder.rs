//! Pages of lists: bounded in entries, as asked, and in bytes, so that a hundred long replies don't fill the memory.

use parlance_shared::page::{Page, PagePosition};

/// A page ends early once it holds this much text.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Collects the rows of one page and knows the place of its last.
pub(super) struct PageBuilder<T> {
    limit: usize,
    bytes: usize,
    data: Vec<T>,
    last: Option<PagePosition>,
}

impl<T> PageBuilder<T> {
    /// A page of at most `limit` entries, and of one at least: a page that never moves on would be asked for without end.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit: limit.max(1) as usize, bytes: 0, data: Vec::new(), last: None }
    }

    /// One more row than the page holds tells whether there is a next page.
    pub(super) fn rows_to_read(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1)
    }

    pub(super) fn is_full(&self) -> bool {
        self.data.len() >= self.limit || self.bytes >= MAX_BYTES
    }

    pub(super) fn push(&mut self, entry: T, bytes: usize, position: PagePosition) {
        self.data.push(entry);
        self.bytes += bytes;
        self.last = Some(position);
    }

    /// The last page.
    pub(super) fn finish(self) -> Page<T> {
        Page { data: self.data, next: None }
    }

    /// A page that others follow.
    pub(super) fn finish_with_more(self) -> Page<T> {
        Page { next: self.last.map(|last| last.encode()), data: self.data }
    }
}
