//! Runs every target on its corpus and on inputs made from it: the part of fuzzing that stable Rust can do in a moment.
//! The inputs are the same each time; finding new ones is `cargo fuzz`'s.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::{fs, path::PathBuf};

use fastrand::Rng;
use parlance_fuzz_targets::ALL;

/// Inputs made of each one of the corpus.
const MADE_OF_EACH: u64 = 300;

/// What means something to one reader or another.
const WORDS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "-1",
    "18446744073709551616",
    "1e999",
    "\u{1e}",
    "\\u0000",
    "\\ud800",
    "end",
    "-r",
    "0-",
    "tsk_",
    "ses_",
    "%00",
    "\r\n",
    "\n\n",
    "é",
    "👋",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|_| panic!("no corpus of {target}"))
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn change(random: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    let at = random.usize(..=input.len());
    match random.u8(..6) {
        0 if !input.is_empty() => {
            let at = random.usize(..input.len());
            input[at] = random.u8(..);
        }
        1 => input.truncate(at),
        2 => {
            let end = random.usize(at..=input.len());
            input.drain(at..end);
        }
        3 => {
            let word = random.choice(WORDS).unwrap_or(&"");
            input.splice(at..at, word.bytes());
        }
        4 => {
            let again = input[at..].to_vec();
            input.splice(at..at, again);
        }
        _ => {
            let other = random.choice(others).cloned().unwrap_or_default();
            let from = random.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

#[test]
fn every_target_takes_its_corpus_and_what_is_made_of_it() {
    for (name, target) in ALL {
        let corpus = corpus(name);
        assert!(corpus.len() >= 3, "the corpus of {name} is all but empty");
        for (n, seed) in corpus.iter().enumerate() {
            target(seed);
            let mut random = Rng::with_seed(n as u64);
            for _ in 0..MADE_OF_EACH {
                let mut input = seed.clone();
                for _ in 0..random.u8(1..5) {
                    change(&mut random, &mut input, &corpus);
                }
                target(&input);
            }
        }
    }
}
