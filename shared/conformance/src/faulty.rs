//! Ports that fail when a test says so, in front of real ones. What goes wrong, and how often a port was asked, is in
//! the [`Faults`] that a test shares with them.

mod bus;
mod store;
mod turns;

use std::sync::{Arc, Mutex};

use parlance_shared::port::PortError;

pub use self::{bus::FaultyBus, store::FaultyStore, turns::FaultyTurns};

const WHAT: &str = "port";
/// Goes to the log; a test that finds it in an answer has found a leak.
const CAUSE: &str = "secret inner detail";

/// What goes wrong in every call until it is set anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// As [`unavailable`].
    Unavailable,
    /// As [`full`].
    Full,
    /// As [`rejected`].
    Rejected,
    /// No answer comes, ever.
    Hangs,
}

/// A test's hold on the ports that it gave a clone to. Only the calls that a port lets fail are failed and counted.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: u32,
    next: Option<Next>,
    standing: Fault,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    left: u32,
    error: fn() -> PortError,
}

impl Faults {
    /// The first calls fail, then none.
    pub fn first(calls: u32, error: fn() -> PortError) -> Self {
        let faults = Self::default();
        faults.fail_next(calls, error);
        faults
    }

    /// So many calls from here on fail, whatever [`Faults::set`] says. `error` may panic: then the call does.
    pub fn fail_next(&self, calls: u32, error: fn() -> PortError) {
        self.0.lock().unwrap().next = Some(Next { left: calls, error });
    }

    /// Sets the fault that stands until it is set anew.
    pub fn set(&self, fault: Fault) {
        self.0.lock().unwrap().standing = fault;
    }

    /// Calls so far, failed or not.
    pub fn calls(&self) -> u32 {
        self.0.lock().unwrap().calls
    }

    async fn pass(&self) -> Result<(), PortError> {
        // The lock is free again before an error that panics is made.
        let (next, standing) = self.0.lock().unwrap().call();
        match (next, standing) {
            (Some(error), _) => Err(error()),
            (None, Fault::None) => Ok(()),
            (None, Fault::Unavailable) => Err(unavailable()),
            (None, Fault::Full) => Err(full()),
            (None, Fault::Rejected) => Err(rejected()),
            (None, Fault::Hangs) => std::future::pending().await,
        }
    }
}

impl State {
    fn call(&mut self) -> (Option<fn() -> PortError>, Fault) {
        self.calls += 1;
        let next = self.next.as_mut().filter(|next| next.left > 0).map(|next| {
            next.left -= 1;
            next.error
        });
        (next, self.standing)
    }
}

/// The same call may work later.
pub fn unavailable() -> PortError {
    PortError::Unavailable { what: WHAT, cause: CAUSE.to_owned() }
}

/// There is no room.
pub fn full() -> PortError {
    PortError::Full { what: WHAT, cause: CAUSE.to_owned() }
}

/// The same call can never work.
pub fn rejected() -> PortError {
    PortError::Rejected { what: WHAT, cause: CAUSE.to_owned() }
}

/// The caller dies in the middle of the call.
pub fn panicking() -> PortError {
    panic!("as the test wants it")
}
