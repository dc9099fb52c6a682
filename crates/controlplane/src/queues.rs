//! What waits for each site: work that it could take and has no room for, work that was placed there and waits for a worker, and why.

use std::collections::BTreeMap;

use journal::WaitingRow;
use model::{RunId, Timestamp};
use placement::{Candidate, Explanation, Verdict};

use crate::{ControlPlane, Fault};

/// Actions of one run that wait for a site for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The run.
    pub run: RunId,
    /// The number of the first of them.
    pub first: u32,
    /// How many they are.
    pub actions: u64,
    /// When the first of them was opened.
    pub since: Timestamp,
    /// Why, as a sentence without its subject.
    pub why: String,
    /// Other sites that could take them as well.
    pub or_at: Vec<String>,
}

/// What waits for sites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// By site, what has waited for the longest first.
    pub sites: BTreeMap<String, Vec<Queued>>,
    /// Whether there is more than was looked at.
    pub cut: bool,
}

impl ControlPlane {
    /// What waits for each site. Work that could go to several stands in the queue of each of them.
    pub fn queues(&self) -> Result<Queues, Fault> {
        let (rows, cut) = self.reader().waiting_groups().map_err(Fault::internal)?;
        // Many wait for the same reason: that is read once.
        let mut explained: BTreeMap<i64, Option<Explanation>> = BTreeMap::new();
        let mut queues = Queues { cut, ..Queues::default() };
        for row in &rows {
            let explanation = match row.explanation {
                Some(id) if !explained.contains_key(&id) => {
                    let json = self.reader().explanation(id).map_err(Fault::internal)?;
                    explained.entry(id).or_insert(json.and_then(|json| serde_json::from_value(json).ok())).as_ref()
                }
                Some(id) => explained.get(&id).and_then(Option::as_ref),
                None => None,
            };
            for (site, why, or_at) in reasons(row, explanation) {
                let (run, first, actions, since) = (row.run, row.first, row.actions, row.since);
                queues.sites.entry(site).or_default().push(Queued { run, first, actions, since, why, or_at });
            }
        }
        Ok(queues)
    }
}

/// The sites that a group waits for, each with why and with the others.
fn reasons(row: &WaitingRow, explanation: Option<&Explanation>) -> Vec<(String, String, Vec<String>)> {
    if let (Some(site), Some(connector)) = (&row.site, &row.waits_for) {
        return vec![(site.clone(), format!("a worker that serves {connector}"), Vec::new())];
    }
    let Some(explained) = explanation else { return Vec::new() };
    let able: Vec<(&Candidate, String)> =
        explained.sites.iter().filter_map(|site| Some((site, of_candidate(site, explained)?))).collect();
    let others = |name: &str| able.iter().map(|(other, _)| other.site.clone()).filter(|other| other != name).collect();
    able.iter().map(|(site, why)| (site.site.clone(), why.clone(), others(&site.site))).collect()
}

/// Why a site does not take work that it could; none when it could not.
fn of_candidate(site: &Candidate, explained: &Explanation) -> Option<String> {
    match site.verdict {
        Verdict::Awaited if site.wait_s > 0.0 => {
            Some(format!("its room, in about {:.0} s: going elsewhere now would cost more", site.wait_s))
        }
        Verdict::Awaited => Some("its room: going elsewhere now would cost more".into()),
        Verdict::Full => Some(format!("its room: {}", site.why)),
        Verdict::Closed => Some(format!("it to take work: {}", site.why)),
        Verdict::Chosen | Verdict::Possible => Some(match &explained.bounds {
            Some(bounds) => format!("the project to hold less: it has what it may hold at once ({bounds})"),
            None => "its room: others took it first".into(),
        }),
        Verdict::OverBudget | Verdict::Unfit | Verdict::Refused => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(site: Option<&str>, waits_for: Option<&str>) -> WaitingRow {
        WaitingRow {
            run: RunId(1),
            explanation: Some(1),
            site: site.map(str::to_owned),
            waits_for: waits_for.map(str::to_owned),
            actions: 2,
            first: 0,
            since: Timestamp(5),
        }
    }

    #[test]
    fn work_stands_in_the_queue_of_each_site_that_could_take_it_and_of_no_other() {
        let site = |(site, verdict, why): (&str, &str, &str)| json!({"site": site, "verdict": verdict, "why": why, "compute_per_hour": 1, "egress": 0, "bytes_to_bring": 0});
        let sites = [
            ("a", "full", "no room at the moment: needs 4 cores of 1"),
            ("b", "closed", "it is cordoned"),
            ("c", "refused", "policy x forbids it"),
            ("d", "unfit", "needs `zone` to be `eu`"),
            ("e", "over_budget", "it would cost 3"),
        ];
        let explained: Explanation = serde_json::from_value(json!({"rule": "r", "sites": sites.map(site)})).unwrap();
        let found = reasons(&row(None, None), Some(&explained));
        let names: Vec<(&str, &[String])> = found.iter().map(|(site, _, or_at)| (site.as_str(), or_at.as_slice())).collect();
        assert_eq!(names, [("a", &["b".to_owned()][..]), ("b", &["a".to_owned()][..])]);
        assert_eq!(found[0].1, "its room: no room at the moment: needs 4 cores of 1");
        assert_eq!(found[1].1, "it to take work: it is cordoned");
    }

    #[test]
    fn what_was_placed_waits_for_its_worker_at_its_site_alone() {
        let found = reasons(&row(Some("a"), Some("t/x@1")), None);
        assert_eq!(found, [("a".to_owned(), "a worker that serves t/x@1".to_owned(), Vec::new())]);
        assert!(reasons(&row(None, None), None).is_empty(), "nothing is known of why");
    }
}
