//! Behind a proxy that cuts long answers: streams end before that, so that nobody sees an error and nobody waits for text, and
//! nothing is lost or repeated.

use std::{collections::BTreeSet, time::Duration};

use http::Request;
use ingest_api::FrontDoor;
use parlance_shared::{
    event::{MessageSubmitted, from_cloud_event},
    settings::{Environment, FrontDoorSettings},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{App, Events, Frame};

async fn app() -> App {
    let settings = FrontDoorSettings { stream_max: Some(Duration::from_secs(1)), ..Default::default() };
    let door = FrontDoor::new(&settings, Environment::Development, false);
    App::start_with(|state| state.door = door).await
}

/// Everything until the server ends the stream, hints and comments too.
async fn all(mut events: Events) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = events.any().await {
        frames.push(frame);
    }
    frames
}

async fn asked(app: &App, path: &str, body: Value) -> (MessageSubmitted, Events) {
    let events = app.stream_of(Request::post(path), &body).await;
    (from_cloud_event(&app.event().await).unwrap(), events)
}

#[tokio::test]
async fn a_client_goes_on_where_its_stream_ended() {
    let app = app().await;
    let path = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    let mut attempt = app.claim(&from_cloud_event(&app.event().await).unwrap()).await;
    let mut seen: Vec<Frame> = Vec::new();
    let open = async |seen: &[Frame]| {
        let request = Request::get(format!("{path}/stream"));
        let last = seen.last().map(|frame| frame.id.clone());
        app.stream_with(last.into_iter().fold(request, |request, id| request.header("last-event-id", id))).await
    };
    for word in ["one ", "two ", "three"] {
        attempt.say(word).await;
        let frames = all(open(&seen).await).await;
        let retries: Vec<_> =
            frames.iter().map(|frame| frame.retry.as_str()).filter(|retry| !retry.is_empty()).collect();
        assert_eq!(retries, ["1000", "10"], "only where nothing is wrong the client is to come back at once");
        assert_eq!(frames.last().unwrap().retry, "10");
        seen.extend(frames.into_iter().filter(|frame| !frame.id.is_empty()));
    }
    app.end(attempt, Status::Completed).await;
    seen.extend(open(&seen).await.rest().await);
    let text: String = seen.iter().filter_map(|frame| frame.data["text"].as_str()).collect();
    assert_eq!((text.as_str(), seen.last().unwrap().event.as_str()), ("one two three", "done"));
    let ids: BTreeSet<_> = seen.iter().map(|frame| &frame.id).collect();
    assert_eq!(ids.len(), seen.len(), "something came twice: {seen:?}");
}

#[tokio::test]
async fn a_response_ends_without_an_end_and_goes_on_behind_its_last_number() {
    let app = app().await;
    let (submitted, events) = asked(&app, "/v1/responses", json!({"input": "a", "stream": true})).await;
    let mut attempt = app.claim(&submitted).await;
    attempt.say("one ").await;
    let first = all(events).await;
    assert_eq!(first.last().unwrap().event, "response.output_text.delta", "{first:?}");
    attempt.say("two").await;
    app.end(attempt, Status::Completed).await;
    let (id, last) =
        (first[0].data["response"]["id"].as_str().unwrap(), &first.last().unwrap().data["sequence_number"]);
    let rest = all(app.stream(&format!("/v1/responses/{id}?stream=true&starting_after={last}")).await).await;
    let deltas = [first, rest.clone()].concat();
    let text: String = deltas.iter().filter_map(|frame| frame.data["delta"].as_str()).collect();
    assert_eq!((text.as_str(), rest.last().unwrap().event.as_str()), ("one two", "response.completed"));
}

/// A stream of `useChat` that ended in silence would be taken for the whole reply.
#[tokio::test]
async fn a_chat_is_told_to_resume() {
    let app = app().await;
    let said = json!({"id": "m", "role": "user", "parts": [{"type": "text", "text": "a"}]});
    let body = json!({"id": "c", "messages": [said], "trigger": "submit-message"});
    let (submitted, events) = asked(&app, "/v1/ui/chat", body).await;
    let mut attempt = app.claim(&submitted).await;
    attempt.say("one ").await;
    let first = all(events).await;
    let kinds: Vec<_> = first.iter().filter_map(|frame| frame.data["type"].as_str()).collect();
    assert_eq!(kinds.last(), Some(&"error"), "{first:?}");
    attempt.say("two").await;
    let resumed = app.stream("/v1/ui/chat/c/stream").await;
    app.end(attempt, Status::Completed).await;
    let whole = all(resumed).await;
    let text: String = whole.iter().filter_map(|frame| frame.data["delta"].as_str()).collect();
    assert_eq!(text, "one two");
}

/// Nobody can go on with it: ended early it would be broken off.
#[tokio::test]
async fn a_chat_completion_is_left_alone() {
    let app = app().await;
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "a"}]});
    let (submitted, completion) = asked(&app, "/v1/chat/completions", body).await;
    let mut attempt = app.claim(&submitted).await;
    attempt.say("one ").await;
    // The same reply's own stream is over by then.
    let native = all(app.stream(&format!("/v1/tasks/{}/stream", submitted.task_id)).await).await;
    assert_eq!(native.last().unwrap().retry, "10");
    attempt.say("two").await;
    app.end(attempt, Status::Completed).await;
    let frames = all(completion).await;
    let text: String =
        frames.iter().filter_map(|frame| frame.data["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "one two");
    assert!(frames.iter().all(|frame| frame.data.get("error").is_none()), "{frames:?}");
}
