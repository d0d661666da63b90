//! Full names of topics and subscriptions, and where dead letters go.

/// In front of everything: the project.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    project: String,
}

impl Names {
    pub(crate) fn new(project: &str) -> Self {
        Self { project: project.to_owned() }
    }

    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("projects/{}/topics/{topic}", self.project)
    }

    pub(crate) fn subscription(&self, subscription: &str) -> String {
        format!("projects/{}/subscriptions/{subscription}", self.project)
    }
}

/// The topic of a subscription's dead letters, and the one subscription that keeps them.
pub(crate) fn dead_letters_of(subscription: &str) -> String {
    format!("{subscription}-dead-letters")
}
