//! OpenAI's own clients on `/v1/responses`.

use crate::scripts::{Client, Site};

async fn run(client: Client, script: &str, variable: &str) {
    let site = Site::new().await;
    site.run(client, script).await;
    assert!(std::env::var_os(variable).is_none() || site.proxy.cuts() >= 200, "{}", site.proxy.cuts());
}

#[tokio::test]
async fn openai_for_python_has_the_stored_response_from_whatever_number_it_goes_on() {
    run(Client::Python, "openai_responses.py", "PARLANCE_TEST_PYTHON").await;
}

#[tokio::test]
async fn openai_for_node_has_the_stored_response_from_whatever_number_it_goes_on() {
    run(Client::Node, "openai_responses.mjs", "PARLANCE_TEST_NODE").await;
}
