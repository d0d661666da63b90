//! The three services from the outside, as separate processes on Google's Pub/Sub emulator and a real Postgres.
//!
//! Each test has a database, a project, a mock LLM and a proxy before each of the first two of its own. What needs the real
//! parts says so where they are missing. The programs must have been built: `cargo xtask test` does that.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]
#![allow(clippy::disallowed_methods, reason = "tests spawn what ends with them")]
#![allow(clippy::print_stdout, reason = "says what was not run")]

mod alone;
mod any_instance;
mod branches;
mod chat_completions;
mod database_outage;
mod database_restore;
mod deleted_session;
mod fallback;
mod idempotency;
mod keys;
mod llm_outage;
mod lost_workers;
mod memory;
mod poison;
mod pubsub_outage;
mod push;
mod responses;
mod schema;
mod settings;
mod stopping;
mod support;
mod tools;
mod traces;
mod turns_in_order;
mod usage;
mod users;
mod webhooks;
