//! How deep a policy may be. What reads it afterwards goes down once for every bracket and every operator, on a stack that ends: a text
//! that would take all of it is not given to it.

use model::limits::{POLICY_DEPTH_MAX, POLICY_IFS_MAX, POLICY_OPERATORS_MAX};

/// What is too much in a text, with the byte at which it is.
pub(crate) fn too_deep(text: &str) -> Option<(usize, String)> {
    let mut bytes = text.bytes().enumerate().peekable();
    let (mut depth, mut operators, mut ifs) = (0_usize, 0_usize, 0_usize);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, inside)) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'/' if bytes.peek().is_some_and(|(_, next)| *next == b'/') => {
                while bytes.next_if(|(_, next)| *next != b'\n').is_some() {}
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => (operators, ifs) = (0, 0),
            // `&&`, `||`, `==`, `!=` and the like count by their characters; what is no operator, as in `::` and in types, is left out.
            b'&' | b'|' | b'!' | b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'.' => operators += 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let begin = at;
                let mut end = at + 1;
                while let Some((next, _)) = bytes.next_if(|(_, b)| b.is_ascii_alphanumeric() || *b == b'_') {
                    end = next + 1;
                }
                match text.get(begin..end) {
                    Some("if") => ifs += 1,
                    Some("in" | "has" | "like" | "is") => operators += 1,
                    _ => {}
                }
            }
            _ => {}
        }
        if depth > POLICY_DEPTH_MAX {
            return Some((at, format!("brackets stand more than {POLICY_DEPTH_MAX} deep")));
        }
        // Partial evaluation takes twice as long for every `if` within an `if`.
        if ifs > POLICY_IFS_MAX {
            return Some((at, format!("a policy has more than {POLICY_IFS_MAX} times `if`")));
        }
        if operators > POLICY_OPERATORS_MAX {
            return Some((at, format!("a policy has more than {POLICY_OPERATORS_MAX} operators")));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts_and_comments() {
        assert_eq!(
            too_deep(&format!("permit(principal, action, resource) when {{ \"{}\" == \"\\\"((\" }};", "(".repeat(999))),
            None
        );
        assert_eq!(too_deep(&format!("// {}\npermit(principal, action, resource);", "(&&".repeat(999))), None);
        assert!(too_deep(&"(".repeat(POLICY_DEPTH_MAX + 1)).is_some());
        let many = |count: usize| format!("permit(principal, action, resource) when {{ {}true }};", "true && ".repeat(count));
        assert!(too_deep(&many(POLICY_OPERATORS_MAX)).is_some());
        assert_eq!(too_deep(&many(20).repeat(POLICY_OPERATORS_MAX)), None, "it is counted for each policy");
    }
}
