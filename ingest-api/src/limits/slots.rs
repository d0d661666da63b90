//! What a user may have at once: streams and long-polls, counted in this process for as long as they last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use parlance_shared::UserId;

/// Who holds how many. Users who hold none are not kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Arc<Mutex<HashMap<UserId, u32>>>);

/// One of a user's slots, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    user: UserId,
}

impl Slots {
    /// A slot, unless the user holds `most` already.
    pub(crate) fn take(&self, user: &UserId, most: u32) -> Option<Slot> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(user) {
            Some(held) if *held >= most => return None,
            Some(held) => *held += 1,
            None => {
                held.insert(user.clone(), 1);
            }
        }
        drop(held);
        Some(Slot { slots: self.clone(), user: user.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_and_leave_no_trace() {
        let slots = Slots::default();
        let (olga, peter) = (UserId::new("olga"), UserId::new("peter"));
        let held: Vec<_> = (0..3).map(|_| slots.take(&olga, 3).unwrap()).collect();
        assert!(slots.take(&olga, 3).is_none());
        assert!(slots.take(&peter, 3).is_some());
        drop(held);
        assert!(slots.0.lock().unwrap().is_empty());
    }
}
