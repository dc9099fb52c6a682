//! Where work may go by the rules, as the run loop and whoever looks ahead ask it, and what is in the way, as an auditor reads it back.

use engine::{AskedBy, RunNames};
use model::Label;
use placement::{Candidate, Obstacle, Permitted};
use policy::{Cache, Fleet, Rules, Work};

/// How the reason of a refusal begins that is about moving an input: behind it stands the site that it would come from.
const MAY_NOT_MOVE: &str = "its input at `";
/// How the reason of a refusal begins that is about whoever asked: behind it stands the site where that is.
const MAY_NOT_TELL: &str = "what it comes to may not be told at `";

/// Work of a run, as policies see it. `work` is what runs, as the engine names it.
pub(crate) fn work_of(names: &RunNames, work: String) -> Work {
    let RunNames { project, workflow, domain, .. } = names;
    Work { project: project.clone(), workflow: workflow.clone(), domain: domain.clone(), work }
}

/// Where work on data with a label may go: to the sites that the rules permit for it, and to which its inputs may be moved. `from` says, of a
/// site, where the inputs would come from.
pub(super) fn permitted<'f, From: Iterator<Item = &'f str>>(
    (rules, fleet, cache): (&Rules, &Fleet, &mut Cache),
    work: &Work,
    label: &Label,
    from: impl Fn(&str) -> From,
) -> Permitted {
    let mut permitted = Permitted::all();
    for (site, verdict) in &*cache.places(rules, fleet, work, label) {
        if !verdict.allowed {
            permitted.refuse(site, verdict.why());
            continue;
        }
        for from in from(site) {
            let moved = rules.may_move(work, label, fleet, from, site);
            if !moved.allowed {
                let why = format!("{MAY_NOT_MOVE}{from}` may not move there: {}", moved.why());
                permitted.refuse_for(site, Obstacle::MovingFrom(from.to_owned()), why);
                break;
            }
        }
    }
    permitted
}

/// Where work may go that a running action asked for: nowhere, when what it comes to may not be told where that action runs.
pub(super) fn permitted_to_tell(
    (rules, fleet, cache): (&Rules, &Fleet, &mut Cache),
    names: &RunNames,
    (asked_by, at): (&AskedBy, &str),
    label: &Label,
    mut permitted: Permitted,
) -> Permitted {
    let told = asked_by.label.clone().joined(label);
    let work = work_of(names, asked_by.work.clone());
    if let Some(why) = may_not_be_told((rules, fleet, cache), &work, &told, at) {
        for site in cache.places(rules, fleet, &work, &told).keys() {
            if permitted.refusal(site).is_none() {
                permitted.refuse_for(site, Obstacle::TellingAt(at.to_owned()), why.clone());
            }
        }
    }
    permitted
}

/// Why work may not be where it is once it was told something and its data carry this.
pub(crate) fn may_not_be_told(
    (rules, fleet, cache): (&Rules, &Fleet, &mut Cache),
    work: &Work,
    told: &Label,
    at: &str,
) -> Option<String> {
    let places = cache.places(rules, fleet, work, told);
    let refused = places.get(at).filter(|verdict| !verdict.allowed);
    refused.map(|verdict| format!("{MAY_NOT_TELL}{at}`, where it was asked for: {}", verdict.why()))
}

/// What was in the way of a site that was refused, when it was not the work there itself. Earlier servers said so in the sentence alone.
pub(crate) fn obstacle(candidate: &Candidate) -> Option<Obstacle> {
    let named = |before| candidate.why.strip_prefix(before)?.split_once('`').map(|(site, _)| site.to_owned());
    let said = || named(MAY_NOT_TELL).map(Obstacle::TellingAt).or_else(|| named(MAY_NOT_MOVE).map(Obstacle::MovingFrom));
    candidate.obstacle.clone().or_else(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sentence counts where nothing else is recorded, and only there.
    #[test]
    fn what_is_in_the_way_is_recorded_and_was_said_by_earlier_servers() {
        let said = |why: &str, obstacle: serde_json::Value| {
            let mut text = serde_json::json!({
                "site": "c", "verdict": "refused", "why": why, "compute_per_hour": 0, "egress": 0, "bytes_to_bring": 0,
            });
            if !obstacle.is_null() {
                text["obstacle"] = obstacle;
            }
            super::obstacle(&serde_json::from_value(text).unwrap())
        };
        let (moving, telling) = (Obstacle::MovingFrom("a".into()), Obstacle::TellingAt("b".into()));
        let none = serde_json::Value::Null;
        assert_eq!(said("its input at `a` may not move there: no", none.clone()), Some(moving.clone()));
        assert_eq!(
            said("what it comes to may not be told at `b`, where it was asked for: no", none.clone()),
            Some(telling.clone())
        );
        assert_eq!(said("`p/q`: no", none), None);
        assert_eq!(said("in other words", serde_json::json!(telling)), Some(telling.clone()));
        assert_eq!(said("its input at `a` may not move there: no", serde_json::json!(telling)), Some(telling));
    }
}
