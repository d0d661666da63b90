//! The clients people already have, against the real binary: each script of `clients/` talks to a server with the mock LLM
//! and asserts for itself what its client saw. `cargo xtask clients` installs what they need.
//!
//! A script is told by its environment: `PARLANCE_URL` (the server), `PARLANCE_CUT_URL` (the same through a proxy that cuts
//! connections) and `PARLANCE_CUT_CONTROL` (how it cuts, see [`cutting_proxy`]), `PARLANCE_KEY` (an API key).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]
#![allow(clippy::disallowed_methods, reason = "tests spawn what ends with them")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "says what clients said, and what was not run")]

mod cutting_proxy;
mod described_api;
mod event_source;
mod openai_chat;
mod openai_responses;
mod scripts;
#[allow(dead_code, unused_imports, reason = "made for the black-box tests")]
#[path = "../black_box/support/mod.rs"]
mod support;
mod ui_chat;
mod webhooks;
