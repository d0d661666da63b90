//! Load and crash benchmarks: the real binary as a black box, over HTTP, against the mock LLM in a process of its own.
//!
//! - [`figures`]: the speeds that must be reached, each beside the same load sent straight to the mock.
//! - [`load_test`]: how fast a Parlance is that runs somewhere.
//! - [`crash`]: many conversations while the server is killed again and again, and the checks of what they saw.
//!
//! The benchmarks' client shares the machine with what it measures, so it is small: one thread, HTTP/1.1 by hand, no pool.

#![allow(clippy::disallowed_methods, reason = "a load generator's tasks end with it; there is no shutdown to wait for")]

pub mod api;
pub mod clock;
pub mod cloud;
pub mod crash;
pub mod figure;
pub mod figures;
pub mod http;
pub mod issuer;
pub mod load;
pub mod load_test;
pub mod proc_stat;
pub mod process;
pub mod proxy;
pub mod random;
pub mod sse;
pub mod stats;

/// Whatever stops a benchmark; it is told to a person, never handled.
pub type Stop = Box<dyn std::error::Error + Send + Sync>;

/// A result of a step of a benchmark.
pub type Fallible<T> = Result<T, Stop>;
