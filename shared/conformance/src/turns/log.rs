//! The reply log's part: readers get exactly what is missing, once, whatever happens around them.

use std::time::Duration;

use parlance_shared::{
    TaskId, UserId,
    content::ToolCall,
    cursor::{Cursor, Place},
    log_view::{Entry, LogEvent},
    port::{
        reply_log::{FollowError, ReplyReader},
        turns::{CancelOutcome, TurnEnd},
    },
    reply_text::{encode_call, encode_text},
    task::{Status, TaskDetails},
};
use tokio::time::timeout;

use super::harness::{LEASE, Turn, TurnsHarness, claimed, completed};

const SOON: Duration = Duration::from_secs(5);

pub(super) async fn next(reader: &mut Box<dyn ReplyReader>) -> Entry {
    timeout(SOON, reader.next()).await.expect("the reader was not woken").unwrap().expect("the log ended")
}

/// Reads to the end of a task that ends.
pub(super) async fn rest(reader: &mut Box<dyn ReplyReader>) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(entry) = timeout(SOON, reader.next()).await.expect("the reader hangs").unwrap() {
        entries.push(entry);
    }
    entries
}

pub(super) async fn follow(
    world: &impl TurnsHarness,
    user: &UserId,
    task: TaskId,
    after: Option<Cursor>,
) -> Box<dyn ReplyReader> {
    world.log().follow(user, task, after).await.unwrap()
}

/// The text that a client shows after these entries: a reset clears it.
fn shown(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        match &entry.event {
            LogEvent::Delta(delta) => text.push_str(&delta.text),
            LogEvent::Reset(_) => text.clear(),
            LogEvent::Status(_) | LogEvent::ToolCall(_) | LogEvent::End(_) => {}
        }
    }
    text
}

pub(super) fn names(entries: &[Entry]) -> Vec<&'static str> {
    entries.iter().map(|entry| entry.event.name()).collect()
}

/// A reader that came before any worker sees the whole life of the task as it happens.
pub async fn a_reader_sees_a_task_from_queued_to_done(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let mut reader = follow(&world, &user, id, None).await;
    let mut seen = vec![next(&mut reader).await];
    let claim = claimed(&world, &turn, "w1").await;
    seen.push(next(&mut reader).await);
    let mut writer = world.log().writer(&claim).await.unwrap();
    for piece in ["Hel", "lo, ", "wörld"] {
        writer.append(piece).await.unwrap();
        let entry = next(&mut reader).await;
        assert!(
            matches!(&entry.event, LogEvent::Delta(delta) if delta.text == piece && delta.attempt == 1),
            "{entry:?}"
        );
        seen.push(entry);
    }
    let task = world.turns().finish(&claim, completed("Hello, wörld"), None).await.unwrap();
    seen.extend(rest(&mut reader).await);
    assert_eq!(names(&seen), ["status", "status", "delta", "delta", "delta", "done"]);
    assert_eq!(seen.last().map(|entry| &entry.event), Some(&LogEvent::End(Box::new(task))));
}

/// Calls of tools, and text that looks like them, come whole and once from every cursor, also from what is stored.
pub async fn calls_of_tools_resume_exactly(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let call =
        |n: u32| ToolCall { id: format!("c{n}"), name: "look".into(), arguments: "{\"at\":\"\u{1e}·\"}".into() };
    let (calls, said) = (vec![call(1), call(2)], "a\u{1e}·{}\u{1e}");
    let claim = claimed(&world, &turn, "w1").await;
    let mut writer = world.log().writer(&claim).await.unwrap();
    let mut reader = follow(&world, &user, id, None).await;
    let mut seen = vec![next(&mut reader).await];
    writer.append(&encode_text(said)).await.unwrap();
    while shown(&seen) != said {
        seen.push(next(&mut reader).await);
    }
    for call in &calls {
        writer.append(&encode_call(call)).await.unwrap();
        let entry = next(&mut reader).await;
        assert!(matches!(&entry.event, LogEvent::ToolCall(data) if data.tool_call == *call), "{entry:?}");
        seen.push(entry);
    }
    let details = TaskDetails { tool_calls: calls.clone(), ..TaskDetails::default() };
    let task = world.turns().finish(&claim, TurnEnd { details, ..completed(said) }, None).await.unwrap();
    assert_eq!((task.reply.content.as_str(), &task.details.tool_calls), (said, &calls));
    seen.extend(rest(&mut reader).await);
    assert_eq!(seen.last().map(|entry| &entry.event), Some(&LogEvent::End(Box::new(task))));
    let called = |entry: &Entry| match &entry.event {
        LogEvent::ToolCall(data) => Some(data.tool_call.clone()),
        _ => None,
    };
    let check = async |world: &_, when: &str| {
        for at in 0..seen.len() - 1 {
            let mut resumed = follow(world, &user, id, Some(seen[at].cursor)).await;
            let all = [&seen[..=at], &rest(&mut resumed).await].concat();
            assert_eq!(shown(&all), said, "{when}, from {}", seen[at].cursor);
            assert_eq!(all.iter().filter_map(called).collect::<Vec<_>>(), calls, "{when}, from {}", seen[at].cursor);
            assert_eq!(all.last(), seen.last(), "{when}, from {}", seen[at].cursor);
        }
    };
    check(&world, "after the reply").await;
    let world = world.restart().await;
    check(&world, "after a restart").await;
}

/// From every cursor that was handed out, during the reply, after it, and after a restart: the rest, once.
pub async fn every_cursor_resumes_exactly(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let claim = claimed(&world, &turn, "w1").await;
    let mut writer = world.log().writer(&claim).await.unwrap();
    let mut reader = follow(&world, &user, id, None).await;
    let mut seen = vec![next(&mut reader).await];
    let mut whole = String::new();
    for n in 0..40 {
        let piece = format!("{n}·");
        whole.push_str(&piece);
        writer.append(&piece).await.unwrap();
        seen.push(next(&mut reader).await);
        let at = n % seen.len();
        let mut resumed = follow(&world, &user, id, Some(seen[at].cursor)).await;
        let missing: String = shown(&seen[at + 1..]);
        if !missing.is_empty() {
            assert_eq!(shown(&[next(&mut resumed).await]), missing);
        }
    }
    world.turns().finish(&claim, completed(&whole), None).await.unwrap();
    seen.extend(rest(&mut reader).await);
    let check = async |world: &_, when: &str| {
        for at in 0..seen.len() {
            let mut resumed = follow(world, &user, id, Some(seen[at].cursor)).await;
            let rest = rest(&mut resumed).await;
            assert_eq!(shown(&seen[..=at]) + &shown(&rest), whole, "{when}, from {}", seen[at].cursor);
            assert_eq!(rest.last().map(|entry| entry.event.name()), (at + 1 < seen.len()).then_some("done"));
        }
    };
    check(&world, "after the reply").await;
    let world = world.restart().await;
    check(&world, "after a restart").await;
}

/// A new attempt resets every reader, live or resuming, and no reader sees two attempts mixed.
pub async fn a_new_attempt_resets_readers(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let claim = claimed(&world, &turn, "w1").await;
    let mut live = follow(&world, &user, id, None).await;
    world.log().writer(&claim).await.unwrap().append("first try").await.unwrap();
    let mut seen = vec![next(&mut live).await, next(&mut live).await];
    let cut = seen[1].cursor;
    let second = world.turns().next_attempt(&claim, "provider_stalled").await.unwrap();
    world.log().writer(&second).await.unwrap().append("second").await.unwrap();
    world.turns().finish(&second, completed("second"), None).await.unwrap();
    seen.extend(rest(&mut live).await);
    assert_eq!(names(&seen), ["status", "delta", "reset", "status", "delta", "done"]);
    assert!(
        matches!(&seen[2].event, LogEvent::Reset(reset) if reset.attempt == 2 && reset.reason == "provider_stalled")
    );
    assert_eq!(shown(&seen), "second");

    let world = world.restart().await;
    let resumed = rest(&mut follow(&world, &user, id, Some(cut)).await).await;
    assert_eq!(names(&resumed), ["reset", "status", "delta", "done"]);
    let fresh = rest(&mut follow(&world, &user, id, None).await).await;
    assert_eq!(names(&fresh), ["status", "delta", "done"], "who saw nothing needs no reset");
}

/// A client can be ahead of what a crash left. It waits, and is reset when the next attempt begins.
pub async fn a_reader_ahead_of_a_crash_is_reset(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let claim = claimed(&world, &turn, "w1").await;
    world.log().writer(&claim).await.unwrap().append("sent, perhaps not stored").await.unwrap();
    let mut reader = follow(&world, &user, id, None).await;
    next(&mut reader).await;
    let ahead = next(&mut reader).await.cursor;
    drop(reader);

    let world = world.restart().await;
    let mut reader = follow(&world, &user, id, Some(ahead)).await;
    assert!(timeout(Duration::from_millis(50), reader.next()).await.is_err(), "there is nothing to say yet");
    world.advance(LEASE + Duration::from_secs(1)).await;
    let claim = claimed(&world, &turn, "w2").await;
    assert!(matches!(next(&mut reader).await.event, LogEvent::Reset(reset) if reset.attempt == 2));
    world.turns().finish(&claim, TurnEnd { status: Status::Cancelled, ..completed("") }, None).await.unwrap();
    assert_eq!(names(&rest(&mut reader).await), ["status", "cancelled"]);
}

/// A reader that waits for a queued task is told when it is cancelled before any work.
pub async fn a_waiting_reader_sees_the_cancel(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let mut reader = follow(&world, &user, id, None).await;
    next(&mut reader).await;
    assert!(matches!(world.turns().request_cancel(&user, id).await.unwrap(), CancelOutcome::Ended(_)));
    assert_eq!(names(&rest(&mut reader).await), ["cancelled"]);
    let fresh = rest(&mut follow(&world, &user, id, None).await).await;
    assert_eq!(names(&fresh), ["status", "cancelled"]);
}

/// Cursors that no event carried are refused before anything is sent.
pub async fn made_up_cursors_are_refused(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let log = world.log();
    let refused = async |attempt, place| {
        let outcome = log.follow(&user, id, Some(Cursor { attempt, place })).await;
        assert!(matches!(outcome, Err(FollowError::UnknownCursor(_))), "{attempt} {place:?} was taken");
    };
    refused(1, Place::Text(0)).await;
    refused(0, Place::End).await;
    let claim = claimed(&world, &turn, "w1").await;
    world.log().writer(&claim).await.unwrap().append("añb").await.unwrap();
    for (attempt, place) in
        [(1, Place::Text(5)), (1, Place::Text(2)), (1, Place::End), (2, Place::Reset), (9, Place::Text(0))]
    {
        refused(attempt, place).await;
    }
    world.turns().finish(&claim, completed("añb"), None).await.unwrap();
    for (attempt, place) in [(1, Place::Text(5)), (1, Place::Text(u64::MAX)), (2, Place::End)] {
        refused(attempt, place).await;
    }
}

/// Readers that never read hold up neither the writer nor each other; a late one gets all of a large text.
pub async fn slow_readers_hold_up_nobody(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let claim = claimed(&world, &turn, "w1").await;
    let mut writer = world.log().writer(&claim).await.unwrap();
    let mut stuck = Vec::new();
    for _ in 0..200 {
        stuck.push(follow(&world, &user, id, None).await);
    }
    let piece = "0123456789abcdef".repeat(64);
    let write = async {
        for _ in 0..1024 {
            writer.append(&piece).await.unwrap();
        }
    };
    timeout(SOON, write).await.expect("the writer was held up");
    let whole = piece.repeat(1024);
    timeout(SOON, world.turns().finish(&claim, completed(&whole), None)).await.expect("the end was held up").unwrap();
    let late = rest(&mut stuck.swap_remove(7)).await;
    assert_eq!(shown(&late).len(), whole.len());
    assert_eq!(shown(&late), whole);
}

/// One writer, many readers that come, go and resume at random while attempts change: each ends with the stored text.
pub async fn random_readers_end_with_the_stored_text(world: impl TurnsHarness) {
    let mut random = fastrand::Rng::with_seed(0x5eed);
    for _ in 0..20 {
        let turn = Turn::new("alice");
        let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
        let mut readers: Vec<(Vec<Entry>, Box<dyn ReplyReader>)> = Vec::new();
        for _ in 0..4 {
            readers.push((Vec::new(), follow(&world, &user, id, None).await));
        }
        let mut claim = claimed(&world, &turn, "w1").await;
        let mut writer = world.log().writer(&claim).await.unwrap();
        for step in 0..60 {
            writer.append(&format!("<{step}é>")).await.unwrap();
            if random.usize(..20) == 0 {
                claim = world.turns().next_attempt(&claim, "provider_stalled").await.unwrap();
                writer = world.log().writer(&claim).await.unwrap();
            }
            let (seen, reader) = &mut readers[random.usize(..4)];
            match random.usize(..3) {
                0 => {
                    let last = seen.last().map(|entry: &Entry| entry.cursor);
                    *reader = follow(&world, &user, id, last).await;
                }
                // Gives up at once when there is nothing to read: also tests that dropping the future loses nothing.
                _ => {
                    if let Ok(entry) = timeout(Duration::from_micros(1), reader.next()).await {
                        seen.push(entry.unwrap().unwrap());
                    }
                }
            }
        }
        let text = writer.text();
        world.turns().finish(&claim, completed(&text), None).await.unwrap();
        for (mut seen, mut reader) in readers {
            seen.extend(rest(&mut reader).await);
            assert_eq!(shown(&seen), text);
            assert!(seen.windows(2).all(|pair| pair[0].cursor < pair[1].cursor), "cursors grow");
        }
    }
}
