//! Keys and the audit log over the socket. New keys are made by the process that has the folder: the secret stays there.

use async_trait::async_trait;
use axum::{Json, Router, extract::State, routing::post};
use chrono::{DateTime, Utc};
use parlance_shared::{
    key_mint::FreshKey,
    port::{
        PortError,
        audit::{Audit, AuditEntry, AuditPosition},
        keys::{ApiKey, KeyAdmin, KeyHash, Rotation},
    },
    settings::Secret,
};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{
    client::Remote,
    server::{Answer, Call, Embedded},
};

const MINT: &str = "/v1/keys/mint";
const CREATE: &str = "/v1/keys/create";
const GET: &str = "/v1/keys/get";
const LIST: &str = "/v1/keys/list";
const ROTATE: &str = "/v1/keys/rotate";
const REVOKE: &str = "/v1/keys/revoke";
const NOTE: &str = "/v1/audit/note";
const ENTRIES: &str = "/v1/audit/entries";
const FORGET: &str = "/v1/audit/forget";

#[derive(Serialize, Deserialize)]
struct Minted {
    id: String,
    key: String,
    hash: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct CreateCall {
    key: ApiKey,
    hash: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct GetCall {
    id: String,
}

#[derive(Serialize, Deserialize)]
struct ListCall {
    after: Option<String>,
    limit: u32,
}

#[derive(Serialize, Deserialize)]
struct RotateCall {
    old: String,
    new: ApiKey,
    hash: [u8; 32],
    old_expires_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct RevokeCall {
    id: String,
    at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct EntriesCall {
    since: DateTime<Utc>,
    after: Option<AuditPosition>,
    limit: u32,
}

#[derive(Serialize, Deserialize)]
struct ForgetCall {
    before: DateTime<Utc>,
}

pub(super) fn routes() -> Router<Embedded> {
    Router::new()
        .route(MINT, post(mint))
        .route(CREATE, post(create))
        .route(GET, post(get))
        .route(LIST, post(list))
        .route(ROTATE, post(rotate))
        .route(REVOKE, post(revoke))
        .route(NOTE, post(note))
        .route(ENTRIES, post(entries))
        .route(FORGET, post(forget))
}

async fn mint(State(embedded): State<Embedded>, Call(()): Call<()>) -> Answer<Minted> {
    let FreshKey { id, key, hash } = embedded.key_mint.fresh();
    Ok(Json(Minted { id, key: key.expose().to_owned(), hash: hash.0 }))
}

async fn create(State(embedded): State<Embedded>, Call(call): Call<CreateCall>) -> Answer<()> {
    embedded.keys.create(&call.key, &KeyHash(call.hash)).await?;
    info!(key.id = call.key.id, key.role = call.key.role.as_str(), "an operator made a key");
    Ok(Json(()))
}

async fn get(State(embedded): State<Embedded>, Call(call): Call<GetCall>) -> Answer<Option<ApiKey>> {
    Ok(Json(embedded.keys.get(&call.id).await?))
}

async fn list(State(embedded): State<Embedded>, Call(call): Call<ListCall>) -> Answer<Vec<ApiKey>> {
    Ok(Json(embedded.keys.list(call.after.as_deref(), call.limit).await?))
}

async fn rotate(State(embedded): State<Embedded>, Call(call): Call<RotateCall>) -> Answer<Rotation> {
    let RotateCall { old, new, hash, old_expires_at } = call;
    let rotated = embedded.keys.rotate(&old, &new, &KeyHash(hash), old_expires_at).await?;
    if matches!(rotated, Rotation::Rotated(_)) {
        info!(key.id = old, key.rotated_to = new.id, "an operator rotated a key");
    }
    Ok(Json(rotated))
}

async fn revoke(State(embedded): State<Embedded>, Call(call): Call<RevokeCall>) -> Answer<Option<ApiKey>> {
    let revoked = embedded.keys.revoke(&call.id, call.at).await?;
    if revoked.is_some() {
        info!(key.id = call.id, "an operator revoked a key");
    }
    Ok(Json(revoked))
}

async fn note(State(embedded): State<Embedded>, Call(entry): Call<AuditEntry>) -> Answer<()> {
    Ok(Json(embedded.audit.note(&entry).await?))
}

async fn entries(State(embedded): State<Embedded>, Call(call): Call<EntriesCall>) -> Answer<Vec<AuditEntry>> {
    Ok(Json(embedded.audit.entries(call.since, call.after.as_ref(), call.limit).await?))
}

async fn forget(State(embedded): State<Embedded>, Call(call): Call<ForgetCall>) -> Answer<()> {
    Ok(Json(embedded.audit.forget(call.before).await?))
}

impl Remote {
    /// A new key of the running process'.
    pub(in crate::operator) async fn mint_key(&self) -> Result<FreshKey, PortError> {
        let Minted { id, key, hash } = self.call(MINT, &()).await?;
        Ok(FreshKey { id, key: Secret::new(key), hash: KeyHash(hash) })
    }
}

#[async_trait]
impl KeyAdmin for Remote {
    async fn create(&self, key: &ApiKey, hash: &KeyHash) -> Result<(), PortError> {
        self.call(CREATE, &CreateCall { key: key.clone(), hash: hash.0 }).await
    }

    async fn get(&self, id: &str) -> Result<Option<ApiKey>, PortError> {
        self.call(GET, &GetCall { id: id.to_owned() }).await
    }

    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<ApiKey>, PortError> {
        self.call(LIST, &ListCall { after: after.map(str::to_owned), limit }).await
    }

    async fn rotate(
        &self,
        old: &str,
        new: &ApiKey,
        hash: &KeyHash,
        old_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, PortError> {
        let call = RotateCall { old: old.to_owned(), new: new.clone(), hash: hash.0, old_expires_at };
        self.call(ROTATE, &call).await
    }

    async fn revoke(&self, id: &str, at: DateTime<Utc>) -> Result<Option<ApiKey>, PortError> {
        self.call(REVOKE, &RevokeCall { id: id.to_owned(), at }).await
    }
}

#[async_trait]
impl Audit for Remote {
    async fn note(&self, entry: &AuditEntry) -> Result<(), PortError> {
        self.call(NOTE, entry).await
    }

    async fn entries(
        &self,
        since: DateTime<Utc>,
        after: Option<&AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, PortError> {
        self.call(ENTRIES, &EntriesCall { since, after: after.cloned(), limit }).await
    }

    async fn forget(&self, before: DateTime<Utc>) -> Result<(), PortError> {
        self.call(FORGET, &ForgetCall { before }).await
    }
}
