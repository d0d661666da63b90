//! Reads directives inside the last user message (listed in the crate's docs).

use std::time::Duration;

use crate::{Behaviour, Fault};

/// Applies the directive in `text`, if any, to `behaviour`. `k` counts requests with this text from 0.
///
/// # Errors
/// A sentence about the word that is not understood: a typing error in a test must not pass for success.
pub(crate) fn apply(text: &str, k: u32, mut behaviour: Behaviour) -> Result<Behaviour, String> {
    let Some((_, rest)) = text.split_once("[[mock ") else { return Ok(behaviour) };
    let (directive, _) = rest.split_once("]]").ok_or("the directive has no end")?;
    let mut times = u32::MAX;
    for pair in directive.split_whitespace() {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is no name=value"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("{pair:?} needs a whole number"));
        match name {
            "tokens" => behaviour.tokens = number()?,
            "delay_ms" => behaviour.token_delay = Duration::from_millis(number()?.into()),
            "first_ms" => behaviour.first_token_delay = Duration::from_millis(number()?.into()),
            "fault" => behaviour.fault = Some(Fault::from_word(value).ok_or_else(|| format!("no fault {value:?}"))?),
            "after" => behaviour.after = Some(number()?),
            "times" => times = number()?,
            "retry_after" => behaviour.retry_after = Some(value.to_owned()),
            "echo" => behaviour.echo_count = number()? != 0,
            "vary" => behaviour.vary = number()? != 0,
            "tool" => behaviour.tool_calls.push((value.to_owned(), "{}".to_owned())),
            "args" => {
                let (_, arguments) = behaviour.tool_calls.last_mut().ok_or("args= comes after tool=")?;
                value.clone_into(arguments);
            }
            "recall" => behaviour.recall = Some(value.to_owned()),
            "stamp" => behaviour.stamp = number()? != 0,
            _ => return Err(format!("{name:?} is not known")),
        }
    }
    if k >= times {
        behaviour.fault = None;
    }
    Ok(behaviour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_sets_what_it_names_and_its_fault_ends_after_its_times() {
        let text = "hello [[mock tokens=50 delay_ms=20 fault=cut_mid_stream after=7 times=2]] there";
        let second = apply(text, 1, Behaviour::default()).unwrap();
        assert_eq!(
            (second.tokens, second.token_delay, second.fault),
            (50, Duration::from_millis(20), Some(Fault::CutMidStream))
        );
        assert_eq!(second.tokens_before_fault(), 7);
        let third = apply(text, 2, Behaviour::default()).unwrap();
        assert_eq!((third.fault, third.tokens_before_fault()), (None, 50));
    }

    #[test]
    fn plain_text_changes_nothing_and_errors_are_loud() {
        assert_eq!(apply("hello", 0, Behaviour::tokens(3)), Ok(Behaviour::tokens(3)));
        for wrong in ["[[mock tokens=x]]", "[[mock fault=none]]", "[[mock speed=1]]", "[[mock tokens=1", "[[mock a]]"] {
            assert!(apply(wrong, 0, Behaviour::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tools_are_called_with_arguments() {
        let called = apply("[[mock tool=one tool=two args={\"x\":1}]]", 0, Behaviour::default()).unwrap().tool_calls;
        let pair = |name: &str, arguments: &str| (name.to_owned(), arguments.to_owned());
        assert_eq!(called, [pair("one", "{}"), pair("two", "{\"x\":1}")]);
        assert!(apply("[[mock args={}]]", 0, Behaviour::default()).is_err());
    }

    #[test]
    fn every_fault_has_a_word_of_its_own() {
        for (word, fault) in Fault::ALL {
            assert_eq!(Fault::from_word(word), Some(fault));
            assert_eq!(fault.word(), word);
        }
    }
}
