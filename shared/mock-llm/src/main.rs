//! The mock as a program: see [`parlance_mock_llm`] for what it answers.

use std::{io::Write as _, time::Duration};

use parlance_mock_llm::{Behaviour, Script, run};

const USAGE: &str = "usage: parlance-mock-llm [--port N] [--tokens N] [--token-delay-ms N] [--first-token-delay-ms N] \
                     [--log N]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut port = 0;
    let mut log = 10_000;
    let mut behaviour = Behaviour::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let Some(value) = arguments.next().and_then(|value| value.parse::<u32>().ok()) else {
            return Err(std::io::Error::other(USAGE));
        };
        match name.as_str() {
            "--port" => port = u16::try_from(value).map_err(std::io::Error::other)?,
            "--tokens" => behaviour.tokens = value,
            "--token-delay-ms" => behaviour.token_delay = Duration::from_millis(value.into()),
            "--first-token-delay-ms" => behaviour.first_token_delay = Duration::from_millis(value.into()),
            "--log" => log = value as usize,
            _ => return Err(std::io::Error::other(USAGE)),
        }
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    // One line, so that a program that starts the mock can learn its port.
    writeln!(std::io::stdout(), "http://{}/v1", listener.local_addr()?)?;
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    run(listener, Script::always(behaviour).with_log_limit(log), interrupted).await
}
