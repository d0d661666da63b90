//! One of the conversations: a message, its reply, the next message, after some turns a new session.

use std::sync::Arc;

use reqwest::Method;
use tokio::time::timeout;

use super::{
    Protocol, World,
    calls::Call,
    chat, native,
    trouble::{Trouble, word},
};

/// Goes on until the gate is closed.
pub(super) async fn hold(world: Arc<World>, number: u32) {
    let user = world.test.act_as_users.then_some(number);
    let (mut session, mut turns) = (None, 0);
    while world.gate.pass().await {
        world.recorder.sent();
        let result = tokio::select! {
            biased;
            result = timeout(world.test.reply_timeout, ask(&world, &mut session, user)) => result,
            () = world.gate.given_up() => {
                world.recorder.unfinished();
                break;
            }
        };
        let result = result.unwrap_or(Err(Trouble::Timeout("reply")));
        match &result {
            Ok(tokens) => world.gate.ended(None, *tokens),
            Err(trouble) => {
                world.recorder.failed(trouble);
                world.gate.ended(Some(trouble), 0);
            }
        }
        turns += 1;
        // After trouble, too: what a session still waits for must not hold up the next message.
        if turns >= world.test.turns || result.is_err() || world.test.protocol == Protocol::Chat {
            leave(&world, session.take(), user).await;
            turns = 0;
        }
    }
    leave(&world, session, user).await;
}

/// Sends a message and reads its reply; the tokens that it used. `session` is where it was sent, as soon as that is known.
async fn ask(world: &World, session: &mut Option<String>, user: Option<u32>) -> Result<u64, Trouble> {
    match world.test.protocol {
        Protocol::Native => native::ask(world, session, user).await,
        Protocol::Chat => chat::ask(world, session, user).await,
    }
}

/// Takes the session away again; what still runs in it is cancelled by that.
async fn leave(world: &World, session: Option<String>, user: Option<u32>) {
    let Some(session) = session.filter(|_| !world.test.keep_sessions) else { return };
    let path = format!("v1/sessions/{}", word(&session));
    for _ in 0..3 {
        let call = Call { method: Method::DELETE, path: &path, headers: &[], body: None, user };
        match world.calls.done(call).await {
            Ok(()) => return,
            Err(Trouble::Status(refusal)) if refusal.is_turned_away() => {
                world.gate.turned_away(&refusal);
                world.gate.wait_until_open().await;
            }
            Err(_) => break,
        }
    }
    world.recorder.left_behind();
}
