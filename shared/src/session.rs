//! A session is a conversation of one user.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{SessionId, event::Strategy};

/// Free-form data of the client, stored and returned as it came: a JSON object.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// A session as its owner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// What a list of conversations shows.
    pub heading: Option<String>,
    /// What the model is told before the conversation.
    pub instructions: Option<String>,
    /// The client's own data.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Metadata>))]
    pub metadata: Option<Metadata>,
    /// What a message does while a reply runs, unless it says so itself; null stands for `enqueue`.
    pub strategy: Option<Strategy>,
    /// When it was made; null only while nothing but the id is known.
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed or a message came.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Session {
    /// A session of which nothing but the id is known here yet.
    pub fn bare(id: SessionId, created_at: Option<DateTime<Utc>>) -> Self {
        let updated_at = created_at;
        Self { id, heading: None, instructions: None, metadata: None, strategy: None, created_at, updated_at }
    }
}
