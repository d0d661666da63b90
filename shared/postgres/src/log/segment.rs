//! The format of a segment: what one worker had to say at one flush, for all its replies.
//!
//! | bytes | what                                                              |
//! |-------|-------------------------------------------------------------------|
//! | 1     | version, 1                                                        |
//! | 4     | number of pieces                                                  |
//! | 37 ×  | per piece: task (16), attempt (4), kind (1), start (8), offset and length of its data in the text (4 + 4) |
//! | rest  | the text of all pieces, UTF-8                                     |
//!
//! Numbers are big-endian. Pieces are sorted by task, then attempt, kind and start, so that a reader who joins finds its
//! task by binary search. An unknown version is an error: its reader waits for the stored rows instead.

use std::ops::Range;

use parlance_shared::id::PrefixedId as _;
use uuid::Uuid;

use super::stream::Stream;

const VERSION: u8 = 1;
const HEAD: usize = 5;
const ENTRY: usize = 37;

/// What a piece is. The order is that of events within an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The attempt began; the data says why the one before was given up.
    Begun = 0,
    /// Text; `start` is the number of bytes before it. Without data it only says that there is so much text.
    Text = 1,
    /// The task ended after `start` bytes of text; the data is the task without its text.
    Ended = 2,
    /// The task ended, and only the database knows how.
    EndStored = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Begun, Self::Text, Self::Ended, Self::EndStored].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One piece of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) task: Uuid,
    pub(super) attempt: u32,
    pub(super) kind: Kind,
    pub(super) start: u64,
    pub(super) data: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    task: Uuid,
    attempt: u32,
    kind: Kind,
    start: u64,
    offset: u32,
    length: u32,
}

/// Builds a segment.
#[derive(Debug, Default)]
pub(super) struct SegmentBuilder {
    directory: Vec<Entry>,
    text: String,
}

impl SegmentBuilder {
    /// Adds a piece. The caller keeps a segment far below the format's 4 GB.
    pub(super) fn push(&mut self, piece: Piece<'_>) {
        let Piece { task, attempt, kind, start, data } = piece;
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let entry = Entry { task, attempt, kind, start, offset: narrow(self.text.len()), length: narrow(data.len()) };
        self.directory.push(entry);
        self.text.push_str(data);
    }

    pub(super) fn push_text(&mut self, stream: &Stream, start: u64, data: &str) {
        let (task, attempt) = (stream.task.uuid(), stream.attempt);
        self.push(Piece { task, attempt, kind: Kind::Text, start, data });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.directory.is_empty()
    }

    /// Bytes of the segment so far.
    pub(super) fn len(&self) -> usize {
        HEAD + ENTRY * self.directory.len() + self.text.len()
    }

    pub(super) fn encode(mut self) -> Vec<u8> {
        self.directory.sort_unstable();
        let mut bytes = Vec::with_capacity(self.len());
        bytes.push(VERSION);
        bytes.extend(u32::try_from(self.directory.len()).unwrap_or(u32::MAX).to_be_bytes());
        for entry in &self.directory {
            bytes.extend(entry.task.as_bytes());
            bytes.extend(entry.attempt.to_be_bytes());
            bytes.push(entry.kind as u8);
            bytes.extend(entry.start.to_be_bytes());
            bytes.extend(entry.offset.to_be_bytes());
            bytes.extend(entry.length.to_be_bytes());
        }
        bytes.extend(self.text.as_bytes());
        bytes
    }
}

/// A segment that was read.
#[derive(Debug)]
pub(super) struct Segment {
    directory: Vec<Entry>,
    text: String,
}

/// The bytes are no segment of this version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment can't be read: {0}")]
pub(super) struct BadSegment(&'static str);

impl Segment {
    pub(super) fn decode(bytes: Vec<u8>) -> Result<Self, BadSegment> {
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != [VERSION] {
            return Err(BadSegment("another version"));
        }
        let count = u32::from_be_bytes(take(&mut rest)?) as usize;
        // Before anything is reserved for what may be a made-up number.
        if rest.len() / ENTRY < count {
            return Err(BadSegment("cut short"));
        }
        let mut directory = Vec::with_capacity(count);
        for _ in 0..count {
            directory.push(Entry {
                task: Uuid::from_bytes(take(&mut rest)?),
                attempt: u32::from_be_bytes(take(&mut rest)?),
                kind: Kind::from_byte(take::<1>(&mut rest)?[0]).ok_or(BadSegment("an unknown kind of piece"))?,
                start: u64::from_be_bytes(take(&mut rest)?),
                offset: u32::from_be_bytes(take(&mut rest)?),
                length: u32::from_be_bytes(take(&mut rest)?),
            });
        }
        let text = std::str::from_utf8(rest).map_err(|_| BadSegment("not UTF-8"))?.to_owned();
        if directory.iter().any(|entry| text.get(entry.range()).is_none()) {
            return Err(BadSegment("a piece beyond the text"));
        }
        if !directory.is_sorted() {
            return Err(BadSegment("not sorted"));
        }
        Ok(Self { directory, text })
    }

    /// All pieces, sorted.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.directory.iter().map(|entry| self.piece(entry))
    }

    /// The pieces of one task.
    pub(super) fn pieces_of(&self, task: Uuid) -> impl Iterator<Item = Piece<'_>> {
        let first = self.directory.partition_point(|entry| entry.task < task);
        self.directory[first..].iter().take_while(move |entry| entry.task == task).map(|entry| self.piece(entry))
    }

    /// Memory that it takes, about.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<Entry>() * self.directory.len() + self.text.len()
    }

    fn piece(&self, entry: &Entry) -> Piece<'_> {
        let data = self.text.get(entry.range()).unwrap_or_default();
        Piece { task: entry.task, attempt: entry.attempt, kind: entry.kind, start: entry.start, data }
    }
}

impl Entry {
    fn range(&self) -> Range<usize> {
        let offset = self.offset as usize;
        offset..offset.saturating_add(self.length as usize)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadSegment> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(BadSegment("cut short"))?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u128, u32, u8, u64, String);

    fn owned() -> impl Strategy<Value = Vec<Owned>> {
        proptest::collection::vec((0_u128..4, 0_u32..3, 0_u8..4, any::<u64>(), "\\PC{0,12}|\0"), 0..24)
    }

    fn piece(of: &Owned) -> Piece<'_> {
        Piece {
            task: Uuid::from_u128(of.0),
            attempt: of.1,
            kind: Kind::from_byte(of.2).unwrap(),
            start: of.3,
            data: &of.4,
        }
    }

    fn encoded(pieces: &[Owned]) -> Vec<u8> {
        let mut builder = SegmentBuilder::default();
        pieces.iter().for_each(|of| builder.push(piece(of)));
        let length = builder.len();
        let bytes = builder.encode();
        assert_eq!(bytes.len(), length);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(mut pieces in owned()) {
            let segment = Segment::decode(encoded(&pieces)).unwrap();
            pieces.sort_by_key(|of| (of.0, of.1, of.2, of.3));
            let read: Vec<_> = segment.pieces().collect();
            prop_assert_eq!(read.len(), pieces.len());
            for (read, of) in read.iter().zip(&pieces) {
                prop_assert_eq!((read.task, read.attempt, read.kind, read.start), { let p = piece(of); (p.task, p.attempt, p.kind, p.start) });
            }
            for task in (0..5).map(Uuid::from_u128) {
                let of_task: Vec<_> = read.iter().copied().filter(|piece| piece.task == task).collect();
                prop_assert_eq!(segment.pieces_of(task).collect::<Vec<_>>(), of_task);
            }
            let mut said: Vec<_> = read.iter().map(|piece| piece.data.to_owned()).collect();
            let mut told: Vec<_> = pieces.into_iter().map(|of| of.4).collect();
            said.sort();
            told.sort();
            prop_assert_eq!(said, told);
        }

        /// Whatever the bytes, an answer or an error.
        #[test]
        fn damage_is_an_error_or_another_segment(pieces in owned(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encoded(&pieces);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Ok(segment) = Segment::decode(bytes) {
                prop_assert!(segment.pieces().all(|piece| piece.data.len() < 1_000));
            }
        }

        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Segment::decode(bytes);
        }
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(Segment::decode(vec![2, 0, 0, 0, 0]).unwrap_err(), BadSegment("another version"));
        assert_eq!(Segment::decode(vec![1, 255, 255, 255, 255]).unwrap_err(), BadSegment("cut short"));
    }
}
