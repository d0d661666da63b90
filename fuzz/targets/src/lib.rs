//! What comes from outside is read here, one function for each reader: whatever the bytes, nothing panics, and what is
//! taken is given back unchanged. `fuzz/fuzz_targets` hands these to libFuzzer; `tests/corpus.rs` runs them on stable Rust.

#![expect(clippy::expect_used, reason = "a fuzzer is told what is wrong by a panic")]

mod cloud_event;
mod cursor;
mod http_request;
mod id;
mod push;
mod reply_text;

pub use self::{
    cloud_event::cloud_event, cursor::cursor, http_request::http_request, id::id, push::push, reply_text::reply_text,
};

/// A target: its name, which is its corpus' folder as well, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("cursor", cursor),
    ("id", id),
    ("cloud_event", cloud_event),
    ("push", push),
    ("reply_text", reply_text),
    ("http_request", http_request),
];
