use chrono::DateTime;
use parlance_shared::{
    Clock, UserId,
    event::Strategy,
    id_mint::IdMint,
    port::{
        llm::{PromptMessage, PromptRole},
        turns::{CheckpointTurn, Summary},
    },
    settings::MemorySettings,
    task::codes,
};

use super::*;
use crate::window::tests::turns;

fn memory(context_tokens: u32) -> Memory {
    Memory::new(MemorySettings { context_tokens: Some(context_tokens), ..MemorySettings::default() })
}

fn message(content: &str) -> MessageSubmitted {
    let (mint, user_id) = (IdMint::new(&[1; 32], Clock::system()), UserId::new("alice"));
    MessageSubmitted {
        task_id: mint.mint(&user_id),
        session_id: mint.mint(&user_id),
        message_id: mint.mint(&user_id),
        reply_message_id: mint.mint(&user_id),
        user_id,
        content: content.to_owned(),
        model: Some("m1".to_owned()),
        strategy: Strategy::Enqueue,
        metadata: None,
        accepted_at: DateTime::UNIX_EPOCH,
        fingerprint: None,
        input: Default::default(),
        looked_at: None,
    }
}

fn composed(context: u32, checkpoint: &Checkpoint, message: &MessageSubmitted) -> Result<Built, Failure> {
    let memory = memory(context);
    compose(&memory, &memory.room("m1"), checkpoint, message)
}

fn summary_of(turn: &CheckpointTurn) -> Summary {
    Summary {
        version: 3,
        text: "They greeted.".to_owned(),
        through: turn.task_id,
        turns: 1,
        tokens: 3,
        made_at: DateTime::UNIX_EPOCH,
        through_at: None,
        model: None,
        usage: Default::default(),
    }
}

fn lines(prompt: &Prompt) -> Vec<(PromptRole, &str)> {
    prompt.messages.iter().map(|message| (message.role, message.content.as_str())).collect()
}

#[test]
fn a_first_message_stands_alone() {
    let built = composed(8_192, &Checkpoint::default(), &message("hello")).unwrap();
    assert_eq!(built.prompt.model.as_deref(), Some("m1"));
    assert_eq!(lines(&built.prompt), [(PromptRole::User, "hello")]);
    assert_eq!((built.record.template.as_str(), built.record.version.as_str()), ("default", "1"));
    assert!(built.record.turns.is_empty() && built.record.tokens > 0);
}

#[test]
fn what_changes_least_comes_first_and_all_of_it_is_recorded() {
    let window = turns(1..3, 10);
    let mut checkpoint = Checkpoint {
        instructions: Some("Be brief.".to_owned()),
        summary: Some(summary_of(&window[0])),
        window: window.clone(),
        ..Checkpoint::default()
    };
    let built = composed(8_192, &checkpoint, &message("three?")).unwrap();
    assert_eq!(
        lines(&built.prompt),
        [
            (PromptRole::System, "Be brief."),
            (PromptRole::User, "Before we go on, this is what we said so far, in short:\nThey greeted."),
            (PromptRole::Assistant, RECAPPED),
            (PromptRole::User, "1"),
            (PromptRole::Assistant, "x"),
            (PromptRole::User, "2"),
            (PromptRole::Assistant, "x"),
            (PromptRole::User, "three?"),
        ]
    );
    assert_eq!(built.record.summary_version, Some(3));
    assert_eq!(built.record.turns, [window[0].task_id, window[1].task_id]);

    // The next turn's prompt begins with all that this one had: providers find it in their caches.
    checkpoint.window.push(turns(3..4, 10).remove(0));
    let next = composed(8_192, &checkpoint, &message("four?")).unwrap();
    let before = &built.prompt.messages[..built.prompt.messages.len() - 1];
    assert_eq!(&next.prompt.messages[..before.len()], before);
}

#[test]
fn whole_turns_are_left_out_oldest_first_until_it_fits() {
    let checkpoint = Checkpoint { window: turns(0..100, 100), ..Checkpoint::default() };
    let built = composed(2_048, &checkpoint, &message("now")).unwrap();
    // 2,048 less a quarter for the reply and a hundredth for what was not counted.
    assert!((1_400..=1_521).contains(&built.record.tokens), "{}", built.record.tokens);
    let kept = built.record.turns.len();
    assert_eq!(built.prompt.messages.len(), 2 * kept + 1);
    assert_eq!(built.record.turns, checkpoint.window[100 - kept..].iter().map(|turn| turn.task_id).collect::<Vec<_>>());
    assert_eq!(built.prompt.messages.last().unwrap().content, "now");
}

#[test]
fn a_message_that_cannot_fit_is_refused_with_its_size_and_the_limit() {
    let checkpoint = Checkpoint { instructions: Some("x".repeat(300)), ..Checkpoint::default() };
    let failure = composed(1_000, &checkpoint, &message(&"y".repeat(6_000))).unwrap_err();
    assert_eq!(
        (failure.code, failure.retryable, failure.worth_another_attempt),
        (codes::MESSAGE_TOO_LONG, false, false)
    );
    assert_eq!(
        failure.sentence,
        "The message is too long: it has about 2004 tokens, and this model can be sent 635 in this conversation."
    );
    let fits = composed(1_000, &checkpoint, &message(&"y".repeat(1_850))).unwrap();
    assert!(fits.record.tokens <= 743);
}

#[test]
fn a_turn_that_stands_in_for_another_does_not_see_it() {
    let window = turns(0..4, 10);
    let mut again = message("once more");
    again.input.replaces = Some(parlance_shared::content::Replaced {
        task_id: window[2].task_id,
        accepted_at: window[2].accepted_at.unwrap(),
    });
    let built = composed(8_192, &Checkpoint { window: window.clone(), ..Checkpoint::default() }, &again).unwrap();
    assert_eq!(built.record.turns, [window[0].task_id, window[1].task_id]);
}

#[test]
fn what_the_provider_is_to_be_given_is_passed_on_and_counted() {
    let mut asked = message("hi");
    asked.input.tools = Some(serde_json::json!([{"type": "function", "function": {"name": "f".repeat(350)}}]));
    asked.input.response_format = Some(serde_json::json!({"type": "json_object"}));
    let built = composed(8_192, &Checkpoint::default(), &asked).unwrap();
    assert_eq!(built.prompt.options.tools, asked.input.tools);
    assert_eq!(built.prompt.options.response_format, asked.input.response_format);
    assert!(built.record.tokens > 100, "{}", built.record.tokens);
}

fn told() -> Vec<PromptMessage> {
    let text = PromptMessage::text;
    vec![text(PromptRole::User, "one?"), text(PromptRole::Assistant, "one.")]
}

fn session() -> Checkpoint {
    let window = turns(1..3, 10);
    let summary = Some(summary_of(&window[0]));
    Checkpoint { instructions: Some("Be brief.".to_owned()), summary, window, ..Checkpoint::default() }
}

#[test]
fn a_history_stands_in_for_what_the_session_remembers_or_follows_it() {
    let mut asked = message("two?");
    asked.input.history = told();
    let built = composed(8_192, &session(), &asked).unwrap();
    assert_eq!(
        lines(&built.prompt),
        [
            (PromptRole::System, "Be brief."),
            (PromptRole::User, "one?"),
            (PromptRole::Assistant, "one."),
            (PromptRole::User, "two?"),
        ]
    );
    assert!(built.record.summary_version.is_none() && built.record.turns.is_empty());

    asked.input.history_follows = true;
    let built = composed(8_192, &session(), &asked).unwrap();
    assert_eq!((built.prompt.messages.len(), built.record.turns.len()), (1 + 2 + 4 + 2 + 1, 2));
    assert_eq!(
        lines(&built.prompt)[7..],
        [(PromptRole::User, "one?"), (PromptRole::Assistant, "one."), (PromptRole::User, "two?"),]
    );
}

#[test]
fn a_client_that_brings_instructions_gets_exactly_those() {
    let mut asked = message("hi");
    asked.input.instructions = Some("  As I say. ".to_owned());
    let built = composed(8_192, &session(), &asked).unwrap();
    assert_eq!(lines(&built.prompt)[0], (PromptRole::System, "  As I say. "));
    assert_eq!((built.prompt.messages.len(), built.record.template.as_str()), (1 + 2 + 4 + 1, "none"));
    asked.input.instructions = Some(String::new());
    assert_eq!(lines(&composed(8_192, &session(), &asked).unwrap().prompt)[0].0, PromptRole::User);

    asked.input.instructions = None;
    asked.input.history = vec![PromptMessage::text(PromptRole::System, "Mine.")];
    let built = composed(8_192, &session(), &asked).unwrap();
    assert_eq!(lines(&built.prompt), [(PromptRole::System, "Mine."), (PromptRole::User, "hi")]);
}

#[test]
fn a_turn_is_remembered_with_its_history() {
    let mut window = turns(1..3, 0);
    window[0].input.history = told();
    let built = composed(8_192, &Checkpoint { window, ..Checkpoint::default() }, &message("now")).unwrap();
    let shown: Vec<_> = lines(&built.prompt).into_iter().map(|(_, text)| text).collect();
    assert_eq!(shown, ["one?", "one.", "1", "x", "2", "x", "now"]);
}

#[test]
fn a_history_that_cannot_fit_is_refused_with_its_size_and_the_limit() {
    let mut asked = message("two?");
    asked.input.history = vec![PromptMessage::text(PromptRole::User, "y".repeat(6_000))];
    let failure = composed(1_000, &Checkpoint::default(), &asked).unwrap_err();
    assert_eq!(failure.code, codes::MESSAGE_TOO_LONG);
    assert_eq!(
        failure.sentence,
        "The message is too long with the history that it came with: together they have about 2010 tokens, and this \
         model can be sent 739 in this conversation."
    );
}

#[test]
fn parameters_and_the_limit_of_the_reply_are_passed_on() {
    let mut asked = message("hi");
    asked.input.parameters.insert("temperature".to_owned(), serde_json::json!(0.5));
    asked.input.max_output_tokens = Some(9);
    let built = composed(8_192, &Checkpoint::default(), &asked).unwrap();
    assert_eq!(built.prompt.options.parameters, asked.input.parameters);
    assert_eq!(built.prompt.options.max_output_tokens, Some(9));
}
