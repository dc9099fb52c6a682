//! Where work may go by the rules, as the run loop and whoever looks ahead ask it, and the words of a refusal that an auditor reads back.

use engine::{AskedBy, RunNames};
use model::Label;
use placement::Permitted;
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
                permitted.refuse(site, format!("{MAY_NOT_MOVE}{from}` may not move there: {}", moved.why()));
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
                permitted.refuse(site, why.clone());
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

/// The site where it may not be told, when that is the reason of a refusal.
pub(crate) fn told_at(why: &str) -> Option<&str> {
    why.strip_prefix(MAY_NOT_TELL)?.split_once('`').map(|(at, _)| at)
}

/// The site that an input would have come from, when the reason of a refusal is that it may not move.
pub(crate) fn moved_from(why: &str) -> Option<&str> {
    why.strip_prefix(MAY_NOT_MOVE)?.split_once('`').map(|(from, _)| from)
}
