//! Keys are found by their hash alone, and what operators do to them holds at once: what every adapter of [`Keys`] and
//! [`KeyAdmin`] keeps.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use parlance_shared::{
    Clock, UserId,
    caller::Role,
    key_mint::{FreshKey, KeyMint},
    port::keys::{ApiKey, KeyAdmin, KeyState, Keys, Rotation, Scope},
};
use uuid::Uuid;

/// A service's side and an operator's, on one database.
#[derive(Clone)]
pub struct Ports {
    /// What checks.
    pub keys: Arc<dyn Keys>,
    /// What changes.
    pub admin: Arc<dyn KeyAdmin>,
}

fn now() -> DateTime<Utc> {
    // The system's: what is compared with is, too.
    Clock::system().now().trunc_subsecs(3)
}

fn fresh() -> FreshKey {
    KeyMint::new(&[1; 32]).fresh()
}

/// A key with everything that a key may have.
pub fn full(fresh: &FreshKey) -> ApiKey {
    ApiKey {
        id: fresh.id.clone(),
        name: "backend 'ä' \0\u{1a}".into(),
        user: UserId::new(format!("backend-{}", Uuid::now_v7())),
        role: Role::Operator,
        scopes: vec![Scope::Chat, Scope::ActAsUsers],
        webhook_url: Some("https://hooks.example/x?y=z".into()),
        created_at: now(),
        expires_at: Some(now() + TimeDelta::days(90)),
        revoked_at: None,
        rotated_to: None,
        last_used_at: None,
    }
}

/// As short as can be.
pub fn plain(fresh: &FreshKey) -> ApiKey {
    let (role, scopes) = (Role::User, Vec::new());
    ApiKey { name: String::new(), role, scopes, webhook_url: None, expires_at: None, ..full(fresh) }
}

async fn created(ports: &Ports, make: fn(&FreshKey) -> ApiKey) -> (ApiKey, FreshKey) {
    let fresh = fresh();
    let key = make(&fresh);
    ports.admin.create(&key, &fresh.hash).await.unwrap();
    (key, fresh)
}

/// By nothing else; and as it was made.
pub async fn a_key_is_found_by_its_hash(ports: Ports) {
    for make in [full, plain] {
        let (key, fresh_key) = created(&ports, make).await;
        assert_eq!(ports.keys.find(&fresh_key.hash).await.unwrap(), Some(key.clone()));
        assert_eq!(ports.admin.get(&key.id).await.unwrap(), Some(key));
        assert_eq!(ports.keys.find(&fresh().hash).await.unwrap(), None);
    }
    assert_eq!(ports.admin.get("plk_none").await.unwrap(), None);
}

/// The latest use counts, in whatever order they are noted.
pub async fn its_use_is_noted(ports: Ports) {
    let (key, fresh_key) = created(&ports, plain).await;
    let later = now() + TimeDelta::minutes(2);
    for at in [now(), later, now()] {
        ports.keys.note_use(&key.id, at).await.unwrap();
    }
    let found = ports.keys.find(&fresh_key.hash).await.unwrap().unwrap();
    assert_eq!(found, ApiKey { last_used_at: Some(later), ..key });
    ports.keys.note_use("plk_none", now()).await.unwrap();
}

/// The old one until then, the new one from now on; once.
pub async fn a_rotation_has_both_keys_for_a_while(ports: Ports) {
    let (old, old_fresh) = created(&ports, full).await;
    let (next, third) = (fresh(), fresh());
    let new = ApiKey { user: old.user.clone(), ..full(&next) };
    let until = now() + TimeDelta::hours(24);
    let rotated = ApiKey { expires_at: Some(until), rotated_to: Some(new.id.clone()), ..old.clone() };
    let done = ports.admin.rotate(&old.id, &new, &next.hash, until).await.unwrap();
    assert_eq!(done, Rotation::Rotated(rotated.clone()));
    let found = ports.keys.find(&old_fresh.hash).await.unwrap().unwrap();
    assert_eq!(found, rotated);
    assert_eq!([found.state(now()), found.state(until)], [KeyState::Rotated, KeyState::Expired]);
    assert_eq!(ports.keys.find(&next.hash).await.unwrap(), Some(new.clone()));
    let again = ports.admin.rotate(&old.id, &full(&third), &third.hash, until).await.unwrap();
    assert_eq!(again, Rotation::NotActive(rotated));
    assert_eq!(ports.keys.find(&third.hash).await.unwrap(), None, "nothing is made beside a refusal");
    let unknown = ports.admin.rotate("plk_none", &full(&third), &third.hash, until).await.unwrap();
    assert_eq!(unknown, Rotation::Unknown);
    assert_eq!(ports.keys.find(&third.hash).await.unwrap(), None);
}

/// An overlap makes no key live longer.
pub async fn a_rotation_never_prolongs(ports: Ports) {
    let (fresh_old, fresh_new) = (fresh(), fresh());
    let soon = now() + TimeDelta::hours(1);
    let old = ApiKey { expires_at: Some(soon), ..full(&fresh_old) };
    ports.admin.create(&old, &fresh_old.hash).await.unwrap();
    let later = now() + TimeDelta::hours(24);
    let Rotation::Rotated(rotated) =
        ports.admin.rotate(&old.id, &full(&fresh_new), &fresh_new.hash, later).await.unwrap()
    else {
        panic!("not rotated");
    };
    assert_eq!(rotated.expires_at, Some(soon));
}

/// From that moment, for ever; and what is revoked or over is not rotated.
pub async fn a_revoked_key_stays_revoked(ports: Ports) {
    let (key, fresh_key) = created(&ports, full).await;
    let (at, next) = (now(), fresh());
    let revoked = ApiKey { revoked_at: Some(at), ..key.clone() };
    assert_eq!(ports.admin.revoke(&key.id, at).await.unwrap(), Some(revoked.clone()));
    let later = at + TimeDelta::hours(1);
    assert_eq!(ports.admin.revoke(&key.id, later).await.unwrap(), Some(revoked.clone()), "the first time counts");
    assert_eq!(ports.keys.find(&fresh_key.hash).await.unwrap().unwrap().state(at), KeyState::Revoked);
    let rotated = ports.admin.rotate(&key.id, &full(&next), &next.hash, later).await.unwrap();
    assert_eq!(rotated, Rotation::NotActive(revoked));
    assert_eq!(ports.admin.revoke("plk_none", at).await.unwrap(), None);
    let past = fresh();
    let expired = ApiKey { expires_at: Some(at - TimeDelta::hours(1)), ..full(&past) };
    ports.admin.create(&expired, &past.hash).await.unwrap();
    let rotated = ports.admin.rotate(&expired.id, &full(&next), &next.hash, later).await.unwrap();
    assert_eq!(rotated, Rotation::NotActive(expired));
}

/// Every one once.
pub async fn all_are_listed_in_pages(ports: Ports) {
    let mut made = Vec::new();
    for make in [full, plain, full, plain, full] {
        made.push(created(&ports, make).await.0);
    }
    let (mut listed, mut after): (Vec<ApiKey>, Option<String>) = (Vec::new(), None);
    loop {
        let page = ports.admin.list(after.as_deref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page);
    }
    assert!(listed.is_sorted_by(|a, b| a.id < b.id), "in order, none twice");
    assert!(made.iter().all(|key| listed.contains(key)), "some are missing");
}
