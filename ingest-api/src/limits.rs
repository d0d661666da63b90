//! How much a caller, and all of them together, may ask of this process.
//!
//! Rates and streams are counted in each process: behind a balancer with several, a caller can have that many times as
//! much. Tasks that have not ended are counted in the record, which all share. Nothing here waits or touches a disk but
//! that.

mod buckets;
mod client_address;
mod open_tasks;
mod part;
mod pressure;
mod rate_headers;
mod room;
mod slots;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use parlance_shared::{
    Lifecycle, UserId,
    metrics::Metrics,
    settings::{FrontDoorSettings, Rate},
};

use self::{
    buckets::{Buckets, Level},
    open_tasks::OpenTasks,
    pressure::Pressure,
    rate_headers::whole_seconds,
    slots::Slots,
};
pub(crate) use self::{
    client_address::{ClientAddress, Peer},
    open_tasks::enter as enter_task,
    pressure::Kind,
    rate_headers::Standing,
    room::{BodyRoom, Taken},
    slots::Slot,
};
use crate::problem::{Code, Problem};

const MINUTE: Duration = Duration::from_secs(60);
/// Where callers prove who they are, and nothing else is said.
const PER_USER: Rate = Rate { requests: 600, per: MINUTE };
const PER_IP: Rate = Rate { requests: 1_200, per: MINUTE };
const TASKS_PER_USER: u32 = 100;
const STREAMS_PER_USER: u32 = 100;
const QUEUE_DELAY: Duration = Duration::from_millis(20);

/// Messages on their way to the bus. More of them than this only wait for it, whatever it is that makes it slow.
const SUBMITTING: u32 = 1_024;
/// Until the next try after load was turned away.
const OVERLOADED_RETRY: u32 = 1;
/// Until the next try for a stream when one of the user's must end first.
const STREAM_RETRY: u32 = 5;

/// The bounds in force and what is counted under them.
#[derive(Debug)]
pub(crate) struct CallerLimits {
    began: Instant,
    per_user: Option<Buckets<UserId>>,
    per_ip: Option<Buckets<u64>>,
    streams_per_user: Option<u32>,
    streams: Slots,
    tasks_per_user: Option<u32>,
    open_tasks: OpenTasks,
    queue_delay: Option<Duration>,
    pub(crate) pressure: Pressure,
    submitting: AtomicU32,
    pub(crate) bodies: BodyRoom,
}

/// A message on its way to the bus.
#[derive(Debug)]
pub(crate) struct Submitting<'a>(&'a AtomicU32);

impl Drop for Submitting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CallerLimits {
    /// As set; what is not set has a bound only where callers prove who they are (`identified`).
    pub(crate) fn new(settings: &FrontDoorSettings, identified: bool) -> Self {
        Self {
            began: Instant::now(),
            per_user: settings.rate_per_user.or(identified.then_some(PER_USER)).map(Buckets::new),
            per_ip: settings.rate_per_ip.or(identified.then_some(PER_IP)).map(Buckets::new),
            streams_per_user: settings.streams_per_user.or(identified.then_some(STREAMS_PER_USER)),
            streams: Slots::default(),
            tasks_per_user: settings.tasks_per_user.or(identified.then_some(TASKS_PER_USER)),
            open_tasks: OpenTasks::default(),
            queue_delay: settings.queue_delay.or(identified.then_some(QUEUE_DELAY)),
            pressure: Pressure::default(),
            submitting: AtomicU32::new(0),
            bodies: BodyRoom::default(),
        }
    }

    /// Counts a call of this address; before anything is known of the caller.
    pub(crate) fn count_address(&self, address: ClientAddress, standing: &mut Standing) -> Result<(), Problem> {
        let Some(per_ip) = &self.per_ip else { return Ok(()) };
        let taken = per_ip.take(address.network(), self.began.elapsed());
        let (Ok(level) | Err(level)) = taken;
        standing.ip = Some(level);
        taken.map(|_| ()).map_err(|level| rate_limited(level, "this address"))
    }

    /// Counts a call of this user.
    pub(crate) fn count_user(&self, user: &UserId, standing: &mut Standing) -> Result<(), Problem> {
        let Some(per_user) = &self.per_user else { return Ok(()) };
        let taken = per_user.take(user.clone(), self.began.elapsed());
        let (Ok(level) | Err(level)) = taken;
        standing.user = Some(level);
        taken.map(|_| ()).map_err(|level| rate_limited(level, "this user"))
    }

    /// Lets a call in, unless there is more load than can be done.
    pub(crate) fn let_in(&self, kind: Kind) -> Result<(), Problem> {
        if self.queue_delay.is_none() || self.pressure.lets_in(kind) { Ok(()) } else { Err(overloaded()) }
    }

    /// Watches the load until the process stops.
    pub(crate) fn watch_load(&self, metrics: &Arc<Metrics>, lifecycle: &Lifecycle) {
        if let Some(target) = self.queue_delay {
            lifecycle.spawn(self.pressure.clone().watch(target, metrics.clone(), lifecycle.clone()));
        }
    }

    /// A message on its way to the bus, unless too many are.
    pub(crate) fn submitting(&self) -> Result<Submitting<'_>, Problem> {
        let before = self.submitting.fetch_add(1, Ordering::Relaxed);
        let guard = Submitting(&self.submitting);
        if before < SUBMITTING { Ok(guard) } else { Err(overloaded()) }
    }

    /// A place for a stream or a long-poll of this user's, to be held while it lasts; none where nothing is limited.
    pub(crate) fn stream(&self, user: &UserId) -> Result<Option<Slot>, Problem> {
        let Some(most) = self.streams_per_user else { return Ok(None) };
        match self.streams.take(user, most) {
            Some(slot) => Ok(Some(slot)),
            None => {
                let detail = format!("{most} streams or long-polls of yours are open. Close one, or wait for its end.");
                Err(Problem::new(Code::TooManyStreams, detail).retry_after(STREAM_RETRY).member("limit", most))
            }
        }
    }
}

fn rate_limited(level: Level, whose: &str) -> Problem {
    let seconds = whole_seconds(level.reset).max(1);
    let (most, window) = (level.rate.requests, level.rate.per.as_secs());
    let detail = format!("More than {most} calls of {whose} in {window} s. Try again in {seconds} s.");
    Problem::new(Code::RateLimited, detail).retry_after(seconds).member("limit", most).member("window_seconds", window)
}

/// There is more load than can be done.
pub(crate) fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "There is more to do than can be done in time. Nothing was done; try again.")
        .retry_after(OVERLOADED_RETRY)
}

/// Where tests come from that have no socket.
pub(crate) const NOWHERE: Peer = Peer(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED));
