//! What was found and done, for people and for programs.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// The state of a deployment's topics and subscriptions.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The project.
    pub project: String,
    /// Whether this is the emulator.
    pub emulator: bool,
    /// Each topic, then each subscription.
    pub resources: Vec<Resource>,
    /// What must be done elsewhere, a line each.
    pub hints: Vec<String>,
}

/// One topic or subscription.
#[derive(Clone, Debug, Serialize)]
pub struct Resource {
    /// Which of the two.
    pub kind: Kind,
    /// Its name in the project.
    pub name: String,
    /// What is with it.
    pub state: State,
    /// What differed when it was looked at.
    pub drift: Vec<Drift>,
}

/// One topic or subscription, as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Which of the two.
    pub kind: Kind,
    /// Its name in the project.
    pub name: String,
    /// Its fields, as Pub/Sub's API calls them.
    pub fields: BTreeMap<&'static str, String>,
}

/// A topic or a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A topic.
    Topic,
    /// A subscription.
    Subscription,
}

/// What is with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is as it should be.
    InOrder,
    /// It is not there.
    Missing,
    /// It was made just now.
    Created,
    /// It is not as it should be.
    Differs,
    /// It was changed just now and is as it should be.
    Changed,
}

/// A field that differs, or differed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// As Pub/Sub's API calls it.
    pub field: &'static str,
    /// What was found.
    pub is: String,
    /// What is wanted.
    pub should_be: String,
    /// Whether it can be changed; if not, the resource must be deleted and made anew, with what it holds.
    pub changeable: bool,
    /// Whether it was changed just now.
    pub changed: bool,
}

impl Report {
    /// Whether everything is as it should be.
    pub fn is_in_order(&self) -> bool {
        self.resources.iter().all(|resource| !matches!(resource.state, State::Missing | State::Differs))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.emulator { "emulator" } else { "Google Cloud" };
        writeln!(f, "project {} ({place})", self.project)?;
        for resource in &self.resources {
            let kind = match resource.kind {
                Kind::Topic => "topic",
                Kind::Subscription => "subscription",
            };
            let state = match resource.state {
                State::InOrder => "in order",
                State::Missing => "missing",
                State::Created => "created",
                State::Differs => "differs",
                State::Changed => "changed",
            };
            writeln!(f, "  {kind} {}: {state}", resource.name)?;
            for drift in &resource.drift {
                writeln!(f, "    {drift}")?;
            }
        }
        self.hints.iter().try_for_each(|hint| writeln!(f, "{hint}"))
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Topic => "topic",
            Kind::Subscription => "subscription",
        };
        writeln!(f, "{kind} {}", self.name)?;
        self.fields.iter().try_for_each(|(field, value)| writeln!(f, "  {field}: {value}"))
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, is, should_be, .. } = self;
        match (self.changed, self.changeable) {
            (true, _) => write!(f, "{field}: was {is}, is {should_be} now"),
            (false, true) => write!(f, "{field}: is {is}, should be {should_be}"),
            (false, false) => {
                write!(f, "{field}: is {is}, should be {should_be}; this can't be changed: delete it and set up again")
            }
        }
    }
}
