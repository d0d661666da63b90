//! Makes identifiers that prove whose they are.
//!
//! Accepting a message writes no SQL, yet from the 202 on the owner must never read a 404 and a stranger always must
//! (invariants 7 and 8), also on another instance and while the database is away. So the last 40 bits of each id are a
//! keyed hash of the owner and the other bits: any instance that holds the secret can tell an id that was handed to this
//! user from every other string, without a look-up.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::{Builder, Uuid, Version};

use crate::{Clock, UserId, id::PrefixedId};

/// Bytes of the UUID that are free; the rest is the tag.
const BODY: usize = 11;

/// Makes and recognises the ids of sessions, tasks and messages.
#[derive(Clone)]
pub struct IdMint {
    keyed: Hmac<Sha256>,
    clock: Clock,
}

impl IdMint {
    /// `secret` must be the same for all instances that serve the same users, and stay so: ids are checked against it.
    pub fn new(secret: &[u8; 32], clock: Clock) -> Self {
        // HMAC pads a short key with zeros to the hash's block.
        let mut block = [0; 64];
        block[..32].copy_from_slice(secret);
        Self { keyed: Hmac::<Sha256>::new(&block.into()), clock }
    }

    /// A new id for `user`, sortable by time (UUIDv7).
    pub fn mint<I: PrefixedId>(&self, user: &UserId) -> I {
        let millis = u64::try_from(self.clock.now_millis()).unwrap_or_default();
        let mut random = [0; 10];
        random.copy_from_slice(&Uuid::new_v4().as_bytes()[..10]);
        // The v4 source has six fixed bits in bytes 6 and 8; fold in bytes that have none.
        let more = Uuid::new_v4();
        random[6] ^= more.as_bytes()[0];
        random[8] ^= more.as_bytes()[1];
        let uuid = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        self.tagged(user, uuid)
    }

    /// The id for `user` that belongs to this idempotency key: the same arguments give the same id for ever (UUIDv8).
    pub fn derive<I: PrefixedId>(&self, user: &UserId, idempotency_key: &str) -> I {
        let digest =
            self.mac(&[b"idempotency", I::PREFIX.as_bytes(), user.as_str().as_bytes(), idempotency_key.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        self.tagged(user, Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Whether this id was made for this user.
    pub fn made_for<I: PrefixedId>(&self, user: &UserId, id: I) -> bool {
        let uuid = id.uuid();
        // Both sides are 40-bit values computed here; comparing the whole arrays leaks no prefix length worth having,
        // as an attacker can make no second guess at the same body faster than over HTTP.
        self.tag::<I>(user, &uuid) == uuid.as_bytes()[BODY..]
    }

    /// When this id was made; `None` for ids that were derived from an idempotency key.
    pub fn made_at<I: PrefixedId>(id: I) -> Option<DateTime<Utc>> {
        let uuid = id.uuid();
        if uuid.get_version() != Some(Version::SortRand) {
            return None;
        }
        let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }

    /// A fresh secret for a data folder that has none.
    pub fn fresh_secret() -> [u8; 32] {
        let mut secret = [0; 32];
        // Four v4 UUIDs hash to 256 bits of key from 488 bits of the system's randomness.
        let mut hash = <Sha256 as sha2::Digest>::new();
        for _ in 0..4 {
            sha2::Digest::update(&mut hash, Uuid::new_v4().as_bytes());
        }
        secret.copy_from_slice(&sha2::Digest::finalize(hash));
        secret
    }

    fn tagged<I: PrefixedId>(&self, user: &UserId, uuid: Uuid) -> I {
        let tag = self.tag::<I>(user, &uuid);
        let mut bytes = uuid.into_bytes();
        bytes[BODY..].copy_from_slice(&tag);
        I::from_uuid(Uuid::from_bytes(bytes))
    }

    fn tag<I: PrefixedId>(&self, user: &UserId, uuid: &Uuid) -> [u8; 16 - BODY] {
        let digest = self.mac(&[b"owner", I::PREFIX.as_bytes(), user.as_str().as_bytes(), &uuid.as_bytes()[..BODY]]);
        let mut tag = [0; 16 - BODY];
        tag.copy_from_slice(&digest[..16 - BODY]);
        tag
    }

    fn mac(&self, fields: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for IdMint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdMint(secret redacted)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{MessageId, SessionId, TaskId};

    fn mint() -> IdMint {
        IdMint::new(&[7; 32], Clock::manual(DateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)))
    }

    #[test]
    fn an_id_is_known_to_its_owner_only() {
        let (alice, bob) = (UserId::new("alice"), UserId::new("bob"));
        let id: TaskId = mint().mint(&alice);
        assert!(mint().made_for(&alice, id));
        assert!(!mint().made_for(&bob, id));
        assert!(!IdMint::new(&[8; 32], Clock::system()).made_for(&alice, id));
        assert!(!mint().made_for(&alice, TaskId::from_uuid(Uuid::now_v7())), "a stranger's UUID was taken for ours");
        assert!(!mint().made_for(&alice, SessionId::from_uuid(id.uuid())), "a task's id was taken for a session's");
        assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
        assert_eq!(IdMint::made_at(id), Some(DateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    }

    #[test]
    fn a_derived_id_is_the_same_each_time_and_apart_by_user_key_and_kind() {
        let (alice, bob) = (UserId::new("alice"), UserId::new("bob"));
        let id: TaskId = mint().derive(&alice, "k1");
        assert_eq!(id, mint().derive::<TaskId>(&alice, "k1"));
        assert!(mint().made_for(&alice, id));
        assert_ne!(id, mint().derive::<TaskId>(&alice, "k2"));
        assert_ne!(id, mint().derive::<TaskId>(&bob, "k1"));
        assert_ne!(id.uuid(), mint().derive::<MessageId>(&alice, "k1").uuid());
        assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
        assert_eq!(IdMint::made_at(id), None);
    }
}
