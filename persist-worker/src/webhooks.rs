//! Webhooks: whoever asked for it is told how a task ended.
//!
//! Once an end is on record, `request_webhook` publishes `webhook.due` to a topic of its own, so that no target can hold up the
//! record, and `on_webhook_due` delivers it: one POST, signed by the scheme of Standard Webhooks. What fails comes again from
//! the bus, for a day; then it goes to the dead letters, from where an operator sends it again. All deliveries of one end have
//! the same `webhook-id`: at least once, told apart by the receiver.
//!
//! A target that is slow or away takes few of the deliveries that can be under way ([`hosts`]); what waits for it waits on
//! the bus. No address inside the network is called unless that is allowed ([`client`]).

mod answer;
mod client;
mod hosts;
mod on_webhook_due;
mod payload;
mod request_webhook;
mod wait;

use std::sync::Arc;

use parlance_shared::{settings::WebhookSettings, webhook::WebhookMint};

use self::{client::WebhookClient, hosts::Hosts};
pub(crate) use self::{on_webhook_due::on_webhook_due, request_webhook::request_webhook};

/// How webhooks are delivered. Clones share what is known of targets.
#[derive(Clone)]
pub struct Webhooks {
    mint: Option<WebhookMint>,
    settings: WebhookSettings,
    client: Arc<WebhookClient>,
    hosts: Arc<Hosts>,
}

impl Webhooks {
    /// Without a mint nothing can be signed: what is due goes to the dead letters.
    pub fn new(settings: WebhookSettings, mint: Option<WebhookMint>) -> Self {
        let client = Arc::new(WebhookClient::new(settings.allow_private));
        Self { mint, settings, client, hosts: Arc::default() }
    }
}
