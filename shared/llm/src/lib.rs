//! Adapters of the LLM port: any OpenAI-compatible endpoint, and the offline provider for when there is none.
//!
//! [`choose`] decides which one a process uses.

mod choose;
mod http_client;
mod local_server;
mod offline;
mod openai;

pub use self::{
    choose::{ChooseError, LOCAL_SERVER, choose, choose_with},
    offline::Offline,
    openai::OpenAiCompatible,
};
