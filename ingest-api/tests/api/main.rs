//! The API through its socket, on the embedded adapters.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod branches;
mod chat;
mod description;
mod front_door;
mod http_edges;
mod identity;
mod input;
mod messages;
mod responses;
mod service;
mod sessions;
mod stopping;
mod strategies;
mod stream;
mod stream_max;
mod support;
mod tasks;
mod ui_chat;
mod usage;
mod user_limits;
