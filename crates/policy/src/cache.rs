//! Answers about places that are kept: the same work on the same data is decided once for rules and sites as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Digest, Label};

use crate::places::Known;
use crate::{Fleet, Rules, Verdict, Work};

/// Questions that are kept.
const KEPT_MAX: usize = 10_000;
/// What is kept of some work whatever the label counts as so many questions.
const PARTS: usize = 8;

/// Kept answers. They are good for one set of rules and one set of sites, and forgotten when either changes.
#[derive(Debug, Default)]
pub struct Cache {
    good_for: Option<(Digest, Digest)>,
    known: BTreeMap<Label, BTreeMap<Work, Arc<BTreeMap<String, Verdict>>>>,
    /// What answers are made of, whatever the label.
    parts: BTreeMap<Work, Known>,
    count: usize,
}

impl Cache {
    /// For every site, whether work on data with a label may run there.
    pub fn places(&mut self, rules: &Rules, fleet: &Fleet, work: &Work, label: &Label) -> Arc<BTreeMap<String, Verdict>> {
        self.look(rules, fleet);
        if let Some(found) = self.known.get(label).and_then(|by_work| by_work.get(work)) {
            return found.clone();
        }
        let found = Arc::new(match rules.governed() {
            true => rules.places_with(self.parts_of(work), work, label, fleet),
            false => rules.places(work, label, fleet),
        });
        self.known.entry(label.clone()).or_default().insert(work.clone(), found.clone());
        self.count += 1;
        found
    }

    /// The sites where work on data with a label may run, without why not elsewhere.
    pub(crate) fn open_to<'f>(&mut self, rules: &Rules, fleet: &'f Fleet, work: &Work, label: &Label) -> Vec<&'f str> {
        self.look(rules, fleet);
        if let Some(open) = rules.open_to(self.parts_of(work), work, label, fleet) {
            return fleet.names().zip(open).filter(|(_, open)| *open).map(|(name, _)| name).collect();
        }
        let places = self.places(rules, fleet, work, label);
        fleet.names().filter(|name| places.get(*name).is_some_and(|verdict| verdict.allowed)).collect()
    }

    /// Forgets what is not good for these rules and sites.
    fn look(&mut self, rules: &Rules, fleet: &Fleet) {
        let now = (rules.digest(), fleet.digest());
        if self.good_for != Some(now) || self.count >= KEPT_MAX {
            self.known.clear();
            self.parts.clear();
            self.count = 0;
            self.good_for = Some(now);
        }
    }

    fn parts_of(&mut self, work: &Work) -> &mut Known {
        if !self.parts.contains_key(work) {
            self.count += PARTS;
        }
        self.parts.entry(work.clone()).or_default()
    }
}
