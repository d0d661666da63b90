//! The socket through which operators reach the process that has the data folder: `DATA_DIR/admin.sock`, for its owner
//! alone. JSON over HTTP; [`protocol`] has the calls, which are those of the ports.

mod client;
mod file;
mod protocol;
mod server;

pub(super) use self::client::Remote;
pub use self::server::serve;
