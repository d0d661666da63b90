//! Nothing is left of an erased user, and nothing comes back.

use std::time::Duration;

use chrono::TimeDelta;
use parlance_shared::{
    SessionId,
    port::{
        store::Lookup,
        turns::{ClaimOutcome, VersionedCheckpoint},
        users::UserCounts,
    },
    task::Status,
};

use super::{Life, Ports, erase, export::export, life::end};
use crate::wait::PATIENCE;

async fn nothing_is_left(ports: &Ports, life: &Life) {
    assert_eq!(ports.users.count(&life.user).await.unwrap(), UserCounts::default());
    assert_eq!(export(ports, &life.user).await.0, []);
    assert_eq!(ports.turns.checkpoint(&life.user, life.session).await.unwrap(), VersionedCheckpoint::default());
    let session = ports.store.session(&life.user, life.session).await.unwrap();
    assert_eq!(session, Lookup::Deleted);
    for message in &life.messages {
        if let Some(view) = ports.turns.task(&life.user, message.task_id).await.unwrap() {
            assert!(view.session_deleted && view.task.reply.content.is_empty(), "{view:?}");
            assert_eq!((view.fingerprint, view.task.error, view.task.model), (None, None, None));
        }
    }
}

/// Neither a replay nor what comes late brings anything back, not even the name; others keep what is theirs.
pub async fn an_erased_user_leaves_nothing_and_nothing_comes_back(ports: Ports) {
    let (life, other) = (Life::lived(&ports).await, Life::lived(&ports).await);
    let before = export(&ports, &other.user).await;
    let hidden = life.messages[1].task_id;
    ports.store.hide_response(&life.user, hidden, ports.clock.now()).await.unwrap();
    let sum = erase(&ports, &life.user).await;
    assert!(!ports.store.response_is_hidden(&life.user, hidden).await.unwrap());
    assert_eq!((sum.sessions, sum.messages), (1, 4));
    nothing_is_left(&ports, &life).await;

    life.be_recorded(&ports).await;
    ports.store.record_session_deleted(&life.deleted(&ports)).await.unwrap();
    ports.turns.delete_session(&life.user, life.session).await.unwrap();
    for message in &life.messages {
        let asked = life.ask(&ports, message).await;
        assert!(matches!(asked, ClaimOutcome::Ended(_)), "{asked:?}");
    }
    let late = life.message(ports.clock.now(), None);
    let ClaimOutcome::Ended(ended) = life.ask(&ports, &late).await else { panic!("begun after the erasure") };
    assert_eq!((ended.status, ended.attempt), (Status::Cancelled, 0));
    assert!(matches!(life.ask(&ports, &late).await, ClaimOutcome::Ended(_)), "also when it is delivered again");
    ports.store.record_message_submitted(&late).await.unwrap();
    nothing_is_left(&ports, &life).await;

    assert_eq!(export(&ports, &other.user).await, before);
    let again = erase(&ports, &life.user).await;
    assert_eq!((again.sessions, again.messages), (0, 0), "erasing again finds nothing");
}

/// What the bus still held back when its user was erased.
pub async fn what_was_never_recorded_is_not_recorded_after_an_erasure(ports: Ports) {
    let life = Life::lived(&ports).await;
    let unheard = Life::of(&life.user, ports.clock.now() - TimeDelta::minutes(1));
    let worker_first = Life::of(&life.user, ports.clock.now() - TimeDelta::minutes(1));
    erase(&ports, &life.user).await;
    unheard.be_recorded(&ports).await;
    for of in [&worker_first, &unheard] {
        for message in &of.messages {
            let asked = of.ask(&ports, message).await;
            assert!(matches!(asked, ClaimOutcome::Ended(_)), "{asked:?}");
        }
    }
    worker_first.be_recorded(&ports).await;
    for of in [&life, &unheard, &worker_first] {
        nothing_is_left(&ports, of).await;
    }
    // Once nothing can come late any more, the mark may go; the sessions stay closed.
    ports.retention.forget_erased(ports.clock.now() + TimeDelta::days(1)).await.unwrap();
    unheard.be_recorded(&ports).await;
    nothing_is_left(&ports, &unheard).await;
}

/// The same name is a new user.
pub async fn who_comes_back_begins_anew(ports: Ports) {
    let life = Life::lived(&ports).await;
    erase(&ports, &life.user).await;
    // Later, by any clock.
    let anew = Life::lived_by(&ports, &life.user, TimeDelta::seconds(5)).await;
    let counts = ports.users.count(&life.user).await.unwrap();
    assert_eq!((counts.sessions, counts.messages, counts.turns), (1, 4, 2));
    assert!(matches!(ports.store.session(&life.user, anew.session).await.unwrap(), Lookup::Found(_)));
    erase(&ports, &life.user).await;
    nothing_is_left(&ports, &life).await;
}

/// What it says until it has stopped is not kept.
pub async fn a_running_turn_is_stopped_before_it_is_erased(ports: Ports) {
    let life = Life::lived(&ports).await;
    let mut other = Life::of(&life.user, ports.clock.now() - TimeDelta::minutes(1));
    let running = other.messages.remove(0);
    let reply = other.replies.remove(0);
    let claim = other.claim(&ports, &running).await;
    let waiting = loop {
        let step = ports.users.erase(&life.user).await.unwrap();
        assert!(!step.done, "a turn still runs");
        if step.sessions == 0 {
            break step.running;
        }
    };
    assert_eq!(waiting, 1);
    tokio::time::timeout(PATIENCE, claim.cancelled.cancelled()).await.expect("the worker is told");
    let save = VersionedCheckpoint::default();
    let ended = ports.turns.finish(&claim, end(&reply), Some(save)).await.unwrap();
    assert_eq!(ended.reply.content, "");
    assert!(erase(&ports, &life.user).await.done);
    nothing_is_left(&ports, &life).await;
    assert_eq!(ports.turns.checkpoint(&life.user, other.session).await.unwrap(), VersionedCheckpoint::default());
    let asked = other.ask(&ports, &running).await;
    assert!(matches!(asked, ClaimOutcome::Ended(_)), "{asked:?}");
}

/// Each step leaves what another erasure can finish.
pub async fn an_erasure_goes_on_where_it_was_interrupted(ports: Ports) {
    let first = Life::lived(&ports).await;
    let mut sessions: Vec<SessionId> = vec![first.session];
    for _ in 0..10 {
        sessions.push(Life::lived_by(&ports, &first.user, TimeDelta::minutes(-30)).await.session);
    }
    let step = ports.users.erase(&first.user).await.unwrap();
    assert!(!step.done && step.sessions > 0 && step.sessions < 11, "{step:?}");
    // As after a kill: nobody knows how far it came, and the user's events still come.
    first.be_recorded(&ports).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let rest = erase(&ports, &first.user).await;
    assert_eq!(step.sessions + rest.sessions, 11);
    assert_eq!(step.messages + rest.messages, 44);
    for session in sessions {
        assert_eq!(ports.store.session(&first.user, session).await.unwrap(), Lookup::Deleted);
    }
    nothing_is_left(&ports, &first).await;
}
