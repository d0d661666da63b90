//! Whether a session's stored messages can be what its conversation said: the judge of invariants 1 and 3, and of the order
//! of turns.

use std::collections::HashSet;

use super::{
    conversation::ToldTurn,
    findings::{Finding, Flaw},
};
use crate::api::Message;

/// Messages stand in the order in which they were accepted, replies in the order of their turns, each behind its message:
/// a message that was posted ahead stands before the replies to those before it. `may_overtake`: where the bus may hand out
/// a message before an earlier one that nobody has begun with, replies stand in the order in which their turns began.
pub(super) fn judge_messages(messages: &[Message], turns: &[ToldTurn], may_overtake: bool) -> Result<(), Finding> {
    let mut ids = HashSet::new();
    let mut turns_of_role = HashSet::new();
    for message in messages {
        if !ids.insert(&message.id) || !turns_of_role.insert((&message.role, &message.task_id)) {
            return Err(Finding::new(Flaw::Doubled, format!("{message:?}")));
        }
    }
    let mut asked = messages.iter().enumerate().filter(|(_, message)| message.role == "user").peekable();
    let mut replies: Vec<_> = messages.iter().enumerate().filter(|(_, message)| message.role != "user").collect();
    if may_overtake && replies.is_sorted_by_key(|(_, reply)| started_at(reply)) {
        // A reply may be in the record before its message is: it stands last then, and the message is what is missing.
        let asked = |reply: &Message| messages.iter().position(|m| m.role == "user" && m.task_id == reply.task_id);
        replies.sort_by_key(|(_, reply)| asked(reply).unwrap_or(usize::MAX));
    }
    let mut replied = replies.into_iter().peekable();
    for turn in turns {
        let content = &turn.plan.content;
        let Some((asked_at, message)) = asked.next_if(|(_, message)| message.content == *content) else {
            if turn.accepted.is_none() {
                // Its POST died on the way.
                continue;
            }
            let is_elsewhere = messages.iter().any(|message| message.content == *content);
            let flaw = if is_elsewhere { Flaw::Misordered } else { Flaw::Lost };
            return Err(Finding::new(flaw, format!("{content:?} is not where it belongs")));
        };
        if turn.accepted.as_ref().is_some_and(|accepted| accepted.message_id != message.id) {
            return Err(Finding::new(Flaw::Mixed, format!("{message:?}")));
        }
        let reply = replied.next_if(|(_, reply)| reply.task_id == message.task_id);
        let is_later = |reply: &Message| reply.role != "user" && reply.task_id == message.task_id;
        if reply.is_none() && messages.iter().any(is_later) {
            let order: Vec<&str> = messages.iter().filter(|m| m.role != "user").map(|m| m.task_id.as_str()).collect();
            let what = format!("the reply to {content:?} ({}), replies are to {order:?}", message.task_id);
            return Err(Finding::new(Flaw::Misordered, what));
        }
        if reply.is_some_and(|(replied_at, reply)| replied_at < asked_at || reply.role != "assistant") {
            return Err(Finding::new(Flaw::Misordered, format!("the reply to {content:?}")));
        }
        judge_turn(turn, message, reply.map(|(_, reply)| reply))?;
    }
    match asked.next().or_else(|| replied.next()) {
        Some((_, extra)) => Err(Finding::new(Flaw::Doubled, format!("{extra:?} was never asked for"))),
        None => Ok(()),
    }
}

fn started_at(reply: &Message) -> Option<&str> {
    reply.timings.as_ref().and_then(|timings| timings.started_at.as_deref())
}

fn judge_turn(turn: &ToldTurn, message: &Message, reply: Option<&Message>) -> Result<(), Finding> {
    let Some(end) = &turn.end else {
        // Of unknown fate, but it was accepted: it ends as any other does.
        return match reply {
            Some(reply) if !turn.plan.may_be_said(&reply.content, reply.status == "completed") => {
                Err(Finding::new(Flaw::Mixed, format!("{reply:?}")))
            }
            _ if matches!(message.status.as_str(), "queued" | "running") => {
                Err(Finding::new(Flaw::Lost, format!("the end of {message:?}")))
            }
            _ => Ok(()),
        };
    };
    if message.status != end.status {
        return Err(Finding::new(Flaw::Lost, format!("the end of {message:?}")));
    }
    match reply {
        Some(reply)
            if end.reply.message_id.as_ref().is_some_and(|id| *id != reply.id)
                || reply.content != end.reply.content =>
        {
            Err(Finding::new(Flaw::Disagreement, format!("{reply:?} is not {end:?}")))
        }
        Some(_) => Ok(()),
        None if end.reply.content.is_empty() => Ok(()),
        None => Err(Finding::new(Flaw::Lost, format!("the reply of {end:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        api::{Accepted, Reply, Task, Timings, Usage},
        crash::plan::{End, TurnPlan},
    };

    /// Turn `n` was accepted and completed with the reply `r{n}`; `message` and `reply` are what is stored of it.
    fn told(n: usize) -> ToldTurn {
        let plan = TurnPlan {
            content: format!("u{n}"),
            tokens: 1,
            fault: None,
            end: End::Completed,
            key: None,
            subscribers: 1,
            polls: false,
        };
        let accepted =
            Accepted { task_id: format!("tsk{n}"), message_id: format!("msg_u{n}"), session_id: "ses".to_owned() };
        let end = Task {
            id: format!("tsk{n}"),
            status: "completed".to_owned(),
            attempt: 1,
            reply: Reply { message_id: Some(format!("msg_r{n}")), content: format!("r{n}") },
            usage: Usage::default(),
            timings: Timings::default(),
            error: None,
            attempts: Vec::new(),
        };
        ToldTurn {
            plan: Arc::new(plan),
            posted_in: None,
            accepted: Some(accepted),
            end: Some(end),
            samples: Vec::new(),
        }
    }

    fn stored(what: &str) -> Message {
        let (kind, n) = what.split_at(1);
        Message {
            id: format!("msg_{what}"),
            task_id: format!("tsk{n}"),
            role: if kind == "u" { "user" } else { "assistant" }.to_owned(),
            content: what.to_owned(),
            status: "completed".to_owned(),
            timings: None,
        }
    }

    fn judge(messages: &[&str], turns: &[ToldTurn]) -> Result<(), Flaw> {
        let messages: Vec<Message> = messages.iter().map(|what| stored(what)).collect();
        judge_messages(&messages, turns, false).map_err(|finding| finding.flaw)
    }

    #[test]
    fn conversations_are_taken_posted_ahead_or_not() {
        assert_eq!(judge(&["u0", "r0", "u1", "r1"], &[told(0), told(1)]), Ok(()));
        assert_eq!(judge(&["u0", "u1", "r0", "r1"], &[told(0), told(1)]), Ok(()));
        let unsure = ToldTurn { accepted: None, end: None, ..told(0) };
        assert_eq!(judge(&["u1", "r1"], &[unsure, told(1)]), Ok(()), "a POST that died on the way");
    }

    #[test]
    fn a_reply_may_stand_ahead_only_if_its_turn_began_earlier() {
        let began = |what: &str, at: &str| Message {
            timings: Some(Timings { started_at: Some(at.to_owned()) }),
            ..stored(what)
        };
        let turns = [told(0), told(1)];
        let listed = |of_0: &str, of_1: &str| [stored("u0"), stored("u1"), began("r1", of_1), began("r0", of_0)];
        let verdict = |messages: &[Message], may| judge_messages(messages, &turns, may).map_err(|finding| finding.flaw);
        assert_eq!(verdict(&listed("09:02", "09:01"), true), Ok(()));
        assert_eq!(verdict(&listed("09:02", "09:01"), false), Err(Flaw::Misordered));
        assert_eq!(verdict(&listed("09:01", "09:02"), true), Err(Flaw::Misordered));
        let lost = [stored("u0"), stored("u1"), began("r1", "09:01")];
        assert_eq!(verdict(&lost, true), Err(Flaw::Lost));
        let unasked = [stored("u0"), began("r0", "09:01"), began("r1", "09:02")];
        assert_eq!(verdict(&unasked, true), Err(Flaw::Lost), "its message is not in the record yet");
    }

    #[test]
    fn what_is_missing_is_lost() {
        assert_eq!(judge(&["u0", "r0"], &[told(0), told(1)]), Err(Flaw::Lost));
        assert_eq!(judge(&["u0", "u1", "r1"], &[told(0), told(1)]), Err(Flaw::Lost));
    }

    #[test]
    fn what_appears_twice_is_doubled() {
        assert_eq!(judge(&["u0", "r0", "r0"], &[told(0)]), Err(Flaw::Doubled));
        let mut again = stored("r0");
        again.id = "msg_other".to_owned();
        let messages = [stored("u0"), stored("r0"), again];
        assert_eq!(judge_messages(&messages, &[told(0)], false).unwrap_err().flaw, Flaw::Doubled, "a second reply");
        assert_eq!(judge(&["u0", "r0", "u7", "r7"], &[told(0)]), Err(Flaw::Doubled), "nobody asked");
    }

    #[test]
    fn turns_out_of_order_are_refused() {
        assert_eq!(judge(&["u1", "r1", "u0", "r0"], &[told(0), told(1)]), Err(Flaw::Misordered));
        assert_eq!(judge(&["r0", "u0"], &[told(0)]), Err(Flaw::Misordered));
        let swapped = judge(&["u0", "u1", "r1", "r0"], &[told(0), told(1)]);
        assert_eq!(swapped, Err(Flaw::Misordered), "replies in another order than their turns");
    }

    #[test]
    fn another_text_than_was_streamed_is_a_disagreement() {
        let mut reply = stored("r0");
        reply.content = "r0r0".to_owned();
        let verdict = judge_messages(&[stored("u0"), reply], &[told(0)], false);
        assert_eq!(verdict.unwrap_err().flaw, Flaw::Disagreement);
    }
}
