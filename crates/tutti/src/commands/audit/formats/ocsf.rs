//! OCSF: what people, programs and rules did, as events of the class API Activity (6003).

use engine::Event;
use engine::event::CancelReason;
use model::{ActionNo, Phase, RunId};
use serde_json::{Value, json};

use super::{Place, Translator};

/// What was done.
struct Said<'e> {
    operation: &'static str,
    /// Who asked for it; `system` when it was the server itself, by the rules.
    who: &'e str,
    what: String,
    activity: u32,
    /// Whether it went well: what was refused did not.
    well: bool,
}

/// Something that happened to what is there already.
const UPDATE: u32 = 3;
const OTHER: u32 = 99;

fn said<'e>(operation: &'static str, who: &'e str, what: impl Into<String>, activity: u32, well: bool) -> Option<Said<'e>> {
    Some(Said { operation, who, what: what.into(), activity, well })
}

impl Translator {
    pub(super) fn ocsf(&self, place: Place, event: &Event) -> Option<Value> {
        let said = self.of_people(place, event).or_else(|| self.of_rules(place, event)).or_else(|| of_fleet(event))?;
        let Said { operation, who, what, activity, well } = said;
        Some(json!({
            "metadata": {"version": "1.5.0", "product": {"name": "Tutti", "vendor_name": "Tutti"}, "uid": place.seq.to_string(), "log_name": self.origin},
            "category_uid": 6, "class_uid": 6003, "activity_id": activity, "type_uid": 600_300 + activity,
            "time": place.at.as_millis(), "severity_id": 1, "status_id": if well { 1 } else { 2 },
            "actor": {"user": {"name": who}},
            "src_endpoint": {"svc_name": "tutti", "name": self.origin},
            "api": {"operation": operation},
            "resources": [{"name": what}],
            "unmapped": {"run": place.run.0, "seq": place.seq},
        }))
    }

    /// What people and programs asked for of runs, and how those ended.
    fn of_people<'e>(&self, place: Place, event: &'e Event) -> Option<Said<'e>> {
        let run = || self.name(place.run);
        let action = |action: ActionNo| format!("{}/{}", self.name(place.run), self.path(place.run, action));
        match event {
            Event::RunSubmitted(e) => said("run.submit", &e.principal, &e.name, 1, true),
            Event::RunCancelRequested(e) => said("run.cancel", &e.principal, run(), UPDATE, true),
            Event::RunPaused(e) => said("run.pause", &e.principal, run(), UPDATE, true),
            Event::RunResumed(e) => said("run.resume", &e.principal, run(), UPDATE, true),
            Event::SignalReceived(e) => said("run.signal", &e.principal, run(), UPDATE, true),
            Event::HumanDecided(e) => said("action.decide", &e.principal, action(e.action), UPDATE, e.decision != "reject"),
            Event::HumanDelegated(e) => {
                let to = [e.users.as_slice(), e.groups.as_slice()].concat().join(", ");
                said("action.delegate", &e.principal, format!("{} to {to}", action(e.action)), UPDATE, true)
            }
            Event::HumanSeen(e) => said("action.see", &e.principal, format!("{} ({})", action(e.action), e.shown), 2, true),
            Event::RunFinished(e) => said("run.finish", "system", run(), OTHER, e.phase == Phase::Succeeded),
            _ => None,
        }
    }

    /// What rules decided, and what was given by them.
    fn of_rules<'e>(&self, place: Place, event: &'e Event) -> Option<Said<'e>> {
        let paths = |actions: &[ActionNo]| self.paths(place.run, actions);
        match event {
            Event::ActionsParked(e) => said("placement.refuse", "system", paths(&e.actions), OTHER, false),
            Event::CancelRequested(e) if e.why == CancelReason::Denied => {
                said("placement.revoke", "system", paths(&e.actions), OTHER, false)
            }
            Event::RunLabelled(e) if !e.lowered.is_empty() => {
                let by = |(path, sanitizer): (&String, &String)| format!("{path} by the sanitizer {sanitizer}");
                let all: Vec<String> = e.lowered.iter().map(by).collect();
                said("tags.lower", "system", format!("{}: {}", self.name(place.run), all.join(", ")), OTHER, true)
            }
            Event::SecretsReleased(e) => {
                let names: Vec<String> = e.secrets.iter().map(|(name, version)| format!("{name}@{version}")).collect();
                said("secrets.release", "system", format!("{} for {}", names.join(", "), paths(&[e.action])), OTHER, true)
            }
            Event::EgressDecided(e) => {
                let list = |all: Vec<String>| if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
                let permitted = list(e.permitted.iter().map(ToString::to_string).collect());
                let refused = list(e.refused.keys().cloned().collect());
                let what = format!("{} at {}: permitted {permitted}; refused {refused}", paths(&[e.action]), e.site);
                said("network.decide", "system", what, OTHER, e.refused.is_empty())
            }
            Event::NetworkUsed(e) => {
                let ways: Vec<String> = e.ways.iter().map(|(way, used)| format!("{way} ({} bytes out)", used.sent)).collect();
                let what = format!("{} from {}, {} refused, for {}", ways.join(", "), e.site, e.refused, paths(&[e.action]));
                said("network.use", "system", what, OTHER, e.refused == 0)
            }
            _ => None,
        }
    }

    pub(super) fn paths(&self, run: RunId, actions: &[ActionNo]) -> String {
        let paths: Vec<String> = actions.iter().map(|action| self.path(run, *action)).collect();
        format!("{}/{}", self.name(run), paths.join(", "))
    }
}

/// What is in force, and what it is about.
fn of_fleet(event: &Event) -> Option<Said<'_>> {
    match event {
        Event::SiteRegistered(e) => said("site.register", &e.principal, &e.site.name, 1, true),
        Event::SiteRemoved(e) => said("site.remove", &e.principal, &e.site, 4, true),
        Event::SiteCordoned(e) => said("site.cordon", &e.principal, &e.site, UPDATE, true),
        Event::SiteUncordoned(e) => said("site.uncordon", &e.principal, &e.site, UPDATE, true),
        Event::SiteDrained(e) => said("site.drain", &e.principal, &e.site, UPDATE, true),
        Event::ResourceApplied(e) => {
            said("resource.apply", &e.principal, format!("{}/{}@{}", e.kind, e.name, e.version), 1, true)
        }
        Event::ResourceDeleted(e) => said("resource.delete", &e.principal, format!("{}/{}", e.kind, e.name), 4, true),
        Event::BodiesPruned(e) => said("values.prune", &e.principal, format!("{} runs", e.runs), 4, true),
        Event::DataErased(e) => said("data.erase", &e.principal, format!("{} runs", e.runs.len()), 4, true),
        _ => None,
    }
}
