//! Providers that no server can play.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use parlance_shared::{
    port::llm::{Llm, LlmError, LlmEvent, LlmStream, Prompt, ProviderInfo},
    task::Usage,
};

/// Panics in the middle of its first replies.
pub struct Panicking {
    left: AtomicU32,
}

impl Panicking {
    pub fn times(n: u32) -> Self {
        Self { left: AtomicU32::new(n) }
    }
}

#[async_trait]
impl Llm for Panicking {
    fn describe(&self) -> ProviderInfo {
        ProviderInfo { provider: "panicking".to_owned(), model: "p1".to_owned(), base_url: None }
    }

    async fn stream(&self, _: Prompt) -> Result<LlmStream, LlmError> {
        let panics = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let mut step = 0;
        let events = stream::poll_fn(move |_| {
            step += 1;
            let event = match step {
                1 => LlmEvent::Delta("half ".to_owned()),
                2 if panics => panic!("as the test wants it"),
                2 => LlmEvent::Delta("whole".to_owned()),
                3 => LlmEvent::Finished { model: None, usage: Usage::default(), finish_reason: Default::default() },
                _ => return std::task::Poll::Ready(None),
            };
            std::task::Poll::Ready(Some(Ok(event)))
        });
        Ok(events.boxed())
    }
}
