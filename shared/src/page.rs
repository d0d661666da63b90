//! Lists come in pages with an opaque cursor to the next one.

use serde::Serialize;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Pass it back to get what follows; null on the last page.
    pub next: Option<String>,
}

/// Where a page starts and how many entries it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many entries.
    pub limit: u32,
    /// Start after the entry that this position names.
    pub from: Option<PagePosition>,
}

/// A place in a list ordered by (time, id), unchanged by what comes or goes around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagePosition {
    /// When, in the list's own unit of time since 1970.
    pub at: i64,
    /// The id of the entry, as text.
    pub id: String,
}

impl PagePosition {
    /// The cursor a client holds.
    pub fn encode(&self) -> String {
        format!("{:x}.{}", self.at, self.id)
    }

    /// The position a cursor names, if one of ours could have made it.
    pub fn decode(cursor: &str) -> Option<Self> {
        let (at, id) = cursor.split_once('.')?;
        let position = Self { at: i64::from_str_radix(at, 16).ok()?, id: id.to_owned() };
        (position.encode() == cursor && id.len() <= 64).then_some(position)
    }
}
