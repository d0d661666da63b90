//! What one reply costs on the reading side: `cargo run --release -p parlance-llm --example reply_cost`.
//!
//! The adapter runs on this thread and the mock on its own, so this thread's CPU time is the adapter's, from writing the
//! request to the last token, with HTTP client and system calls.

use std::{error::Error, io::Write as _, time::Duration};

use futures_util::{StreamExt as _, future::join_all};
use parlance_llm::choose;
use parlance_mock_llm::{Behaviour, MockLlm, Script};
use parlance_shared::{
    port::llm::{Llm, LlmEvent, Prompt, PromptMessage, PromptRole},
    settings::Settings,
};

const TOKENS: u32 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    for (what, delay, replies) in
        [("no delay", Duration::ZERO, 5_000), ("2 ms between tokens", Duration::from_millis(2), 400)]
    {
        let behaviour = Behaviour::tokens(TOKENS).with_token_delay(delay);
        let mock = MockLlm::start(Script::always(behaviour).with_log_limit(0))?;
        let base_url = mock.base_url();
        let variable = |name: &str| match name {
            "LLM_BASE_URL" => Some(base_url.clone()),
            "LLM_MODEL" => Some("m".to_owned()),
            _ => None,
        };
        let settings = Settings::from_variables(variable)?.llm;
        let llm = choose(&settings).await?;
        join_all((0..20).map(|_| read_reply(llm.as_ref()))).await;
        let begun = (std::time::Instant::now(), thread_cpu()?);
        for _ in 0..replies / 20 {
            for tokens in join_all((0..20).map(|_| read_reply(llm.as_ref()))).await {
                assert_eq!(tokens, TOKENS);
            }
        }
        let (wall, cpu) = (begun.0.elapsed(), thread_cpu()? - begun.1);
        writeln!(
            std::io::stdout(),
            "{what}: {:.3} ms CPU and {:.2} ms of time a reply of {TOKENS} tokens, 20 at once",
            cpu.as_secs_f64() * 1e3 / f64::from(replies),
            wall.as_secs_f64() * 1e3 / f64::from(replies),
        )?;
    }
    Ok(())
}

async fn read_reply(llm: &dyn Llm) -> u32 {
    let messages = vec![PromptMessage {
        role: PromptRole::User,
        content: "How are you?".to_owned(),
        parts: Default::default(),
        tool_call_id: Default::default(),
        tool_calls: Default::default(),
    }];
    let Ok(mut stream) = llm.stream(Prompt { model: None, messages, ..Prompt::default() }).await else {
        return 0;
    };
    let mut tokens = 0;
    while let Some(Ok(LlmEvent::Delta(_))) = stream.next().await {
        tokens += 1;
    }
    tokens
}

/// The time this thread has run (Linux).
fn thread_cpu() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}
