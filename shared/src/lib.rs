//! What every Parlance service shares: domain types, events, ports, settings and telemetry.
//!
//! Services depend on this crate and see only its [`port`]s; adapters (crates below `shared/`) implement the ports; the
//! binaries choose which adapter stands behind which port.

pub mod binary_mode;
pub mod budget;
pub mod caller;
pub mod circuits;
pub mod clock;
pub mod consume;
pub mod content;
pub mod cursor;
pub mod delivery_count;
pub mod event;
pub mod id;
pub mod id_mint;
pub mod key_mint;
pub mod lifecycle;
pub mod log_view;
pub mod message;
pub mod metrics;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod page;
pub mod port;
pub mod prices;
pub mod providers;
pub mod replay;
pub mod reply_text;
pub mod retention;
pub mod retry;
pub mod session;
pub mod settings;
pub mod summary;
pub mod task;
pub mod telemetry;
pub mod topology;
pub mod trace;
pub mod usage;
pub mod webhook;

pub use caller::{Caller, UserId};
pub use clock::Clock;
pub use id::{CallId, MessageId, SessionId, TaskId};
pub use lifecycle::Lifecycle;
