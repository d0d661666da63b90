//! The real binary from the outside: its command line, its signals, its exit codes, its logs, its HTTP.
//!
//! The provider is the mock LLM, in the test's own process. What single endpoints accept is tested where they are; here
//! is what only the whole process shows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod branches;
mod cancel;
mod crash;
mod cursors;
mod dead_letters;
mod failures;
mod fallback;
mod full_disk;
mod graceful_stop;
mod logs;
mod memory;
mod migrate;
mod operator_socket;
mod replay;
mod start_up;
mod strategies;
mod support;
mod tools;
mod turns_in_order;
mod usage;
mod users;
