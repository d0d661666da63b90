//! The HTTP side of a worker: probes and metrics, and in push mode the one endpoint that Pub/Sub and Eventarc call.
//!
//! `receive_push` is the way of one request: who calls (`oidc`), how much it may send (`read_body`), what it says
//! (`formats`: wrapped, unwrapped, Eventarc), whose it is (`endpoint`), the work (`work`), and the status that answers it.
//! The work happens within the request, as Cloud Run gives processor time only then, but not for the request's sake: it
//! goes on when the caller hangs up, because a reply that is under way is worth more than the answer to a push.

mod endpoint;
mod formats;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod get_health;
mod get_metrics;
mod get_ready;
mod keep_letter;
mod oidc;
mod problem;
mod rare_log;
mod read_body;
mod receive_push;
mod report;
mod router;
mod serve;
mod unreadable;
mod work;
mod worker_http;

pub use parlance_oidc::{GOOGLE_JWKS_URL, KeyPolicy};

pub use self::{
    oidc::{OidcSettings, OidcVerifier, Verification},
    serve::serve,
    worker_http::{Limits, NotReady, Push, ReadyCheck, WorkerHttp},
};
