//! Levels 3 and 4 of a verification for people: what was made again, and how often.

use serde_json::Value;

/// A line a level, and one for what was left out.
pub(super) fn lines(derived: &Value) -> String {
    let counted = |field: &str| {
        let counts = derived[field].as_object().into_iter().flatten();
        counts.map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    let nothing = |text: String| if text.is_empty() { "nothing to look at".to_owned() } else { text };
    let rules = derived["rules"].as_u64().unwrap_or_default();
    let mut text = format!("level 3: {} (after {rules} changes of the rules)\n", nothing(counted("decisions")));
    text.push_str(&format!("level 4: labels of {}\n", nothing(counted("labels"))));
    let left = counted("left_out");
    if !left.is_empty() {
        text.push_str(&format!("left out: {left}\n"));
    }
    text
}
