//! Answers about places that are kept: the same work on the same data is decided once for rules and sites as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Digest, Label};

use crate::{Fleet, Rules, Verdict, Work};

/// Questions that are kept.
const KEPT_MAX: usize = 10_000;

/// Kept answers. They are good for one set of rules and one set of sites, and forgotten when either changes.
#[derive(Debug, Default)]
pub struct Cache {
    good_for: Option<(Digest, Digest)>,
    known: BTreeMap<Label, BTreeMap<Work, Arc<BTreeMap<String, Verdict>>>>,
    count: usize,
}

impl Cache {
    /// For every site, whether work on data with a label may run there.
    pub fn places(&mut self, rules: &Rules, fleet: &Fleet, work: &Work, label: &Label) -> Arc<BTreeMap<String, Verdict>> {
        let now = (rules.digest(), fleet.digest());
        if self.good_for != Some(now) || self.count >= KEPT_MAX {
            self.known.clear();
            self.count = 0;
            self.good_for = Some(now);
        }
        if let Some(found) = self.known.get(label).and_then(|by_work| by_work.get(work)) {
            return found.clone();
        }
        let found = Arc::new(rules.places(work, label, fleet));
        self.known.entry(label.clone()).or_default().insert(work.clone(), found.clone());
        self.count += 1;
        found
    }
}
