//! What every adapter of a port must keep, as tests that run against any of them: one suite per port, written against
//! the port alone. An adapter's tests make a harness and call each function of the suite.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a suite fails by panicking")]

pub mod bus;
pub mod store;
pub mod turns;
