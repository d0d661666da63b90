//! Accepts messages and streams replies: the HTTP face of Parlance.
//!
//! Accepting is thin on purpose (authenticate, validate, publish, 202): the bus takes the load, so messages are accepted
//! while the database is down. Everything a client reads is a view of the reply log, the turns or the store, scoped by
//! the caller. One endpoint per file; [`router`] is the whole API at a glance.

mod answer_problem;
mod await_end;
mod bounded;
mod call;
mod cancel_task;
mod create_session;
mod delete_session;
mod extract;
mod find_session;
mod find_task;
mod get_health;
mod get_index;
mod get_metrics;
mod get_openapi;
mod get_ready;
mod get_session;
mod get_task;
mod host_check;
mod idempotency;
mod list_messages;
mod list_sessions;
mod patch_session;
mod post_message;
mod problem;
mod problem_code;
mod publish;
mod reply_stream;
mod router;
mod serve;
mod session_fields;
mod sse_frame;
mod state;
mod stored_reply;
mod stream_reply;
mod validate;

pub use router::router;
pub use serve::serve;
pub use state::{About, ApiState, Limits};
