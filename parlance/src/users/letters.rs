//! The dead letters of a user, of all subscriptions.

use std::cell::RefCell;

use cloudevents::{AttributesReader as _, Data, Event};
use futures_util::future::try_join_all;
use parlance_shared::{
    UserId,
    port::bus::{DeadLetter, DeadLetters},
    topology,
};
use serde_json::Value;

use crate::operator::{Operator, exit::Stop, in_time, progress::Progress};

/// A subscription that was looked through to its end, and what `keep` made of each letter of the user's. The look stays open:
/// what it found can be discarded.
pub(super) struct Found<T> {
    pub(super) look: Box<dyn DeadLetters>,
    pub(super) letters: Vec<T>,
}

/// Looks through all subscriptions at once: on some buses the end of each shows only by waiting.
pub(super) async fn find<T>(
    operator: &Operator,
    user: &UserId,
    keep: impl Fn(DeadLetter) -> T,
) -> Result<Vec<Found<T>>, Stop> {
    let progress = RefCell::new(Progress::new("looked at dead letters", None));
    let looks = topology::ALL.into_iter().map(async |subscription| {
        let mut look = in_time(operator.admin.dead_letters(subscription)).await?;
        let mut letters = Vec::new();
        loop {
            let page = in_time(look.next_page()).await?;
            if page.is_empty() {
                return Ok::<_, Stop>(Found { look, letters });
            }
            page.iter().for_each(|_| progress.borrow_mut().step());
            letters.extend(page.into_iter().filter(|letter| names(&letter.event, user)).map(&keep));
        }
    });
    try_join_all(looks).await
}

/// Whether an event is the user's. One that can't be read is theirs if it holds their name as a JSON string.
fn names(event: &Event, user: &UserId) -> bool {
    let raw = match event.data() {
        None => return false,
        Some(Data::Json(Value::Object(data))) if data.contains_key("user_id") => {
            return data.get("user_id").and_then(Value::as_str) == Some(user.as_str());
        }
        Some(Data::Json(value)) => value.to_string(),
        Some(Data::String(text)) => text.clone(),
        Some(Data::Binary(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
    };
    if let Ok(Value::Object(data)) = serde_json::from_str(&raw)
        && let Some(named) = data.get("user_id").and_then(Value::as_str)
    {
        return named == user.as_str();
    }
    let quoted = Value::from(user.as_str()).to_string();
    raw.contains(&quoted)
        || raw.contains(&quoted.replace('"', "\\\""))
        || event.subject().is_some_and(|subject| subject == user.as_str())
}

#[cfg(test)]
mod tests {
    use cloudevents::{AttributesWriter as _, EventBuilder as _, EventBuilderV10};
    use serde_json::json;

    use super::*;

    fn event(data: impl Into<Data>) -> Event {
        let mut event = EventBuilderV10::new().id("1").ty("t").source("//s").build().unwrap();
        event.set_data("application/json", data);
        event.set_id("1");
        event
    }

    #[test]
    fn letters_are_their_users_also_where_they_cannot_be_read() {
        let alice = UserId::new("ali\"ce");
        for theirs in [
            event(json!({"user_id": "ali\"ce", "content": "x"})),
            event("{\"user_id\": \"ali\\\"ce\"}".to_owned()),
            event(json!(["broken", "ali\"ce"])),
            event("cut off {\"user_id\":\"ali\\\"ce\",\"conte".to_owned()),
        ] {
            assert!(names(&theirs, &alice), "{theirs:?}");
        }
        for anothers in [
            event(json!({"user_id": "bob", "content": "\"ali\\\"ce\""})),
            event("{\"user_id\": \"bob\", \"content\": \"ali\\\"ce\"}".to_owned()),
            event("nothing".to_owned()),
        ] {
            assert!(!names(&anothers, &alice), "{anothers:?}");
        }
    }
}
