//! Adapters of the LLM port: any OpenAI-compatible endpoint, and the offline provider for when there is none.
//!
//! [`choose_all`] decides which ones a process uses, in which order.

mod choose;
mod http_client;
mod local_server;
mod offline;
mod openai;
mod reply_cache;

pub use self::{
    choose::{ChooseError, LOCAL_SERVER, choose, choose_all, choose_with},
    offline::Offline,
    openai::OpenAiCompatible,
    reply_cache::{ReplyCache, with_reply_cache},
};
