//! The codes of problem details, with the status and title of each: the one list of what can go wrong in a call.

use http::StatusCode;

macro_rules! codes {
    ($($name:ident $status:ident $word:literal $title:literal;)+) => {
        /// A machine's word for what is wrong. Each has one status and one title; `/openapi.json` lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($name,)+
        }

        impl Code {
            /// Status, word and title.
            pub(crate) fn parts(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$name => (StatusCode::$status, $word, $title),)+
                }
            }

            /// Every code; the API's description is made from them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

codes! {
    MalformedRequest BAD_REQUEST "malformed_request" "The request is not HTTP as it must be";
    InvalidJson BAD_REQUEST "invalid_json" "The body is not JSON";
    InvalidField BAD_REQUEST "invalid_field" "A field has a value that is not accepted";
    MissingField BAD_REQUEST "missing_field" "A field is missing";
    UnknownField BAD_REQUEST "unknown_field" "A field is not known";
    InvalidParameter BAD_REQUEST "invalid_parameter" "A query parameter has a value that is not accepted";
    UnknownParameter BAD_REQUEST "unknown_parameter" "A query parameter is not known";
    DuplicateParameter BAD_REQUEST "duplicate_parameter" "A query parameter is given twice";
    InvalidHeader BAD_REQUEST "invalid_header" "A header has a value that is not accepted";
    UnknownCursor BAD_REQUEST "unknown_cursor" "The cursor was never handed out";
    HostMissing BAD_REQUEST "host_missing" "The request names no host";
    Unauthenticated UNAUTHORIZED "unauthenticated" "Nobody says who calls";
    InvalidCredential FORBIDDEN "invalid_credential" "The credential is not accepted";
    Forbidden FORBIDDEN "forbidden" "The caller may not do this";
    HostNotAllowed FORBIDDEN "host_not_allowed" "The request is for another host";
    OriginNotAllowed FORBIDDEN "origin_not_allowed" "Pages of this origin may not call";
    RouteNotFound NOT_FOUND "route_not_found" "There is nothing at this path";
    TaskNotFound NOT_FOUND "task_not_found" "There is no such task";
    SummaryNotFound NOT_FOUND "summary_not_found" "There is no such summary";
    ResponseNotFound NOT_FOUND "response_not_found" "There is no such response";
    PreviousResponseNotFound NOT_FOUND "previous_response_not_found" "There is no such response to go on from";
    SessionNotFound NOT_FOUND "session_not_found" "There is no such session";
    MessageNotFound NOT_FOUND "message_not_found" "There is no such message";
    ModelNotFound NOT_FOUND "model_not_found" "There is no such model";
    MethodNotAllowed METHOD_NOT_ALLOWED "method_not_allowed" "The path does not take this method";
    RequestTimeout REQUEST_TIMEOUT "request_timeout" "The request did not come to its end";
    IdempotencyKeyReused CONFLICT "idempotency_key_reused" "The idempotency key belongs to another request";
    SessionDeleted CONFLICT "session_deleted" "The session was deleted";
    SessionBusy CONFLICT "session_busy" "A message of the session waits or is being answered";
    TaskNotEnded CONFLICT "task_not_ended" "The task has not ended";
    NotTheLastTurn CONFLICT "not_the_last_turn" "Something was said after it";
    MessageNotRecorded CONFLICT "message_not_recorded" "The message is not in the record";
    MessageSuperseded CONFLICT "message_superseded" "Another message stands in for it";
    MessageTooOld CONFLICT "message_too_old" "The message is too far back";
    BodyTooLarge PAYLOAD_TOO_LARGE "body_too_large" "The body is too large";
    ContentTooLarge PAYLOAD_TOO_LARGE "content_too_large" "The content is too long";
    UriTooLong URI_TOO_LONG "uri_too_long" "The path and query are too long";
    HeadersTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large" "The headers are too long or too many";
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "The body is of another media type";
    RateLimited TOO_MANY_REQUESTS "rate_limited" "Too many calls in a short time";
    TooManyTasks TOO_MANY_REQUESTS "too_many_tasks" "Too many tasks have not ended";
    TooManyStreams TOO_MANY_REQUESTS "too_many_streams" "Too many streams are open";
    TooManyQueued TOO_MANY_REQUESTS "too_many_queued" "Too many messages of the session wait";
    BudgetExhausted TOO_MANY_REQUESTS "budget_exhausted" "The budget for today is used up";
    InternalError INTERNAL_SERVER_ERROR "internal_error" "Something went wrong on our side";
    Unavailable SERVICE_UNAVAILABLE "unavailable" "Not available for the moment";
    Overloaded SERVICE_UNAVAILABLE "overloaded" "There is too much to do";
    StorageFull SERVICE_UNAVAILABLE "storage_full" "There is no room to store more";
    NotReady SERVICE_UNAVAILABLE "not_ready" "Not ready to serve";
}
