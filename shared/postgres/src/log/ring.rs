//! The segments of the last seconds. What is stored for resume is up to a second old; a reader who joins in the middle of
//! a reply has the rest from here.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::segment::Segment;

const KEEP: Duration = Duration::from_secs(5);
/// Memory. Beyond it the oldest go early, and who would have needed them waits for the next stored row.
const MOST: usize = 32 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Ring {
    segments: VecDeque<(Instant, Arc<Segment>)>,
    weight: usize,
}

impl Ring {
    pub(super) fn push(&mut self, segment: Arc<Segment>, now: Instant) {
        self.weight += segment.weight();
        self.segments.push_back((now, segment));
        while let Some((at, oldest)) = self.segments.front()
            && (self.weight > MOST || now.duration_since(*at) > KEEP)
        {
            self.weight -= oldest.weight();
            self.segments.pop_front();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|(_, segment)| segment.as_ref())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::log::segment::{Kind, Piece, SegmentBuilder};

    fn segment(bytes: usize) -> Arc<Segment> {
        let mut builder = SegmentBuilder::default();
        let data = "x".repeat(bytes);
        builder.push(Piece { task: Uuid::nil(), attempt: 1, kind: Kind::Text, start: 0, data: &data });
        Arc::new(Segment::decode(builder.encode()).unwrap())
    }

    #[test]
    fn it_is_bounded_in_time_and_memory() {
        let (mut ring, start) = (Ring::default(), Instant::now());
        for second in 0..60 {
            ring.push(segment(10), start + Duration::from_secs(second));
        }
        assert_eq!(ring.iter().count(), 6);
        for _ in 0..100 {
            ring.push(segment(1024 * 1024), start + Duration::from_secs(60));
        }
        assert_eq!(ring.iter().count(), 31);
        ring.clear();
        assert_eq!((ring.iter().count(), ring.weight), (0, 0));
    }
}
