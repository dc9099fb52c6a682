//! Where work may run and where its data may go.
//!
//! Cedar evaluates every policy for every question. So each is asked as few questions as there are different answers: a policy that asks for a tag
//! before anything else is evaluated once for work at a kind of site, and counts for all data that carry the tag; one that does not look at data, once
//! for all data; and sites that are alike in what these policies look at, once for all of them. What remains for one label is a union. The plain
//! loop over sites is the oracle in tests, and the way out when a policy errs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Context, Decision, Entity, EntityUid};
use cedar_policy::{PolicySet, Request, RequestValidationError, Response, RestrictedExpression};
use model::Label;

use crate::entities::{SiteFacts, entities, uid};
use crate::lint::Gaze;
use crate::rules::{About, Rules};
use crate::schema::schema;
use crate::slices::acting;
use crate::verdict::{Reason, Verdict};
use crate::{Fleet, Work};

/// The policies about where work runs, by how they look at data.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    away: Part,
    at: BTreeMap<String, Part>,
    elsewhere: Part,
}

/// Policies that look at data in one way.
#[derive(Debug, Default)]
struct Part {
    policies: PolicySet,
    /// The attributes of a site that any of them looks at.
    looks_at: BTreeSet<String>,
}

impl Parts {
    /// Of policies of which this is known. One of which nothing is known looks at everything.
    pub(crate) fn new(policies: &PolicySet, about: &BTreeMap<String, About>) -> Parts {
        let mut parts = Parts::default();
        for policy in policies.policies() {
            let about = about.get(policy.id().as_ref() as &str);
            let part = match about.map(|about| &about.gaze) {
                Some(Gaze::Away) => &mut parts.away,
                Some(Gaze::At(tag)) => parts.at.entry(tag.clone()).or_default(),
                Some(Gaze::Elsewhere) | None => &mut parts.elsewhere,
            };
            part.looks_at.extend(about.iter().flat_map(|about| &about.attributes).cloned());
            // Which site it is, is what its name says.
            part.looks_at.extend(about.is_none_or(|about| about.which).then(|| "name".to_owned()));
            // Its id is its own in the whole set.
            let _ = part.policies.add(policy.clone());
        }
        parts
    }
}

/// What is known of some work: what the policies that do not look at data say at every site, and those that ask for a tag first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    away: Option<Heard>,
    at: BTreeMap<String, Heard>,
}

/// What policies say at every site.
#[derive(Clone, Debug)]
struct Heard {
    /// By kinds of sites.
    kinds: Vec<Said>,
    /// The kind of every site, in the order of the fleet.
    of_site: Vec<usize>,
}

/// What policies say of one question.
#[derive(Clone, Debug)]
struct Said {
    /// Whether they permit it, and none of them forbids it.
    allows: bool,
    /// Those that decided: all that forbid it, or else all that permit it.
    decided: Vec<String>,
    /// Whether one could not be evaluated.
    errs: bool,
}

impl Said {
    fn of(response: &Response) -> Said {
        Said {
            allows: response.decision() == Decision::Allow,
            decided: response.diagnostics().reason().map(ToString::to_string).collect(),
            errs: response.diagnostics().errors().next().is_some(),
        }
    }
}

impl Heard {
    fn at(&self, site: usize) -> Option<&Said> {
        self.kinds.get(*self.of_site.get(site)?)
    }
}

/// Whether the parts permit a site together: one does, and none forbids it. None when a policy errs.
fn permit(heard: &[Cow<'_, Heard>], site: usize) -> Option<bool> {
    let (mut permitted, mut forbidden) = (false, false);
    for heard in heard {
        let said = heard.at(site).filter(|said| !said.errs)?;
        permitted |= said.allows;
        forbidden |= !said.allows && !said.decided.is_empty();
    }
    Some(permitted && !forbidden)
}

/// The policies that decide of a site: all that forbid it, or else all that permit it.
fn deciding<'h>(heard: &'h [Cow<'_, Heard>], site: usize) -> Vec<&'h str> {
    let of = |allows: bool| {
        let said = heard.iter().filter_map(move |heard| heard.at(site)).filter(move |said| said.allows == allows);
        said.flat_map(|said| &said.decided).map(String::as_str).collect::<Vec<_>>()
    };
    let forbid = of(false);
    if forbid.is_empty() { of(true) } else { forbid }
}

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
        self.places_with(&mut Known::default(), work, label, fleet)
    }

    /// The same with what is known of this work.
    pub(crate) fn places_with(&self, known: &mut Known, work: &Work, label: &Label, fleet: &Fleet) -> BTreeMap<String, Verdict> {
        // What errs is said by the policies as they were written.
        self.places_known(known, work, label, fleet).unwrap_or_else(|| self.places_one_by_one(work, label, fleet))
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

    /// What policies say at every site of work on data with a label; none where the question cannot be put. Sites that are alike in all that these
    /// policies look at are asked about once.
    fn heard(&self, work: &Work, label: &Label, part: &Part, fleet: &Fleet) -> Option<Heard> {
        let mut kinds: BTreeMap<Vec<Option<&String>>, usize> = BTreeMap::new();
        let (mut samples, mut of_site) = (Vec::new(), Vec::new());
        for facts in fleet.sites.values() {
            let kind = part.looks_at.iter().map(|attribute| facts.attributes.get(attribute)).collect();
            let kind = *kinds.entry(kind).or_insert_with(|| {
                samples.push(facts);
                samples.len() - 1
            });
            of_site.push(kind);
        }
        let asked = self.asked("run", work, label, None)?;
        let of_samples = samples.iter().map(|facts| facts.entity.clone());
        let known = entities(asked.entities.iter().cloned().chain(of_samples)).ok()?;
        let (authorizer, mut kinds) = (Authorizer::new(), Vec::new());
        for facts in samples {
            let (principal, action) = (asked.principal.clone(), asked.action.clone());
            let request = Request::new(principal, action, facts.uid.clone(), asked.context.clone(), schema()).ok()?;
            kinds.push(Said::of(&authorizer.is_authorized(&request, &part.policies, &known)));
        }
        Some(Heard { kinds, of_site })
    }

    /// The parts of the policies that count for a label, with what each says at every site. What was asked before is not asked again.
    fn hear<'k>(&self, known: &'k mut Known, work: &Work, label: &Label, fleet: &Fleet) -> Option<Vec<Cow<'k, Heard>>> {
        let closed = self.closed(label);
        let parts = &self.parts;
        if known.away.is_none() {
            known.away = Some(self.heard(work, &Label::empty(), &parts.away, fleet)?);
        }
        for (tag, part) in closed.0.iter().filter_map(|tag| Some((tag, parts.at.get(tag)?))) {
            if !known.at.contains_key(tag) {
                known.at.insert(tag.clone(), self.heard(work, &Label::of([tag.clone()]), part, fleet)?);
            }
        }
        let elsewhere = match parts.elsewhere.policies.is_empty() {
            true => None,
            false => Some(self.heard(work, label, &parts.elsewhere, fleet)?),
        };
        let known: &'k Known = known;
        let at = closed.0.iter().filter_map(|tag| known.at.get(tag));
        Some(known.away.iter().chain(at).map(Cow::Borrowed).chain(elsewhere.map(Cow::Owned)).collect())
    }

    /// For every site, in the order of the fleet, whether work on data with a label may run there; none where a policy errs.
    pub(crate) fn open_to(&self, known: &mut Known, work: &Work, label: &Label, fleet: &Fleet) -> Option<Vec<bool>> {
        if !self.governed() {
            return Some(vec![true; fleet.sites.len()]);
        }
        let heard = self.hear(known, work, label, fleet)?;
        (0..fleet.sites.len()).map(|site| permit(&heard, site)).collect()
    }

    /// For every site, whether work on data with a label may run there. What is known of this work is used, and added to.
    pub(crate) fn places_known(
        &self,
        known: &mut Known,
        work: &Work,
        label: &Label,
        fleet: &Fleet,
    ) -> Option<BTreeMap<String, Verdict>> {
        let (heard, closed) = (self.hear(known, work, label, fleet)?, self.closed(label));
        // Sites of one kind in every part have the same reasons.
        let (mut kinds, mut found) = (BTreeMap::<Vec<usize>, Verdict>::new(), BTreeMap::new());
        for (number, (name, facts)) in fleet.sites.iter().enumerate() {
            let kind: Vec<usize> = heard.iter().filter_map(|heard| heard.of_site.get(number).copied()).collect();
            if !kinds.contains_key(&kind) {
                let allowed = permit(&heard, number)?;
                let reasons = self.reasons(deciding(&heard, number), (label, &closed), &facts.attributes);
                kinds.insert(kind.clone(), Verdict { allowed, reasons, errors: Vec::new() });
            }
            found.insert(name.clone(), kinds.get(&kind).cloned().unwrap_or_default());
        }
        Some(found)
    }

    /// An answer with its reasons. Any error is a refusal.
    pub(crate) fn verdict(&self, response: &Response, label: &Label, found: &BTreeMap<String, String>) -> Verdict {
        let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        let allowed = response.decision() == Decision::Allow && errors.is_empty();
        // What permitted it does not explain a refusal for an error.
        if !allowed && response.decision() == Decision::Allow {
            return Verdict { allowed, reasons: Vec::new(), errors };
        }
        let decided: Vec<&str> = response.diagnostics().reason().map(|id| id.as_ref() as &str).collect();
        let reasons = self.reasons(decided, (label, &self.closed(label)), found);
        Verdict { allowed, reasons, errors }
    }

    /// The policies that decided, in order, with what each looked at; `label` with the tags above its own.
    fn reasons<'p>(
        &self,
        decided: impl IntoIterator<Item = &'p str>,
        (label, closed): (&Label, &Label),
        found: &BTreeMap<String, String>,
    ) -> Vec<Reason> {
        let attribute = |name: &String| match found.get(name) {
            Some(value) => format!("`{name}` is `{value}`"),
            None => format!("`{name}` is not set"),
        };
        let reason = |id| {
            let about = self.about.get(id)?;
            let mut looked_at: Vec<String> = Vec::new();
            if about.forbids {
                let tags = about.tags.iter().filter(|tag| closed.0.contains(*tag));
                looked_at.extend(tags.map(|tag| self.carried_as(label, tag)));
                looked_at.extend(about.attributes.iter().map(attribute));
            }
            Some(Reason { policy: about.name.clone(), because: about.because.clone(), looked_at })
        };
        let mut reasons: Vec<Reason> = decided.into_iter().filter_map(reason).collect();
        reasons.sort();
        reasons
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
