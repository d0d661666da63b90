//! What is said on the command line. The defaults are for a first look at a server that others use; the bounds are there for
//! fingers that slip.

use std::{path::PathBuf, time::Duration};

use clap::{Args, value_parser};

use super::{LoadTest, Protocol, target::Target};
use crate::Fallible;

/// What `load` takes.
#[derive(Args, Clone, Debug)]
pub struct LoadArguments {
    /// Where the API is: /v1/… follows. A credential comes as PARLANCE_API_KEY or PARLANCE_BEARER_TOKEN from the environment.
    #[arg(long)]
    pub url: String,
    /// The host, once more, if it is not this machine.
    #[arg(long, value_name = "HOST")]
    pub yes_i_may_load: Option<String>,
    /// Conversations at once.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=2_000))]
    pub conversations: u32,
    /// Messages a second, all conversations together, at most.
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    pub rate: f64,
    /// For how many seconds messages are sent; replies under way are waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = value_parser!(u64).range(1..=7_200))]
    pub duration: u64,
    /// No more messages than this.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub max_messages: u64,
    /// No more messages once prompts and replies have used so many tokens; replies under way may go past it.
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=10_000_000_000))]
    pub max_cost_tokens: u64,
    /// Stop when more of the last 50 messages failed than this, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = value_parser!(u8).range(0..=100))]
    pub max_errors: u8,
    /// The protocol.
    #[arg(long, value_enum, default_value_t = Protocol::Native)]
    pub protocol: Protocol,
    /// Messages of one session, one after the other.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=1_000))]
    pub turns: u32,
    /// What is said.
    #[arg(long, default_value = "Say in two sentences what a load test is.")]
    pub message: String,
    /// The model to ask for, if not the server's own.
    #[arg(long)]
    pub model: Option<String>,
    /// A reply that takes longer has failed.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = value_parser!(u64).range(1..=3_600))]
    pub reply_timeout: u64,
    /// Leave the sessions where they are.
    #[arg(long)]
    pub keep_sessions: bool,
    /// Each conversation is a user of its own (load-test-0, …): for a key with the scope act-as-users.
    #[arg(long)]
    pub act_as_users: bool,
    /// Where load.svg and load.json are written.
    #[arg(long, value_name = "FOLDER", default_value = "load-test")]
    pub out: PathBuf,
}

impl LoadArguments {
    /// Whom to load.
    ///
    /// # Errors
    /// See [`Target::new`].
    pub fn target(&self) -> Fallible<Target> {
        Target::new(&self.url, self.yes_i_may_load.as_deref(), &|name| std::env::var(name).ok())
    }

    /// With what.
    pub fn test(&self) -> LoadTest {
        LoadTest {
            protocol: self.protocol,
            conversations: self.conversations,
            rate: self.rate,
            duration: Duration::from_secs(self.duration),
            max_messages: self.max_messages,
            max_tokens: self.max_cost_tokens,
            max_error_share: f64::from(self.max_errors) / 100.0,
            turns: self.turns,
            message: self.message.clone(),
            model: self.model.clone(),
            reply_timeout: Duration::from_secs(self.reply_timeout),
            keep_sessions: self.keep_sessions,
            act_as_users: self.act_as_users,
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.01..=2_000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0.01 to 2000".to_owned())
}
