//! What the API publishes, for tests that play it.

use parlance_shared::{
    Clock, SessionId, UserId,
    event::{MessageSubmitted, Strategy},
    id_mint::IdMint,
};

/// A message that the user sent just now, with ids of its own.
pub fn message(mint: &IdMint, clock: &Clock, user: &UserId, session_id: SessionId, content: &str) -> MessageSubmitted {
    MessageSubmitted {
        task_id: mint.mint(user),
        session_id,
        message_id: mint.mint(user),
        reply_message_id: mint.mint(user),
        user_id: user.clone(),
        content: content.to_owned(),
        model: None,
        strategy: Strategy::Enqueue,
        metadata: None,
        accepted_at: clock.now(),
        fingerprint: None,
        input: Default::default(),
        looked_at: None,
    }
}
