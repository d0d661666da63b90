//! The real binary from the outside: its command line, its signals, its exit codes, its logs, its HTTP.
//!
//! The provider is the mock LLM, in the test's own process. What single endpoints accept is tested where they are; here
//! is what only the whole process shows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod abuse;
mod branches;
mod cancel;
mod chat_completions;
mod crash;
mod cursors;
mod dead_letters;
mod deleted_session;
mod failures;
mod fallback;
mod full_disk;
mod graceful_stop;
mod keys;
mod logs;
mod memory;
mod metrics;
mod migrate;
mod operator_socket;
mod replay;
mod responses;
mod start_up;
mod strategies;
mod support;
mod tools;
mod traces;
mod turns_in_order;
mod ui_chat;
mod usage;
mod users;
mod webhooks;
mod webhooks_https;
