//! Figures over repeated runs.

use std::time::Duration;

/// The median of some durations and the longest; `None` when there are none.
pub fn median_and_maximum(durations: &[Duration]) -> Option<(Duration, Duration)> {
    let mut sorted = durations.to_vec();
    sorted.sort();
    let maximum = *sorted.last()?;
    let upper = sorted[sorted.len() / 2];
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(((lower + upper) / 2, maximum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_whatever_the_order() {
        let seconds =
            |list: &[u64]| -> Vec<_> { list.iter().copied().map(Duration::from_secs).collect() };
        let both = |list: &[u64]| {
            median_and_maximum(&seconds(list)).map(|(a, b)| (a.as_secs(), b.as_secs()))
        };
        assert_eq!(both(&[9, 1, 2]), Some((2, 9)));
        assert_eq!(both(&[8, 2, 4, 1]), Some((3, 8)));
        assert_eq!(both(&[5]), Some((5, 5)));
        assert_eq!(both(&[]), None);
    }
}
