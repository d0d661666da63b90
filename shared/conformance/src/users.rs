//! What is stored of users can be exported whole and erased without a rest, and old sessions go: what every adapter of the
//! operators' ports for users keeps.
//!
//! Each function may find other users' data and makes users of its own.

mod erasure;
mod export;
mod life;
mod retention;

use std::sync::Arc;

use parlance_shared::{
    Clock,
    port::{
        store::Store,
        turns::Turns,
        users::{Retention, UserAdmin},
    },
};

pub use self::{
    erasure::{
        a_running_turn_is_stopped_before_it_is_erased, an_erased_user_leaves_nothing_and_nothing_comes_back,
        an_erasure_goes_on_where_it_was_interrupted, what_was_never_recorded_is_not_recorded_after_an_erasure,
        who_comes_back_begins_anew,
    },
    export::{an_export_has_everything_once, long_exports_come_in_pages},
    life::{Life, end, erase},
    retention::{a_session_in_use_is_kept, old_sessions_are_deleted_and_stay_so},
};

/// One adapter, by its ports.
#[derive(Clone)]
pub struct Ports {
    /// The record.
    pub store: Arc<dyn Store>,
    /// The turns beside it.
    pub turns: Arc<dyn Turns>,
    /// The operators' side.
    pub users: Arc<dyn UserAdmin>,
    /// What forgets.
    pub retention: Arc<dyn Retention>,
    /// What the adapter stamps with.
    pub clock: Clock,
}
