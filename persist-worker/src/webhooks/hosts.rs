//! How much may be under way to each host, so that none takes all there is.
//!
//! Whoever finds no room is not kept waiting here: the message goes back to the bus, for as long as those before it will
//! take by what deliveries to this host took so far. A host that failed last is asked by one delivery at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Deliveries under way to one host that answers.
const AT_ONCE: usize = 8;
/// And to one that failed last.
const AT_ONCE_FAILING: usize = 1;
/// Hosts remembered: those beyond are forgotten if nothing is under way to them.
const REMEMBERED: usize = 4_096;
/// Waits in line are no shorter, and no longer.
const LEAST_WAIT: Duration = Duration::from_millis(100);
const MOST_WAIT: Duration = Duration::from_secs(60);
/// Before anything is known of a host.
const USUAL: Duration = Duration::from_millis(500);

/// What is known of hosts.
#[derive(Default)]
pub(super) struct Hosts {
    known: Mutex<HashMap<String, Host>>,
}

struct Host {
    under_way: usize,
    failing: bool,
    /// How long a delivery takes, by the latest ones.
    usual: Duration,
    /// When the last of those in line will have its turn.
    line_until: Instant,
}

/// A delivery under way. Dropped without [`Place::done`], it counts as failed.
pub(super) struct Place {
    hosts: Arc<Hosts>,
    host: String,
    began: Instant,
    works: bool,
}

/// There is no room for another delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There will be after about this time.
    Busy(Duration),
    /// The host failed last, and is being asked.
    Failing,
}

impl Hosts {
    /// Room for one delivery to `host`.
    pub(super) fn enter(self: &Arc<Self>, host: &str) -> Result<Place, Full> {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.retain(|_, host| host.under_way > 0);
        }
        let entry = known.entry(host.to_owned()).or_insert_with(|| Host {
            under_way: 0,
            failing: false,
            usual: USUAL,
            line_until: now,
        });
        if entry.failing && entry.under_way >= AT_ONCE_FAILING {
            return Err(Full::Failing);
        }
        if entry.under_way >= AT_ONCE {
            let turn = entry.usual / AT_ONCE as u32;
            entry.line_until = entry.line_until.max(now).checked_add(turn).unwrap_or(now).min(now + MOST_WAIT);
            return Err(Full::Busy((entry.line_until - now).max(LEAST_WAIT)));
        }
        entry.under_way += 1;
        Ok(Place { hosts: Arc::clone(self), host: host.to_owned(), began: now, works: false })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The host has answered as one does that works.
    pub(super) fn done(mut self) {
        self.works = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.hosts.lock();
        if let Some(host) = known.get_mut(&self.host) {
            host.under_way = host.under_way.saturating_sub(1);
            host.failing = !self.works;
            host.usual = (host.usual * 3 + self.began.elapsed()) / 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_gets_its_share_and_others_theirs() {
        let hosts = Arc::new(Hosts::default());
        let mut places: Vec<_> = (0..AT_ONCE).map(|_| hosts.enter("a").ok().unwrap()).collect();
        let waits: Vec<_> = (0..1_000).map(|_| hosts.enter("a").err().unwrap()).collect();
        assert!(matches!(waits[0], Full::Busy(wait) if wait == LEAST_WAIT), "{:?}", waits[0]);
        let Full::Busy(last) = waits[999] else { panic!("{:?}", waits[999]) };
        assert!(last > Duration::from_secs(30) && last <= MOST_WAIT, "they come one after the other: {last:?}");
        assert!(hosts.enter("b").is_ok());
        places.pop().unwrap().done();
        assert!(hosts.enter("a").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_fails_is_asked_by_one_until_it_works() {
        let hosts = Arc::new(Hosts::default());
        drop(hosts.enter("a").ok().unwrap());
        let asking = hosts.enter("a").ok().unwrap();
        assert_eq!(hosts.enter("a").err(), Some(Full::Failing));
        asking.done();
        let several: Vec<_> = (0..AT_ONCE).map(|_| hosts.enter("a")).collect();
        assert!(several.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_remembered() {
        let hosts = Arc::new(Hosts::default());
        let _under_way = hosts.enter("kept").ok().unwrap();
        for n in 0..3 * REMEMBERED {
            hosts.enter(&n.to_string()).ok().unwrap().done();
        }
        assert!(hosts.lock().len() <= REMEMBERED);
        assert!(hosts.lock().contains_key("kept"));
    }
}
