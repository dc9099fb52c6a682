//! The last values of a series, in the order in which they came and by size.

use std::collections::VecDeque;

/// A bounded window of finite numbers. What falls out is forgotten, so that a task that changed is known anew after a while.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    recent: VecDeque<f64>,
    sorted: Vec<f64>,
}

impl Window {
    /// Takes a value in, and keeps so many. What is not a finite number is left out.
    pub(crate) fn push(&mut self, value: f64, most: usize) {
        if !value.is_finite() {
            return;
        }
        if self.recent.len() >= most.max(1)
            && let Some(old) = self.recent.pop_front()
            && let Ok(at) = self.sorted.binary_search_by(|known| known.total_cmp(&old))
        {
            self.sorted.remove(at);
        }
        self.recent.push_back(value);
        let at = self.sorted.partition_point(|known| known.total_cmp(&value).is_lt());
        self.sorted.insert(at, value);
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The value at a share `p` of the order, between its neighbours; the ends stand for what is beyond them.
    pub(crate) fn quantile(&self, p: f64) -> Option<f64> {
        quantile_of(&self.sorted, p)
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sorted.iter().sum::<f64>() / self.sorted.len().max(1) as f64
    }

    /// The sum of squared distances from the mean.
    pub(crate) fn squares(&self) -> f64 {
        let mean = self.mean();
        self.sorted.iter().map(|value| (value - mean).powi(2)).sum()
    }
}

/// The quantile of sorted values at position `p (n + 1)`, as split conformal prediction counts it.
pub(crate) fn quantile_of(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = (p * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, last as f64);
    let (low, share) = (position.floor() as usize, position.fract());
    let below = sorted.get(low).copied()?;
    let above = sorted.get((low + 1).min(last)).copied()?;
    Some(below + (above - below) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_values_fall_out_of_both_orders() {
        let mut window = Window::default();
        for value in [5.0, 1.0, 3.0, 2.0, f64::NAN, 9.0] {
            window.push(value, 3);
        }
        assert_eq!(window.sorted, [2.0, 3.0, 9.0]);
        assert_eq!(window.recent, [3.0, 2.0, 9.0]);
        assert_eq!(window.quantile(0.5), Some(3.0));
        assert_eq!(window.quantile(0.0), Some(2.0));
    }
}
