//! The reply log between processes: workers and readers of their own, and what may happen to any of them or to their
//! connections while a reply runs. Nothing is missed, nothing comes twice, no two attempts are mixed.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
#![allow(clippy::disallowed_methods, reason = "tests spawn what they join")]

mod support;

use std::time::{Duration, Instant};

use parlance_conformance::wait::eventually;
use parlance_postgres::Role;
use parlance_shared::{
    log_view::LogEvent,
    port::{
        PortError,
        reply_log::{AppendError, ReplyLog as _, ReplyWriter},
        turns::{CancelOutcome, ClaimOutcome, Turns as _, WorkerId},
    },
    task::{Status, codes},
};
use support::{
    TestDatabase,
    process::Process,
    reply::{LEASE, alice, names, next, request, rest, shown, until_shown},
    server,
};
use tokio::time::{sleep, timeout};

const FLUSHERS: &str = "query LIKE '%INSERT INTO reply_segments%'";
const LISTENERS: &str = "query LIKE 'LISTEN%' OR query = 'SELECT 1'";
const TAILS: &str = "query LIKE '%reply_segments%' AND query NOT LIKE '%INSERT%'";

async fn database() -> Option<TestDatabase> {
    Some(TestDatabase::migrated(&server()?).await)
}

/// Says numbered pieces for a while; gives all that was said.
async fn say(writer: &mut Box<dyn ReplyWriter>, pieces: std::ops::Range<usize>) {
    for piece in pieces {
        writer.append(&format!("{piece}·")).await.unwrap();
        sleep(Duration::from_millis(3)).await;
    }
}

fn said(pieces: usize) -> String {
    (0..pieces).map(|piece| format!("{piece}·")).collect()
}

/// Readers that come before, during and after a reply, in processes that have had nothing to do with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_can_join_anywhere() {
    let Some(database) = database().await else { return };
    let worker = Process::start(&database, Role::Worker);
    let (early, late, after) = (
        Process::start(&database, Role::Reader),
        Process::start(&database, Role::Reader),
        Process::start(&database, Role::Reader),
    );
    let request = request();
    let waiting = early.read(request.task_id);
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    let mut joined = vec![waiting];
    for round in 0..20 {
        say(&mut writer, round * 20..(round + 1) * 20).await;
        joined.push(if round % 2 == 0 { early.read(request.task_id) } else { late.read(request.task_id) });
    }
    let whole = writer.text();
    worker.finish(&claim, &whole).await;
    joined.push(after.read(request.task_id));
    for reader in joined {
        let entries = reader.await.unwrap();
        assert_eq!(shown(&entries), whole);
        assert_eq!(entries.last().unwrap().event.name(), "done");
    }
    assert_eq!(late.turns.log_stats().gaps, 0, "the ring reaches back to what is stored");
}

/// From a cursor that another process was ahead with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_good_in_every_process() {
    let Some(database) = database().await else { return };
    let worker = Process::start(&database, Role::Worker);
    let (one, other) = (Process::start(&database, Role::Reader), Process::start(&database, Role::Reader));
    let request = request();
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    let mut reader = one.follow(request.task_id, None).await;
    let mut seen = Vec::new();
    for round in 0..40 {
        say(&mut writer, round * 5..(round + 1) * 5).await;
        seen.push(next(&mut reader).await);
        // The client's connection breaks, and it comes back elsewhere.
        let process = if round % 2 == 0 { &other } else { &one };
        reader = process.follow(request.task_id, seen.last().map(|entry| entry.cursor)).await;
    }
    worker.finish(&claim, &writer.text()).await;
    seen.extend(rest(&mut reader).await);
    assert_eq!(shown(&seen), said(200));
}

/// Connections are cut while a reply runs, again and again: of the flusher, the listeners, the tail, of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_cost_nothing() {
    let Some(database) = database().await else { return };
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    for (what, condition) in
        [("flusher", FLUSHERS), ("listeners", LISTENERS), ("tail", TAILS), ("all", "application_name = 'parlance'")]
    {
        let request = request();
        let reading = reader.read(request.task_id);
        let claim = worker.claim(&request).await;
        let mut writer = worker.writer(&claim).await;
        for round in 0..4 {
            say(&mut writer, round * 60..(round + 1) * 60).await;
            assert!(database.terminate(condition).await > 0, "no {what} was there to be cut");
        }
        say(&mut writer, 240..300).await;
        worker.finish(&claim, &writer.text()).await;
        let entries = reading.await.unwrap();
        assert_eq!(shown(&entries), said(300), "{what}");
        assert_eq!(names(&entries).iter().filter(|name| **name == "reset").count(), 0, "{what}");
        assert!(!claim.lost.is_cancelled(), "{what}");
    }
}

/// A reply that falls silent after a cut: its readers get what they lack although no further piece shows the gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_reply_is_caught_up_with() {
    let Some(database) = database().await else { return };
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    let request = request();
    let mut following = reader.follow(request.task_id, None).await;
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    say(&mut writer, 0..10).await;
    let mut seen = until_shown(&mut following, said(10).len()).await;
    // What readers are sent is lost, as in a crash of the database, and nothing more is said.
    writer.append("lost").await.unwrap();
    database.admin("TRUNCATE reply_segments").await;
    database.terminate("application_name = 'parlance'").await;
    seen.extend(until_shown(&mut following, "lost".len()).await);
    assert_eq!(shown(&seen), said(10) + "lost");
    worker.finish(&claim, &writer.text()).await;
    assert_eq!(names(&rest(&mut following).await), ["done"]);
}

/// A worker that is gone from one moment to the next: its readers wait, and the next attempt resets them.
#[test]
fn a_killed_worker_is_taken_over() {
    let here = tokio::runtime::Runtime::new().unwrap();
    let Some(database) = here.block_on(database()) else { return };
    let there = tokio::runtime::Runtime::new().unwrap();
    let request = request();
    let doomed = there.block_on(async { Process::start(&database, Role::Worker) });
    let reader = here.block_on(async { Process::start(&database, Role::Reader) });
    let mut following = here.block_on(reader.follow(request.task_id, None));
    let claim = there.block_on(doomed.claim(&request));
    there.block_on(async { say(&mut doomed.writer(&claim).await, 0..50).await });
    let mut seen = here.block_on(until_shown(&mut following, said(50).len()));
    there.shutdown_background();

    here.block_on(async {
        let heir = Process::start(&database, Role::Worker);
        let held = heir.turns.claim(&request, &WorkerId("heir".into()), LEASE).await.unwrap();
        assert!(matches!(held, ClaimOutcome::HeldUntil(_)), "{held:?}");
        assert!(timeout(Duration::from_millis(100), following.next()).await.is_err(), "nothing is known of it yet");
        database.let_pass(LEASE).await;
        let claim = heir.claim(&request).await;
        assert_eq!((claim.attempt, claim.lost_attempts), (2, 1));
        assert!(said(50).starts_with(&claim.earlier_text));
        let mut writer = heir.writer(&claim).await;
        writer.append("anew").await.unwrap();
        heir.finish(&claim, "anew").await;
        let entries = rest(&mut following).await;
        assert_eq!(names(&entries), ["reset", "status", "delta", "done"]);
        assert!(matches!(&entries[0].event, LogEvent::Reset(reset) if reset.reason == codes::WORKER_LOST));
        seen.extend(entries);
        assert_eq!(shown(&seen), "anew");
        drop(doomed);
    });
}

/// A worker that hung beyond its lease goes on writing: nobody sees it, and it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_is_not_heard() {
    let Some(database) = database().await else { return };
    let (zombie, heir) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Worker));
    let reader = Process::start(&database, Role::Reader);
    for is_deaf in [false, true] {
        let request = request();
        let mut following = reader.follow(request.task_id, None).await;
        let old = zombie.claim(&request).await;
        let mut writing = zombie.writer(&old).await;
        writing.append("before").await.unwrap();
        let mut seen = until_shown(&mut following, 6).await;
        database.let_pass(LEASE).await;
        if is_deaf {
            // Without a notice it learns from what it tries to store.
            database.admin(&format!(
                "UPDATE turns SET attempt = 2, lost_attempts = 1, worker = 'heir', leased_until = now() + interval '1 h',
                 reset_reason = 'worker_lost' WHERE task_id = '{}'",
                request.task_id
            ))
            .await;
        } else {
            let new = heir.claim(&request).await;
            assert_eq!(new.attempt, 2);
            heir.writer(&new).await.append("after").await.unwrap();
        }
        let told = async {
            loop {
                match writing.append("zombie").await {
                    Ok(()) => sleep(Duration::from_millis(5)).await,
                    Err(AppendError::Fenced) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        timeout(Duration::from_secs(5), told).await.expect("the zombie was not told");
        timeout(Duration::from_secs(1), old.lost.cancelled()).await.expect("the claim's holder was not told");
        assert_eq!(zombie.turns.active().await.unwrap(), 0);
        if !is_deaf {
            seen.extend(until_shown(&mut following, 5).await);
            assert_eq!(shown(&seen), "after");
            assert_eq!(names(&seen), ["status", "delta", "reset", "status", "delta"]);
        }
    }
}

/// A wish to stop that is recorded by one process is known to the worker in another at once; should the word get lost, the
/// next heartbeat brings it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_a_worker_elsewhere() {
    let Some(database) = database().await else { return };
    let (worker, api) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    database.has_connections(LISTENERS, 2).await;
    let asked = request();
    let claim = worker.claim(&asked).await;
    let outcome = api.turns.request_cancel(&alice(), asked.task_id).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Requested);
    timeout(Duration::from_millis(500), claim.cancelled.cancelled()).await.expect("it was not told at once");

    let unheard = request();
    let claim = worker.claim(&unheard).await;
    let wish = format!("UPDATE turns SET cancel_requested_at = now() WHERE task_id = '{}'", unheard.task_id);
    database.admin(&wish).await;
    assert!(!claim.cancelled.is_cancelled());
    worker.turns.heartbeat(std::slice::from_ref(&claim), LEASE).await.unwrap();
    assert!(claim.cancelled.is_cancelled());

    let cut = request();
    let claim = worker.claim(&cut).await;
    database.admin(&wish.replace(&unheard.task_id.to_string(), &cut.task_id.to_string())).await;
    database.terminate(LISTENERS).await;
    timeout(Duration::from_secs(5), claim.cancelled.cancelled()).await.expect("a new connection did not look");

    let session = request();
    let claim = worker.claim(&session).await;
    api.turns.delete_session(&alice(), session.session_id).await.unwrap();
    timeout(Duration::from_secs(5), claim.cancelled.cancelled()).await.expect("it was not told of the deletion");
    let mut writer = worker.writer(&claim).await;
    writer.append("not to be kept").await.unwrap();
    assert_eq!(worker.finish(&claim, "not to be kept").await.reply.content, "");
}

/// However many read a reply, its segments are fetched once per process; and one that does not read holds up nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_readers_fetch_once() {
    let Some(database) = database().await else { return };
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    let request = request();
    let mut slow = reader.follow(request.task_id, None).await;
    let readers: Vec<_> = (0..200).map(|_| reader.read(request.task_id)).collect();
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    say(&mut writer, 0..200).await;
    worker.finish(&claim, &writer.text()).await;
    for reading in readers {
        assert_eq!(shown(&reading.await.unwrap()), said(200));
    }
    assert_eq!(shown(&rest(&mut slow).await), said(200));
    let (written, read) = (worker.turns.log_stats(), reader.turns.log_stats());
    assert!(read.segments_read <= written.flushes, "{read:?}, {written:?}");
    assert!(read.loads < 20, "{read:?}");
}

/// While nothing is read or written, no process asks the database anything, and it has few connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_process_is_quiet() {
    let Some(database) = database().await else { return };
    let both = Process::start(&database, Role::Both);
    let request = request();
    let reading = both.read(request.task_id);
    let claim = both.claim(&request).await;
    let mut writer = both.writer(&claim).await;
    say(&mut writer, 0..20).await;
    both.finish(&claim, &writer.text()).await;
    reading.await.unwrap();
    assert!(database.connections("true").await <= 3 + 3, "the pool's, and three");
    // The last of it may just be under way.
    sleep(Duration::from_millis(1_500)).await;
    let before = both.turns.log_stats();
    assert_eq!(database.connections("state <> 'idle' OR query_start > now() - interval '1 second'").await, 0);
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(database.connections("state <> 'idle' OR query_start > now() - interval '1 second'").await, 0);
    assert_eq!(both.turns.log_stats(), before);
    let (stopped, began) = (both.lifecycle.stop(Duration::from_secs(5), Duration::ZERO).await, Instant::now());
    assert!(stopped && began.elapsed() < Duration::from_secs(1), "an idle process stops at once");
}

/// A turn that begins when the process has been told to stop is not delivered live any more; its end is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_begins_during_the_stop_ends_for_its_readers() {
    let Some(database) = database().await else { return };
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    let request = request();
    let reading = reader.read(request.task_id);
    worker.lifecycle.begin_stop();
    database.has_connections(LISTENERS, 1).await;
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    let large = "x".repeat(40 * 1024);
    for _ in 0..3 {
        timeout(Duration::from_secs(1), writer.append(&large)).await.expect("nobody makes room any more").unwrap();
    }
    worker.finish(&claim, &writer.text()).await;
    assert_eq!(shown(&reading.await.unwrap()), large.repeat(3));
}

/// A process that was started as a reader does not claim, and a worker does not read.
#[tokio::test]
async fn a_role_is_kept_to() {
    let Some(database) = database().await else { return };
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    let request = request();
    let claimed = reader.turns.claim(&request, &WorkerId("r".into()), LEASE).await;
    assert!(matches!(claimed, Err(PortError::Rejected { .. })), "{claimed:?}");
    assert!(worker.turns.follow(&alice(), request.task_id, None).await.is_err());
}

/// Leases run by the database's clock: a worker whose own is an hour off waits just as long.
#[tokio::test]
async fn a_held_task_is_waited_for_by_any_clock() {
    let Some(database) = database().await else { return };
    let worker = Process::start(&database, Role::Worker);
    let request = request();
    worker.claim(&request).await;
    let off = parlance_shared::Clock::manual(chrono::DateTime::from_timestamp_millis(1_600_000_000_000).unwrap());
    let skewed = Process::with_clock(database.service.clone(), Role::Worker, off.clone());
    let held = skewed.turns.claim(&request, &WorkerId("skewed".into()), LEASE).await.unwrap();
    let ClaimOutcome::HeldUntil(until) = held else { panic!("{held:?}") };
    let wait = (until - off.now()).to_std().unwrap();
    assert!(wait <= LEASE && wait > LEASE - Duration::from_secs(5), "{wait:?}");
}

/// The services' role can have old partitions emptied, and no others: neither those in use nor their neighbours.
#[tokio::test]
async fn only_old_partitions_are_emptied() {
    let Some(database) = database().await else { return };
    let worker = Process::start(&database, Role::Worker);
    database
        .admin(
            "INSERT INTO reply_log SELECT slot, 'tsk', 1, slot, 'x' FROM generate_series(0, 31) AS slot;
             INSERT INTO reply_segments SELECT slot, gen_random_uuid(), slot, now(), 'x' FROM generate_series(0, 5) AS slot",
        )
        .await;
    assert_eq!(worker.turns.expire_log().await.unwrap(), 3 + 4);
    assert_eq!(worker.turns.expire_log().await.unwrap(), 0);
    let mut admin = support::connect(&database.admin).await;
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM generate_series(-26, 1) AS hour
         JOIN reply_log ON slot = parlance_log_slot(now() + hour * interval '1 hour')",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(kept, 28);
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM generate_series(-1, 1) AS part
         JOIN reply_segments ON slot = parlance_segment_slot(now() + part * interval '10 minutes')",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(kept, 3);
}

/// The turn's text goes once the record has it and the time is over; the end stays known, and readers are sent to the
/// record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_expire_once_they_are_recorded() {
    let Some(database) = database().await else { return };
    let both = Process::start(&database, Role::Both);
    let (recorded, unrecorded) = (request(), request());
    for request in [&recorded, &unrecorded] {
        let claim = both.claim(request).await;
        both.finish(&claim, "said").await;
    }
    let id = recorded.task_id;
    database
        .admin(&format!(
            "INSERT INTO tasks (id, user_id, session_id, status, attempt) VALUES ('{id}', 'alice', 's', 'completed', 1)"
        ))
        .await;
    assert_eq!(both.turns.expire_replies(Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(both.turns.expire_replies(Duration::ZERO).await.unwrap(), 1);
    let view = both.turns.task(&alice(), id).await.unwrap().unwrap();
    assert!(view.reply_expired && view.task.status == Status::Completed && view.task.reply.content.is_empty());
    assert!(both.turns.follow(&alice(), id, None).await.is_err());
    assert!(!both.turns.task(&alice(), unrecorded.task_id).await.unwrap().unwrap().reply_expired);
    let again = both.turns.claim(&recorded, &WorkerId("w".into()), LEASE).await.unwrap();
    assert!(matches!(again, ClaimOutcome::Ended(_)), "{again:?}");
}

/// Text of all kinds comes through, what Postgres' own text can't hold included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_text_comes_through() {
    let Some(database) = database().await else { return };
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    let request = request();
    let reading = reader.read(request.task_id);
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    let odd = "\0 \u{1a}0 \u{10ffff} \\x00 'quoted' €\r\n";
    writer.append(odd).await.unwrap();
    let stored = eventually("the text is stored", async || {
        let view = reader.turns.task(&alice(), request.task_id).await.unwrap()?;
        (!view.task.reply.content.is_empty()).then_some(view.task.reply.content)
    });
    assert_eq!(stored.await, odd);
    worker.finish(&claim, odd).await;
    assert_eq!(shown(&reading.await.unwrap()), odd);
    assert_eq!(reader.turns.task(&alice(), request.task_id).await.unwrap().unwrap().task.reply.content, odd);
}
