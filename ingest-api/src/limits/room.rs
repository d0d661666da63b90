//! Room for bodies that are being read: however many come at once, and however slowly, memory stays bounded.

use std::sync::atomic::{AtomicUsize, Ordering};

/// All bodies together.
const BYTES: usize = 256 * 1024 * 1024;

/// The room that is taken.
#[derive(Debug, Default)]
pub(crate) struct BodyRoom(AtomicUsize);

/// What one body has taken of it, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    room: &'a BodyRoom,
    bytes: usize,
}

impl BodyRoom {
    /// For a body of which nothing has come.
    pub(crate) fn enter(&self) -> Taken<'_> {
        Taken { room: self, bytes: 0 }
    }
}

impl Taken<'_> {
    /// Takes room for more of the body; false when there is none.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        if self.room.0.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES {
            self.room.0.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let room = BodyRoom::default();
        let (mut one, mut other) = (room.enter(), room.enter());
        assert!(one.grow(BYTES - 10) && other.grow(10) && !other.grow(1));
        drop(one);
        assert!(other.grow(BYTES - 10));
        drop(other);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
