//! Reaching the network. A site grants places; of these, work may reach what the rules permit for its data.

use std::collections::BTreeMap;

use cedar_policy::{Context, Entity, Request, RestrictedExpression};
use model::{EgressGrant, Label};

use crate::entities::uid;
use crate::rules::Rules;
use crate::schema::schema;
use crate::slices::acting;
use crate::verdict::Verdict;
use crate::{Fleet, Work};

impl Rules {
    /// Whether work on data with a label may reach a place in the network from a site that grants it.
    pub fn may_reach(&self, work: &Work, label: &Label, fleet: &Fleet, site: &str, grant: &EgressGrant) -> Verdict {
        match self.try_reach(work, label, fleet, site, grant) {
            Some(verdict) => verdict,
            None => Verdict::broken("the question could not be put"),
        }
    }

    fn try_reach(&self, work: &Work, label: &Label, fleet: &Fleet, site: &str, grant: &EgressGrant) -> Option<Verdict> {
        let facts = fleet.sites.get(site)?;
        let (data, mut known) = self.data(label)?;
        let host = uid("Host", &grant.to_string())?;
        let attributes = [
            ("name".to_owned(), RestrictedExpression::new_string(grant.host.clone())),
            ("port".to_owned(), RestrictedExpression::new_long(i64::from(grant.port))),
        ];
        known.push(Entity::new(host.clone(), attributes.into_iter().collect(), Default::default()).ok()?);
        known.push(work.entity()?);
        known.push(facts.entity.clone());
        known.extend(acting("egress").iter().cloned());
        let pairs = vec![
            ("data".to_owned(), RestrictedExpression::new_entity_uid(data)),
            ("labelled".to_owned(), RestrictedExpression::new_bool(!label.is_empty())),
            ("domain".to_owned(), RestrictedExpression::new_string(work.domain.clone())),
            ("site".to_owned(), RestrictedExpression::new_entity_uid(facts.uid.clone())),
        ];
        let context = Context::from_pairs(pairs).ok()?;
        let request = Request::new(work.uid()?, uid("Action", "egress")?, host, context, schema());
        let found: BTreeMap<String, String> =
            [("name".to_owned(), grant.host.clone()), ("port".to_owned(), grant.port.to_string())].into();
        Some(self.answer(self.slices.of("egress"), request, known, label, &found))
    }
}
