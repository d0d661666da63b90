//! Accepts messages and streams replies: the HTTP face of Parlance.
//!
//! Accepting is thin on purpose (authenticate, validate, publish, 202): the bus takes the load, so messages are accepted
//! while the database is down. Everything a client reads is a view of the reply log, the turns or the store, scoped by
//! the caller. One endpoint per file; [`router`] is the whole API at a glance.

mod accept;
mod admit;
mod answer_problem;
mod await_end;
mod bounded;
mod budget;
mod call;
mod call_span;
mod cancel_task;
mod cors;
mod create_session;
mod delete_session;
mod extract;
mod find_session;
mod find_task;
mod follow_reply;
mod front_door;
mod get_docs;
mod get_health;
mod get_index;
mod get_metrics;
mod get_openapi;
mod get_ready;
mod get_session;
mod get_summary;
mod get_task;
mod get_usage;
mod host_check;
mod idempotency;
mod identity;
mod limits;
mod list_messages;
mod list_sessions;
mod openai;
mod openapi;
mod patch_session;
mod post_message;
mod problem;
mod problem_code;
mod publish;
mod read_message;
mod read_parts;
mod read_tools;
mod recent_turns;
mod replaced;
mod reply_stream;
mod reply_view;
mod retry_task;
mod router;
mod security_headers;
mod serve;
mod session_fields;
mod sse_frame;
mod state;
mod stored_reply;
mod stream_reply;
mod submit;
mod ui_chat;
mod validate;
mod webhook;

pub use budget::BudgetGuard;
pub use front_door::FrontDoor;
pub use identity::{Identity, IdentityPorts};
pub use openapi::description;
pub use recent_turns::RecentTurns;
pub use router::router;
pub use serve::serve;
pub use state::{About, ApiState, Limits};
pub use webhook::WebhookRules;
