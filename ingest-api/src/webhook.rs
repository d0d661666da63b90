//! Who is told when a task has ended: found out when its message is accepted and kept with it, so that a replay tells the
//! same one.

use parlance_shared::{
    Caller,
    content::Webhook,
    settings::{Role, WebhookSettings},
    webhook::Target,
};

use crate::{problem::Code, validate::Faults};

/// Which webhooks are taken; the default takes none.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebhookRules {
    on: bool,
    allow_private: bool,
}

impl WebhookRules {
    /// As the settings have it for this program.
    pub fn new(settings: &WebhookSettings, role: Role) -> Self {
        Self { on: settings.are_on(role), allow_private: settings.allow_private }
    }

    /// The message's own.
    pub(crate) fn read(self, faults: &mut Faults, url: Option<&str>) -> Option<Webhook> {
        const ACCEPTED: &[&str] = &["an https URL of at most 2048 bytes on a public address", "null"];
        let url = url?;
        if !self.on {
            let detail = "is not taken here: webhooks are off (the setting WEBHOOKS turns them on).";
            faults.add("webhook_url", Code::InvalidField, detail, &["null"]);
            return None;
        }
        match Target::parse(url, self.allow_private) {
            Ok(target) => Some(Webhook { url: target.url().to_string(), key_id: None }),
            Err(why) => {
                faults.add("webhook_url", Code::InvalidField, why.0, ACCEPTED);
                None
            }
        }
    }

    /// The one of the key that the call was made with. Its address is judged at the delivery: an operator gave it, and finds in
    /// the dead letters what is wrong with it.
    pub(crate) fn of_key(self, caller: &Caller) -> Option<Webhook> {
        let key = caller.key.as_ref().filter(|_| self.on)?;
        Some(Webhook { url: key.webhook_url.as_deref()?.to_owned(), key_id: Some(key.id.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parlance_shared::caller::CallerKey;

    use super::*;

    fn rules(on: bool, allow_private: bool) -> WebhookRules {
        let retry_budget = Duration::from_secs(1);
        let settings = WebhookSettings { on: Some(on), allow_private, traceparent: false, retry_budget };
        WebhookRules::new(&settings, Role::IngestApi)
    }

    fn read(rules: WebhookRules, url: Option<&str>) -> Result<Option<Webhook>, Vec<String>> {
        let mut faults = Faults::default();
        let webhook = rules.read(&mut faults, url);
        if faults.is_empty() { Ok(webhook) } else { Err(faults.fields()) }
    }

    #[test]
    fn a_message_names_a_public_https_address_or_none() {
        let url = |url: &str| Some(Webhook { url: url.to_owned(), key_id: None });
        assert_eq!(read(rules(true, false), None), Ok(None));
        assert_eq!(read(rules(true, false), Some("https://a.example/x")), Ok(url("https://a.example/x")));
        assert_eq!(read(rules(true, true), Some("http://127.0.0.1:1/x")), Ok(url("http://127.0.0.1:1/x")));
        for wrong in ["http://a.example/", "https://localhost/", "https://127.0.0.1/", "x", ""] {
            assert_eq!(read(rules(true, false), Some(wrong)), Err(vec!["webhook_url".to_owned()]), "{wrong}");
        }
    }

    #[test]
    fn where_they_are_off_none_is_taken() {
        assert!(read(rules(false, true), Some("https://a.example/x")).is_err());
        assert!(read(WebhookRules::default(), Some("https://a.example/x")).is_err());
        assert_eq!(read(rules(false, false), None), Ok(None));
        let key = CallerKey { id: "k".into(), webhook_url: Some("https://a.example/".into()) };
        let caller = Caller { key: Some(key), ..Caller::local() };
        assert_eq!(rules(false, false).of_key(&caller), None);
        let found = rules(true, false).of_key(&caller).unwrap();
        assert_eq!((found.url.as_str(), found.key_id.as_deref()), ("https://a.example/", Some("k")));
        assert_eq!(rules(true, false).of_key(&Caller::local()), None);
    }
}
