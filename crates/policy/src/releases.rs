//! Releasing a secret to work. Work may have the secrets of its own project unless a policy forbids it.

use std::collections::BTreeMap;

use cedar_policy::{Context, Request, RestrictedExpression};
use model::Label;

use crate::entities::{plain, uid};
use crate::rules::Rules;
use crate::schema::schema;
use crate::slices::acting;
use crate::verdict::Verdict;
use crate::{Fleet, Work};

impl Rules {
    /// Whether a secret of a project may be released to work on data with a label at a site.
    pub fn may_release(&self, work: &Work, label: &Label, project: &str, secret: &str, fleet: &Fleet, site: &str) -> Verdict {
        match self.try_release(work, label, project, secret, fleet, site) {
            Some(verdict) => verdict,
            None => Verdict::broken("the question could not be put"),
        }
    }

    fn try_release(&self, work: &Work, label: &Label, project: &str, secret: &str, fleet: &Fleet, site: &str) -> Option<Verdict> {
        let facts = fleet.sites.get(site)?;
        let (data, mut known) = self.data(label)?;
        let thing = uid("Thing", &format!("secret/{project}/{secret}"))?;
        let attributes =
            [("kind", "secret"), ("name", secret), ("project", project), ("domain", work.domain.as_str()), ("author", "")];
        known.push(plain(thing.clone(), &attributes, uid("Project", project).into_iter().collect())?);
        known.push(work.entity()?);
        known.push(facts.entity.clone());
        known.extend(acting("release").iter().cloned());
        let pairs = vec![
            ("data".to_owned(), RestrictedExpression::new_entity_uid(data)),
            ("domain".to_owned(), RestrictedExpression::new_string(work.domain.clone())),
            ("site".to_owned(), RestrictedExpression::new_entity_uid(facts.uid.clone())),
        ];
        let context = Context::from_pairs(pairs).ok()?;
        let request = Request::new(work.uid()?, uid("Action", "release")?, thing, context, schema());
        let found: BTreeMap<String, String> = [("name".to_owned(), secret.to_owned())].into();
        Some(self.answer(self.slices.of("release"), request, known, label, &found))
    }
}
