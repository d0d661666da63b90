//! The description against the server.

use parlance_mock_llm::Script;

use crate::{
    scripts::{Client, Site},
    support::World,
};

#[tokio::test]
async fn schemathesis_finds_nothing() {
    // Identity is on, so that what the description says of credentials is tried as well.
    let world = World::new(Script::default()).with("AUTH_API_KEYS", "on").with("RATE_LIMIT_PER_USER", "off");
    let mut site = Site::of(world.with("RATE_LIMIT_PER_IP", "off")).await;
    let made = site.world.operate_json("keys create --name schemathesis --user tester --role operator").await;
    site.key = made["key"].as_str().unwrap().to_owned();
    site.run(Client::Python, "described_api.py").await;
}
