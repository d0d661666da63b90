//! Makes keys and recognises them: `plk_` and 16 characters that are the key's id, `_`, 32 that are random (190 bits), and 8
//! that are a keyed hash of the others.
//!
//! By these 8, whoever holds the secret tells every key that was made here from one that was made up, without a look-up:
//! guesses cost the database nothing. What is stored is a keyed hash of the whole key, so that neither a stolen database nor
//! one that can be written to is of use without the secret, which is not in it. (In the embedded database it is: there it
//! guards against nothing but reading keys out of a copy.) Both are derived from the secret of the ids.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{id_mint::IdMint, port::keys::KeyHash, settings::Secret};

/// What every key begins with, for whoever looks for keys where none should be.
pub const KEY_PREFIX: &str = "plk_";

const ID: usize = 16;
const RANDOM: usize = 32;
const TAG: usize = 8;
const LENGTH: usize = KEY_PREFIX.len() + ID + 1 + RANDOM + TAG;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes and recognises keys.
#[derive(Clone)]
pub struct KeyMint {
    keyed: Hmac<Sha256>,
}

/// A new key, before anybody has seen it.
#[derive(Clone, Debug)]
pub struct FreshKey {
    /// Its beginning, by which people name it.
    pub id: String,
    /// The key, to be shown once.
    pub key: Secret,
    /// What is stored of it.
    pub hash: KeyHash,
}

impl KeyMint {
    /// By the secret that ids are made with: the same for all instances.
    pub fn new(id_secret: &[u8; 32]) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(id_secret);
        let mut derive = Hmac::<Sha256>::new(&block.into());
        derive.update(b"parlance: the secret of API keys, 1");
        let derived: [u8; 32] = derive.finalize().into_bytes().into();
        block[..32].copy_from_slice(&derived);
        Self { keyed: Hmac::new(&block.into()) }
    }

    /// A new key.
    pub fn fresh(&self) -> FreshKey {
        let id = format!("{KEY_PREFIX}{}", random_digits(ID));
        let body = format!("{id}_{}", random_digits(RANDOM));
        let tag: String = self.tag(&body).iter().map(|byte| char::from(*byte)).collect();
        let key = body + &tag;
        let hash = self.hash(&key);
        FreshKey { id, key: Secret::new(key), hash }
    }

    /// What is stored of a key that was made here; `None` for any other text.
    pub fn read(&self, key: &str) -> Option<KeyHash> {
        if !is_like_a_key(key) {
            return None;
        }
        let (body, tag) = key.split_at(LENGTH - TAG);
        is_same(&self.tag(body), tag.as_bytes()).then(|| self.hash(key))
    }

    fn hash(&self, key: &str) -> KeyHash {
        KeyHash(self.mac(b"key", key))
    }

    fn tag(&self, body: &str) -> [u8; TAG] {
        let mut tag = [0; TAG];
        for (digit, byte) in tag.iter_mut().zip(self.mac(b"tag", body).chunks(2)) {
            // 62 does not divide 65,536: a bias of a thousandth in what only has to be unlikely.
            let number = byte.iter().fold(0, |number, byte| number * 256 + usize::from(*byte));
            *digit = DIGITS[number % DIGITS.len()];
        }
        tag
    }

    fn mac(&self, kind: &[u8; 3], text: &str) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        mac.update(kind);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for KeyMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMint(secret redacted)")
    }
}

/// Whether a text has the form of a key, as no token has.
pub fn is_like_a_key(text: &str) -> bool {
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some(rest) = text.strip_prefix(KEY_PREFIX).filter(|_| text.len() == LENGTH && text.is_ascii()) else {
        return false;
    };
    is_digits(&rest[..ID]) && rest.as_bytes()[ID] == b'_' && is_digits(&rest[ID + 1..])
}

/// Takes as long for equal bytes as for others.
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differ) == 0
}

fn random_digits(count: usize) -> String {
    // Multiples of 62, so that each digit is as likely as any other.
    const FAIR: u8 = 248;
    let bytes = std::iter::repeat_with(IdMint::fresh_secret).flatten();
    let digits = bytes.filter(|byte| *byte < FAIR).map(|byte| char::from(DIGITS[usize::from(byte) % DIGITS.len()]));
    digits.take(count).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_is_known_to_whoever_has_the_secret() {
        let (mint, other) = (KeyMint::new(&[7; 32]), KeyMint::new(&[8; 32]));
        let fresh = mint.fresh();
        let key = fresh.key.expose();
        assert!(key.starts_with(&format!("{}_", fresh.id)) && key.len() == LENGTH, "{key}");
        assert_eq!(KeyMint::new(&[7; 32]).read(key), Some(fresh.hash));
        assert_eq!(other.read(key), None);
        assert!(!format!("{fresh:?} {mint:?}").contains(key));
        let mut seen = HashSet::new();
        assert!((0..1_000).all(|_| seen.insert(mint.fresh().key.expose().to_owned())));
    }

    #[test]
    fn no_other_text_is_a_key() {
        let mint = KeyMint::new(&[7; 32]);
        let key = mint.fresh().key.expose().to_owned();
        for at in 0..key.len() {
            let mut changed = key.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(mint.read(std::str::from_utf8(&changed).unwrap()), None, "{at}");
        }
        for text in ["", "plk_", "plk__", "plk_ä", &key[1..], &format!("{key}0"), &"ä".repeat(LENGTH / 2)] {
            assert_eq!(mint.read(text), None, "{text}");
        }
        let multibyte = format!("plk_{}ä_{}", "a".repeat(ID - 2), "b".repeat(RANDOM + TAG));
        assert_eq!((multibyte.len(), mint.read(&multibyte)), (LENGTH, None));
    }

    #[test]
    fn equal_is_equal_whatever_the_length() {
        assert!(is_same(b"", b"") && is_same(b"ab", b"ab"));
        assert!(!is_same(b"ab", b"ac") && !is_same(b"ab", b"abc") && !is_same(b"", b"a"));
    }
}
