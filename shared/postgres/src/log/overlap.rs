//! Text from pieces that may overlap, come twice, or be missing.

/// What came of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extended {
    /// The text has grown.
    Grown,
    /// All of it was there.
    Known,
    /// It starts beyond the text: what lies between is missing.
    Gap,
}

/// Adds what the piece has beyond the text. `start` is the number of bytes before the piece.
pub(super) fn extend(text: &mut String, start: u64, piece: &str) -> Extended {
    let have = text.len() as u64;
    let Some(known) = have.checked_sub(start) else { return Extended::Gap };
    let Ok(known) = usize::try_from(known) else { return Extended::Known };
    match piece.get(known..) {
        Some("") => Extended::Known,
        Some(new) => {
            text.push_str(new);
            Extended::Grown
        }
        None if known > piece.len() => Extended::Known,
        // Two texts of one attempt that differ: not of our making. The stored one decides.
        None => Extended::Gap,
    }
}

/// The text that pieces make, as far as they do without a gap.
pub(crate) fn assemble(mut pieces: Vec<(u64, Vec<u8>)>) -> String {
    pieces.sort_unstable_by_key(|(start, _)| *start);
    let mut text = String::new();
    for (start, bytes) in pieces {
        let Ok(piece) = std::str::from_utf8(&bytes) else { break };
        if extend(&mut text, start, piece) == Extended::Gap {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cuts of a text, at boundaries of characters.
    fn cut(whole: &str, from: usize, to: usize) -> (u64, &str) {
        let from = whole.floor_char_boundary(from.min(whole.len()));
        let to = whole.floor_char_boundary(to.min(whole.len())).max(from);
        (from as u64, &whole[from..to])
    }

    proptest! {
        /// Any pieces in any order leave a prefix of the text, and all of it once they cover it.
        #[test]
        fn a_text_grows_by_what_follows_it(whole in "\\PC{0,40}", cuts in proptest::collection::vec((0_usize..90, 0_usize..30), 0..40)) {
            let mut text = String::new();
            for (from, length) in cuts {
                let (start, piece) = cut(&whole, from, from + length);
                let before = text.len();
                let extended = extend(&mut text, start, piece);
                prop_assert!(whole.starts_with(&text));
                prop_assert_eq!(extended == Extended::Grown, text.len() > before);
                prop_assert_eq!(extended == Extended::Gap, start > before as u64);
            }
            extend(&mut text, 0, &whole);
            prop_assert_eq!(text, whole);
        }

        /// Stored rows: overlapping, in any order, doubled, with the whole again after a reconnect.
        #[test]
        fn rows_make_the_text_up_to_the_first_gap(
            whole in "\\PC{1,60}",
            steps in proptest::collection::vec((1_usize..9, 0_usize..6), 1..30),
            lost in proptest::option::of(any::<prop::sample::Index>()),
            seed in any::<u64>(),
        ) {
            let mut rows = Vec::new();
            let mut at = 0;
            for (step, back) in steps {
                let (start, piece) = cut(&whole, at - back.min(at), at + step);
                rows.push((start, piece.as_bytes().to_vec()));
                at = usize::try_from(start).unwrap() + piece.len();
            }
            if let Some(lost) = lost {
                rows.remove(lost.index(rows.len()));
            }
            let covered = rows.iter().fold(0, |end, (start, bytes)| {
                if *start <= end { end.max(start + bytes.len() as u64) } else { end }
            });
            fastrand::Rng::with_seed(seed).shuffle(&mut rows);
            let text = assemble(rows.clone());
            prop_assert!(whole.starts_with(&text));
            prop_assert!(text.len() as u64 >= covered);
            rows.push((0, whole.as_bytes().to_vec()));
            prop_assert_eq!(assemble(rows), whole);
        }
    }
}
