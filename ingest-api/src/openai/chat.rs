//! `/v1/chat/completions`.
//!
//! **What is asked.** The last user's message, with the results of tools right before it, or such results alone, is the new
//! message; all before it is the history as the client tells it, and nothing of ours is put around it. Each call is a session
//! of its own, unless the extension names one: `conversation` in the body, or the header `X-Session-Id`. Then the session's
//! memory is the history, and of the request only the new message counts, with its system messages as instructions of this turn
//! alone.
//!
//! **What is answered.** The same log that native clients read, as chunks or as a whole. This protocol can take nothing back:
//! when another attempt has to begin anew after text was sent, the stream ends with an error that names the task, and never
//! goes on with other text. `x-task-id` and `Link` say where the reply can be had whole, or from any place on.

pub(crate) mod answer;
pub(crate) mod completion;
pub(crate) mod create;
pub(crate) mod messages;
pub(crate) mod request;
pub(crate) mod retrieve;
pub(crate) mod view;
