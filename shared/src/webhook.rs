//! What webhooks are made of: which targets may be called, and the secrets that sign.

mod address;
mod secret;
mod target;

pub use self::{
    address::is_public,
    secret::{WebhookMint, WebhookSecret},
    target::{MAX_URL_BYTES, Target, TargetError},
};
