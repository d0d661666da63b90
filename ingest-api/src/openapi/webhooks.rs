//! What is sent to those who asked to be told of the ends of tasks: the one call that goes out.

use serde_json::{Value, json};

/// The document's `webhooks`.
pub(super) fn webhooks() -> Value {
    let header = |name: &str, description: &str, example: &str| {
        let schema = json!({"type": "string"});
        json!({"name": name, "in": "header", "required": true, "description": description, "example": example, "schema": schema})
    };
    json!({"taskEnded": {"post": {
        "operationId": "taskEnded",
        "tags": ["webhooks"],
        "summary": "A task has ended",
        "description": "Sent to a message's `webhook_url`, or to that of the key it was sent with, signed by the Standard Webhooks \
            scheme. It may come more than once, with the same `webhook-id`.",
        "parameters": [
            header("webhook-id", "The same each time that the same end is told.", "tsk_01890a5d00007000800000000000000b_1_completed"),
            header("webhook-timestamp", "When this delivery was signed, in seconds since 1970.", "1795247474"),
            header(
                "webhook-signature",
                "`v1,` and the Base64 of the HMAC-SHA256 of `id.timestamp.body`, under the secret of the key or of the user.",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
            ),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object",
            "required": ["type", "timestamp", "data"],
            "properties": {
                "type": {"type": "string", "enum": ["task.completed", "task.failed", "task.cancelled"]},
                "timestamp": {"type": "string", "format": "date-time", "description": "When the task ended."},
                "data": {"$ref": "#/components/schemas/Task"},
            },
        }}}},
        "responses": {
            "2XX": {"description": "It was told."},
            "410": {"description": "Nobody is there any more: it is not tried again."},
            "default": {"description": "It is tried again for a day, later and later; `Retry-After` is heeded."},
        },
    }}})
}
