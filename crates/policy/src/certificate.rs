//! The flow certificate: that every step of a workflow has a place where its data may be, or which has none, and why.

use std::collections::BTreeMap;

use model::{Digest, Label};
use serde::{Deserialize, Serialize};

use crate::{Cache, Fleet, Rules, Work};

/// Sites that a refusal names.
const CLOSEST_MAX: usize = 5;

/// A workflow as far as its data is concerned.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// The workflow.
    pub workflow: String,
    /// The project.
    pub project: String,
    /// The digest of its graph.
    pub graph: Option<Digest>,
    /// Its steps, in an order in which data flows.
    pub steps: Vec<Step>,
}

/// A step of it.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Its path.
    pub path: String,
    /// What it runs; none when it needs no place.
    pub work: Option<String>,
    /// What it can read carries this.
    pub label: Label,
    /// Attributes that its site must have.
    pub site: BTreeMap<String, String>,
    /// The steps whose data it takes, by their places in the list.
    pub takes: Vec<usize>,
    /// How each tag came here: from where it was said to the step itself.
    pub trails: BTreeMap<String, Vec<String>>,
    /// What is to be said beside it: why tags were not taken off.
    pub notes: Vec<String>,
}

/// That a workflow may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The workflow.
    pub workflow: String,
    /// The digest of its graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<Digest>,
    /// The rules it was made by.
    pub rules: Digest,
    /// The sites that there were.
    pub sites: Digest,
    /// Every step with what it may see and where it may be.
    pub steps: Vec<Certified>,
    /// What deserves attention.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A step that may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// Its path.
    pub path: String,
    /// What it can read carries this.
    pub label: Label,
    /// Where it may run, by policy and by what it asks for; empty when it needs no place.
    pub sites: Vec<String>,
}

/// A step that may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its path.
    pub path: String,
    /// What it can read carries this.
    pub label: Label,
    /// How the tags that are the reason came here.
    pub trails: BTreeMap<String, Vec<String>>,
    /// The policies that refuse, each once, with what they say.
    pub policies: BTreeMap<String, String>,
    /// The sites that came closest, and what was in the way at each.
    pub closest: Vec<(String, String)>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

impl Refused {
    /// The refusal as text, for people.
    pub fn render(&self) -> String {
        let mut text = format!("`{}` may run nowhere: its data is {}\n", self.path, self.label);
        for (tag, trail) in &self.trails {
            let mut trail = trail.iter();
            let first = trail.next().map(String::as_str).unwrap_or_default();
            text += &format!("  data:    {first} [{tag}]");
            for step in trail {
                text += &format!(" → {step}");
            }
            text.push('\n');
        }
        for (policy, because) in &self.policies {
            text += &format!("  policy:  {policy}{}{because}\n", if because.is_empty() { "" } else { ": " });
        }
        for (index, (site, why)) in self.closest.iter().enumerate() {
            text += &format!("  {} {site}: {why}\n", if index == 0 { "closest:" } else { "        " });
        }
        for note in &self.notes {
            text += &format!("  note:    {note}\n");
        }
        text
    }
}

/// A site for a step: whether it would do by what the step asks for, and by policy.
struct Choice {
    site: String,
    unlike: Option<String>,
    refused: Option<String>,
    policies: BTreeMap<String, String>,
}

impl Rules {
    /// Looks at every step. It may run in one of `domains` at least.
    pub fn certify(&self, flow: &Flow, domains: &[&str], fleet: &Fleet, cache: &mut Cache) -> Result<Certificate, Vec<Refused>> {
        let (mut steps, mut refused, mut warnings): (Vec<Certified>, Vec<Refused>, Vec<String>) = Default::default();
        let (mut moves, mut open) = (Moves::default(), BTreeMap::new());
        for step in &flow.steps {
            warnings.extend(step.notes.iter().map(|note| format!("`{}`: {note}", step.path)));
            warnings.extend(
                step.label
                    .0
                    .iter()
                    .filter(|tag| !self.knows(tag))
                    .map(|tag| format!("`{}`: the tag `{tag}` is not declared, so that no policy looks at it", step.path)),
            );
            let Some(work) = &step.work else {
                steps.push(Certified { path: step.path.clone(), label: step.label.clone(), sites: Vec::new() });
                continue;
            };
            let mut best: Vec<String> = Vec::new();
            let mut work = Work {
                project: flow.project.clone(),
                workflow: flow.workflow.clone(),
                domain: String::new(),
                work: work.clone(),
            };
            for domain in domains {
                (*domain).clone_into(&mut work.domain);
                // Most steps carry what another one does.
                let open = open.entry((&step.label, &step.work, *domain));
                let open = open.or_insert_with(|| cache.open_to(self, fleet, &work, &step.label));
                let fit = open.iter().filter(|site| unlike(step, site, fleet).is_none());
                let reached = fit.filter(|site| self.reachable((&work, step), flow, &steps, site, fleet, &mut moves));
                best = reached.map(|site| (*site).to_owned()).collect();
                if !best.is_empty() {
                    break;
                }
            }
            // Why not is found out only where there is no place: most steps have one.
            if best.is_empty() {
                let options = self.options(&work, step, fleet, cache);
                // A site that nobody has registered yet is not the fault of a policy.
                if options.iter().any(|option| option.unlike.is_none()) {
                    refused.push(refusal(step, options));
                }
            }
            steps.push(Certified { path: step.path.clone(), label: step.label.clone(), sites: best });
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        let (rules, sites) = (self.digest(), fleet.digest());
        warnings.dedup();
        Ok(Certificate { workflow: flow.workflow.clone(), graph: flow.graph, rules, sites, steps, warnings })
    }

    fn options(&self, work: &Work, step: &Step, fleet: &Fleet, cache: &mut Cache) -> Vec<Choice> {
        let places = cache.places(self, fleet, work, &step.label);
        let of_site = |(site, verdict): (&String, &crate::Verdict)| {
            let unlike = unlike(step, site, fleet).map(|(key, wanted)| {
                let attributes = fleet.sites.get(site).map(|facts| &facts.attributes);
                let found = attributes.and_then(|all| all.get(key)).map_or("not set".into(), |found| format!("`{found}`"));
                format!("the step asks for `{key}` to be `{wanted}`, and it is {found}")
            });
            let policies = verdict.reasons.iter().map(|reason| (reason.policy.clone(), reason.because.clone())).collect();
            let refused = (!verdict.allowed).then(|| verdict.why());
            Choice { site: site.clone(), unlike, refused, policies }
        };
        places.iter().map(of_site).collect()
    }

    /// Whether data of every step before can come to a site: it is made there, or it may move.
    fn reachable(
        &self,
        (work, step): (&Work, &Step),
        flow: &Flow,
        before: &[Certified],
        site: &str,
        fleet: &Fleet,
        moves: &mut Moves,
    ) -> bool {
        step.takes.iter().all(|from| {
            let (Some(certified), Some(source)) = (before.get(*from), flow.steps.get(*from)) else { return true };
            // Sites stand in the order of the fleet, which is that of their names.
            if certified.sites.is_empty() || certified.sites.binary_search_by(|at| at.as_str().cmp(site)).is_ok() {
                return true;
            }
            // What the step before gives is known to be in what this one sees.
            let label = step_label(source, step);
            let known = moves.entry((work.clone(), label.clone())).or_default();
            certified.sites.iter().any(|at| {
                let ask = || self.may_move(work, &label, fleet, at, site).allowed;
                *known.entry((at.clone(), site.to_owned())).or_insert_with(ask)
            })
        })
    }
}

/// Moves that were asked about: of which work with which label, from where to where. Steps that are alike ask the same.
type Moves = BTreeMap<(Work, Label), BTreeMap<(String, String), bool>>;

/// What comes from one step to another.
fn step_label(source: &Step, step: &Step) -> Label {
    Label(source.label.0.intersection(&step.label.0).cloned().collect())
}

/// The first attribute that a step asks for and a site has not.
fn unlike<'s>(step: &'s Step, site: &str, fleet: &Fleet) -> Option<(&'s String, &'s String)> {
    let attributes = || fleet.sites.get(site).map(|facts| &facts.attributes);
    step.site.iter().find(|(key, wanted)| attributes().and_then(|all| all.get(*key)) != Some(*wanted))
}

fn refusal(step: &Step, mut options: Vec<Choice>) -> Refused {
    // Closest is what has one thing in its way, and of those what policy permits.
    options.sort_by_key(|option| {
        (option.unlike.is_some() && option.refused.is_some(), option.refused.is_some(), option.site.clone())
    });
    let policies: BTreeMap<String, String> =
        options.iter().filter(|option| option.refused.is_some()).flat_map(|option| option.policies.clone()).collect();
    let closest = options.into_iter().take(CLOSEST_MAX).map(|option| {
        let why = match (option.refused, option.unlike) {
            (Some(refused), Some(unlike)) => format!("{refused}; and {unlike}"),
            (Some(refused), None) => refused,
            (None, Some(unlike)) => format!("policy permits it, but {unlike}"),
            (None, None) => "policy permits it, but the data may not move there".into(),
        };
        (option.site, why)
    });
    Refused {
        path: step.path.clone(),
        label: step.label.clone(),
        trails: step.trails.clone(),
        policies,
        closest: closest.collect(),
        notes: step.notes.clone(),
    }
}
