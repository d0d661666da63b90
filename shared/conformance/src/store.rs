//! What every store keeps, told through its port alone.
//!
//! Each function takes a store that may hold other users' data and makes users of its own. It panics where the store
//! breaks a promise; adapters wrap each in a test.

mod any_order;
mod contents;
mod pages;
mod reading;
mod requests;
mod script;
mod sessions;
mod tasks;
mod tenants;
mod tombstones;

pub use self::{
    any_order::any_order_and_any_number_of_times_end_the_same,
    contents::{long_texts_come_back_whole, text_of_any_script_comes_back_unchanged},
    pages::{
        messages_are_listed_oldest_first, pages_of_messages_are_stable_while_others_come,
        pages_of_sessions_are_stable_while_others_come, sessions_are_listed_newest_first,
    },
    requests::{
        deleted_sessions_have_no_requests, requests_are_found_by_session_task_and_time, requests_are_given_back_whole,
        requests_say_where_their_tasks_stand,
    },
    sessions::{each_field_keeps_its_latest_change, the_earliest_and_latest_events_date_a_session},
    tasks::{
        a_later_attempt_replaces_an_end, a_reply_may_come_before_its_request,
        a_reply_without_text_is_a_message_only_when_completed, a_request_made_twice_is_one_message,
        a_task_is_read_as_it_ended, an_end_is_final, what_can_never_work_is_refused,
    },
    tenants::{events_of_another_user_are_refused_and_leave_nothing, reads_find_nothing_of_another_user},
    tombstones::{a_deleted_session_stays_deleted, a_session_can_be_deleted_before_it_is_known},
};

/// A store that works says that it is ready.
pub async fn a_working_store_is_ready(store: std::sync::Arc<dyn parlance_shared::port::store::Store>) {
    store.ready().await.unwrap();
    store.ready().await.unwrap();
}
