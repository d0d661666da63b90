//! An OpenAI-compatible server with scripted replies and faults, for tests and benchmarks.
//!
//! Its replies follow from the user's text ([`expected_reply`]), its faults from a [`Script`] or from directives in the
//! user's text, and it knows when a client went away ([`RequestRecord`]; also `GET /mock/log`).
//!
//! # Directives
//!
//! Directives inside the last user message choose the behaviour where a test can't reach the script: through a real
//! binary in between. `[[mock tokens=50 delay_ms=20 fault=cut_mid_stream times=2]]`
//!
//! | word | meaning |
//! |---|---|
//! | `tokens=N` | length of the reply |
//! | `delay_ms=N`, `first_ms=N` | between tokens, before the first |
//! | `fault=WORD` | see [`crate::Fault::ALL`] |
//! | `after=N` | tokens before a fault in mid-stream |
//! | `times=N` | the fault happens to the first N requests with this very text, then no more |
//! | `retry_after=TEXT` | header of a 429 or 500 |
//! | `echo=1` | the first token says how many messages the prompt had |
//! | `tool=NAME`, `args=JSON` | the reply calls this tool after its text, with these arguments (no blanks); both may be repeated |
//! | `vary=1` | the reply differs from request to request |
//! | `recall=KEY` | the reply says `KEY is VALUE.` if the prompt has a `FACT KEY=VALUE`, else `I do not know KEY.` |
//! | `stamp=1` | each token says when it was sent ([`read_stamp`]), so that its reader can tell how long it took |

mod behaviour;
mod chat;
mod connection;
mod directive;
mod log;
mod memory;
mod reply_text;
mod script;
mod server;
mod stamp;
mod streaming;
mod webhook_receiver;
mod wire;

pub use self::{
    behaviour::{Behaviour, Fault, Raw},
    log::{LoggedMessage, RequestRecord},
    memory::{MOCK_HEADING, Purpose},
    reply_text::{BIG_REPLY_BYTES, expected_big_reply, expected_counted_reply, expected_reply, expected_varied_reply},
    script::{Incoming, Script},
    server::{MockLlm, run},
    stamp::{STAMP_DIGITS, STAMP_MARK, read_stamp},
    webhook_receiver::{WebhookAnswer, WebhookDelivery, WebhookReceiver},
};
