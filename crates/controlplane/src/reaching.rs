//! What an attempt may reach: of what its site lets out, what the rules permit for its data. Decided before its order is signed, recorded, and
//! written into its ticket. What was done with it is recorded when it ends.

use std::collections::{BTreeMap, BTreeSet};

use engine::event::{EgressDecided, NetworkUsed, WayUsed};
use engine::{Command, Dispatch};
use executors::AttemptSpec;
use model::{AttemptKey, Connection, EgressGrant, Failure, FailureClass, NodeKind};

use crate::governing::{Governance, Ways, work_of};
use crate::{Inbox, Sites};

/// Decides what attempts may reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reaching {
    sites: Sites,
    governance: Governance,
    inbox: Inbox,
    given: Ways,
}

impl Reaching {
    pub(crate) fn new(sites: Sites, governance: Governance, inbox: Inbox) -> Reaching {
        Reaching { sites, given: governance.ways(), governance, inbox }
    }

    /// What an attempt may reach, which is recorded. A process is given what is permitted of all that its site grants, one that
    /// `installs` packages also of where those come from; a connector asks for one way, without which it has nothing to do.
    pub(crate) fn decide(
        &self,
        dispatch: &Dispatch,
        spec: &AttemptSpec,
        installs: bool,
    ) -> Result<BTreeSet<EgressGrant>, Failure> {
        let asked = match &spec.kind {
            NodeKind::Use { connector, .. } => connectors::asks_for(connector, &spec.input),
            _ => None,
        };
        let mut wanted = match (&spec.kind, &asked) {
            (_, Some(way)) => BTreeSet::from([way.clone()]),
            (NodeKind::Use { .. }, None) => return Ok(BTreeSet::new()),
            _ => self.sites.egress(&dispatch.site),
        };
        if installs {
            wanted.extend(self.sites.packages(&dispatch.site));
        }
        if wanted.is_empty() {
            return Ok(wanted);
        }
        let work = work_of(&dispatch.names, dispatch.node.kind.work());
        let (rules, fleet) = (self.governance.rules(), self.sites.as_policies_see(&dispatch.site));
        let (mut permitted, mut refused) = (BTreeSet::new(), BTreeMap::new());
        for way in wanted {
            if asked.is_some() && !self.sites.lets_connectors_use(&dispatch.site, &way) {
                refused.insert(way.to_string(), not_let_out(&dispatch.site));
                continue;
            }
            let verdict = rules.may_reach(&work, &dispatch.label, &fleet, &dispatch.site, &way);
            match verdict.allowed {
                true => drop(permitted.insert(way)),
                false => drop(refused.insert(way.to_string(), verdict.why())),
            }
        }
        let why = refused.iter().next().map(|(way, why)| format!("`{way}` may not be reached: {why}"));
        let AttemptKey { run, action, attempt } = dispatch.key;
        let site = dispatch.site.clone();
        let decided = EgressDecided { run, action, attempt, site: site.clone(), permitted: permitted.clone(), refused };
        self.inbox.report(Command::RecordEgress(Box::new(decided)));
        match why.filter(|_| asked.is_some()) {
            Some(why) => Err(Failure { code: Some("E0036".into()), ..Failure::new(FailureClass::Refused, why) }),
            None => {
                self.given.lock().insert(dispatch.key, (site, permitted.clone()));
                Ok(permitted)
            }
        }
    }

    /// An attempt is over, and nobody will ask for it any more.
    pub(crate) fn forget(&self, key: AttemptKey) {
        self.given.lock().remove(&key);
    }

    /// Whether an attempt was given a way out.
    pub(crate) fn was_given(&self, key: AttemptKey) -> bool {
        self.given.lock().contains_key(&key)
    }

    /// An attempt has ended: what it did with its ways is recorded. Reads what was written down: blocks.
    pub(crate) fn record(&self, key: AttemptKey) {
        let Some((site, ways)) = self.given.lock().remove(&key) else { return };
        let Some(executor) = self.sites.executor(&site) else { return };
        let connections = executor.connections(key);
        if !connections.is_empty() {
            let used = used(key, site, &ways, &connections);
            self.inbox.report(Command::RecordNetwork(Box::new(used)));
        }
    }
}

/// What a site says that lets nothing out to a place.
pub(crate) fn not_let_out(site: &str) -> String {
    format!("the site `{site}` does not grant it")
}

/// What went over each way. A process chooses the words of what it asks for: what was refused is counted, and not named.
fn used(key: AttemptKey, site: String, ways: &BTreeSet<EgressGrant>, connections: &[Connection]) -> NetworkUsed {
    let AttemptKey { run, action, attempt } = key;
    let mut used = NetworkUsed { run, action, attempt, site, ways: BTreeMap::new(), refused: 0 };
    for connection in connections {
        if connection.outcome == "refused" {
            used.refused += 1 + connection.more;
            continue;
        }
        // The way of Flyte tasks to this server is everybody's, and nothing that was decided.
        let Some(way) = ways.iter().find(|way| way.covers(&connection.host, connection.port)) else { continue };
        let sum: &mut WayUsed = used.ways.entry(way.to_string()).or_default();
        sum.connections += 1;
        sum.failed += u64::from(connection.outcome == "failed");
        sum.cut += u64::from(connection.outcome == "cut");
        sum.sent += connection.sent;
        sum.received += connection.received;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ActionNo, AttemptNo, RunId};

    #[test]
    fn what_was_done_is_summed_by_the_way_it_went_and_words_of_processes_stay_out() {
        let key = AttemptKey { run: RunId(7), action: ActionNo(1), attempt: AttemptNo(1) };
        let ways = BTreeSet::from(["*.example.com".parse().unwrap()]);
        let one = |host: &str, outcome: &str| Connection {
            host: host.into(),
            port: 443,
            outcome: outcome.into(),
            sent: 3,
            received: 5,
            ..Connection::default()
        };
        let all = [
            one("a.example.com", "closed"),
            one("b.example.com", "cut"),
            one("b.example.com", "failed"),
            one("078-05-1120.evil.example", "refused"),
            one("c.example.com", "refused"),
            Connection { more: 40, ..one("", "refused") },
        ];
        let used = used(key, "here".into(), &ways, &all);
        let expected = WayUsed { connections: 3, failed: 1, cut: 1, sent: 9, received: 15 };
        assert_eq!((used.ways, used.refused), (BTreeMap::from([("*.example.com:443".to_owned(), expected)]), 43));
    }
}
