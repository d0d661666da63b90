//! The socket through which operators reach the process that has the data folder: `DATA_DIR/admin.sock`, for its owner
//! alone. JSON over HTTP; [`protocol`] has the calls, which are those of the ports.

mod client;
mod file;
mod keys;
mod protocol;
mod server;
mod webhooks;

pub(super) use self::client::Remote;
pub(crate) use self::server::{Embedded, serve};
