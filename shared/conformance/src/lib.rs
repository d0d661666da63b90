//! What every adapter of a port must keep, as tests that run against any of them: one suite per port, written against
//! the port alone. An adapter's tests make a harness and call each function of the suite.
//!
//! Beside the suites stands what the tests of services share: ports that fail on demand ([`faulty`]), workers under way
//! ([`running`]), messages to them ([`message`]) and waiting ([`wait`]).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a suite fails by panicking")]

pub mod audit;
pub mod bus;
pub mod circuits;
pub mod faulty;
pub mod keys;
pub mod message;
pub mod running;
pub mod store;
pub mod turns;
pub mod users;
pub mod wait;
