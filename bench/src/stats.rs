//! Medians and percentiles.

/// The value below which `part` (0 to 1) of the samples lie: the nearest rank. NaN without samples.
pub fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The middle sample.
pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(
            (percentile(&samples, 0.5), percentile(&samples, 0.95), percentile(&samples, 1.0)),
            (10.0, 19.0, 20.0)
        );
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
