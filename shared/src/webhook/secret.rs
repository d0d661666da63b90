//! What signs webhooks, by the scheme of Standard Webhooks (https://www.standardwebhooks.com).
//!
//! Nothing is stored: a secret follows from the secret of the ids and the name of whose it is, so that every instance and every
//! operator comes to the same one. Whoever may call with a key need not know it; operators hand it to the receiver.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{UserId, content::Webhook};

/// Makes secrets.
#[derive(Clone)]
pub struct WebhookMint {
    keyed: Hmac<Sha256>,
}

/// Signs for one receiver.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

const PREFIX: &str = "whsec_";

impl WebhookMint {
    /// By the secret that ids are made with: the same for all instances.
    pub fn new(id_secret: &[u8; 32]) -> Self {
        let derived = hmac(id_secret, &[b"parlance: the secret of webhooks, 1"]);
        Self { keyed: keyed(&derived) }
    }

    /// What signs for those who call with this key.
    pub fn of_key(&self, key_id: &str) -> WebhookSecret {
        self.of(b"key ", key_id)
    }

    /// What signs for a user's calls that are made without a key.
    pub fn of_user(&self, user: &UserId) -> WebhookSecret {
        self.of(b"user", user.as_str())
    }

    /// What signs for this webhook of the user's.
    pub fn of_webhook(&self, webhook: &Webhook, user: &UserId) -> WebhookSecret {
        webhook.key_id.as_deref().map_or_else(|| self.of_user(user), |key| self.of_key(key))
    }

    fn of(&self, kind: &[u8; 4], name: &str) -> WebhookSecret {
        let mut mac = self.keyed.clone();
        mac.update(kind);
        mac.update(name.as_bytes());
        WebhookSecret(mac.finalize().into_bytes().to_vec())
    }
}

impl WebhookSecret {
    /// A secret as it is handed to receivers; `None` for other texts.
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text.strip_prefix(PREFIX)?).ok().map(Self)
    }

    /// As it is handed to the receiver.
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, webhook_id: &str, at: DateTime<Utc>, body: &[u8]) -> String {
        let at = at.timestamp().to_string();
        let signature = hmac(&self.0, &[webhook_id.as_bytes(), b".", at.as_bytes(), b".", body]);
        format!("v1,{}", STANDARD.encode(signature))
    }
}

impl fmt::Debug for WebhookMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookMint(secret redacted)")
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(redacted)")
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// A key of any length: HMAC pads a short one with zeros to the hash's block, and hashes a long one.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&<Sha256 as sha2::Digest>::digest(key)),
    }
    Hmac::new(&block.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_reference_libraries_do() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = DateTime::from_timestamp(1_614_265_330, 999_000_000).unwrap();
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_and_user_has_a_secret_of_its_own_that_stays_the_same() {
        let mint = WebhookMint::new(&[7; 32]);
        let alice = UserId::new("alice");
        let secret = mint.of_key("alice").expose();
        assert_eq!(secret, WebhookMint::new(&[7; 32]).of_key("alice").expose());
        assert_eq!(WebhookSecret::parse(&secret).unwrap().expose(), secret);
        let others = [
            mint.of_user(&alice).expose(),
            mint.of_key("alicf").expose(),
            WebhookMint::new(&[8; 32]).of_key("alice").expose(),
        ];
        assert!(!others.contains(&secret));
        let webhook = |key_id: Option<&str>| Webhook { url: String::new(), key_id: key_id.map(str::to_owned) };
        assert_eq!(mint.of_webhook(&webhook(Some("alice")), &alice).expose(), secret);
        assert_eq!(mint.of_webhook(&webhook(None), &alice).expose(), others[0]);
        assert!(!format!("{mint:?} {:?}", mint.of_key("alice")).contains(&secret[6..]));
    }

    #[test]
    fn a_key_of_any_length_is_taken() {
        for length in [0, 1, 24, 63, 64, 65, 200] {
            let key = vec![b'k'; length];
            let plain = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(b"x").finalize().into_bytes();
            assert_eq!(hmac(&key, &[b"x"])[..], plain[..], "{length}");
        }
    }
}
