//! "Did you mean".

/// Letters compared for one suggestion: a file with thousands of wrong names must not be slow to refuse.
const LETTERS_MAX: usize = 500_000;

/// The candidate nearest to a word, when one is near.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = word.chars().count().min(64);
    let limit = length.div_ceil(3).max(1);
    let mut left = LETTERS_MAX;
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = candidate.len();
        if length > other + limit || other > 4 * (length + limit) {
            continue;
        }
        let work = length.max(1) * other.clamp(1, 64);
        if work > left {
            break;
        }
        left -= work;
        let far = distance(word, candidate);
        if far <= limit && best.is_none_or(|found| (far, candidate) < found) {
            best = Some((far, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The number of letters to insert, drop, replace or swap to come from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let (mut before, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        assert_eq!(nearest("retyr", ["retry", "with", "timeout"]), Some("retry"));
        assert_eq!(nearest("tiemout", ["retry", "with", "timeout"]), Some("timeout"));
        assert_eq!(nearest("zzz", ["retry", "with"]), None);
    }
}
