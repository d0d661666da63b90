//! The AI SDK's UI message stream.

use crate::scripts::{Client, Site};

#[tokio::test]
async fn ais_chat_transport_and_the_hook_have_the_stored_replies() {
    let site = Site::with_key().await;
    site.run(Client::Node, "ui_chat.mjs").await;
}
