//! For any text, cut in any way, over any attempts: the events are in order, replays agree, and what follows any number is
//! exactly the rest.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use parlance_shared::{
    content::{ToolCall, TurnInput},
    cursor::Cursor,
    id::PrefixedId as _,
    log_view::LogView,
    task::{Status, TaskError},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::openai::responses::{echo::Echo, sequence::cursor};

fn known(background: bool) -> Known {
    Known {
        task: TaskId::from_uuid(Uuid::nil()),
        session: None,
        accepted_at: Some(DateTime::<Utc>::UNIX_EPOCH),
        model: "m".to_owned(),
        metadata: None,
        input: TurnInput::default(),
        echo: Echo { background, ..Echo::default() },
    }
}

/// One attempt as its reader meets it: its text in pieces, of which some come before it is looked at.
#[derive(Clone, Debug)]
struct Said {
    pieces: Vec<String>,
}

impl Said {
    fn text(&self) -> String {
        self.pieces.concat()
    }
}

fn task(attempts: &[Said], status: Status, calls: usize) -> Task {
    let mut task = Task::queued(TaskId::from_uuid(Uuid::nil()));
    task.status = status;
    task.attempt = attempts.len() as u32;
    task.reply.content = attempts.last().map(Said::text).unwrap_or_default();
    if status == Status::Completed {
        let call = |n| ToolCall { id: format!("c{n}"), name: "f".to_owned(), arguments: format!("{{\"n\":{n}}}") };
        task.details.tool_calls = (0..calls).map(call).collect();
    }
    if status == Status::Failed {
        task.error = Some(TaskError { code: "worker_lost".into(), message: "No.".into(), retryable: true });
    }
    task
}

/// What a reader is sent that joins behind `seen`, wakes after each piece, and stays to the end.
fn live(attempts: &[Said], task: &Task, background: bool, seen: Option<u64>) -> Vec<Value> {
    let mut view = ResponsesView::new(known(background), seen);
    let mut out = BytesMut::new();
    view.open(&mut out);
    let mut at: Option<Cursor> = None;
    let mut drain = |view: &mut ResponsesView, log: LogView<'_>| {
        while let Some(entry) = log.next_after(at).unwrap() {
            at = Some(entry.cursor);
            view.entry(&mut out, &entry).unwrap();
        }
    };
    let log = |attempt, text: String| LogView {
        attempt,
        reset_reason: "worker_lost",
        text: text.into(),
        end: None,
        complete: true,
        erased: false,
    };
    drain(&mut view, log(0, String::new()));
    for (n, said) in attempts.iter().enumerate() {
        for up_to in 0..=said.pieces.len() {
            let text = said.pieces[..up_to].concat();
            drain(&mut view, log(n as u32 + 1, parlance_shared::reply_text::encode_text(&text).into_owned()));
        }
    }
    drain(&mut view, LogView::of_ended(task, "worker_lost"));
    events(&out)
}

/// What a reader is sent that comes when all is over.
fn replay(task: &Task, background: bool, seen: Option<u64>) -> Vec<Value> {
    let mut view = ResponsesView::new(known(background), seen);
    let mut out = BytesMut::new();
    view.open(&mut out);
    let mut at = seen.and_then(|seen| cursor(seen, task));
    while let Some(entry) = LogView::of_ended(task, "attempt_replaced").next_after(at).unwrap() {
        at = Some(entry.cursor);
        view.entry(&mut out, &entry).unwrap();
    }
    events(&out)
}

fn events(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    let frames = text.split_terminator("\n\n");
    frames
        .map(|frame| {
            let (name, data) = frame.split_once('\n').unwrap();
            let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), event["type"].as_str());
            assert_eq!(data.lines().count(), 1);
            event
        })
        .collect()
}

fn number_of(event: &Value) -> u64 {
    event["sequence_number"].as_u64().unwrap()
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap()
}

/// Deltas of the same item in a row are one: how they are cut is nobody's business, where the last one ends is.
fn joined(events: &[Value]) -> Vec<Value> {
    let mut joined: Vec<Value> = Vec::new();
    for event in events {
        let delta = kind(event) == "response.output_text.delta";
        match joined.last_mut() {
            Some(last) if delta && kind(last) == kind(event) && last["item_id"] == event["item_id"] => {
                last["delta"] =
                    format!("{}{}", last["delta"].as_str().unwrap(), event["delta"].as_str().unwrap()).into();
                last["sequence_number"] = event["sequence_number"].clone();
            }
            _ => joined.push(event.clone()),
        }
    }
    joined
}

/// As OpenAI's clients put a response together, with their complaints.
fn accumulate(events: &[Value]) -> (Value, BTreeMap<u64, String>) {
    assert_eq!((kind(&events[0]), number_of(&events[0])), ("response.created", 0));
    assert_eq!(events[0]["response"]["output"], json!([]));
    let (mut items, mut texts, mut done) = (Vec::new(), BTreeMap::new(), HashSet::new());
    for event in &events[1..] {
        let index = event["output_index"].as_u64().unwrap_or_default();
        match kind(event) {
            "response.output_item.added" => {
                assert_eq!(index, items.len() as u64, "indexes have no gaps");
                items.push(event["item"]["id"].clone());
            }
            "response.content_part.added" => drop(texts.insert(index, String::new())),
            "response.output_text.delta" => {
                assert_eq!(event["item_id"], items[index as usize]);
                texts.get_mut(&index).unwrap().push_str(event["delta"].as_str().unwrap());
            }
            "response.output_text.done" => assert_eq!(event["text"], texts[&index]),
            "response.output_item.done" => {
                assert_eq!(event["item"]["id"], items[index as usize]);
                assert!(done.insert(index), "done once");
                if event["item"]["content"].as_array().is_some_and(Vec::is_empty) {
                    texts.insert(index, String::new());
                }
            }
            _ => {}
        }
    }
    let last = events.last().unwrap();
    assert_eq!(done.len(), items.len(), "all items are done at the end");
    for item in last["response"]["output"].as_array().unwrap() {
        assert!(items.contains(&item["id"]));
    }
    (last.clone(), texts)
}

fn said() -> impl Strategy<Value = Said> {
    proptest::collection::vec("[a-c€😀\u{1e}\n]{0,6}", 0..5).prop_map(|pieces| Said { pieces })
}

fn ends() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Completed), Just(Status::Failed), Just(Status::Cancelled)]
}

proptest! {
    #[test]
    fn what_follows_any_number_is_the_rest(
        attempts in proptest::collection::vec(said(), 0..4),
        status in ends(),
        calls in 0_usize..3,
        background in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let task = task(&attempts, status, calls);
        let all = live(&attempts, &task, background, None);
        prop_assert!(all.windows(2).all(|pair| number_of(&pair[0]) < number_of(&pair[1])), "numbers grow");
        prop_assert!(all.iter().all(|event| number_of(event) < 1 << 53));
        let (end, _) = accumulate(&all);
        prop_assert!(matches!(kind(&end), "response.completed" | "response.failed" | "response.incomplete"));

        // Cut off anywhere, a reader that comes back later has all, once.
        let cut = cut.index(all.len());
        let (before, seen) = (&all[..=cut], Some(number_of(&all[cut])));
        for rest in [replay(&task, background, seen), live(&attempts, &task, background, seen)] {
            prop_assert!(rest.iter().all(|event| Some(number_of(event)) > seen));
            let whole = [before, &rest].concat();
            let (again, texts) = accumulate(&whole);
            prop_assert_eq!(&again, &end);
            let shown: String = texts.into_values().collect();
            prop_assert_eq!(&shown, &task.reply.content, "only the last attempt's text is left");
        }
    }

    #[test]
    fn a_replay_tells_the_same_but_for_what_was_given_up(
        attempts in proptest::collection::vec(said(), 0..4),
        status in ends(),
        calls in 0_usize..3,
    ) {
        let task = task(&attempts, status, calls);
        let (all, again) = (live(&attempts, &task, true, None), replay(&task, true, None));
        // What stale attempts said is not kept; their items are.
        let stale = |event: &Value| {
            let attempt = number_of(event) >> 32;
            attempt > 0 && attempt < u64::from(task.attempt)
                && matches!(kind(event), "response.output_text.delta" | "response.content_part.added")
        };
        let kept: Vec<Value> = joined(&all).into_iter().filter(|event| !stale(event)).collect();
        prop_assert_eq!(kept, joined(&again));
        accumulate(&again);
    }

    /// Numbers that were never sent give an answer or an unknown cursor, never a panic.
    #[test]
    fn any_number_is_safe(attempts in proptest::collection::vec(said(), 0..3), seen in any::<u64>(), low in 0_u64..40) {
        let task = task(&attempts, Status::Completed, 1);
        for seen in [seen, low, (1 << 32) | low, (2 << 32) | low, (1 << 32) | (0xffff_ffff - low)] {
            let at = cursor(seen, &task);
            let _ = LogView::of_ended(&task, "x").next_after(at);
        }
    }
}

#[test]
fn a_plain_reply_is_told_as_openai_tells_it() {
    let attempts = [Said { pieces: vec!["Hel".into(), "lo".into()] }];
    let task = task(&attempts, Status::Completed, 0);
    let all = live(&attempts, &task, false, None);
    let kinds: Vec<&str> = all.iter().map(kind).collect();
    let wanted = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(all[9]["response"]["output"][0]["content"][0]["text"], "Hello");
    assert_eq!((&all[9]["response"]["status"], &all[9]["response"]["error"]), (&json!("completed"), &Value::Null));
    assert_eq!(all[4]["logprobs"], json!([]));
}

#[test]
fn one_that_was_cancelled_before_it_began_has_no_items() {
    let all = live(&[], &task(&[], Status::Cancelled, 0), true, None);
    let kinds: Vec<&str> = all.iter().map(kind).collect();
    assert_eq!(kinds, ["response.created", "response.queued", "response.incomplete"]);
    assert_eq!(all[2]["response"]["status"], "cancelled");
}
