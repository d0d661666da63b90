//! The API through its socket, on the embedded adapters.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod description;
mod http_edges;
mod messages;
mod service;
mod sessions;
mod stopping;
mod stream;
mod support;
mod tasks;
