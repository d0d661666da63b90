//! What a response goes on from: another response, as its next turn or as a fork, or a conversation; and what is deleted.

use parlance_mock_llm::{Script, expected_reply};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Responses as _, error};
use crate::support::{Server, World, eventually};

fn id(response: &Value) -> &str {
    response["id"].as_str().unwrap()
}

fn session(response: &Value) -> &str {
    response["conversation"]["id"].as_str().unwrap()
}

async fn after(server: &Server, previous: &Value, input: &str) -> Value {
    server.respond(&json!({"input": input, "previous_response_id": id(previous)})).await
}

/// What the model was asked in the last turn, without its instructions.
fn asked(world: &World) -> Vec<(String, String)> {
    let last = world.turns_asked().pop().unwrap();
    let messages = last.messages.into_iter().map(|message| (message.role.clone(), message.content));
    messages.filter(|(role, _)| role != "system").collect()
}

fn conversation(said: &[&str]) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (n, question) in said.iter().enumerate() {
        lines.push(("user".to_owned(), (*question).to_owned()));
        if n + 1 < said.len() {
            lines.push(("assistant".to_owned(), expected_reply(question, 20)));
        }
    }
    lines
}

#[tokio::test]
async fn a_chain_is_one_conversation_and_a_second_way_on_is_a_fork() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let one = server.respond(&json!({"input": "one", "instructions": "Of the first alone."})).await;
    let two = after(&server, &one, "two").await;
    let three = after(&server, &two, "three").await;
    assert_eq!((session(&one), session(&two)), (session(&three), session(&three)));
    assert_eq!(two["previous_response_id"], one["id"]);
    assert_eq!(asked(&world), conversation(&["one", "two", "three"]));
    let told = world.turns_asked().pop().unwrap();
    assert!(told.messages.iter().all(|message| message.content != "Of the first alone."));

    let other = after(&server, &one, "two, otherwise").await;
    assert_ne!(session(&other), session(&one));
    assert_eq!(asked(&world), conversation(&["one", "two, otherwise"]));
    let on = after(&server, &other, "and then?").await;
    assert_eq!(session(&on), session(&other));
    assert_eq!(asked(&world), conversation(&["one", "two, otherwise", "and then?"]));
    // A fork of a fork, whose first turn brought what was said before it.
    let again = after(&server, &other, "and now?").await;
    assert_ne!(session(&again), session(&other));
    assert_eq!(asked(&world), conversation(&["one", "two, otherwise", "and now?"]));
    let items = server.get(&format!("/v1/responses/{}/input_items?order=asc&limit=2", id(&again))).await.expect(200);
    assert_eq!(items["has_more"], true, "{items}");
    let next =
        format!("/v1/responses/{}/input_items?order=asc&after={}", id(&again), items["last_id"].as_str().unwrap());
    assert_eq!(server.get(&next).await.expect(200)["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_running_response_is_followed_in_its_turn() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let slow = "one [[mock tokens=20 delay_ms=20]]";
    let one = server.respond(&json!({"input": slow, "background": true})).await;
    let two = after(&server, &one, "two").await;
    assert_eq!(session(&server.response(id(&one)).await), session(&two));
    assert_eq!(asked(&world)[1].1, expected_reply(slow, 20));
}

#[tokio::test]
async fn items_are_told_after_what_the_conversation_holds() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let input = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "zero"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "0"}]},
        {"role": "user", "content": "one"},
    ]);
    let one = server.respond(&json!({"input": input})).await;
    let lines = |rest: &[&str]| {
        let told = [("user", "zero"), ("assistant", "0")].map(|(role, text)| (role.to_owned(), text.to_owned()));
        [told.to_vec(), conversation(rest)].concat()
    };
    assert_eq!(asked(&world), lines(&["one"]));
    assert_eq!(world.turns_asked()[0].messages[0].content, "Be brief.");
    after(&server, &one, "two").await;
    assert_eq!(asked(&world), lines(&["one", "two"]), "what was told is remembered with the turn");
    let more = json!([{"role": "user", "content": "three"}, {"role": "assistant", "content": "3"}, {"role": "user", "content": "four"}]);
    server.respond(&json!({"input": more, "conversation": {"id": session(&one)}})).await;
    let said = asked(&world);
    assert_eq!(
        said[..said.len() - 3],
        [lines(&["one", "two"]), vec![("assistant".into(), expected_reply("two", 20))]].concat()
    );
    assert_eq!(said.last().unwrap().1, "four");
}

#[tokio::test]
async fn a_conversation_is_our_session() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let made = server.post("/v1/sessions", &json!({"instructions": "Speak as a pirate."})).await.expect(201);
    let session_id = made["id"].as_str().unwrap();
    let one = server.respond(&json!({"input": "one", "conversation": session_id})).await;
    assert_eq!(session(&one), session_id);
    assert!(world.turns_asked()[0].messages[0].content.contains("pirate"));
    server.respond(&json!({"input": "two", "conversation": {"id": session_id}, "instructions": "Plainly."})).await;
    assert_eq!(world.turns_asked()[1].messages[0].content, "Plainly.");
    all_four(&server, session_id).await;

    let both = json!({"input": "a", "conversation": session_id, "previous_response_id": id(&one)});
    let refused = server.post("/v1/responses", &both).await;
    assert_eq!(error(&refused, 400)["param"], "conversation");
    for unknown in ["ses_00000000000070008000000000000000", "conv_1"] {
        let refused = server.post("/v1/responses", &json!({"input": "a", "conversation": unknown})).await;
        assert_eq!(error(&refused, 404)["param"], "conversation");
    }
    for unknown in ["resp_00000000000070008000000000000000", "resp_1", "tsk_1"] {
        let refused = server.post("/v1/responses", &json!({"input": "a", "previous_response_id": unknown})).await;
        let error = error(&refused, 404);
        assert_eq!(
            (&error["param"], &error["code"]),
            (&json!("previous_response_id"), &json!("previous_response_not_found"))
        );
    }
}

/// Two turns are kept, as soon as the record has them.
async fn all_four(server: &Server, session: &str) {
    let listed = async || (server.messages(session).await.len() == 4).then_some(());
    eventually("the record has both turns", listed).await;
}

async fn delete(server: &Server, id: &str) -> crate::support::Answer {
    server.try_call(Method::DELETE, &format!("/v1/responses/{id}"), None).await.unwrap()
}

#[tokio::test]
async fn a_deleted_response_is_gone_and_its_conversation_with_it_if_it_was_all() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let alone = server.respond(&json!({"input": "alone"})).await;
    let one = server.respond(&json!({"input": "one"})).await;
    let two = after(&server, &one, "two").await;
    for response in [&alone, &one] {
        for _ in 0..2 {
            let deleted = delete(&server, id(response)).await.expect(200);
            assert_eq!(deleted, json!({"id": id(response), "object": "response", "deleted": true}));
        }
        for path in ["", "?stream=true", "/input_items"] {
            let gone = server.get(&format!("/v1/responses/{}{path}", id(response))).await;
            assert_eq!(error(&gone, 404)["code"], "response_not_found");
        }
        let next = server.post("/v1/responses", &json!({"input": "a", "previous_response_id": id(response)})).await;
        assert_eq!(error(&next, 404)["param"], "previous_response_id");
    }
    server.get(&format!("/v1/sessions/{}", session(&alone))).await.problem(404, "session_not_found");
    all_four(&server, session(&two)).await;
    assert_eq!(server.response(id(&two)).await, two);
    server.kill();
    let server = world.start().await;
    assert_eq!(error(&server.get(&format!("/v1/responses/{}", id(&one))).await, 404)["code"], "response_not_found");
    let unknown = delete(&server, "resp_00000000000070008000000000000000").await;
    assert_eq!(error(&unknown, 404)["code"], "response_not_found");
}

#[tokio::test]
async fn what_is_not_stored_can_not_be_fetched() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let created = server.respond(&json!({"input": "one", "store": false})).await;
    assert_eq!((&created["status"], &created["store"]), (&json!("completed"), &json!(false)));
    assert_eq!(error(&server.get(&format!("/v1/responses/{}", id(&created))).await, 404)["code"], "response_not_found");
    let next = server.post("/v1/responses", &json!({"input": "a", "previous_response_id": id(&created)})).await;
    assert_eq!(error(&next, 404)["param"], "previous_response_id");
    let background = server.post("/v1/responses", &json!({"input": "a", "store": false, "background": true})).await;
    assert_eq!(error(&background, 400)["param"], "store");
}
