//! Where work may run and where its data may go.
//!
//! Cedar evaluates every policy for every question. So the sites are asked about together: what is known (work, data, domain) is put into
//! the policies once, and only what is left of them is evaluated for each site. The plain loop over sites is the oracle in tests, and the
//! way out when partial evaluation gives no answer.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Context, Decision, Entity, EntityUid, PartialEntities, PartialEntityUid, PartialRequest};
use cedar_policy::{PolicySet, Request, RequestValidationError, Response, RestrictedExpression};
use model::Label;

use crate::entities::{SiteFacts, entities, uid};
use crate::rules::Rules;
use crate::schema::schema;
use crate::slices::acting;
use crate::verdict::{Reason, Verdict};
use crate::{Fleet, Work};

/// What is the same for every site.
struct Asked {
    principal: EntityUid,
    entities: Vec<Entity>,
    context: Context,
    action: EntityUid,
}

impl Rules {
    /// For every site, whether work on data with a label may run there.
    pub fn places(&self, work: &Work, label: &Label, fleet: &Fleet) -> BTreeMap<String, Verdict> {
        if !self.governed() {
            return fleet.sites.keys().map(|name| (name.clone(), Verdict { allowed: true, ..Verdict::default() })).collect();
        }
        match self.partially(work, label, fleet) {
            // What errs is said by the policies as they were written.
            Some(found) if found.values().all(|verdict| verdict.errors.is_empty()) => found,
            _ => self.places_one_by_one(work, label, fleet),
        }
    }

    /// The same without any shortcut: one question a site, over all policies.
    pub fn places_one_by_one(&self, work: &Work, label: &Label, fleet: &Fleet) -> BTreeMap<String, Verdict> {
        let ask = |facts: &SiteFacts| match self.asked("run", work, label, None) {
            Some(asked) => self.at(&asked, &self.policies, label, facts),
            None => Verdict::broken("the question could not be put"),
        };
        fleet.sites.iter().map(|(name, facts)| (name.clone(), ask(facts))).collect()
    }

    /// Whether data with a label may move from one site to another for some work.
    pub fn may_move(&self, work: &Work, label: &Label, fleet: &Fleet, from: &str, to: &str) -> Verdict {
        if !self.governed() || from == to {
            return Verdict { allowed: true, ..Verdict::default() };
        }
        let (Some(to), Some(asked)) = (fleet.sites.get(to), self.asked("move", work, label, Some((from, fleet)))) else {
            return Verdict::broken(format!("there is no site `{to}`"));
        };
        self.at(&asked, self.slices.of("move"), label, to)
    }

    fn asked(&self, action: &str, work: &Work, label: &Label, from: Option<(&str, &Fleet)>) -> Option<Asked> {
        let (data, mut entities) = self.data(label)?;
        entities.push(work.entity()?);
        entities.extend(acting(action).iter().cloned());
        let mut pairs = vec![
            ("data".to_owned(), RestrictedExpression::new_entity_uid(data)),
            ("domain".to_owned(), RestrictedExpression::new_string(work.domain.clone())),
        ];
        if let Some((from, fleet)) = from {
            pairs.push(("from".to_owned(), RestrictedExpression::new_entity_uid(uid("Site", from)?)));
            entities.extend(fleet.sites.get(from).map(|facts| facts.entity.clone()));
        }
        let context = Context::from_pairs(pairs).ok()?;
        Some(Asked { principal: work.uid()?, entities, context, action: uid("Action", action)? })
    }

    /// One question: all that is known, at one site.
    fn at(&self, asked: &Asked, policies: &PolicySet, label: &Label, facts: &SiteFacts) -> Verdict {
        let (principal, action) = (asked.principal.clone(), asked.action.clone());
        let known = asked.entities.iter().filter(|entity| entity.uid() != facts.uid).cloned().chain([facts.entity.clone()]);
        let request = Request::new(principal, action, facts.uid.clone(), asked.context.clone(), schema());
        self.answer(policies, request, known, label, &facts.attributes)
    }

    /// What policies say to a request about what is known. A request that does not fit the schema is refused.
    pub(crate) fn answer(
        &self,
        policies: &PolicySet,
        request: Result<Request, RequestValidationError>,
        known: impl IntoIterator<Item = Entity>,
        label: &Label,
        found: &BTreeMap<String, String>,
    ) -> Verdict {
        let request = match request {
            Ok(request) => request,
            Err(error) => return Verdict::broken(error),
        };
        match entities(known) {
            Ok(entities) => self.verdict(&Authorizer::new().is_authorized(&request, policies, &entities), label, found),
            Err(error) => Verdict::broken(error),
        }
    }

    fn partially(&self, work: &Work, label: &Label, fleet: &Fleet) -> Option<BTreeMap<String, Verdict>> {
        let schema = schema()?;
        let asked = self.asked("run", work, label, None)?;
        let unknown = PartialEntityUid::new("Site".parse().ok()?, None);
        let principal = PartialEntityUid::from_concrete(asked.principal.clone());
        let request = PartialRequest::new(principal, asked.action.clone(), unknown, Some(asked.context.clone()), schema).ok()?;
        let known = PartialEntities::from_concrete(entities(asked.entities.clone()).ok()?, schema).ok()?;
        let policies = self.slices.of("run");
        let response = policies.tpe(&request, &known, schema).ok()?;
        // What errs whatever the site is, errs for every site; the plain loop says it in full.
        if response.error_permits().next().is_some() || response.error_forbids().next().is_some() {
            return None;
        }
        let settled = response.true_permits().chain(response.true_forbids()).filter_map(|id| policies.policy(id).cloned());
        let mut left = PolicySet::new();
        for policy in response.residual_policies().chain(settled) {
            left.add(policy).ok()?;
        }
        self.of_every_kind(&asked, &left, label, fleet)
    }

    /// What is left of policies, at every site. Sites that are alike in all that these policies look at are asked about once.
    fn of_every_kind(&self, asked: &Asked, left: &PolicySet, label: &Label, fleet: &Fleet) -> Option<BTreeMap<String, Verdict>> {
        let mut looked_at: BTreeSet<&str> = BTreeSet::new();
        for policy in left.policies() {
            let about = self.about.get(policy.id().as_ref() as &str)?;
            looked_at.extend(about.attributes.iter().map(String::as_str));
            // Which site it is, is what its name says.
            looked_at.extend(about.which.then_some("name"));
        }
        let mut kinds: BTreeMap<Vec<Option<&String>>, Vec<(&String, &SiteFacts)>> = BTreeMap::new();
        for (name, facts) in &fleet.sites {
            let kind = looked_at.iter().map(|attribute| facts.attributes.get(*attribute)).collect();
            kinds.entry(kind).or_default().push((name, facts));
        }
        let samples = kinds.values().filter_map(|alike| alike.first()).map(|(_, facts)| facts.entity.clone());
        let known = entities(asked.entities.iter().cloned().chain(samples)).ok()?;
        let (authorizer, mut found) = (Authorizer::new(), BTreeMap::new());
        for alike in kinds.values() {
            let (_, sample) = alike.first()?;
            let (principal, action) = (asked.principal.clone(), asked.action.clone());
            let request = Request::new(principal, action, sample.uid.clone(), asked.context.clone(), schema()).ok()?;
            let verdict = self.verdict(&authorizer.is_authorized(&request, left, &known), label, &sample.attributes);
            found.extend(alike.iter().map(|(name, _)| ((*name).clone(), verdict.clone())));
        }
        Some(found)
    }

    /// An answer with its reasons. Any error is a refusal.
    pub(crate) fn verdict(&self, response: &Response, label: &Label, found: &BTreeMap<String, String>) -> Verdict {
        let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        let mut reasons: Vec<Reason> = Vec::new();
        for id in response.diagnostics().reason() {
            let Some(about) = self.about.get(id.as_ref() as &str) else { continue };
            let closed = self.closed(label);
            let attribute = |name: &String| match found.get(name) {
                Some(value) => format!("`{name}` is `{value}`"),
                None => format!("`{name}` is not set"),
            };
            let looked = about.tags.iter().filter(|tag| closed.0.contains(*tag)).map(|tag| self.carried_as(label, tag));
            let mut looked_at: Vec<String> = looked.collect();
            looked_at.extend(about.attributes.iter().map(attribute));
            let looked_at = if about.forbids { looked_at } else { Vec::new() };
            reasons.push(Reason { policy: about.name.clone(), because: about.because.clone(), looked_at });
        }
        reasons.sort();
        let allowed = response.decision() == Decision::Allow && errors.is_empty();
        // What permitted it does not explain a refusal for an error.
        if !allowed && response.decision() == Decision::Allow {
            reasons.clear();
        }
        Verdict { allowed, reasons, errors }
    }

    /// How data came to carry a tag: itself, or as something below it.
    fn carried_as(&self, label: &Label, tag: &str) -> String {
        if label.0.contains(tag) {
            return format!("the data is `{tag}`");
        }
        let below = label.0.iter().find(|own| self.closed(&Label::of([(*own).clone()])).0.contains(tag));
        format!("the data is `{}`, which is `{tag}`", below.map_or(tag, String::as_str))
    }
}
