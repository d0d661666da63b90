//! When the next message may be sent, and when none may any more.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    LoadTest,
    trouble::{Refusal, Trouble},
};

/// The share of what failed is that of so many last messages …
const WINDOW: usize = 50;
/// … once there are so many.
const LEAST: usize = 10;
/// A server that says "not now" and not when is left alone for this long.
const PAUSE: Duration = Duration::from_secs(2);
/// What is under way at the end may have to wait for as long before it is done.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why no message is sent any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Time,
    Messages,
    Tokens,
    /// Too large a share of the last messages failed.
    Errors,
    /// The server asked to be left alone for longer than the test lasts.
    TurnedAway(Duration),
    /// The credential is not accepted.
    NotAllowed(String),
    Interrupted,
}

impl Ending {
    /// Whether that is no good end.
    pub(super) fn is_early(&self) -> bool {
        matches!(self, Self::Errors | Self::TurnedAway(_) | Self::NotAllowed(_))
    }

    pub(super) fn sentence(&self, test: &LoadTest) -> String {
        match self {
            Self::Time => format!("the time was up ({} s)", test.duration.as_secs()),
            Self::Messages => format!("{} messages were sent", test.max_messages),
            Self::Tokens => format!("{} tokens were used", test.max_tokens),
            Self::Errors => {
                format!(
                    "stopped by itself: more than {:.0} % of the last messages failed",
                    test.max_error_share * 100.0
                )
            }
            Self::TurnedAway(time) => {
                format!("stopped by itself: the server asked to come back in {} s, after the end", time.as_secs())
            }
            Self::NotAllowed(kind) => format!("stopped by itself: {kind}"),
            Self::Interrupted => "interrupted".to_owned(),
        }
    }
}

/// What all conversations go through before each message.
pub(super) struct Gate {
    state: Mutex<State>,
    haste: watch::Sender<Haste>,
    end: Instant,
    interval: Duration,
    max_messages: u64,
    max_tokens: u64,
    max_error_share: f64,
}

/// What becomes of what is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Haste {
    /// It comes to its end, however long it must wait for that.
    None,
    /// It comes to its end unless it would have to wait.
    Stop,
    /// It is given up.
    GiveUp,
}

struct State {
    ending: Option<Ending>,
    next: Instant,
    closed_until: Instant,
    messages: u64,
    tokens: u64,
    /// Whether they failed.
    last: VecDeque<bool>,
}

impl Gate {
    pub(super) fn new(test: &LoadTest) -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                ending: None,
                next: now,
                closed_until: now,
                messages: 0,
                tokens: 0,
                last: VecDeque::new(),
            }),
            haste: watch::channel(Haste::None).0,
            end: now + test.duration,
            interval: Duration::from_secs_f64(1.0 / test.rate),
            max_messages: test.max_messages,
            max_tokens: test.max_tokens,
            max_error_share: test.max_error_share,
        }
    }

    /// Waits until a message may be sent; `false` when none may any more.
    pub(super) async fn pass(&self) -> bool {
        let Some(mut at) = self.take_place() else { return false };
        loop {
            if !self.wait_until(at).await {
                return false;
            }
            // The server may have asked for a pause meanwhile.
            let closed_until = self.state().closed_until;
            if closed_until <= Instant::now() {
                return true;
            }
            at = closed_until;
        }
    }

    /// Waits until calls that continue something are welcome again; `false` when it is over.
    pub(super) async fn wait_until_open(&self) -> bool {
        let until = self.state().closed_until;
        self.wait_until(until).await
    }

    async fn wait_until(&self, moment: Instant) -> bool {
        let mut haste = self.haste.subscribe();
        tokio::select! {
            biased;
            _ = haste.wait_for(|haste| *haste >= Haste::Stop) => false,
            () = sleep_until(moment) => true,
        }
    }

    /// The moment of the next message. A conversation that comes late takes the present one: what was missed is not caught up
    /// with in a burst.
    fn take_place(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state();
        let at = state.next.max(state.closed_until).max(now);
        let over = if state.ending.is_some() {
            return None;
        } else if state.messages >= self.max_messages {
            Some(Ending::Messages)
        } else if state.tokens >= self.max_tokens {
            Some(Ending::Tokens)
        } else {
            (at >= self.end).then_some(Ending::Time)
        };
        if over.is_some() {
            state.ending = over;
            return None;
        }
        state.messages += 1;
        state.next = at + self.interval;
        Some(at)
    }

    /// The server said: not now. Everybody stays away for as long as it asks, and a little longer, so that not all come at once.
    pub(super) fn turned_away(&self, refusal: &Refusal) {
        let asked = refusal.retry_after.unwrap_or(PAUSE).max(Duration::from_millis(100));
        let until = Instant::now() + asked + Duration::from_millis(fastrand::u64(..200));
        if until > self.end + PATIENCE {
            self.stop(Ending::TurnedAway(asked));
            return;
        }
        let mut state = self.state();
        state.closed_until = state.closed_until.max(until);
    }

    /// A message has come to its end.
    pub(super) fn ended(&self, trouble: Option<&Trouble>, tokens: u64) {
        if let Some(trouble) = trouble.filter(|trouble| trouble.is_for_all()) {
            self.stop(Ending::NotAllowed(trouble.kind().into_owned()));
        }
        let mut state = self.state();
        state.tokens += tokens;
        state.last.push_back(trouble.is_some());
        if state.last.len() > WINDOW {
            state.last.pop_front();
        }
        let failed = state.last.iter().filter(|failed| **failed).count();
        let too_many = failed as f64 > self.max_error_share * state.last.len() as f64;
        let is_known = state.last.len() >= LEAST;
        drop(state);
        if is_known && too_many {
            self.stop(Ending::Errors);
        }
    }

    /// No message is sent from now on, and who waits stops waiting. A stop by itself is what is told of, whatever follows.
    pub(super) fn stop(&self, why: Ending) {
        let haste = if why == Ending::Interrupted { Haste::GiveUp } else { Haste::Stop };
        let mut state = self.state();
        if !state.ending.as_ref().is_some_and(Ending::is_early) {
            state.ending = Some(why);
        }
        drop(state);
        self.haste.send_modify(|now| *now = haste.max(*now));
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().ending.clone()
    }

    /// Comes back when what is under way is to be given up.
    pub(super) async fn given_up(&self) {
        let mut haste = self.haste.subscribe();
        if haste.wait_for(|haste| *haste == Haste::GiveUp).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_test::Protocol;

    fn test() -> LoadTest {
        LoadTest {
            protocol: Protocol::Native,
            conversations: 1,
            rate: 10.0,
            duration: Duration::from_secs(10),
            max_messages: 1_000,
            max_tokens: 1_000,
            max_error_share: 0.1,
            turns: 1,
            message: String::new(),
            model: None,
            reply_timeout: Duration::from_secs(1),
            keep_sessions: false,
            act_as_users: false,
        }
    }

    fn refusal(retry_after: u64) -> Refusal {
        Refusal { status: 429, code: String::new(), retry_after: Some(Duration::from_secs(retry_after)) }
    }

    async fn passed(gate: &Gate) -> u32 {
        let mut passed = 0;
        while gate.pass().await {
            passed += 1;
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_sent_than_the_rate_allows_and_a_late_one_is_no_burst() {
        let gate = Gate::new(&test());
        let began = Instant::now();
        assert_eq!((passed(&gate).await, gate.ending()), (100, Some(Ending::Time)));
        assert!(began.elapsed() <= Duration::from_secs(10));
        let gate = Gate::new(&test());
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!((9..=11).contains(&passed(&gate).await));
    }

    #[tokio::test(start_paused = true)]
    async fn messages_and_tokens_are_used_up() {
        let gate = Gate::new(&LoadTest { max_messages: 7, ..test() });
        assert_eq!((passed(&gate).await, gate.ending()), (7, Some(Ending::Messages)));
        let gate = Gate::new(&test());
        for _ in 0..4 {
            assert!(gate.pass().await);
            gate.ended(None, 250);
        }
        assert_eq!((passed(&gate).await, gate.ending()), (0, Some(Ending::Tokens)));
    }

    #[tokio::test(start_paused = true)]
    async fn all_stay_away_for_as_long_as_the_server_asks() {
        let gate = Gate::new(&test());
        let began = Instant::now();
        gate.turned_away(&refusal(3));
        assert!(gate.pass().await && began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
        gate.turned_away(&refusal(1));
        assert!(gate.wait_until_open().await && began.elapsed() >= Duration::from_secs(4));
        gate.turned_away(&refusal(15));
        assert!(
            gate.wait_until_open().await && !gate.pass().await,
            "what is under way comes to its end, and no more is sent"
        );
        assert_eq!(gate.ending(), Some(Ending::Time));
        let gate = Gate::new(&test());
        gate.turned_away(&refusal(3_600));
        assert!(!gate.pass().await && !gate.wait_until_open().await);
        assert_eq!(gate.ending(), Some(Ending::TurnedAway(Duration::from_secs(3_600))));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_failures_stop_it_and_a_refused_credential_at_once() {
        let gate = Gate::new(&test());
        for n in 0..100 {
            assert!(gate.pass().await);
            gate.ended((n % 10 == 9).then_some(&Trouble::Cut), 0);
        }
        assert!(!gate.ending().is_some_and(|ending| ending.is_early()), "a tenth is allowed");
        let gate = Gate::new(&test());
        for _ in 0..9 {
            gate.ended(Some(&Trouble::Cut), 0);
        }
        assert!(gate.pass().await, "nine are too few to judge by");
        gate.ended(Some(&Trouble::Cut), 0);
        assert_eq!((gate.pass().await, gate.ending()), (false, Some(Ending::Errors)));
        gate.stop(Ending::Interrupted);
        gate.given_up().await;
        assert_eq!(gate.ending(), Some(Ending::Errors), "why it stopped is told");
        let gate = Gate::new(&test());
        let refused = Refusal { status: 403, code: "invalid_credential".into(), retry_after: None };
        gate.ended(Some(&Trouble::Status(refused)), 0);
        assert_eq!((gate.pass().await, gate.ending().map(|ending| ending.is_early())), (false, Some(true)));
    }
}
