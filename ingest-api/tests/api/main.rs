//! The API through its socket, on the embedded adapters.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod branches;
mod description;
mod http_edges;
mod input;
mod messages;
mod service;
mod sessions;
mod stopping;
mod strategies;
mod stream;
mod support;
mod tasks;
mod usage;
