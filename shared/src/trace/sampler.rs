//! Which traces are recorded: OpenTelemetry's samplers, as `OTEL_TRACES_SAMPLER` names them.

use super::TraceContext;

/// Decides at the root of a trace, or where one comes from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// What came with a decision keeps it. Otherwise all traces are judged by their ids, alike by all who know the share.
    pub parent_based: bool,
    /// The share of traces, from 0 to 1.
    pub share: f64,
}

impl Sampler {
    /// `came`: the decision that the context holds is another's.
    pub(super) fn judge(&self, context: &TraceContext, came: bool) -> bool {
        if came && self.parent_based {
            return context.is_sampled();
        }
        // As OpenTelemetry's TraceIdRatioBased, so that others with the same share choose the same traces.
        let [.., a, b, c, d, e, f, g, h] = context.trace_id_bytes();
        let random = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        match self.share {
            share if share >= 1.0 => true,
            share => random < (share.max(0.0) * (1_u64 << 63) as f64) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_traces_is_chosen_by_their_ids() {
        let chosen = |share| {
            let sampler = Sampler { parent_based: true, share };
            (0..4_000).filter(|_| sampler.judge(&TraceContext::root(false), false)).count()
        };
        assert_eq!((chosen(0.0), chosen(1.0)), (0, 4_000));
        assert!((800..1_200).contains(&chosen(0.25)), "{}", chosen(0.25));
    }

    #[test]
    fn another_ones_decision_is_kept_if_that_is_wanted() {
        let (wanted, unwanted) = (TraceContext::root(true), TraceContext::root(false));
        let sampler = Sampler { parent_based: true, share: 0.0 };
        assert!(sampler.judge(&wanted, true) && !sampler.judge(&wanted, false));
        let sampler = Sampler { parent_based: true, share: 1.0 };
        assert!(!sampler.judge(&unwanted, true));
        let sampler = Sampler { parent_based: false, share: 1.0 };
        assert!(sampler.judge(&unwanted, true));
    }
}
