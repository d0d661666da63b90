//! The HTTP side of a worker, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what was not run"
)]
#![allow(clippy::disallowed_methods, reason = "tests run servers and requests of their own beside the worker's")]

mod emulator;
mod forms;
mod limits;
mod oidc;
mod outcomes;
mod probes;
mod stop;
mod support;
mod traces;
