//! The provider, and those that are asked when it fails.

use std::{fmt, time::Duration};

use url::Url;

use super::{Secret, read::Reader};
use crate::{port::circuits::CircuitPolicy, providers::Midstream};

/// The name of the provider that is asked first.
pub const PRIMARY: &str = "openai-compatible";

/// A provider and its limits.
#[derive(Clone)]
pub struct LlmSettings {
    /// Its name in records: [`PRIMARY`], or `fallback-1` to `fallback-4`.
    pub name: &'static str,
    /// `LLM_BASE_URL`: up to and including `/v1`. Without one, a local server is looked for.
    pub base_url: Option<Url>,
    /// `LLM_API_KEY`.
    pub api_key: Option<Secret>,
    /// `LLM_MODEL`: for requests that name none.
    pub model: Option<String>,
    /// `LLM_CONNECT_TIMEOUT`.
    pub connect_timeout: Duration,
    /// `LLM_FIRST_TOKEN_TIMEOUT`: from the request to the first token.
    pub first_token_timeout: Duration,
    /// `LLM_IDLE_TIMEOUT`: silence between tokens.
    pub idle_timeout: Duration,
    /// `LLM_REPLY_TIMEOUT`: the whole reply.
    pub reply_timeout: Duration,
    /// `LLM_MAX_REPLY_BYTES`.
    pub max_reply_bytes: usize,
    /// `LLM_IMAGES`: whether its model takes images.
    pub images: Support,
    /// `LLM_TOOLS`: whether its model calls tools.
    pub tools: Support,
    /// `LLM_TRACEPARENT`: requests say which trace they belong to.
    pub traceparent: bool,
    /// `LLM_FALLBACK_…`, `LLM_FALLBACK_2_…` and so on, in order; each has an address and a model, and no fallbacks.
    pub fallbacks: Vec<LlmSettings>,
    /// `LLM_MIDSTREAM`.
    pub midstream: Midstream,
    /// `LLM_CIRCUIT_FAILURES`, `LLM_CIRCUIT_OPEN_FOR`.
    pub circuits: CircuitPolicy,
}

/// Whether a model can do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Support {
    /// It is asked, and what the provider refuses is told so.
    #[default]
    Auto,
    /// It can: a refusal has another reason.
    Yes,
    /// It can't: it is not asked.
    No,
}

impl fmt::Debug for LlmSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmSettings")
            // Only the host: a URL can hold a password.
            .field("base_url_host", &self.base_url.as_ref().and_then(Url::host_str))
            .field("api_key", &self.api_key)
            .field("model", &self.model)
            .field("fallbacks", &self.fallbacks)
            .finish_non_exhaustive()
    }
}

/// The variables of one provider.
struct Names {
    name: &'static str,
    base_url: &'static str,
    api_key: &'static str,
    model: &'static str,
    connect_timeout: &'static str,
    first_token_timeout: &'static str,
    idle_timeout: &'static str,
    reply_timeout: &'static str,
    images: &'static str,
    tools: &'static str,
}

macro_rules! names {
    ($name:expr, $prefix:literal) => {
        Names {
            name: $name,
            base_url: concat!($prefix, "BASE_URL"),
            api_key: concat!($prefix, "API_KEY"),
            model: concat!($prefix, "MODEL"),
            connect_timeout: concat!($prefix, "CONNECT_TIMEOUT"),
            first_token_timeout: concat!($prefix, "FIRST_TOKEN_TIMEOUT"),
            idle_timeout: concat!($prefix, "IDLE_TIMEOUT"),
            reply_timeout: concat!($prefix, "REPLY_TIMEOUT"),
            images: concat!($prefix, "IMAGES"),
            tools: concat!($prefix, "TOOLS"),
        }
    };
}

const PRIMARY_NAMES: Names = names!(PRIMARY, "LLM_");
const FALLBACK_NAMES: [Names; 4] = [
    names!("fallback-1", "LLM_FALLBACK_"),
    names!("fallback-2", "LLM_FALLBACK_2_"),
    names!("fallback-3", "LLM_FALLBACK_3_"),
    names!("fallback-4", "LLM_FALLBACK_4_"),
];

pub(super) const BASE_URL_ACCEPTED: &str =
    "an http or https URL of an OpenAI-compatible API, such as https://api.openai.com/v1";
const MODEL_ACCEPTED: &str = "a model's name as the provider spells it";

pub(super) fn read_llm(read: &mut Reader<'_>) -> LlmSettings {
    let most = 64 * 1_024 * 1_024;
    let defaults = LlmSettings {
        name: PRIMARY,
        base_url: None,
        api_key: None,
        model: None,
        connect_timeout: Duration::from_secs(5),
        first_token_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(30),
        reply_timeout: Duration::from_secs(600),
        max_reply_bytes: read.number("LLM_MAX_REPLY_BYTES", 1_024, most).unwrap_or(4 * 1_024 * 1_024) as usize,
        images: Support::Auto,
        tools: Support::Auto,
        traceparent: read.choice("LLM_TRACEPARENT", &[("on", true), ("off", false)]).unwrap_or(false),
        fallbacks: Vec::new(),
        midstream: Midstream::default(),
        circuits: CircuitPolicy::default(),
    };
    let mut primary = read_provider(read, &PRIMARY_NAMES, &defaults);
    // A fallback is as patient as the primary, unless it is told otherwise.
    let patience = LlmSettings { images: Support::Auto, tools: Support::Auto, ..primary.clone() };
    primary.fallbacks = FALLBACK_NAMES
        .iter()
        .map(|names| read_provider(read, names, &patience))
        .filter(|fallback| fallback.base_url.is_some())
        .collect();
    if !primary.fallbacks.is_empty() && read.text(PRIMARY_NAMES.base_url).is_none() {
        read.refuse(
            PRIMARY_NAMES.base_url,
            "is missing although there is a fallback for it".to_owned(),
            BASE_URL_ACCEPTED,
        );
    }
    primary.midstream = read
        .choice("LLM_MIDSTREAM", &[("restart", Midstream::Restart), ("continue", Midstream::Continue)])
        .unwrap_or_default();
    let usual = CircuitPolicy::default();
    primary.circuits = CircuitPolicy {
        failures: read.number("LLM_CIRCUIT_FAILURES", 1, 1_000).unwrap_or(usual.failures.into()) as u32,
        open_for: read.duration("LLM_CIRCUIT_OPEN_FOR").unwrap_or(usual.open_for),
    };
    primary
}

fn read_provider(read: &mut Reader<'_>, names: &Names, usual: &LlmSettings) -> LlmSettings {
    let base_url = read.url(names.base_url, BASE_URL_ACCEPTED);
    let api_key = read.text(names.api_key).map(Secret::new);
    let model = read.text(names.model);
    if base_url.is_none() && read.text(names.base_url).is_none() && (api_key.is_some() || model.is_some()) {
        let problem = format!("is missing although {} or {} is set", names.api_key, names.model);
        read.refuse(names.base_url, problem, BASE_URL_ACCEPTED);
    }
    if base_url.is_some() && model.is_none() {
        read.refuse(names.model, format!("is missing although {} is set", names.base_url), MODEL_ACCEPTED);
    }
    let support = [("auto", Support::Auto), ("yes", Support::Yes), ("no", Support::No)];
    LlmSettings {
        name: names.name,
        base_url,
        api_key,
        model,
        connect_timeout: read.duration(names.connect_timeout).unwrap_or(usual.connect_timeout),
        first_token_timeout: read.duration(names.first_token_timeout).unwrap_or(usual.first_token_timeout),
        idle_timeout: read.duration(names.idle_timeout).unwrap_or(usual.idle_timeout),
        reply_timeout: read.duration(names.reply_timeout).unwrap_or(usual.reply_timeout),
        images: read.choice(names.images, &support).unwrap_or(usual.images),
        tools: read.choice(names.tools, &support).unwrap_or(usual.tools),
        ..usual.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    const PAIR: [(&str, &str); 4] = [
        ("LLM_BASE_URL", "http://a/v1"),
        ("LLM_MODEL", "a"),
        ("LLM_FALLBACK_BASE_URL", "http://u:s3cret@b/v1"),
        ("LLM_FALLBACK_MODEL", "b"),
    ];

    #[test]
    fn fallbacks_come_in_order_with_their_own_settings() {
        let more = [
            ("LLM_IDLE_TIMEOUT", "9s"),
            ("LLM_IMAGES", "no"),
            ("LLM_FALLBACK_API_KEY", "s3cret"),
            ("LLM_FALLBACK_IDLE_TIMEOUT", "3s"),
            ("LLM_FALLBACK_3_BASE_URL", "http://c/v1"),
            ("LLM_FALLBACK_3_MODEL", "c"),
            ("LLM_FALLBACK_3_TOOLS", "no"),
            ("LLM_MIDSTREAM", "continue"),
            ("LLM_CIRCUIT_FAILURES", "2"),
        ];
        let llm = read(&[&PAIR[..], &more].concat()).unwrap().llm;
        let shown: Vec<_> =
            llm.fallbacks.iter().map(|f| (f.name, f.model.as_deref(), f.idle_timeout.as_secs())).collect();
        assert_eq!(shown, [("fallback-1", Some("b"), 3), ("fallback-3", Some("c"), 9)]);
        assert_eq!((llm.images, llm.fallbacks[0].images), (Support::No, Support::Auto));
        assert_eq!((llm.fallbacks[1].tools, llm.fallbacks[1].fallbacks.len()), (Support::No, 0));
        assert!(llm.fallbacks[1].api_key.is_none(), "a key goes to its own provider alone");
        assert_eq!((llm.midstream, llm.circuits.failures), (Midstream::Continue, 2));
        assert!(!format!("{llm:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_half_there_is_refused() {
        for (variables, name) in [
            (&PAIR[2..], "LLM_BASE_URL"),
            (&PAIR[..3], "LLM_FALLBACK_MODEL"),
            (&[("LLM_FALLBACK_2_API_KEY", "s3cret")][..], "LLM_FALLBACK_2_BASE_URL"),
            (&[("LLM_MIDSTREAM", "go")], "LLM_MIDSTREAM"),
            (&[("LLM_CIRCUIT_FAILURES", "0")], "LLM_CIRCUIT_FAILURES"),
            (&[("LLM_FALLBACK_4_IMAGES", "maybe")], "LLM_FALLBACK_4_IMAGES"),
        ] {
            let errors = read(variables).expect_err(name);
            assert_eq!(errors.0.iter().map(|error| error.name).collect::<Vec<_>>(), [name], "{errors}");
            assert!(!errors.to_string().contains("s3cret"));
        }
    }
}
