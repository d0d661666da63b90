//! Looks for an OpenAI-compatible server on this machine. Every start without settings waits for the answer, so it is
//! looked for briefly.

use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use crate::http_client;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(150);
const TOTAL_TIMEOUT: Duration = Duration::from_millis(400);
const MAX_LIST_BYTES: usize = 1024 * 1024;

/// What answers there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A server; this is its first chat model.
    Model(String),
    /// A server without one.
    NoModel,
    /// Nothing, or something else.
    Nothing,
}

#[derive(Deserialize)]
struct ModelList {
    /// Ollama sends null when it has no model.
    data: Option<Vec<Model>>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

pub(crate) async fn look(base_url: &Url) -> Found {
    let Some(url) = http_client::below(base_url, &["models"]) else { return Found::Nothing };
    let Ok(client) = http_client::build(&url, CONNECT_TIMEOUT) else { return Found::Nothing };
    let list = timeout(TOTAL_TIMEOUT, read_list(client, url)).await.ok().flatten();
    match list {
        None => Found::Nothing,
        Some(list) => {
            let mut names = list.data.unwrap_or_default().into_iter().map(|model| model.id);
            // Embedding models are listed among the others, but can't chat.
            names.find(|name| !name.contains("embed")).map_or(Found::NoModel, Found::Model)
        }
    }
}

async fn read_list(client: Client, url: Url) -> Option<ModelList> {
    let mut response = client.get(url).send().await.ok()?.error_for_status().ok()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MAX_LIST_BYTES {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}
