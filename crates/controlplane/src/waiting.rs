//! Why a run waits: what its open actions wait for, in words that need no knowledge of the engine.

use engine::event::ActionKind;
use journal::{ActionRow, Reader, RunRow};
use model::{Phase, Timestamp};
use placement::{Candidate, Explanation, Verdict};
use serde_json::Value;

use crate::{ControlPlane, Fault};

/// Sites that are named in a reason; the rest is counted.
const NAMED_MAX: usize = 3;

/// What kind of thing is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// Somebody paused the run.
    Resume,
    /// A person's decision.
    Person,
    /// A moment in time.
    Time,
    /// An event from outside.
    Event,
    /// A signal to the run.
    Signal,
    /// The pause between two attempts.
    Retry,
    /// A worker that serves its connector.
    Worker,
    /// Its inputs, which are brought to its site.
    Inputs,
    /// Room at a site.
    Room,
    /// Room at a site that is cheaper than going elsewhere now.
    Cheaper,
    /// The project's budget.
    Budget,
    /// The project's quota.
    Quota,
    /// Sites that take no new work.
    Closed,
    /// A site that has what it needs.
    Fit,
    /// A site that the rules permit.
    Policy,
    /// The next decision of the placer.
    Turn,
}

impl WaitsFor {
    /// Every kind.
    pub const ALL: [WaitsFor; 16] = [
        WaitsFor::Resume,
        WaitsFor::Person,
        WaitsFor::Time,
        WaitsFor::Event,
        WaitsFor::Signal,
        WaitsFor::Retry,
        WaitsFor::Worker,
        WaitsFor::Inputs,
        WaitsFor::Room,
        WaitsFor::Cheaper,
        WaitsFor::Budget,
        WaitsFor::Quota,
        WaitsFor::Closed,
        WaitsFor::Fit,
        WaitsFor::Policy,
        WaitsFor::Turn,
    ];

    /// Its name, as the API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitsFor::Resume => "resume",
            WaitsFor::Person => "person",
            WaitsFor::Time => "time",
            WaitsFor::Event => "event",
            WaitsFor::Signal => "signal",
            WaitsFor::Retry => "retry",
            WaitsFor::Worker => "worker",
            WaitsFor::Inputs => "inputs",
            WaitsFor::Room => "room",
            WaitsFor::Cheaper => "cheaper",
            WaitsFor::Budget => "budget",
            WaitsFor::Quota => "quota",
            WaitsFor::Closed => "closed",
            WaitsFor::Fit => "fit",
            WaitsFor::Policy => "policy",
            WaitsFor::Turn => "turn",
        }
    }
}

/// Something that actions of a run wait for.
#[derive(Clone, Debug, PartialEq)]
pub struct Waited {
    /// What kind of thing.
    pub kind: WaitsFor,
    /// What, as a sentence without its subject: `room at onprem: no room at the moment: needs 4 cores of 1`.
    pub words: String,
    /// How many actions.
    pub actions: u64,
    /// The path of the first; empty when it is the run.
    pub first: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
}

impl ControlPlane {
    /// What the open actions of a run wait for, the largest group first; and how many actions run. With `values` left out, nothing is told that
    /// stands in an input.
    pub fn waits(&self, run: &RunRow, values: bool) -> Result<(Vec<Waited>, u64), Fault> {
        self.waits_in(self.reader(), run, values)
    }

    /// The same of a run as `reader` has it, which may be as it was.
    pub fn waits_in(&self, reader: &Reader, run: &RunRow, values: bool) -> Result<(Vec<Waited>, u64), Fault> {
        let (mut found, mut running): (Vec<Waited>, u64) = (Vec::new(), 0);
        if run.finished_at.is_some() {
            return Ok((found, running));
        }
        for (actions, no) in reader.open_groups(run.id).map_err(Fault::internal)? {
            let Some(row) = reader.action_no(run.id, no).map_err(Fault::internal)? else { continue };
            let Some((kind, words, until)) = self.wait_of(&row, values)? else {
                // Maps and sub-workflows run as long as something in them does.
                let itself = !matches!(row.kind, ActionKind::Each | ActionKind::Workflow);
                running += u64::from(itself) * actions;
                continue;
            };
            match found.iter_mut().find(|known| known.kind == kind && known.words == words) {
                Some(known) => known.actions += actions,
                None => found.push(Waited { kind, words, actions, first: row.path, since: row.opened_at, until }),
            }
        }
        found.sort_by_key(|waited| std::cmp::Reverse(waited.actions));
        if run.paused {
            let words = "somebody to resume the run: it is paused, and nothing new is started".to_owned();
            found.insert(
                0,
                Waited { kind: WaitsFor::Resume, words, actions: 0, first: String::new(), since: run.submitted_at, until: None },
            );
        }
        Ok((found, running))
    }

    /// What one action waits for; none when it does not wait.
    pub fn waited(&self, row: &ActionRow, values: bool) -> Result<Option<Waited>, Fault> {
        let found = self.wait_of(row, values)?;
        let (first, since) = (row.path.clone(), row.opened_at);
        Ok(found.map(|(kind, words, until)| Waited { kind, words, actions: 1, first, since, until }))
    }

    /// The kind, the words, until when.
    fn wait_of(&self, row: &ActionRow, values: bool) -> Result<Option<(WaitsFor, String, Option<Timestamp>)>, Fault> {
        let input = || -> Result<Value, Fault> {
            let body = row.input.filter(|_| values).map(|(seq, n)| self.reader().body(seq, n)).transpose();
            Ok(body.map_err(Fault::internal)?.flatten().unwrap_or_default())
        };
        Ok(match (row.phase, row.kind) {
            (phase, _) if phase.is_terminal() => None,
            (Phase::Running, ActionKind::Human) => Some(of_person(row)),
            (Phase::Running, ActionKind::Wait) => Some(of_wait(&input()?, row.opened_at)),
            (Phase::Paused, _) => {
                let words = "a person's decision about what it asked: its process was let go, and begins again with the answer";
                Some((WaitsFor::Person, words.to_owned(), None))
            }
            (Phase::Queued, _) => {
                let run = self.reader().run(row.run).map_err(Fault::internal)?;
                let held = run.map(|run| self.reader().at_work(&run)).transpose().map_err(Fault::internal)?.flatten();
                Some(of_queued(row, held))
            }
            (Phase::Initializing, _) => {
                let site = row.site.as_deref().unwrap_or("its site");
                Some((WaitsFor::Inputs, format!("what it reads, which is being brought to {site}"), None))
            }
            (Phase::WaitingForResources, _) => {
                if let Some(connector) = &row.waits_for {
                    return Ok(Some((WaitsFor::Worker, format!("a worker that serves {connector}"), None)));
                }
                let json =
                    row.explanation.map(|id| self.reader().explanation(id)).transpose().map_err(Fault::internal)?.flatten();
                let explained = json.and_then(|json| serde_json::from_value::<Explanation>(json).ok());
                Some(match explained {
                    Some(explained) => {
                        let (kind, words) = of_parked(&explained);
                        (kind, words, None)
                    }
                    None => (WaitsFor::Turn, "its turn to be placed".to_owned(), None),
                })
            }
            _ => None,
        })
    }
}

fn of_person(row: &ActionRow) -> (WaitsFor, String, Option<Timestamp>) {
    let words = match &row.first_by {
        Some(first) => format!("a second person's decision: {first} has decided already"),
        None if row.escalated > 0 => "a person's decision: it was passed on, since nobody had decided in time".to_owned(),
        None => "a person's decision".to_owned(),
    };
    (WaitsFor::Person, words, None)
}

/// By the input of a wait: `{"for"}`, `{"until"}`, `{"event"}` or `{"signal"}`.
fn of_wait(input: &Value, opened_at: Timestamp) -> (WaitsFor, String, Option<Timestamp>) {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    if let Some(event) = text("event") {
        return (WaitsFor::Event, format!("the event {event}"), None);
    }
    if let Some(signal) = text("signal") {
        return (WaitsFor::Signal, format!("the signal {signal}"), None);
    }
    if let Some(until) = text("until") {
        let at = chrono::DateTime::parse_from_rfc3339(until).ok().and_then(|at| u64::try_from(at.timestamp_micros()).ok());
        return (WaitsFor::Time, format!("a moment in time: {until}"), at.map(Timestamp));
    }
    if let Some(length) = input.get("for") {
        let length = length.as_str().map_or_else(|| length.to_string(), str::to_owned);
        let until = length.parse::<model::Duration>().ok().map(|length| Timestamp(opened_at.0.saturating_add(length.0)));
        return (WaitsFor::Time, format!("{length} to pass"), until);
    }
    (WaitsFor::Event, "time to pass, an event or a signal".to_owned(), None)
}

/// `held` is how many actions of its run may be at work at once, and how many are.
fn of_queued(row: &ActionRow, held: Option<(u32, u32)>) -> (WaitsFor, String, Option<Timestamp>) {
    let Some(failure) = &row.failure else {
        if let Some((most, at_work)) = held.filter(|(most, at_work)| at_work >= most) {
            let words = format!("its turn: at most {most} actions of its run may be at work at once, and {at_work} are");
            return (WaitsFor::Turn, words, None);
        }
        return (WaitsFor::Turn, "its turn to be placed".to_owned(), None);
    };
    let class = failure["class"].as_str().unwrap_or("failed").replace('_', " ");
    let until = failure.get("retry_at").and_then(Value::as_u64).map(Timestamp);
    (WaitsFor::Retry, format!("its next attempt: attempt {} came to nothing ({class})", row.attempt), until)
}

/// Why nothing was found for an action that has no place: the reason that would go first.
fn of_parked(explained: &Explanation) -> (WaitsFor, String) {
    let with = |verdict: Verdict| explained.sites.iter().filter(|site| site.verdict == verdict).collect::<Vec<&Candidate>>();
    let said = |sites: &[&Candidate]| match sites {
        [one] => format!("{}: {}", one.site, one.why),
        several => named(several),
    };
    let bounds = explained.bounds.as_deref().map(|bounds| format!(" ({bounds})")).unwrap_or_default();
    for verdict in [Verdict::Awaited, Verdict::Chosen, Verdict::Possible, Verdict::Full, Verdict::OverBudget, Verdict::Closed] {
        let sites = with(verdict);
        let Some(first) = sites.first() else { continue };
        return match verdict {
            Verdict::Awaited => {
                let wait = Some(first.wait_s).filter(|wait| *wait > 0.0);
                let soon = wait.map(|wait| format!(", in about {wait:.0} s")).unwrap_or_default();
                (WaitsFor::Cheaper, format!("room at {}{soon}: going elsewhere now would cost more", first.site))
            }
            // There is room: what holds it back is how much the project may hold at once, or that others of its kind took that room.
            Verdict::Chosen | Verdict::Possible if explained.bounds.is_some() => {
                (WaitsFor::Quota, format!("the project to hold less: it has what it may hold at once{bounds}"))
            }
            Verdict::Chosen | Verdict::Possible => (WaitsFor::Room, format!("room at {}: others took it first", named(&sites))),
            Verdict::Full => (WaitsFor::Room, format!("room at {}", said(&sites))),
            Verdict::OverBudget => (WaitsFor::Budget, format!("money: {}{bounds}", first.why)),
            _ => (WaitsFor::Closed, format!("a site that takes work: {}", said(&sites))),
        };
    }
    let refused = with(Verdict::Refused);
    if let Some(first) = refused.first() {
        return (WaitsFor::Policy, format!("a site that the rules permit: {} is refused, {}", first.site, first.why));
    }
    let unfit = with(Verdict::Unfit);
    match unfit.first() {
        Some(first) => (WaitsFor::Fit, format!("a site that has what it needs: {}: {}", first.site, first.why)),
        None => (WaitsFor::Fit, "a site: there is none".to_owned()),
    }
}

fn named(sites: &[&Candidate]) -> String {
    let names: Vec<&str> = sites.iter().take(NAMED_MAX).map(|site| site.site.as_str()).collect();
    match sites.len().saturating_sub(NAMED_MAX) {
        0 => names.join(", "),
        more => format!("{} or {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn explained(sites: &[(&str, &str, &str)], bounds: Option<&str>) -> Explanation {
        let site = |(site, verdict, why): &(&str, &str, &str)| json!({"site": site, "verdict": verdict, "why": why, "compute_per_hour": 1, "egress": 0, "bytes_to_bring": 0});
        let sites: Vec<Value> = sites.iter().map(site).collect();
        serde_json::from_value(json!({"rule": "r", "sites": sites, "bounds": bounds})).unwrap()
    }

    #[test]
    fn what_has_no_place_says_what_would_have_to_change_first() {
        let of = |sites: &[(&str, &str, &str)], bounds| of_parked(&explained(sites, bounds));
        let small = "no room at the moment: needs 4 cores of 1";
        // A site that is full is nearer than one that never fits.
        let (kind, words) = of(&[("a", "full", small), ("b", "refused", "policy x forbids it")], None);
        assert_eq!((kind, words.as_str()), (WaitsFor::Room, "room at a: no room at the moment: needs 4 cores of 1"));
        let many = [("a", "full", small), ("b", "full", small), ("c", "full", small), ("d", "full", small)];
        assert_eq!(of(&many, None).1, "room at a, b, c or 1 more");
        assert_eq!(of(&[("a", "awaited", small)], None).0, WaitsFor::Cheaper);
        let quota = of(&[("a", "possible", "could take it")], Some("4 of 4 cores are held"));
        assert_eq!(quota.0, WaitsFor::Quota);
        assert!(quota.1.contains("4 of 4 cores are held"), "{quota:?}");
        assert_eq!(of(&[("a", "over_budget", "it would cost 3, and the project may spend 1 more")], None).0, WaitsFor::Budget);
        assert_eq!(of(&[("a", "closed", "it is cordoned")], None).1, "a site that takes work: a: it is cordoned");
        let refused = of(&[("a", "refused", "policy x forbids it"), ("b", "unfit", "needs `zone` to be `eu`")], None);
        assert_eq!((refused.0, refused.1.contains("policy x")), (WaitsFor::Policy, true));
        assert_eq!(of(&[("b", "unfit", "needs `zone` to be `eu`")], None).0, WaitsFor::Fit);
        assert_eq!(of(&[], None).0, WaitsFor::Fit);
    }

    #[test]
    fn waits_say_until_when() {
        let opened = Timestamp(1_000_000);
        assert_eq!(of_wait(&json!({"for": "2s"}), opened).2, Some(Timestamp(3_000_000)));
        let until = of_wait(&json!({"until": "1970-01-01T00:00:09Z"}), opened);
        assert_eq!((until.0, until.2), (WaitsFor::Time, Some(Timestamp(9_000_000))));
        assert_eq!(of_wait(&json!({"event": "sales"}), opened).1, "the event sales");
        assert_eq!(of_wait(&json!({"signal": "go"}), opened).0, WaitsFor::Signal);
        // Whoever may not see the input is told no more than that it waits.
        assert!(!of_wait(&Value::Null, opened).1.contains("sales"));
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = WaitsFor::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), WaitsFor::ALL.len());
    }
}
