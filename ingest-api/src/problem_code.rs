//! The codes of problem details, with the status and title of each: the one list of what can go wrong in a call.

use http::StatusCode;

macro_rules! codes {
    ($($name:ident $status:ident $word:literal $title:literal;)+) => {
        /// A machine's word for what is wrong. Each has one status and one title; `openapi.json` lists them.
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

            /// Every code, for the test that compares them with `openapi.json`.
            #[cfg(test)]
            pub(crate) fn words() -> Vec<&'static str> {
                vec![$($word,)+]
            }
        }
    };
}

codes! {
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
    HostNotAllowed FORBIDDEN "host_not_allowed" "The request is for another host";
    RouteNotFound NOT_FOUND "route_not_found" "There is nothing at this path";
    TaskNotFound NOT_FOUND "task_not_found" "There is no such task";
    SummaryNotFound NOT_FOUND "summary_not_found" "There is no such summary";
    SessionNotFound NOT_FOUND "session_not_found" "There is no such session";
    MessageNotFound NOT_FOUND "message_not_found" "There is no such message";
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
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "The body is of another media type";
    TooManyQueued TOO_MANY_REQUESTS "too_many_queued" "Too many messages of the session wait";
    BudgetExhausted TOO_MANY_REQUESTS "budget_exhausted" "The budget for today is used up";
    InternalError INTERNAL_SERVER_ERROR "internal_error" "Something went wrong on our side";
    Unavailable SERVICE_UNAVAILABLE "unavailable" "Not available for the moment";
    StorageFull SERVICE_UNAVAILABLE "storage_full" "There is no room to store more";
    NotReady SERVICE_UNAVAILABLE "not_ready" "Not ready to serve";
}
