//! What the mock does with requests.

use std::{fmt, sync::Arc};

use crate::{
    Behaviour, Fault, Raw, directive,
    log::{Log, LoggedMessage},
    memory::Purpose,
};

/// A request that waits for its behaviour to be chosen.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The text of the last user message.
    pub last_user_text: &'a str,
    /// Counts requests with this very text from 0.
    pub attempt: u32,
    /// The whole prompt.
    pub messages: &'a [LoggedMessage],
    /// What it is for, when it is no turn.
    pub purpose: Option<Purpose>,
}

type Choose = dyn Fn(&Incoming<'_>) -> Behaviour + Send + Sync;

/// What the mock does with requests. Directives in the user's text (see the crate's docs) change the chosen behaviour.
#[derive(Clone)]
pub struct Script {
    choose: Arc<Choose>,
    memory: Option<Arc<Choose>>,
    models: Arc<[String]>,
    models_answer: Option<Raw>,
    key: Option<Arc<str>>,
    log_limit: usize,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("models", &self.models).finish_non_exhaustive()
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::always(Behaviour::default())
    }
}

impl Script {
    /// Chooses by a function.
    pub fn choose(choose: impl Fn(&Incoming<'_>) -> Behaviour + Send + Sync + 'static) -> Self {
        Self {
            choose: Arc::new(choose),
            memory: None,
            models: Arc::new(["mock-model".to_owned()]),
            models_answer: None,
            key: None,
            log_limit: 20_000,
        }
    }

    /// The same for every request.
    pub fn always(behaviour: impl Into<Behaviour>) -> Self {
        let behaviour = behaviour.into();
        Self::choose(move |_| behaviour.clone())
    }

    /// Request `k` with a given text gets `behaviours[k]`; later ones get `then`.
    pub fn in_turn(behaviours: impl IntoIterator<Item = Behaviour>, then: Behaviour) -> Self {
        let behaviours: Vec<Behaviour> = behaviours.into_iter().collect();
        Self::choose(move |request| behaviours.get(request.attempt as usize).unwrap_or(&then).clone())
    }

    /// How requests that are no turns are answered; well, without this.
    #[must_use]
    pub fn with_memory(mut self, choose: impl Fn(&Incoming<'_>) -> Behaviour + Send + Sync + 'static) -> Self {
        self.memory = Some(Arc::new(choose));
        self
    }

    /// The models that `GET /v1/models` lists.
    #[must_use]
    pub fn with_models(mut self, models: &[&str]) -> Self {
        self.models = models.iter().map(|model| (*model).to_owned()).collect();
        self
    }

    /// What `GET /v1/models` answers, word for word; with `stay_open` and no frames it hangs.
    #[must_use]
    pub fn with_models_answer(mut self, answer: Raw) -> Self {
        self.models_answer = Some(answer);
        self
    }

    /// Answers 401 to requests without this key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Keeps the latest so many requests in the log.
    #[must_use]
    pub fn with_log_limit(mut self, limit: usize) -> Self {
        self.log_limit = limit;
        self
    }

    pub(crate) fn behaviour(&self, request: &Incoming<'_>, credentials: &str) -> Result<Behaviour, String> {
        if let Some(key) = &self.key
            && credentials.strip_prefix("Bearer ") != Some(key)
        {
            return Ok(Behaviour::fault(Fault::Http401));
        }
        if request.purpose.is_some() {
            return Ok(self.memory.as_ref().map(|memory| memory(request)).unwrap_or_default());
        }
        directive::apply(request.last_user_text, request.attempt, (self.choose)(request))
    }

    pub(crate) fn models(&self) -> &[String] {
        &self.models
    }

    pub(crate) fn models_answer(&self) -> Option<&Raw> {
        self.models_answer.as_ref()
    }
}

/// The state behind the endpoints.
pub(crate) struct Mock {
    pub(crate) script: Script,
    pub(crate) log: Arc<Log>,
    /// Of requests that are no turns.
    pub(crate) memory_log: Arc<Log>,
}

impl Mock {
    pub(crate) fn new(script: Script) -> Self {
        let log = || Arc::new(Log::new(script.log_limit));
        let (log, memory_log) = (log(), log());
        Self { script, log, memory_log }
    }
}
