//! What the programs of a deployment have in common: they read settings, refuse to start without what they need, choose
//! the adapters for Google Cloud, and stop within 10 s.
//!
//! A service's `main` is [`run`] with a function that puts its own parts together on [`Cloud`].

pub mod cloud;
mod health;
pub mod listen;
mod metrics_port;
mod observability;
mod run;
pub mod start_error;
pub mod stop;
pub mod stop_signal;
pub mod worker;

pub use parlance_postgres::Role as LogRole;

pub use self::{
    cloud::Cloud,
    observability::Observability,
    run::{Start, run},
    start_error::StartError,
};
