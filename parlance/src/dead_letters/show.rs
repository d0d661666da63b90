//! `parlance dead-letters show`.

use std::fmt::Write as _;

use cloudevents::Event;
use parlance_shared::port::bus::{DeadLetter, Subscription};
use serde::Serialize;

use super::{letter::Letter, selection::subscriptions};
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    output::{plain, print, print_json, time},
};

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    letter: Letter,
    event: Event,
}

pub(super) async fn show(
    operator: &Operator,
    id: &str,
    subscription: Option<Subscription>,
    json: bool,
) -> Result<bool, Stop> {
    let Some(letter) = find(operator, id, subscription).await? else {
        return Err(Stop::Failed(format!("there is no dead letter {}", plain(id))));
    };
    let whole = Whole { letter: Letter::from(&letter), event: letter.event };
    if json {
        print_json(&whole)?;
    } else {
        print(&text(&whole)?)?;
    }
    Ok(true)
}

async fn find(operator: &Operator, id: &str, subscription: Option<Subscription>) -> Result<Option<DeadLetter>, Stop> {
    for subscription in subscriptions(subscription.as_slice()) {
        let mut look = in_time(operator.admin.dead_letters(subscription)).await?;
        loop {
            let page = in_time(look.next_page()).await?;
            if page.is_empty() {
                break;
            }
            if let Some(letter) = page.into_iter().find(|letter| letter.id == id) {
                return Ok(Some(letter));
            }
        }
    }
    Ok(None)
}

fn text(whole: &Whole) -> Result<String, Stop> {
    let letter = &whole.letter;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("id", plain(&letter.id));
    line("subscription", letter.subscription.clone());
    line("reason", format!("{}: {}", plain(&letter.reason.code), plain(&letter.reason.message)));
    line("attempts", letter.attempts.to_string());
    line("published at", time(letter.published_at));
    line("dead at", time(letter.dead_at));
    if let Some(session) = letter.session_id {
        line("session", session.to_string());
    }
    if let Some(task) = letter.task_id {
        line("task", task.to_string());
    }
    if let Some(mark) = &letter.replay {
        line("sent again", format!("by {} at {}, replay {}", plain(&mark.by), time(mark.at), mark.id));
    }
    // JSON escapes what could move a terminal's cursor.
    let event = serde_json::to_string_pretty(&whole.event).map_err(|error| Stop::Failed(error.to_string()))?;
    line("event", event);
    Ok(text)
}
