//! Backends that call for their own users: with a key of the scope `act-as-users`, `X-User-Id` says for whom.
//!
//! The end user is one of the key's user: `KEY'S USER|END USER`. Two backends with keys of different users can't read what
//! the other's users said, whatever names they give them; two keys of one user are one backend.

use http::{HeaderMap, HeaderName};
use parlance_shared::{Caller, UserId, caller::Role, port::keys::Scope};

use super::{api_keys::KnownKey, credential::single};
use crate::problem::{Code, Problem};

const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const WRITTEN: &str = "X-User-Id";
const LONGEST: usize = 128;

/// Who a call with this key is for.
pub(super) fn caller(key: &KnownKey, headers: &HeaderMap) -> Result<Caller, Problem> {
    let Some(end_user) = single(headers, &USER_ID, WRITTEN)? else { return Ok(key.caller.clone()) };
    if !key.row.scopes.contains(&Scope::ActAsUsers) {
        return Err(refused());
    }
    if end_user.len() > LONGEST || !end_user.bytes().all(|byte| byte.is_ascii_graphic()) {
        let accepted = ["1 to 128 visible ASCII characters"];
        return Err(Problem::with_field(WRITTEN, Code::InvalidHeader, "is not the id of a user.", &accepted));
    }
    let user = UserId::new(format!("{}|{end_user}", key.row.user));
    // What the backend may do beyond its users' conversations is not theirs.
    Ok(Caller { user, role: Role::User, key: key.caller.key.clone() })
}

/// Nobody else may say that they are someone else.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(USER_ID) { Err(refused()) } else { Ok(()) }
}

fn refused() -> Problem {
    let detail = "only a key with the scope act-as-users may name the user that it calls for.";
    Problem::with_field(WRITTEN, Code::Forbidden, detail, &[])
}
