//! The way of one turn through the providers: who is asked next after a failure, and when.
//!
//! - What another provider may do better goes to the next one at once: no connection, a rate limit, a silence, a reply that
//!   was cut, a key that is not accepted. A fault of the provider's own that may be over in a moment is tried once more
//!   before that.
//! - What the conversation itself is the cause of goes nowhere.
//! - A provider whose circuit is open is passed over while another one can be asked. When all are open, the one that is
//!   due first is asked all the same: a circuit saves time, it must not fail turns.
//! - When all have been asked, it begins anew, after a wait.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Provider, Providers};
use crate::port::{
    circuits::Admission,
    llm::{LlmError, LlmErrorKind},
};

/// A fault of a provider's own is tried so often in a row.
const TRIES: u32 = 2;

/// How a provider failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What happened; `None` when it was none of the provider's doing.
    pub kind: Option<LlmErrorKind>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether something had been said by then.
    pub said_something: bool,
}

impl Failed {
    /// From a provider's error.
    pub fn of(error: &LlmError, said_something: bool) -> Self {
        Self { kind: Some(error.kind), retry_after: error.retry_after, said_something }
    }
}

/// Where to go after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// The next provider can be asked at once.
    Now {
        /// It was not asked yet in this turn.
        is_first_time: bool,
    },
    /// The same one again, or all from the start, but not before this time.
    Later {
        /// What the provider asks for; zero when it asks for nothing.
        at_least: Duration,
    },
    /// Nobody can help.
    Nowhere,
}

/// One turn's way.
pub struct Route {
    providers: Arc<Providers>,
    states: Vec<State>,
    current: usize,
    is_chosen: bool,
    is_probe: bool,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Requests in this round.
    tries: u32,
    /// Asked in any round.
    was_asked: bool,
    /// It can't answer this turn, however often it is asked.
    is_out: bool,
    not_before: Option<Instant>,
}

impl State {
    fn waits(&self) -> Duration {
        self.not_before.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default()
    }
}

impl Route {
    /// At its start.
    pub fn new(providers: Arc<Providers>) -> Self {
        let states = vec![State::default(); providers.count()];
        Self { providers, states, current: 0, is_chosen: false, is_probe: false }
    }

    /// The provider to ask now; counts as asked.
    pub async fn ask(&mut self) -> &Provider {
        if !self.is_chosen && !self.choose().await {
            self.choose_in_spite().await;
        }
        self.is_chosen = false;
        let state = &mut self.states[self.current];
        state.tries += 1;
        state.was_asked = true;
        self.provider()
    }

    /// The provider that was asked last.
    pub fn provider(&self) -> &Provider {
        self.providers.get(self.current)
    }

    pub(super) fn place(&self) -> usize {
        self.current
    }

    /// It answered.
    pub fn answered(&self) {
        self.providers.report(self.current, Some(true));
    }

    /// It failed. Where to go on; [`Route::ask`] knows then.
    pub async fn failed(&mut self, failed: &Failed) -> Onward {
        self.providers.report(self.current, failed.kind.and_then(LlmErrorKind::provider_is_well));
        if failed.kind.is_some_and(|kind| !kind.may_pass_elsewhere()) {
            return Onward::Nowhere;
        }
        let is_alone = self.states.len() == 1;
        let state = &mut self.states[self.current];
        state.is_out |= failed.kind.is_some_and(|kind| !kind.is_retryable());
        state.not_before = failed.retry_after.map(|wait| Instant::now() + wait);
        let passes_soon = matches!(
            failed.kind,
            None | Some(LlmErrorKind::Unavailable | LlmErrorKind::BadResponse | LlmErrorKind::EmptyReply)
        );
        let once_more = passes_soon && !failed.said_something && failed.retry_after.is_none() && !self.is_probe;
        if once_more && state.tries < TRIES && !is_alone {
            self.is_chosen = true;
            return Onward::Later { at_least: Duration::ZERO };
        }
        if !is_alone && self.choose().await {
            return Onward::Now { is_first_time: !self.states[self.current].was_asked };
        }
        self.states.iter_mut().for_each(|state| state.tries = 0);
        let waits = self.states.iter().filter(|state| !state.is_out).map(State::waits).min();
        waits.map_or(Onward::Nowhere, |at_least| Onward::Later { at_least })
    }

    /// Takes the first provider that was not asked in this round and whose circuit lets it be asked.
    async fn choose(&mut self) -> bool {
        for place in 0..self.states.len() {
            let state = self.states[place];
            if state.is_out || state.tries > 0 || !state.waits().is_zero() {
                continue;
            }
            // Alone, it is asked whatever its circuit says.
            let admission = match self.states.len() {
                1 => Admission::Closed,
                _ => self.providers.circuits.admit(&self.providers.get(place).circuit).await,
            };
            if !matches!(admission, Admission::Open(_)) {
                (self.current, self.is_chosen, self.is_probe) = (place, true, admission == Admission::Probe);
                return true;
            }
        }
        false
    }

    /// Takes whom to ask when nobody should be.
    async fn choose_in_spite(&mut self) {
        if self.states.len() == 1 {
            return;
        }
        let mut best: Option<(Duration, usize)> = None;
        for place in 0..self.states.len() {
            let state = self.states[place];
            if state.is_out {
                continue;
            }
            let circuit = match self.providers.circuits.admit(&self.providers.get(place).circuit).await {
                Admission::Open(left) => left,
                Admission::Closed | Admission::Probe => Duration::ZERO,
            };
            let wait = circuit.max(state.waits());
            if best.is_none_or(|(least, _)| wait < least) {
                best = Some((wait, place));
            }
        }
        (self.current, self.is_probe) = (best.map_or(0, |(_, place)| place), true);
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
