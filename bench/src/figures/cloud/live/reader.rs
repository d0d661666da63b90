//! Reads one stream of stamped tokens, as cheaply as can be: its bytes are searched for stamps and nothing else.

use parlance_mock_llm::{STAMP_DIGITS, STAMP_MARK, read_stamp};

use super::arrivals::Arrivals;
use crate::{
    Fallible, clock,
    http::{Connection, Head, find},
};

/// What must stand behind the last token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Parlance's last event.
    Done,
    /// The mock's.
    DoneMark,
}

impl End {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Done => b"event: done",
            Self::DoneMark => b"data: [DONE]",
        }
    }
}

/// Reads a stream to its end; every token must come, once and in order, and the end after the last.
pub(super) async fn read(
    mut connection: Connection,
    mut head: Head,
    tokens: u64,
    end: End,
    arrivals: &Arrivals,
) -> Fallible<()> {
    let mut stamps = Stamps { left: tokens, last: 0 };
    let mut buffer = Vec::with_capacity(8 * 1024);
    let mut has_ended = false;
    while connection.piece(&mut head, &mut buffer).await? {
        if stamps.left > 0 {
            let consumed = stamps.take(&buffer, clock::micros(), arrivals)?;
            buffer.drain(..consumed);
        }
        if stamps.left == 0 && !has_ended {
            // The end carries the whole reply again, which is not read.
            has_ended = find(&buffer, end.bytes()).is_some();
        }
        if has_ended {
            buffer.clear();
        }
    }
    match has_ended {
        true => Ok(()),
        false => Err(format!("a stream ended with {} tokens to come", stamps.left).into()),
    }
}

struct Stamps {
    left: u64,
    last: i64,
}

impl Stamps {
    /// Takes the stamps of what has come; gives how many bytes can be forgotten.
    fn take(&mut self, bytes: &[u8], now: i64, arrivals: &Arrivals) -> Fallible<usize> {
        let mut from = 0;
        while self.left > 0 {
            let Some(mark) = bytes[from..].iter().position(|byte| *byte == STAMP_MARK) else { return Ok(bytes.len()) };
            let start = from + mark + 1;
            let Some(digits) = bytes.get(start..start + STAMP_DIGITS) else { return Ok(from + mark) };
            let sent = read_stamp(digits).ok_or("a token is no stamp")?;
            if sent < self.last {
                return Err("a token is missing, came twice, or out of order".into());
            }
            self.last = sent;
            self.left -= 1;
            arrivals.add(now - sent);
            from = start + STAMP_DIGITS;
        }
        Ok(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens of one moment, then one of a later, as the mock made them.
    const EARLY: &str = "~08b37c993247ce91 ";
    const LATE: &str = "~1166f932648f9d22 ";

    #[test]
    fn stamps_are_found_however_the_bytes_are_cut() {
        let bytes = [EARLY, EARLY, LATE, LATE].concat().into_bytes();
        for cut in 0..bytes.len() {
            let arrivals = Arrivals::default();
            arrivals.count_from_now();
            let mut stamps = Stamps { left: 4, last: 0 };
            let consumed = stamps.take(&bytes[..cut], 5_000, &arrivals).unwrap();
            assert!(consumed <= cut);
            let consumed_then = stamps.take(&bytes[consumed..], 5_000, &arrivals).unwrap();
            assert_eq!((stamps.left, arrivals.count()), (0, 4), "cut at {cut}");
            assert!(consumed + consumed_then <= bytes.len());
        }
    }

    #[test]
    fn a_missing_token_shows_when_the_end_repeats_the_first() {
        let mut stamps = Stamps { left: 3, last: 0 };
        let repeated = [EARLY, LATE, EARLY].concat();
        assert!(stamps.take(repeated.as_bytes(), 5_000, &Arrivals::default()).is_err());
    }
}
