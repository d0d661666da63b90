//! Secrets of webhooks over the socket. They are made by the process that has the folder: what they follow from stays there.

use axum::{Json, Router, extract::State, routing::post};
use parlance_shared::port::PortError;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{
    client::Remote,
    server::{Answer, Call, Embedded},
};
use crate::webhooks::secret_of;

const SECRET: &str = "/v1/webhooks/secret";

#[derive(Serialize, Deserialize)]
struct SecretCall {
    key: Option<String>,
    user: Option<String>,
}

pub(super) fn routes() -> Router<Embedded> {
    Router::new().route(SECRET, post(secret))
}

async fn secret(State(embedded): State<Embedded>, Call(call): Call<SecretCall>) -> Answer<String> {
    info!(key.id = call.key, "an operator asked for a secret of webhooks");
    Ok(Json(secret_of(&embedded.webhook_mint, call.key.as_deref(), call.user.as_deref())))
}

impl Remote {
    /// The secret of a key or a user, from the running process.
    pub(in crate::operator) async fn webhook_secret(
        &self,
        key: Option<&str>,
        user: Option<&str>,
    ) -> Result<String, PortError> {
        self.call(SECRET, &SecretCall { key: key.map(str::to_owned), user: user.map(str::to_owned) }).await
    }
}
