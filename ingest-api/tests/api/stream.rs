//! Replies as they come: live, resumed, replayed.

use std::time::Duration;

use http::Request;
use parlance_shared::{
    event::{MessageSubmitted, from_cloud_event},
    task::Status,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{App, Attempt, Frame, until};

async fn submit(app: &App) -> (String, MessageSubmitted) {
    let path = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    (path, from_cloud_event(&app.event().await).unwrap())
}

async fn started(app: &App) -> (String, Attempt) {
    let (task, submitted) = submit(app).await;
    (format!("{task}/stream"), app.claim(&submitted).await)
}

fn brief(frames: &[Frame]) -> Vec<(String, String)> {
    frames.iter().map(|frame| (frame.id.clone(), frame.event.clone())).collect()
}

/// The text that a client shows after these events.
fn shown(frames: &[Frame]) -> String {
    let mut text = String::new();
    for frame in frames {
        match frame.event.as_str() {
            "reset" => text.clear(),
            "delta" => text.push_str(frame.data["text"].as_str().unwrap()),
            _ => {}
        }
    }
    text
}

#[tokio::test]
async fn a_reply_is_streamed_as_it_comes() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    let mut events = app.stream(&format!("{task}/stream")).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.headers["cache-control"], "no-store, no-transform");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    assert_eq!(events.any().await.unwrap().retry, "1000");
    let queued = events.next().await.unwrap();
    assert_eq!((queued.id.as_str(), &queued.data), ("0-0", &json!({"status": "queued", "attempt": 0})));

    let mut attempt = app.claim(&submitted).await;
    let running = events.next().await.unwrap();
    assert_eq!((running.id.as_str(), &running.data), ("1-0", &json!({"status": "running", "attempt": 1})));
    attempt.say("Größe: ").await;
    let delta = events.next().await.unwrap();
    assert_eq!((delta.id.as_str(), &delta.data), ("1-9", &json!({"text": "Größe: ", "attempt": 1})));
    attempt.say("unklar").await;
    assert_eq!(events.next().await.unwrap().data["text"], "unklar");

    let mut attempt = app.retry(attempt, "provider_stalled").await;
    attempt.say("7").await;
    let reset = events.next().await.unwrap();
    assert_eq!((reset.id.as_str(), &reset.data), ("2-r", &json!({"attempt": 2, "reason": "provider_stalled"})));
    let ended = app.end(attempt, Status::Completed).await;
    let rest = events.rest().await;
    assert_eq!(
        brief(&rest),
        [("2-0", "status"), ("2-1", "delta"), ("2-end", "done")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(rest.last().unwrap().data, json!(ended));
    assert_eq!(rest.last().unwrap().data, app.get(&task).await.json());
}

#[tokio::test]
async fn every_end_has_its_event() {
    let app = App::start().await;
    for (status, name) in [(Status::Failed, "failed"), (Status::Cancelled, "cancelled"), (Status::Completed, "done")] {
        let (stream, attempt) = started(&app).await;
        app.end(attempt, status).await;
        let events = app.stream(&stream).await.rest().await;
        let last = events.last().unwrap();
        assert_eq!((last.event.as_str(), &last.data["status"]), (name, &json!(status)));
    }
}

#[tokio::test]
async fn a_client_resumes_from_any_id_during_and_after_the_reply() {
    let app = App::start().await;
    let (stream, mut attempt) = started(&app).await;
    let mut events = app.stream(&stream).await;
    let mut seen = vec![events.next().await.unwrap()];
    for word in ["one ", "two ", "drei€ ", "four"] {
        attempt.say(word).await;
        seen.push(events.next().await.unwrap());
    }
    for (n, frame) in seen.iter().enumerate() {
        let mut resumed = app.stream_with(Request::get(&stream).header("last-event-id", &frame.id)).await;
        let mut all = seen[..=n].to_vec();
        while shown(&all) != "one two drei€ four" {
            all.push(resumed.next().await.unwrap());
        }
    }
    app.end(attempt, Status::Completed).await;
    seen.extend(events.rest().await);
    for (n, frame) in seen.iter().enumerate().take(seen.len() - 1) {
        let rest = app.stream(&format!("{stream}?after={}", frame.id)).await.rest().await;
        let all = [&seen[..=n], &rest].concat();
        assert_eq!(shown(&all), "one two drei€ four", "after {}", frame.id);
        assert_eq!(all.last(), seen.last(), "after {}", frame.id);
    }
    let nothing = app.get(&format!("{stream}?after={}", seen.last().unwrap().id)).await;
    assert_eq!((nothing.status.as_u16(), nothing.body.len()), (204, 0));
}

#[tokio::test]
async fn a_cursor_that_was_never_handed_out_is_refused() {
    let app = App::start().await;
    let (stream, mut attempt) = started(&app).await;
    attempt.say("€").await;
    let refused = async |cursors: &[&str]| {
        for cursor in cursors {
            let after = app.get(&format!("{stream}?after={cursor}")).await.problem(400, "unknown_cursor");
            assert_eq!(after["field"], "after", "{cursor}");
            let header = app.send(Request::get(&stream).header("last-event-id", *cursor), "").await;
            assert_eq!(header.problem(400, "unknown_cursor")["field"], "Last-Event-ID", "{cursor}");
        }
    };
    refused(&["", "x", "1", "1-1", "1-4", "2-0", "1-end", "2-r", "-1-0", "1-%2B0", "0-1", "1-99999999999999999999"])
        .await;
    app.end(attempt, Status::Completed).await;
    refused(&["1-1", "1-4", "2-end", "2-0"]).await;
    assert_eq!(app.live_subscribers(), 0);
}

#[tokio::test]
async fn the_header_wins_over_the_parameter() {
    let app = App::start().await;
    let (stream, mut attempt) = started(&app).await;
    attempt.say("abc").await;
    app.end(attempt, Status::Completed).await;
    let both = Request::get(format!("{stream}?after=1-0")).header("last-event-id", "1-3");
    assert_eq!(app.stream_with(both).await.rest().await[0].event, "done");
}

#[tokio::test]
async fn a_task_that_only_the_record_knows_is_replayed_from_it() {
    let app = App::start().await;
    let (stream, mut attempt) = started(&app).await;
    attempt.say("Kept for ever").await;
    let task = app.end(attempt, Status::Completed).await;
    let live = app.stream(&stream).await.rest().await;
    app.persist_end(task).await;
    app.expire_one_reply().await;

    let replayed = app.stream(&stream).await.rest().await;
    assert_eq!(shown(&replayed), "Kept for ever");
    assert_eq!(replayed.last().unwrap().data["reply"], live.last().unwrap().data["reply"]);
    for frame in &live[..live.len() - 1] {
        let rest = app.stream(&format!("{stream}?after={}", frame.id)).await.rest().await;
        let n = live.iter().position(|other| other == frame).unwrap();
        assert_eq!(shown(&[&live[..=n], &rest].concat()), "Kept for ever", "after {}", frame.id);
    }
    assert_eq!(app.get(&format!("{stream}?after=1-end")).await.status, 204);
    app.get(&format!("{stream}?after=1-99")).await.problem(400, "unknown_cursor");
    assert_eq!(app.get(stream.trim_end_matches("/stream")).await.json()["reply"]["content"], "Kept for ever");
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive() {
    let app = App::start_with(|state| state.limits.keep_alive = Duration::from_millis(30)).await;
    let (stream, _attempt) = started(&app).await;
    let mut events = app.stream(&stream).await;
    let mut comments = 0;
    while comments < 3 {
        let frame = events.any().await.unwrap();
        comments += usize::from(frame.comment == "keep-alive");
    }
}

#[tokio::test]
async fn subscribers_are_counted_until_they_vanish() {
    let app = App::start().await;
    let (stream, mut attempt) = started(&app).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(app.stream(&stream).await);
    }
    assert_eq!(app.live_subscribers(), 5);
    all.truncate(2);
    until("three subscribers are gone", || app.live_subscribers() == 2).await;
    attempt.say("still here").await;
    app.end(attempt, Status::Completed).await;
    for events in &mut all {
        assert_eq!(shown(&events.rest().await), "still here");
    }
    until("all subscribers are gone", || app.live_subscribers() == 0).await;
}

/// One that reads nothing holds up neither the writer nor another reader, and gets all of it when it reads again.
#[tokio::test]
async fn a_slow_subscriber_holds_up_nobody() {
    let app = App::start().await;
    let (stream, mut attempt) = started(&app).await;
    let mut slow = app.stream(&stream).await;
    let mut quick = app.stream(&stream).await;
    let piece = "x".repeat(64 * 1024);
    let read = async {
        let frames = quick.rest().await;
        shown(&frames).len()
    };
    let write = async {
        for _ in 0..64 {
            attempt.say(&piece).await;
            tokio::task::yield_now().await;
        }
        app.end(attempt, Status::Completed).await;
    };
    let (quick, ()) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(read, write) }).await.unwrap();
    assert_eq!(quick, 64 * piece.len());
    let late = slow.rest().await;
    assert_eq!(shown(&late).len(), 64 * piece.len());
    assert!(late.iter().all(|frame| frame.data["text"].as_str().unwrap_or_default().len() <= 16 * 1024));
}

#[tokio::test]
async fn the_stream_takes_no_other_parameters() {
    let app = App::start().await;
    let (stream, _attempt) = started(&app).await;
    let problem: Value = app.get(&format!("{stream}?cursor=1-0")).await.problem(400, "unknown_parameter");
    assert_eq!((&problem["field"], &problem["accepted"]), (&json!("cursor"), &json!(["after"])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever the pieces and wherever the client is cut off, it shows the reply, once.
    #[test]
    fn a_client_that_is_cut_off_anywhere_shows_the_whole_reply(
        pieces in proptest::collection::vec("[a-z€😀\"\\\\\n\r\u{2028}]{1,12}", 1..12),
        cuts in proptest::collection::vec(0_usize..6, 0..6),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let app = App::start().await;
            let (stream, mut attempt) = started(&app).await;
            let whole = pieces.concat();
            let write = async {
                for piece in &pieces {
                    attempt.say(piece).await;
                    tokio::task::yield_now().await;
                }
                app.end(attempt, Status::Completed).await;
            };
            let read = async {
                let mut seen: Vec<Frame> = Vec::new();
                for cut in cuts.iter().copied().chain([usize::MAX]) {
                    if seen.last().is_some_and(|frame| frame.event == "done") {
                        break;
                    }
                    let request = match seen.last() {
                        Some(frame) => Request::get(&stream).header("last-event-id", &frame.id),
                        None => Request::get(&stream),
                    };
                    let mut events = app.stream_with(request).await;
                    for _ in 0..cut {
                        let Some(frame) = events.next().await else { break };
                        seen.push(frame);
                    }
                }
                seen
            };
            let (seen, ()) = tokio::join!(read, write);
            assert_eq!(shown(&seen), whole);
            assert_eq!(seen.iter().filter(|frame| frame.event == "done").count(), 1);
        });
    }
}
