//! W3C Trace Context: <https://www.w3.org/TR/trace-context/>.

use std::{fmt, sync::Arc};

/// The header and attribute with the ids.
pub const TRACEPARENT: &str = "traceparent";

/// The header and attribute with what vendors add.
pub const TRACESTATE: &str = "tracestate";

/// A longer `tracestate` is dropped; the specification asks for at least so much to be passed on.
pub const MAX_STATE_BYTES: usize = 512;

/// Its most members.
const MAX_STATE_MEMBERS: usize = 32;

/// Where in which trace something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// A new trace.
    pub fn root(sampled: bool) -> Self {
        Self { trace_id: fastrand::u128(1..), span_id: new_span_id(), sampled, state: None }
    }

    /// Another place in the same trace.
    pub(super) fn child(&self, sampled: bool) -> Self {
        Self { span_id: new_span_id(), sampled, ..self.clone() }
    }

    /// The same place, to be recorded or not.
    pub(super) fn with_sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// Reads a `traceparent`; none if it is not valid. Of later versions that is read which this one knows.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        if bytes.len() < 55 || [2, 35, 52].iter().any(|at| bytes[*at] != b'-') {
            return None;
        }
        let version = hex(&bytes[..2])?;
        let is_whole = bytes.len() == 55 || (version > 0 && bytes[55] == b'-');
        if version == 0xff || !is_whole {
            return None;
        }
        let (trace_id, span_id) = (hex(&bytes[3..35])?, u64::try_from(hex(&bytes[36..52])?).ok()?);
        let flags = hex(&bytes[53..55])?;
        let is_valid = trace_id != 0 && span_id != 0;
        is_valid.then_some(Self { trace_id, span_id, sampled: flags & 1 == 1, state: None })
    }

    /// With a `tracestate`, unless it is empty, too long or not one.
    pub fn with_state(mut self, state: &str) -> Self {
        let state = state.trim_matches([' ', '\t']);
        let is_valid = !state.is_empty()
            && state.len() <= MAX_STATE_BYTES
            && state.split(',').count() <= MAX_STATE_MEMBERS
            && state.split(',').all(|member| is_member(member.trim_matches([' ', '\t'])));
        self.state = is_valid.then(|| state.into());
        self
    }

    /// As a `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }

    /// As a `tracestate`, if there is one.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace, as 32 hexadecimal digits.
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        Hex::<32>(self.trace_id)
    }

    /// The span, as 16 hexadecimal digits.
    pub fn span_id(&self) -> impl fmt::Display + use<> {
        Hex::<16>(self.span_id.into())
    }

    /// The trace, as exporters send it.
    pub fn trace_id_bytes(&self) -> [u8; 16] {
        self.trace_id.to_be_bytes()
    }

    /// The span, as exporters send it.
    pub fn span_id_bytes(&self) -> [u8; 8] {
        self.span_id.to_be_bytes()
    }

    /// Whether what happens here is recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

struct Hex<const DIGITS: usize>(u128);

impl<const DIGITS: usize> fmt::Display for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

fn new_span_id() -> u64 {
    fastrand::u64(1..)
}

/// Lower case alone, as the specification asks.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Empty members are allowed. No more is asked than that it can be passed on: what it means is its vendor's affair.
fn is_member(member: &str) -> bool {
    let is_text = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    member.is_empty()
        || member.split_once('=').is_some_and(|(key, value)| !key.is_empty() && is_text(key) && is_text(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        let context = TraceContext::parse(GIVEN).unwrap();
        assert_eq!(context.traceparent(), GIVEN);
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        assert!(!TraceContext::parse(&GIVEN.replace("-01", "-02")).unwrap().is_sampled());
        let later = TraceContext::parse(&format!("{}-more", GIVEN.replacen("00-", "cc-", 1))).unwrap();
        assert_eq!(later, context);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let zero_trace = GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16));
        let upper = GIVEN.to_uppercase();
        let wrong = [
            "",
            "00",
            &zero_trace,
            &zero_span,
            &upper,
            &GIVEN.replacen("00-", "ff-", 1),
            &format!("{GIVEN}-more"),
            &format!("{GIVEN}0"),
            &GIVEN[..54],
            &GIVEN.replace('-', "_"),
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-1",
        ];
        for wrong in wrong {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_state_is_carried_if_it_is_one_and_not_too_long() {
        let with = |state: &str| TraceContext::parse(GIVEN).unwrap().with_state(state).state().map(str::to_owned);
        assert_eq!(
            with("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE").unwrap(),
            "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"
        );
        assert_eq!(with(""), None);
        assert_eq!(with("nothing"), None);
        assert_eq!(with("a=\u{1}"), None);
        assert_eq!(with(&format!("a={}", "x".repeat(511))), None);
        assert_eq!(with(&"a=b,".repeat(33)), None);
    }

    #[test]
    fn new_traces_differ_and_children_stay_in_theirs() {
        let (one, other) = (TraceContext::root(true), TraceContext::root(true));
        assert_ne!(one.trace_id_bytes(), other.trace_id_bytes());
        let child = one.child(true);
        assert_eq!(child.trace_id_bytes(), one.trace_id_bytes());
        assert_ne!(child.span_id_bytes(), one.span_id_bytes());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*") {
            let _ = TraceContext::parse(&text).map(|context| context.with_state(&text));
        }

        #[test]
        fn any_context_survives(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let context = TraceContext { trace_id: trace, span_id: span, sampled, state: None };
            prop_assert_eq!(TraceContext::parse(&context.traceparent()), Some(context));
        }
    }
}
