//! Receivers that check our webhooks with code that is not ours.

use parlance_mock_llm::Script;

use crate::{
    scripts::{Client, Site},
    support::World,
};

async fn run(client: Client, script: &str) {
    let site = Site::of(World::new(Script::default()).with("WEBHOOK_ALLOW_PRIVATE", "on")).await;
    let shown = site.world.operate_json("webhooks secret --user local").await;
    let secret = shown["secret"].as_str().unwrap();
    site.run_with(client, script, &[("PARLANCE_WEBHOOK_SECRET", secret)]).await;
}

#[tokio::test]
async fn openai_for_python_takes_our_signatures() {
    run(Client::Python, "webhooks.py").await;
}

#[tokio::test]
async fn openai_for_node_takes_our_signatures() {
    run(Client::Node, "webhooks.mjs").await;
}
