//! OpenAI's own clients on `/v1/chat/completions`.

use crate::scripts::{Client, Site};

async fn run(client: Client, script: &str, variable: &str) {
    let site = Site::new().await;
    site.run(client, script).await;
    assert!(std::env::var_os(variable).is_none() || site.proxy.cuts() >= 200, "{}", site.proxy.cuts());
}

#[tokio::test]
async fn openai_for_python_chats_and_has_the_stored_text_however_often_it_is_cut() {
    run(Client::Python, "openai_chat.py", "PARLANCE_TEST_PYTHON").await;
}

#[tokio::test]
async fn openai_for_node_chats_and_has_the_stored_text_however_often_it_is_cut() {
    run(Client::Node, "openai_chat.mjs", "PARLANCE_TEST_NODE").await;
}
