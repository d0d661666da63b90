//! Readers of the native stream.

use crate::scripts::{Client, Site};

#[tokio::test]
async fn eventsource_parser_has_the_stored_text_however_often_the_stream_is_cut() {
    let site = Site::with_key().await;
    site.run(Client::Node, "eventsource_parser.mjs").await;
    assert!(std::env::var_os("PARLANCE_TEST_NODE").is_none() || site.proxy.cuts() >= 200, "{}", site.proxy.cuts());
}

#[tokio::test]
async fn a_browsers_own_event_source_comes_back_by_itself_until_it_has_everything() {
    let site = Site::new().await;
    site.run(Client::Browser, "event_source.mjs").await;
    assert!(std::env::var_os("PARLANCE_TEST_CHROMIUM").is_none() || site.proxy.cuts() >= 200, "{}", site.proxy.cuts());
}
