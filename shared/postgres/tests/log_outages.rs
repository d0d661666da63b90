//! The reply log while the database is away, silent or crashed: readers wait with what they have, providers are made to
//! wait, and nothing that was said is missing afterwards.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
#![allow(clippy::disallowed_methods, reason = "tests spawn what they join")]

mod support;

use std::time::Duration;

use parlance_postgres::Role;
use parlance_shared::port::{
    PortError,
    reply_log::{AppendError, FollowError, ReplyLog as _, ReplyWriter},
};
use support::{
    TestDatabase,
    own_server::OwnServer,
    process::Process,
    proxy::Proxy,
    reply::{alice, names, request, rest, shown, until_shown},
    server,
};
use tokio::time::{sleep, timeout};

const PIECE: &str = "a piece of a reply, of about sixty bytes, as text comes in ... ";

/// Appends until there is no more room; gives the number of pieces that there was room for.
async fn fill(writer: &mut Box<dyn ReplyWriter>) -> usize {
    let mut pieces = 0;
    while let Ok(appended) = timeout(Duration::from_millis(300), writer.append(PIECE)).await {
        appended.unwrap();
        pieces += 1;
        assert!(pieces < 100_000, "nothing holds the provider up");
    }
    pieces
}

/// A database that does not answer holds up the provider, not for good and without a loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_holds_up_the_provider() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let proxy = Proxy::before(&server).await;
    let worker = Process::with(proxy.settings(&database.service), Role::Worker);
    let reader = Process::start(&database, Role::Reader);
    let request = request();
    let mut following = reader.follow(request.task_id, None).await;
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    writer.append(PIECE).await.unwrap();
    let mut seen = until_shown(&mut following, PIECE.len()).await;

    proxy.silence(true);
    let pieces = fill(&mut writer).await;
    assert!(pieces > 100, "a hiccup holds up nobody");
    proxy.silence(false);
    proxy.cut();
    writer.append(PIECE).await.unwrap();
    seen.extend(until_shown(&mut following, (pieces + 1) * PIECE.len()).await);
    worker.finish(&claim, &writer.text()).await;
    seen.extend(rest(&mut following).await);
    assert_eq!(shown(&seen), PIECE.repeat(pieces + 2));
    assert_eq!(names(&seen), ["status", "delta", "done"]);
}

/// Who waits for room is let go when the claim is lost, or the process must stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_room_for_ever() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let proxy = Proxy::before(&server).await;
    let worker = Process::with(proxy.settings(&database.service), Role::Worker);
    let (lost, stopped) = (worker.claim(&request()).await, worker.claim(&request()).await);
    let (mut losing, mut stopping) = (worker.writer(&lost).await, worker.writer(&stopped).await);
    proxy.silence(true);
    fill(&mut losing).await;
    fill(&mut stopping).await;
    let waiting = losing.append(PIECE);
    lost.lost.cancel();
    assert!(matches!(timeout(Duration::from_secs(1), waiting).await.unwrap(), Err(AppendError::Fenced)));
    // What the lost one had taken may be free again.
    fill(&mut stopping).await;
    let waiting = tokio::spawn(async move { stopping.append(PIECE).await });
    assert!(worker.lifecycle.stop(Duration::from_millis(100), Duration::from_secs(5)).await);
    let ended = timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap();
    assert!(matches!(ended, Err(AppendError::Port(PortError::Unavailable { .. }))), "{ended:?}");
}

/// While the database is away, who begins to read is told so in time, and who reads waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_wait_for_a_database_that_is_away() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let proxy = Proxy::before(&server).await;
    let (address, settings) = (proxy.address, proxy.settings(&database.service));
    let (worker, reader) = (Process::with(settings.clone(), Role::Worker), Process::with(settings, Role::Reader));
    let request = request();
    let mut following = reader.follow(request.task_id, None).await;
    let claim = worker.claim(&request).await;
    let mut writer = worker.writer(&claim).await;
    writer.append("before, ").await.unwrap();
    let mut seen = until_shown(&mut following, 8).await;

    drop(proxy);
    writer.append("meanwhile, ").await.unwrap();
    assert!(timeout(Duration::from_millis(200), following.next()).await.is_err());
    let other = self::request().task_id;
    let refused = timeout(Duration::from_secs(5), reader.turns.follow(&alice(), other, None)).await.unwrap();
    assert!(matches!(refused.err(), Some(FollowError::Port(PortError::Unavailable { .. }))));
    let rejoined = reader.turns.follow(&alice(), request.task_id, Some(seen.last().unwrap().cursor)).await;
    assert!(rejoined.is_ok(), "what is known here needs no look-up");

    let _proxy = Proxy::at(address, &server).await;
    writer.append("after").await.unwrap();
    worker.finish(&claim, &writer.text()).await;
    seen.extend(rest(&mut following).await);
    assert_eq!(shown(&seen), "before, meanwhile, after");
    assert_eq!(names(&seen), ["status", "delta", "done"]);
}

/// A crash of the database loses segments and the latest rows of the log; the workers have the text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_database_loses_no_text() {
    let Some(server) = server() else { return };
    let Some(mut own) = OwnServer::start(&server).await else { return };
    let database = TestDatabase::migrated(&own.admin).await;
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    let (talking, silent) = (request(), request());
    let readings = [reader.read(talking.task_id), reader.read(silent.task_id)];
    let (claim, quiet) = (worker.claim(&talking).await, worker.claim(&silent).await);
    let (mut writer, mut hushed) = (worker.writer(&claim).await, worker.writer(&quiet).await);
    hushed.append("said before the crash").await.unwrap();
    for piece in 0..300 {
        writer.append(&format!("{piece}·")).await.unwrap();
        if piece == 100 || piece == 200 {
            own.crash();
            own.up().await;
        }
        sleep(Duration::from_millis(3)).await;
    }
    // One who was not there before the crash has the text from what was stored after it.
    let late = Process::start(&database, Role::Reader);
    let mut following = late.follow(silent.task_id, None).await;
    assert_eq!(shown(&until_shown(&mut following, "said before the crash".len()).await), "said before the crash");
    let whole = writer.text();
    worker.finish(&claim, &whole).await;
    worker.finish(&quiet, "said before the crash").await;
    let [talked, hushed] = readings;
    for (reading, whole) in [(talked, whole.as_str()), (hushed, "said before the crash")] {
        let entries = reading.await.unwrap();
        assert_eq!(shown(&entries), whole);
        assert_eq!(names(&entries), ["status", "delta", "done"]);
    }
}
