//! The reply log between processes: workers write, API processes read, Postgres carries.
//!
//! Two ways for the same text. For live delivery a worker's [`flusher`] writes all that its replies said since the last
//! flush as one *segment*, one row, and notifies its number; each API process fetches a segment once ([`tail`]) and
//! splits it in memory for all its readers. For resume, about once a second per reply, a row in `reply_log`, fenced by
//! the turn it belongs to. A reader who joins loads the turn and the stored rows, and has the last second from the
//! segments that its process still holds ([`ring`]).
//!
//! Why nothing is missed or doubled: every piece says at which byte of which attempt it starts. A reader's text only
//! grows by what follows it; a piece that starts beyond shows a gap, and a gap is closed by loading what is stored,
//! never by skipping. So segments and notifications may be lost or come twice, and readers who were cut off catch up.
//!
//! Commits of the log don't wait for the disk. What a crash of the database loses the workers still have: after every
//! new connection they store whole texts again.

mod facts;
mod flush;
mod flusher;
mod follow;
mod held;
mod inbox;
mod janitor;
mod listener;
mod live;
mod options;
mod outbox;
mod overlap;
mod registry;
mod ring;
mod segment;
mod stats;
mod stream;
mod tail;
mod tail_queries;
mod writer;

pub(crate) use self::options::RetryWait;
pub(crate) use self::{
    facts::{Fact, Notice, TURNS_CHANNEL},
    flusher::Flusher,
    follow::Follow,
    held::HeldClaims,
    inbox::Inbox,
    janitor::{Janitor, expire_log, expire_replies},
    listener::Listener,
    outbox::Outbox,
    overlap::assemble,
    registry::Registry,
    stats::Counters,
    stream::Unstored,
    tail::Tail,
    writer::Writer,
};
pub use self::{
    options::{LogOptions, Role},
    stats::LogStats,
};
