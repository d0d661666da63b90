//! The adapters behind the ports.

use std::sync::Arc;

use parlance_llm::{OpenAiCompatible, choose_all};
use parlance_mock_llm::MockLlm;
use parlance_shared::{
    Clock,
    circuits::LocalCircuits,
    event::{ReplyCompleted, from_cloud_event},
    port::{
        bus::{Bus, Outcome},
        llm::Llm,
    },
    providers::Providers,
    settings::Settings,
    topology,
};
use parlance_sqlite::{Database, SqliteBus};

use super::PATIENCE;

pub fn bus(database: Database) -> SqliteBus {
    SqliteBus::new(database)
}

pub fn llm(mock: &MockLlm) -> Arc<dyn Llm> {
    let base_url = mock.base_url();
    let environment = |name: &str| match name {
        "LLM_BASE_URL" => Some(base_url.clone()),
        "LLM_MODEL" => Some("mock-model".to_owned()),
        _ => None,
    };
    let settings = Settings::from_variables(environment).unwrap().llm;
    let url = settings.base_url.clone().unwrap();
    Arc::new(OpenAiCompatible::new(&url, "mock-model", &settings, Clock::system()).unwrap())
}

/// The mocks in this order: the primary and its fallbacks, as the settings name them. Each has a model of its own.
pub async fn providers(base_urls: &[String], more: &[(&str, &str)]) -> Providers {
    let prefixes = ["LLM_", "LLM_FALLBACK_", "LLM_FALLBACK_2_"];
    let environment = |name: &str| {
        let place = (0..base_urls.len()).rev().find(|place| name.starts_with(prefixes[*place]))?;
        match name.strip_prefix(prefixes[place])? {
            "BASE_URL" => Some(base_urls[place].clone()),
            "MODEL" => Some(format!("model-{place}")),
            _ => more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        }
    };
    let settings = Settings::from_variables(environment).unwrap().llm;
    let circuits = Arc::new(LocalCircuits::new(settings.circuits));
    choose_all(&settings, circuits).await.unwrap()
}

/// Takes so many ends from the bus, with the ids of their events.
pub async fn published(bus: &dyn Bus, count: usize) -> Vec<(String, ReplyCompleted)> {
    use cloudevents::AttributesReader as _;

    let mut deliveries = bus.subscribe(topology::PERSIST_REPLIES, 100).await.unwrap();
    let mut ends = Vec::new();
    while ends.len() < count {
        let delivery = tokio::time::timeout(PATIENCE, deliveries.next()).await.expect("no end was published").unwrap();
        let event = &delivery.received.event;
        ends.push((event.id().to_owned(), from_cloud_event(event).unwrap()));
        delivery.lease.settle(Outcome::Done).await.unwrap();
    }
    ends
}
