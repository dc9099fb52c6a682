//! The normal distribution and its heavier-tailed kin, as closed forms that are good enough to price with.

/// The density of the standard normal distribution.
pub fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The probability that a standard normal variable is at most `z` (Abramowitz and Stegun 26.2.17, absolute error below 7.5e-8).
pub fn below(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = density(z) * poly;
    if z >= 0.0 { 1.0 - tail } else { tail }
}

/// The value that a standard normal variable stays below with probability `p` (Abramowitz and Stegun 26.2.23, error below 4.5e-4).
pub fn quantile(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    let tail = p.min(1.0 - p);
    let t = (-2.0 * tail.ln()).sqrt();
    let z = t - (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if p < 0.5 { -z } else { z }
}

/// The same of Student's distribution with `freedom` degrees, by the Cornish-Fisher expansion: wide where little is known.
pub fn student_quantile(p: f64, freedom: f64) -> f64 {
    let (z, v) = (quantile(p), freedom.max(1.0));
    let (z3, z5) = (z.powi(3), z.powi(5));
    z + (z3 + z) / (4.0 * v) + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * v * v)
}

/// The expected excess of a normal variable over zero: E[max(X, 0)].
pub fn expected_excess(mean: f64, deviation: f64) -> f64 {
    if deviation <= 0.0 {
        return mean.max(0.0);
    }
    let z = mean / deviation;
    (deviation * density(z) + mean * below(z)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_invert_probabilities() {
        for p in [0.01, 0.05, 0.3, 0.5, 0.77, 0.95, 0.999] {
            assert!((below(quantile(p)) - p).abs() < 1e-3, "{p}");
        }
        assert!(student_quantile(0.95, 3.0) > quantile(0.95));
    }

    #[test]
    fn excess_is_never_below_the_certain_case() {
        for mean in [-3.0, -0.5, 0.0, 0.5, 3.0] {
            assert!(expected_excess(mean, 1.0) >= f64::max(mean, 0.0));
        }
        assert_eq!(expected_excess(2.0, 0.0), 2.0);
    }
}
