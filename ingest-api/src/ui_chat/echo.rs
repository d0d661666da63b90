//! What a turn keeps of the request that brought it: the client's own name for a message.

use parlance_shared::content::{Protocol, TurnInput};
use serde_json::{Value, json};

/// Which message of the client's a turn belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// The user's message that it answers.
    Answers(String),
    /// The reply that it goes on with, now that its tools have given their results: both are one message to the client.
    Continues(String),
}

impl Echo {
    pub(super) fn of(input: &TurnInput) -> Option<Self> {
        let echo = input.echo.as_ref().filter(|_| input.protocol == Protocol::UiChat)?;
        let name = |field: &str| echo.get(field).and_then(Value::as_str).map(str::to_owned);
        name("answers").map(Self::Answers).or_else(|| name("continues").map(Self::Continues))
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Answers(name) => json!({"answers": name}),
            Self::Continues(name) => json!({"continues": name}),
        }
    }
}
