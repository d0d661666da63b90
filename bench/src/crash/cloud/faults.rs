//! The faults, and how often each comes.

use crate::random::Random;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A process is killed and restarted at once.
    Kill,
    /// The same, and again while it starts.
    KillWhileStarting,
    /// A worker hangs for longer than its lease.
    Pause,
    /// A process loses its connections to one part.
    Cut,
    /// A process can't connect to one part for a while.
    Refuse,
    /// Nothing comes through between a process and one part for a while.
    Hold,
    /// Postgres is stopped in good order and started again.
    StopPostgres,
    /// Postgres crashes and is started again.
    CrashPostgres,
    /// Nobody reaches Pub/Sub for a while.
    CutPubSub,
    /// Messages come again, out of order.
    Duplicate,
    /// A message comes that is not ours.
    Stranger,
    /// An operator replays what was asked lately.
    Replay,
}

/// Of all faults, so many are of that kind.
const WEIGHTS: [(Fault, u64); 12] = [
    (Fault::Kill, 34),
    (Fault::KillWhileStarting, 6),
    (Fault::Pause, 3),
    (Fault::Cut, 16),
    (Fault::Refuse, 7),
    (Fault::Hold, 5),
    (Fault::StopPostgres, 2),
    (Fault::CrashPostgres, 2),
    (Fault::CutPubSub, 3),
    (Fault::Duplicate, 14),
    (Fault::Stranger, 3),
    (Fault::Replay, 5),
];

/// These come first, in this order, so that no run is too short for them.
const FIRST: [Fault; 6] =
    [Fault::Pause, Fault::Kill, Fault::CrashPostgres, Fault::Duplicate, Fault::CutPubSub, Fault::Cut];

/// The fault that comes as number `number`.
pub(super) fn choose(number: usize, random: &mut Random) -> Fault {
    if let Some(first) = FIRST.get(number) {
        return *first;
    }
    let all = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut left = random.between(1, all);
    for (fault, weight) in WEIGHTS {
        if left <= weight {
            return fault;
        }
        left -= weight;
    }
    Fault::Kill
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_comes() {
        let mut random = Random::new(1);
        let chosen: Vec<Fault> = (0..1_000).map(|number| choose(number, &mut random)).collect();
        assert_eq!(chosen[..FIRST.len()], FIRST);
        assert!(WEIGHTS.iter().all(|(fault, _)| chosen.contains(fault)));
    }
}
