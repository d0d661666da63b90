//! `llm-worker` as a service of its own: answers messages, on Pub/Sub and Postgres.

mod on_google_cloud;

use std::process::ExitCode;

use parlance_service::run;
use parlance_shared::settings::Role;

#[tokio::main]
async fn main() -> ExitCode {
    run(Role::LlmWorker, on_google_cloud::start).await
}
