//! Lines of a text: where they begin and end, and how.

/// The first byte of the line that a byte is in, after a byte order mark.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    match before.rfind('\n') {
        Some(newline) => newline + 1,
        None if before.starts_with('\u{feff}') => '\u{feff}'.len_utf8(),
        None => 0,
    }
}

/// The end of the line that a byte is in, before its line break.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    match rest.find('\n') {
        Some(newline) => at + newline - usize::from(newline > 0 && rest.as_bytes().get(newline - 1) == Some(&b'\r')),
        None => text.len(),
    }
}

/// The byte after a line break, when one stands here.
pub(crate) fn after_break(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    if rest.starts_with("\r\n") { Some(at + 2) } else { rest.starts_with('\n').then_some(at + 1) }
}

/// The first byte of the line break that ends before this byte.
pub(crate) fn before_break(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    if before.ends_with("\r\n") { Some(at - 2) } else { before.ends_with('\n').then(|| at - 1) }
}

/// How lines end here; at the end of the text, how they end elsewhere in it.
pub(crate) fn break_at(text: &str, at: usize) -> &'static str {
    match text.get(at..) {
        Some(rest) if rest.starts_with("\r\n") => "\r\n",
        Some(rest) if rest.starts_with('\n') => "\n",
        _ if text.contains("\r\n") => "\r\n",
        _ => "\n",
    }
}

/// How many characters stand before a byte on its line.
pub(crate) fn column(text: &str, at: usize) -> usize {
    text.get(line_start(text, at)..at).map_or(0, |before| before.chars().count())
}

/// Whether nothing but spaces stands before a byte on its line.
pub(crate) fn begins_line(text: &str, at: usize) -> bool {
    text.get(line_start(text, at)..at).is_some_and(|before| before.bytes().all(|byte| byte == b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found() {
        let text = "a\r\n  b\nc";
        assert_eq!((line_start(text, 5), line_end(text, 5), column(text, 5)), (3, 6, 2));
        assert_eq!((line_end(text, 0), after_break(text, 1), before_break(text, 3)), (1, Some(3), Some(1)));
        assert_eq!((line_end(text, 7), break_at(text, 6), break_at(text, 8)), (8, "\n", "\r\n"));
        assert!(begins_line(text, 5) && !begins_line(text, 1));
        assert_eq!(column("\u{feff}ab", 4), 1);
    }
}
