//! What every store keeps, told through its port alone.
//!
//! Each function takes a store that may hold other users' data and makes users of its own. It panics where the store
//! breaks a promise; adapters wrap each in a test.

mod admission;
mod any_order;
mod branches;
mod contents;
mod hidden;
mod pages;
mod reading;
mod requests;
mod script;
mod sessions;
mod summaries;
mod tasks;
mod tenants;
mod tombstones;
mod usage;

pub use self::{
    admission::{
        admission_counts_what_no_end_is_known_of, admission_is_the_owners, open_tasks_are_those_without_a_known_end,
    },
    any_order::any_order_and_any_number_of_times_end_the_same,
    branches::{
        a_branch_takes_the_place_of_what_it_covers, a_refused_turn_stands_in_for_nothing, a_turn_is_found_whole,
        pages_of_a_branch_are_stable,
    },
    contents::{long_texts_come_back_whole, text_of_any_script_comes_back_unchanged},
    hidden::a_hidden_response_stays_hidden,
    pages::{
        messages_are_listed_oldest_first, pages_of_messages_are_stable_while_others_come,
        pages_of_sessions_are_stable_while_others_come, sessions_are_listed_newest_first,
    },
    requests::{
        deleted_sessions_have_no_requests, pages_of_requests_are_bounded_in_bytes,
        requests_are_found_by_session_task_and_time, requests_are_given_back_whole,
        requests_say_where_their_tasks_stand,
    },
    sessions::{each_field_keeps_its_latest_change, the_earliest_and_latest_events_date_a_session},
    summaries::{
        a_found_heading_never_replaces_the_owners, every_version_of_a_summary_is_stored_once,
        summaries_of_a_deleted_session_are_gone,
    },
    tasks::{
        a_later_attempt_replaces_an_end, a_reply_may_come_before_its_request,
        a_reply_without_text_is_a_message_only_when_completed, a_request_made_twice_is_one_message,
        a_task_is_read_as_it_ended, an_end_is_final, what_can_never_work_is_refused,
    },
    tenants::{events_of_another_user_are_refused_and_leave_nothing, reads_find_nothing_of_another_user},
    tombstones::{a_deleted_session_stays_deleted, a_session_can_be_deleted_before_it_is_known},
    usage::{
        a_deleted_session_was_used_all_the_same, days_begin_at_midnight_utc, headings_count_and_are_no_summaries,
        pages_of_usage_hold_every_group_once, speed_and_patience_are_measured_where_they_are_known,
        summaries_and_headings_count_against_the_budget, usage_is_grouped_and_nobody_elses,
        usage_is_the_same_after_duplicates_and_replays, what_has_no_price_costs_an_unknown_amount,
    },
};

/// A store that works says that it is ready.
pub async fn a_working_store_is_ready(store: std::sync::Arc<dyn parlance_shared::port::store::Store>) {
    store.ready().await.unwrap();
    store.ready().await.unwrap();
}
