//! The caller's session, or a 404. One that is only known by its id, because nothing of it is stored yet, is there too.

use parlance_shared::{Caller, SessionId, id_mint::IdMint, port::store::Lookup, session::Session};

use crate::{bounded::bounded, problem::Problem, state::ApiState};

pub(crate) async fn find_session(state: &ApiState, caller: &Caller, id: SessionId) -> Result<Session, Problem> {
    match bounded(state.limits.read_timeout, "store", state.store.session(&caller.user, id)).await? {
        Lookup::Found(session) => Ok(session),
        Lookup::Unknown if state.mint.made_for(&caller.user, id) => Ok(Session::bare(id, IdMint::made_at(id))),
        Lookup::Unknown | Lookup::Deleted => Err(Problem::session_not_found()),
    }
}
