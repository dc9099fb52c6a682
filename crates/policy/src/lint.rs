//! What a policy looks at, and what is wrong with the way it looks: a tag more must never permit more, and nothing should be able to err.
//!
//! The form that is read is Cedar's own JSON of a policy.

use std::collections::BTreeSet;

use serde_json::Value;

/// What was seen in a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) attributes: BTreeSet<String>,
    /// Whether it looks at which resource it is, and not only at these.
    pub(crate) which: bool,
    pub(crate) findings: Vec<Finding>,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) message: String,
    pub(crate) hint: &'static str,
    /// A piece of the text near which it is.
    pub(crate) near: Option<String>,
    pub(crate) warning: bool,
}

/// Which way a part of a condition works on the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// What makes it true makes the whole true.
    With,
    /// What makes it true makes the whole false.
    Against,
    /// Either.
    Both,
}

impl Way {
    fn not(self) -> Way {
        match self {
            Way::With => Way::Against,
            Way::Against => Way::With,
            Way::Both => Way::Both,
        }
    }
}

struct Looker {
    forbids: bool,
    seen: Seen,
}

/// Looks through a policy.
pub(crate) fn look(policy: &Value, forbids: bool) -> Seen {
    let mut looker = Looker { forbids, seen: Seen::default() };
    let conditions = policy.get("conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        if let Some(body) = condition.get("body") {
            looker.walk(body, if unless { Way::Against } else { Way::With });
        }
    }
    looker.seen
}

impl Looker {
    fn walk(&mut self, node: &Value, way: Way) {
        let Some((operator, inner)) = node.as_object().and_then(|fields| fields.iter().next()) else { return };
        let part = |name: &str| inner.get(name).unwrap_or(&Value::Null);
        match operator.as_str() {
            "&&" | "||" => {
                self.walk(part("left"), way);
                self.walk(part("right"), way);
            }
            "!" => self.walk(part("arg"), way.not()),
            "if-then-else" => {
                self.walk(part("if"), Way::Both);
                self.walk(part("then"), way);
                self.walk(part("else"), way);
            }
            "in" if is_data(part("left")) => self.tagged(way, part("right")),
            "+" | "-" | "*" | "neg" => {
                self.find(
                    format!("`{operator}` on numbers can overflow"),
                    "an evaluation that errs refuses everything: compare with a constant instead",
                    None,
                    true,
                );
                self.all(inner, Way::Both);
            }
            "." if is_data(node) => self.find(
                "it looks at `context.data` in a way of which nobody can say what a tag more does".into(),
                "use `context.data in Tag::\"…\"` only",
                Some("context.data"),
                false,
            ),
            "." => {
                match (is_var(part("left"), "resource"), part("attr").as_str()) {
                    (true, Some(name)) => drop(self.seen.attributes.insert(name.to_owned())),
                    // A part of the request that is no data is looked at by its name.
                    _ if is_var(part("left"), "context") => self.labelled(part("attr"), way),
                    _ => self.walk(part("left"), Way::Both),
                }
            }
            // Whether there is such a part is said by the schema.
            "has" if is_var(part("left"), "context") || is_var(part("left"), "resource") => {}
            "getTag" | "hasTag" => {
                let name = part("right").get("Value").and_then(Value::as_str);
                self.seen.attributes.extend(name.map(str::to_owned));
                if !(is_var(part("left"), "resource") && name.is_some()) {
                    self.all(inner, Way::Both);
                }
            }
            "Var" if inner.as_str() == Some("context") => self.find(
                "it looks at the whole of `context`, and nobody can say what a tag more does to that".into(),
                "name what is looked at, such as `context.domain`; of the data, use `context.data in Tag::\"…\"` only",
                Some("context"),
                false,
            ),
            "Var" => self.seen.which |= inner.as_str() == Some("resource"),
            "ip" | "decimal" | "datetime" | "duration" => {
                self.find(format!("`{operator}` is no word of these rules"), "compare texts and numbers", Some(operator), false)
            }
            "Value" | "Slot" => {}
            // Anything else may turn true into false and back.
            _ => self.all(inner, Way::Both),
        }
    }

    /// Every part of an operator's operands, whatever its form.
    fn all(&mut self, inner: &Value, way: Way) {
        match inner {
            Value::Object(fields) => fields.values().for_each(|field| self.operand(field, way)),
            Value::Array(items) => items.iter().for_each(|item| self.operand(item, way)),
            _ => {}
        }
    }

    fn operand(&mut self, value: &Value, way: Way) {
        match value {
            Value::Object(_) => self.walk(value, way),
            Value::Array(items) => items.iter().for_each(|item| self.operand(item, way)),
            _ => {}
        }
    }

    /// `context.labelled`: a tag more makes it true and never false, too.
    fn labelled(&mut self, attribute: &Value, way: Way) {
        if attribute.as_str() != Some("labelled") || way == if self.forbids { Way::With } else { Way::Against } {
            return;
        }
        let message = match self.forbids {
            true => "data with a tag is refused less than data without any",
            false => "data with a tag is permitted more than data without any",
        };
        self.find(
            message.into(),
            "a tag may only add refusals: use `!context.labelled` in a permit, or neither",
            Some("labelled"),
            false,
        );
    }

    /// `context.data in …`: a tag more makes it true and never false, so that it may only make a refusal more likely.
    fn tagged(&mut self, way: Way, right: &Value) {
        let good = match self.forbids {
            true => way == Way::With,
            false => way == Way::Against,
        };
        if good {
            return;
        }
        let tag = right.pointer("/Value/__entity/id").and_then(Value::as_str).unwrap_or_default();
        let message = match self.forbids {
            true => format!("data with the tag `{tag}` is refused less than data without it"),
            false => format!("data with the tag `{tag}` is permitted more than data without it"),
        };
        let hint = match self.forbids {
            true => "a tag may only add refusals: put `context.data in Tag::…` into `when`, not into `unless` or behind `!`",
            false => "permit without looking at the tag, and forbid what it must not do",
        };
        self.find(message, hint, Some("context.data"), false);
    }

    fn find(&mut self, message: String, hint: &'static str, near: Option<&str>, warning: bool) {
        let finding = Finding { message, hint, near: near.map(str::to_owned), warning };
        if !self.seen.findings.contains(&finding) {
            self.seen.findings.push(finding);
        }
    }
}

/// How a policy looks at the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gaze {
    /// Not at all: what it says is the same for all data.
    Away,
    /// First at whether they carry a tag, and no more: without it the policy says nothing, with it what it says is the same for all data.
    At(String),
    /// In some other way.
    #[default]
    Elsewhere,
}

/// How a policy looks at the data. Conditions are evaluated from the left, and what stands behind one that is false is not: a policy that asks for a
/// tag before anything else neither applies nor errs for data without it.
pub(crate) fn gaze(policy: &Value) -> Gaze {
    let Some(conditions) = policy.get("conditions").and_then(Value::as_array) else { return Gaze::Elsewhere };
    match conditions.iter().map(looks_at_data).sum() {
        0 => Gaze::Away,
        1 => {
            let first = conditions.first().filter(|first| first.get("kind").and_then(Value::as_str) == Some("when"));
            let tag = first.and_then(|first| first.get("body")).and_then(first_asked);
            tag.map_or(Gaze::Elsewhere, |tag| Gaze::At(tag.to_owned()))
        }
        _ => Gaze::Elsewhere,
    }
}

/// The tag that a condition asks for before anything else.
fn first_asked(condition: &Value) -> Option<&str> {
    if let Some(both) = condition.get("&&") {
        return first_asked(both.get("left")?);
    }
    let asked = condition.get("in").filter(|asked| asked.get("left").is_some_and(is_data))?;
    let entity = asked.pointer("/right/Value/__entity")?;
    entity.get("id").and_then(Value::as_str).filter(|_| entity.get("type").and_then(Value::as_str) == Some("Tag"))
}

/// How often a part of a policy names the data.
fn looks_at_data(part: &Value) -> usize {
    let here = usize::from(is_data(part));
    here + match part {
        Value::Object(fields) => fields.values().map(looks_at_data).sum(),
        Value::Array(items) => items.iter().map(looks_at_data).sum(),
        _ => 0,
    }
}

/// `context.data`.
fn is_data(node: &Value) -> bool {
    let access = node.get(".");
    access.and_then(|access| access.get("attr")).and_then(Value::as_str) == Some("data")
        && access.and_then(|access| access.get("left")).is_some_and(|left| is_var(left, "context"))
}

/// `principal`, `resource`, `context`.
fn is_var(node: &Value, name: &str) -> bool {
    node.get("Var").and_then(Value::as_str) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::{Effect, Policy};

    fn seen(text: &str) -> Seen {
        let policy = Policy::parse(None, text).unwrap();
        look(&policy.to_json().unwrap(), policy.effect() == Effect::Forbid)
    }

    fn errors(text: &str) -> usize {
        seen(text).findings.iter().filter(|finding| !finding.warning).count()
    }

    const FORBID: &str = r#"forbid (principal, action == Action::"run", resource)"#;
    const PERMIT: &str = r#"permit (principal, action == Action::"run", resource)"#;

    #[test]
    fn a_tag_may_only_add_refusals() {
        let tag = r#"context.data in Tag::"pii""#;
        for good in [
            format!("{FORBID} when {{ {tag} }} unless {{ resource.zone == \"on-premise\" }};"),
            format!("{FORBID} when {{ resource.zone == \"cloud\" && ({tag} || context.domain == \"production\") }};"),
            format!("{FORBID} unless {{ !({tag}) }};"),
            format!("{PERMIT} unless {{ {tag} }};"),
            format!("{PERMIT} unless {{ context.labelled }};"),
            format!("{PERMIT} when {{ !context.labelled && resource.name == \"api\" }};"),
            format!("{FORBID} when {{ context.labelled && resource.port != 443 }};"),
            format!("{PERMIT} when {{ !({tag}) && resource.zone == \"cloud\" }};"),
            format!("{FORBID} when {{ if resource.simulated then {tag} else false }};"),
        ] {
            assert_eq!(errors(&good), 0, "{good}");
        }
        for bad in [
            format!("{PERMIT} when {{ {tag} }};"),
            format!("{FORBID} unless {{ {tag} }};"),
            format!("{FORBID} when {{ !({tag}) }};"),
            format!("{FORBID} when {{ ({tag}) == true }};"),
            format!("{FORBID} when {{ if {tag} then false else true }};"),
            format!("{PERMIT} when {{ context.labelled }};"),
            format!("{FORBID} unless {{ context.labelled }};"),
            format!("{FORBID} when {{ context.labelled == false }};"),
            format!("{PERMIT} when {{ context == {{\"data\": Data::\"{{pii}}\", \"domain\": \"production\"}} }};"),
            format!("{PERMIT} when {{ [context].contains({{\"data\": Data::\"x\", \"domain\": \"production\"}}) }};"),
            format!("{FORBID} when {{ context.data == Data::\"[]\" }};"),
            format!("{FORBID} when {{ [context.data].contains(Data::\"x\") }};"),
            format!("{PERMIT} when {{ {{\"a\": {tag}}}.a }};"),
        ] {
            assert_eq!(errors(&bad), 1, "{bad}");
        }
    }

    #[test]
    fn a_policy_that_asks_for_a_tag_first_says_the_same_for_all_data_that_carry_it() {
        let of = |conditions: &str| gaze(&Policy::parse(None, format!("{FORBID} {conditions};")).unwrap().to_json().unwrap());
        let (tag, at) = (r#"context.data in Tag::"pii""#, Gaze::At("pii".into()));
        assert_eq!(of(""), Gaze::Away);
        assert_eq!(of(r#"when { resource.zone == "cloud" && context.domain == "staging" }"#), Gaze::Away);
        assert_eq!(of(&format!("when {{ {tag} }}")), at);
        assert_eq!(of(&format!("when {{ {tag} && resource.zone == \"cloud\" && resource.simulated }}")), at);
        assert_eq!(of(&format!("when {{ {tag} }} unless {{ resource.zone == \"cloud\" }} when {{ resource.simulated }}")), at);
        for other in [
            // What stands before it may err.
            format!("when {{ resource.getTag(\"rack\") == \"7\" && {tag} }}"),
            format!("when {{ resource.simulated }} when {{ {tag} }}"),
            format!("unless {{ {tag} }}"),
            format!("when {{ !({tag}) }}"),
            format!("when {{ {tag} || resource.simulated }}"),
            format!("when {{ {tag} && context.data in Tag::\"raw\" }}"),
            format!("when {{ if {tag} then true else resource.simulated }}"),
            "when { context.data in [Tag::\"pii\", Tag::\"raw\"] }".to_owned(),
        ] {
            assert_eq!(of(&other), Gaze::Elsewhere, "{other}");
        }
    }

    #[test]
    fn what_is_looked_at_is_known_and_arithmetic_is_pointed_out() {
        let seen = seen(&format!(
            "{FORBID} when {{ resource.zone == \"cloud\" && resource.hasTag(\"rack\") && resource.getTag(\"rack\") == \"7\" \
             && 9223372036854775807 + 1 > 5 }};"
        ));
        assert_eq!(seen.attributes, BTreeSet::from(["rack".to_owned(), "zone".to_owned()]));
        assert!(seen.findings.iter().any(|finding| finding.warning && finding.message.contains("overflow")));
    }
}
