//! Callers with a key of ours.
//!
//! A made-up key is told from ours by its last characters ([`KeyMint`]), so it never reaches the database. One that was made
//! here is looked up, once for all that come with it at the same time, and what was found serves for [`FRESH`]: so long does
//! a revocation take to bite. While the database does not answer it serves for [`USABLE`].

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parlance_shared::{
    Caller, Clock, Lifecycle,
    caller::CallerKey,
    key_mint::KeyMint,
    port::{
        PortError,
        keys::{ApiKey, KeyHash, KeyState, Keys},
    },
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tracing::debug;

use super::aging::Aging;
use crate::bounded::bounded;

/// What was found serves for so long.
const FRESH: Duration = Duration::from_secs(10);
/// And for so long while the database can't be asked.
const USABLE: Duration = Duration::from_secs(300);
/// After a failure nobody asks again for so long who has something to go by.
const PAUSE: Duration = Duration::from_secs(5);
/// One look.
const LOOK: Duration = Duration::from_secs(2);
/// That there is no such key is believed for so long.
const UNKNOWN: Duration = Duration::from_secs(10);
/// How often the use of a key is noted.
const NOTE_EVERY_MILLIS: i64 = 60_000;
const NOTE: Duration = Duration::from_secs(5);

const MOST_KEYS: usize = 10_000;
/// Keys that were made here and are no more; apart, so that they push out none that are.
const MOST_UNKNOWN: usize = 1_000;

pub(super) struct ApiKeys {
    mint: KeyMint,
    keys: Arc<dyn Keys>,
    found: Aging<KeyHash, Arc<Slot>>,
    unknown: Aging<KeyHash, Instant>,
    clock: Clock,
    lifecycle: Lifecycle,
}

/// A key and whose it is.
pub(super) struct KnownKey {
    pub(super) row: ApiKey,
    pub(super) caller: Caller,
}

/// Why a key is not accepted.
pub(super) enum NoKey {
    Unknown,
    Revoked,
    Expired,
    Away(PortError),
}

#[derive(Default)]
struct Slot {
    state: RwLock<State>,
    /// Whoever holds it looks.
    turn: Mutex<()>,
    noted: AtomicI64,
}

#[derive(Clone, Default)]
struct State {
    known: Option<(Arc<KnownKey>, Instant)>,
    failed_at: Option<Instant>,
}

impl ApiKeys {
    pub(super) fn new(keys: Arc<dyn Keys>, mint: KeyMint, clock: Clock, lifecycle: Lifecycle) -> Self {
        Self { mint, keys, found: Aging::new(MOST_KEYS), unknown: Aging::new(MOST_UNKNOWN), clock, lifecycle }
    }

    /// The key, if it is accepted now.
    pub(super) async fn check(&self, text: &str) -> Result<Arc<KnownKey>, NoKey> {
        let hash = self.mint.read(text).ok_or(NoKey::Unknown)?;
        if self.unknown.get(&hash).is_some_and(|since| since.elapsed() < UNKNOWN) {
            return Err(NoKey::Unknown);
        }
        let slot = self.found.get_or_insert(hash, Arc::default);
        let known = self.find(&hash, &slot).await?;
        let now = self.clock.now();
        match known.row.state(now) {
            KeyState::Revoked => return Err(NoKey::Revoked),
            KeyState::Expired => return Err(NoKey::Expired),
            KeyState::Active | KeyState::Rotated => {}
        }
        self.note_use(&slot, &known, now.timestamp_millis());
        Ok(known)
    }

    async fn find(&self, hash: &KeyHash, slot: &Slot) -> Result<Arc<KnownKey>, NoKey> {
        if let Some(known) = slot.known_within(FRESH) {
            return Ok(known);
        }
        let _turn = match (slot.turn.try_lock(), slot.known_within(USABLE)) {
            (Ok(turn), _) => turn,
            // Someone is looking already.
            (Err(_), Some(known)) => return Ok(known),
            (Err(_), None) => slot.turn.lock().await,
        };
        if let Some(known) = slot.known_within(FRESH) {
            return Ok(known);
        }
        let usable = slot.known_within(USABLE);
        if let (true, Some(known)) = (slot.failed_lately(), &usable) {
            return Ok(Arc::clone(known));
        }
        match bounded(LOOK, "the keys", self.keys.find(hash)).await {
            Ok(Some(row)) => Ok(slot.learn(row)),
            Ok(None) => {
                self.found.remove(hash);
                self.unknown.insert(*hash, Instant::now());
                Err(NoKey::Unknown)
            }
            Err(error) => {
                slot.fail();
                debug!(%error, "a key can't be looked up now");
                usable.ok_or(NoKey::Away(error))
            }
        }
    }

    /// To the minute, and beside the call: what is lost is a time that nobody relies on.
    fn note_use(&self, slot: &Slot, known: &KnownKey, now: i64) {
        let noted = slot.noted.load(Ordering::Relaxed);
        if now - noted < NOTE_EVERY_MILLIS
            || slot.noted.compare_exchange(noted, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let (keys, id, at) = (Arc::clone(&self.keys), known.row.id.clone(), self.clock.now());
        self.lifecycle.spawn(async move {
            match timeout(NOTE, keys.note_use(&id, at)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "the use of a key could not be noted"),
                Err(_) => debug!("the use of a key could not be noted in time"),
            }
        });
    }
}

impl Slot {
    fn known_within(&self, limit: Duration) -> Option<Arc<KnownKey>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (known, since) = state.known.as_ref()?;
        (since.elapsed() < limit).then(|| Arc::clone(known))
    }

    fn failed_lately(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.failed_at.is_some_and(|at| at.elapsed() < PAUSE)
    }

    fn learn(&self, row: ApiKey) -> Arc<KnownKey> {
        let key = CallerKey { id: row.id.as_str().into(), webhook_url: row.webhook_url.as_deref().map(Into::into) };
        let caller = Caller { user: row.user.clone(), role: row.role, key: Some(key) };
        let last_used = row.last_used_at.map_or(0, |at| at.timestamp_millis());
        self.noted.fetch_max(last_used, Ordering::Relaxed);
        let known = Arc::new(KnownKey { row, caller });
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { known: Some((Arc::clone(&known), Instant::now())), failed_at: None };
        known
    }

    fn fail(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).failed_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex as StdMutex, atomic::AtomicUsize};

    use async_trait::async_trait;
    use chrono::{DateTime, Utc};
    use parlance_shared::{UserId, caller::Role, key_mint::FreshKey, port::keys::Scope};

    use super::*;

    #[derive(Default)]
    struct Table {
        rows: StdMutex<Vec<(KeyHash, ApiKey)>>,
        looks: AtomicUsize,
        away: std::sync::atomic::AtomicBool,
    }

    #[async_trait]
    impl Keys for Table {
        async fn find(&self, hash: &KeyHash) -> Result<Option<ApiKey>, PortError> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            if self.away.load(Ordering::SeqCst) {
                return Err(PortError::Unavailable { what: "the database", cause: "away".into() });
            }
            Ok(self.rows.lock().unwrap().iter().find(|(its, _)| its == hash).map(|(_, row)| row.clone()))
        }

        async fn note_use(&self, _: &str, _: DateTime<Utc>) -> Result<(), PortError> {
            Ok(())
        }
    }

    struct World {
        table: Arc<Table>,
        mint: KeyMint,
        keys: ApiKeys,
    }

    impl World {
        fn new() -> Self {
            let (table, mint) = (Arc::new(Table::default()), KeyMint::new(&[3; 32]));
            let keys = ApiKeys::new(table.clone(), mint.clone(), Clock::system(), Lifecycle::new());
            Self { table, mint, keys }
        }

        fn make(&self) -> FreshKey {
            let fresh = self.mint.fresh();
            let row = ApiKey {
                id: fresh.id.clone(),
                name: "test".into(),
                user: UserId::new("ann"),
                role: Role::User,
                scopes: vec![Scope::Chat],
                webhook_url: None,
                created_at: DateTime::UNIX_EPOCH,
                expires_at: None,
                revoked_at: None,
                rotated_to: None,
                last_used_at: None,
            };
            self.table.rows.lock().unwrap().push((fresh.hash, row));
            fresh
        }

        fn revoke(&self) {
            self.table.rows.lock().unwrap()[0].1.revoked_at = Some(DateTime::UNIX_EPOCH);
        }

        async fn check(&self, key: &FreshKey) -> &'static str {
            match self.keys.check(key.key.expose()).await {
                Ok(_) => "ok",
                Err(NoKey::Unknown) => "unknown",
                Err(NoKey::Revoked) => "revoked",
                Err(NoKey::Expired) => "expired",
                Err(NoKey::Away(_)) => "away",
            }
        }

        fn looks(&self) -> usize {
            self.table.looks.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_come_at_once_look_once_and_a_revocation_bites_soon() {
        let world = World::new();
        let key = world.make();
        let checks = (0..100).map(|_| world.check(&key));
        assert!(futures_util::future::join_all(checks).await.iter().all(|said| *said == "ok"));
        assert_eq!(world.looks(), 1);
        world.revoke();
        assert_eq!(world.check(&key).await, "ok");
        tokio::time::advance(FRESH).await;
        assert_eq!((world.check(&key).await, world.looks()), ("revoked", 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_away_stops_nobody_who_is_known_for_a_while() {
        let world = World::new();
        let (key, stranger) = (world.make(), world.make());
        assert_eq!(world.check(&key).await, "ok");
        world.table.away.store(true, Ordering::SeqCst);
        tokio::time::advance(FRESH).await;
        assert_eq!((world.check(&key).await, world.looks()), ("ok", 2));
        for _ in 0..100 {
            assert_eq!(world.check(&key).await, "ok");
        }
        assert_eq!(world.looks(), 2, "it is asked now and then");
        assert_eq!(world.check(&stranger).await, "away");
        tokio::time::advance(USABLE).await;
        assert_eq!(world.check(&key).await, "away");
        world.table.away.store(false, Ordering::SeqCst);
        assert_eq!((world.check(&key).await, world.check(&stranger).await), ("ok", "ok"));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_none_cost_the_database_nothing() {
        let world = World::new();
        let (gone, other) = (world.mint.fresh(), KeyMint::new(&[4; 32]).fresh());
        for _ in 0..10 {
            assert_eq!((world.check(&gone).await, world.check(&other).await), ("unknown", "unknown"));
        }
        assert_eq!(world.looks(), 1, "what was made here once is looked up, and remembered");
        assert!(world.keys.found.get(&gone.hash).is_none());
    }
}
