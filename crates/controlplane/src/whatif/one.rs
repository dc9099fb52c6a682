//! What if, of one run: where its actions would go and what it would come to with other prices, another deadline or other rules, beside what it
//! comes to as things are. Both sides are counted in the same way, so that what differs comes from what was changed. Nothing is recorded, and
//! the run is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::event::Goal;
use engine::without_items;
use journal::RunRow;
use model::value::ArtifactRef;
use model::{Graph, Money, Node, NodeKind, ProjectSpec, Resources, Timestamp};
use placement::objective::{Late, Settings};
use placement::search::Effort;
use placement::sim::{AsExpected, Chooser, play};
use placement::{Demand, Explanation, Input, SiteView, Verdict};
use policy::{Fleet, Rules};
use prediction::Family;
use workflow::documents::Document;

use super::{SiteChange, changed, specs};
use crate::applying::read_all;
use crate::costs::SoFar;
use crate::foresight::{Ground, LATE_PER_HOUR, Outlook, Sketch};
use crate::governing::Ahead;
use crate::learning::node_at;
use crate::placer::outlook;
use crate::planning::idle;
use crate::projects::Bounds;
use crate::{ControlPlane, Fault, FaultKind, ProjectStand, SourceFile};

/// Plays of moved plans, shared by the tasks: somebody waits for the answer.
const EFFORT: usize = 3_000;
/// Sites that are named where an action has no place.
const SITES_NAMED: usize = 3;

/// What is to be different for a run.
#[derive(Clone, Debug, Default)]
pub struct Suppose {
    /// The action whose sites are compared one by one.
    pub action: Option<String>,
    /// What is different about sites.
    pub sites: Vec<SiteChange>,
    /// It should be done so long after its acceptance; as it was asked for when there is none.
    pub within: Option<model::Duration>,
    /// It has no deadline, whatever was asked for.
    pub no_deadline: bool,
    /// What an hour of lateness costs.
    pub late_per_hour: Option<Money>,
    /// What being late at all costs.
    pub late_fee: Option<Money>,
    /// Documents of rules (tags, policies, sanitizers) in the place of those of the same names, which count as approved, and what its project
    /// may spend and hold.
    pub documents: Vec<SourceFile>,
    /// Policies that are not there.
    pub without: Vec<String>,
}

/// What a run comes to.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// What is to come; none when nothing is left that needs a place, or something has none.
    pub to_come: Option<Outlook>,
    /// When it should be done.
    pub deadline: Option<Timestamp>,
    /// By node: the site that it would go to.
    pub places: BTreeMap<String, String>,
    /// By node that would have no place: why.
    pub nowhere: BTreeMap<String, String>,
    /// Every site with its terms, for the action that was asked for.
    pub explanation: Option<Explanation>,
    /// What bounds the money of it; none without a budget, or where nothing is to come.
    pub budget: Option<Budgeted>,
}

/// What may still be spent, and what a plan does with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgeted {
    /// What may be spent on what is to come.
    pub left: Money,
    /// By how much the plan goes beyond that.
    pub over: Money,
    /// The bounds in words.
    pub said: String,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// As things are.
    pub before: Side,
    /// As asked.
    pub after: Side,
    /// What such a comparison cannot know.
    pub limits: Vec<String>,
}

/// What is the same on both sides.
struct Scene<'a> {
    run: &'a RunRow,
    graph: &'a Graph,
    so_far: SoFar,
    now: Timestamp,
    /// The action that is looked at, and what it reads.
    action: Option<(String, Vec<Input>)>,
    /// Where its project stands without what the run itself holds and is expected to cost, since all of that is planned anew here; but what its
    /// running actions have used so far is spent. None for a run that has ended: today's money says nothing of its day.
    stand: Option<ProjectStand>,
}

/// What is different on a side.
struct Terms<'a> {
    sites: &'a [SiteView],
    ahead: &'a Ahead,
    goal: Option<Goal>,
    /// What its project may spend and hold, where that is another than it is.
    project: Option<&'a ProjectSpec>,
}

impl Scene<'_> {
    /// What bounds an action with such needs on a side.
    fn bounds(&self, terms: &Terms<'_>, needs: &Resources) -> Bounds {
        let Some(stand) = &self.stand else { return Bounds::default() };
        let spec = terms.project.unwrap_or(&stand.spec).clone();
        ProjectStand { spec, ..stand.clone() }.bounds(&self.run.project, needs, self.now)
    }
}

impl ControlPlane {
    /// What a run would come to if something were different. Of a run that has ended the whole is looked at, as if it were accepted again.
    pub fn suppose(&self, name: &str, asked: &Suppose) -> Result<Supposed, Fault> {
        let run = self.find_run(name)?;
        let graph = self.graph_of_run(&run.graph)?;
        let graph =
            graph.ok_or_else(|| Fault::new(FaultKind::Conflict, format!("the graph of `{name}` is not kept any more")))?;
        let over = run.finished_at.is_some();
        let rows = self.reader().sites().map_err(Fault::internal)?;
        let fleet: Vec<SiteView> = rows.iter().map(idle).collect();
        let so_far = if over { SoFar::default() } else { self.so_far(&run, &graph)? };
        let scene = Scene {
            stand: (!over).then(|| self.stand_without(&run, &graph, &so_far, &fleet)),
            so_far,
            now: if over { run.submitted_at } else { crate::clock::wall() },
            action: asked.action.as_ref().map(|path| self.looked_at(&run, path)).transpose()?,
            run: &run,
            graph: &graph,
        };
        let goal = self.reader().last_plan(&run).map_err(Fault::internal)?.and_then(|plan| plan.goal);
        let gate = |rules: Arc<Rules>, sites: &[SiteView]| {
            let (carried, names) = (self.carried_by(&run, &graph, &rules)?, (run.project.as_str(), run.domain.as_str()));
            let fleet = Fleet::new(specs(sites, &rows, &asked.sites).iter());
            Ok::<_, Fault>(Ahead::new((rules, Arc::default()), fleet, &graph, names, &carried, crate::clock::wall()))
        };
        let (rules, project) = self.asked_for(asked, &run.project)?;
        let sites = taken_away(&fleet, changed(&fleet, &asked.sites)?, &asked.sites);
        let ahead = gate(self.rules(), &fleet)?;
        let before = self.side(&scene, &Terms { sites: &fleet, ahead: &ahead, goal, project: None });
        let (ahead, goal) = (gate(rules, &sites)?, other_goal(goal, asked, &run));
        let after = self.side(&scene, &Terms { sites: &sites, ahead: &ahead, goal, project: project.as_ref() });
        Ok(Supposed { before, after, limits: limits(over) })
    }

    /// Where the project of an open run stands: see [`Scene`].
    fn stand_without(&self, run: &RunRow, graph: &Graph, so_far: &SoFar, fleet: &[SiteView]) -> ProjectStand {
        let mut stand = self.stands().read().of_all_but(&run.project, run.id, crate::clock::wall());
        for (path, site, seconds) in &so_far.running {
            let node = node_at(graph, path).filter(|node| node.kind.is_placed());
            let site = fleet.iter().find(|known| known.name == *site);
            if let Some((node, site)) = node.zip(site) {
                stand.promise(site.prices.of_use(&node.needs.resources, (seconds * 1e6) as u64));
            }
        }
        stand
    }

    /// An action of a run and what it reads, as far as copies of that are known.
    fn looked_at(&self, run: &RunRow, path: &str) -> Result<(String, Vec<Input>), Fault> {
        let row = self.reader().action(run.id, path).map_err(Fault::internal)?;
        let row = row.ok_or_else(|| {
            Fault::new(FaultKind::NotFound, format!("the run `{}` has no action `{path}`", run.name))
                .hint("`tutti describe` lists them")
        })?;
        let body = row.input.map(|(seq, n)| self.reader().body(seq, n)).transpose().map_err(Fault::internal)?.flatten();
        let files = body.iter().flat_map(ArtifactRef::all_in);
        let inputs = files.map(|file| Input { size: file.size, sites: self.sites().with_copy(&file.digest) });
        Ok((without_items(path), inputs.collect()))
    }

    /// The rules in force with these documents put in and these policies taken out, and what the run's project may, where a document says that.
    fn asked_for(&self, asked: &Suppose, project: &str) -> Result<(Arc<Rules>, Option<ProjectSpec>), Fault> {
        if asked.documents.is_empty() {
            return Ok((self.rules_with(&[], &asked.without)?, None));
        }
        let (read, outcome) = read_all(self.reader(), &asked.documents, &BTreeMap::new());
        if outcome.failed() {
            return Err(outcome.into());
        }
        let mut spec = None;
        for sourced in &read {
            match &sourced.document {
                Document::Project(own) if own.name == project => spec = Some(own.clone()),
                Document::Project(other) => {
                    let message = format!("the run is of the project `{project}`, and not of `{}`", other.name);
                    return Err(Fault::new(FaultKind::Malformed, message));
                }
                other if crate::governing::KINDS.contains(&other.kind()) => {}
                other => {
                    let message = format!(
                        "a document of kind {} is no rule: tags, policies, sanitizers, approvals and projects are",
                        other.kind()
                    );
                    return Err(Fault::new(FaultKind::Malformed, message));
                }
            }
        }
        Ok((self.rules_with(&read, &asked.without)?, spec))
    }

    fn side(&self, scene: &Scene<'_>, terms: &Terms<'_>) -> Side {
        let bounds = scene.bounds(terms, &Resources::default());
        let sketch = self.sketch(scene, terms, &bounds);
        let mut side = Side { deadline: terms.goal.map(|goal| goal.deadline), ..Side::default() };
        let tasks = sketch.world.tasks.len();
        let has_place = |task: usize| (0..terms.sites.len()).any(|site| sketch.world.may(&sketch.world.tasks[task], site));
        let stuck: BTreeSet<&String> = (0..tasks).filter(|task| !has_place(*task)).map(|task| &sketch.paths[task]).collect();
        if let Some(moves) = EFFORT.checked_div(tasks) {
            let found = sketch.plan(&Effort { moves: moves as u32, seed: 1 });
            let rule = || play(&sketch.world, &Chooser::Priced(Settings::default()), &AsExpected);
            let played = found.map_or_else(rule, |found| found.played);
            side.to_come = stuck.is_empty().then(|| sketch.outlook(&played.sites));
            side.budget = bounds.budget.map(|left| Budgeted {
                left,
                over: placement::objective::money(played.over_budget),
                said: bounds.said.clone().unwrap_or_default(),
            });
            let places = sketch.places(&played.sites).into_iter().filter(|place| !stuck.contains(&place.path));
            side.places = places.map(|place| (place.path, place.site)).collect();
        }
        let look = |path: &str, inputs: &[Input], places: &BTreeMap<String, String>| {
            self.explained(scene, terms, (&sketch, places), (path, inputs))
        };
        // What the server computes itself is no task of a sketch. It has to have a place all the same. And what stands behind something without a
        // place was never reached in the play.
        let mut others = Vec::new();
        instants(scene.graph, "", &scene.so_far.done, &mut others);
        others.extend(sketch.paths.iter().filter(|path| !side.places.contains_key(*path)).cloned());
        for path in others {
            if side.places.contains_key(&path) || side.nowhere.contains_key(&path) {
                continue;
            }
            let Some(explained) = look(&path, &[], &side.places) else { continue };
            // Where its project may hold no more for now, the best that could take it is where it goes later: it has a place and waits.
            let of = |verdict: Verdict| explained.sites.iter().find(|site| site.verdict == verdict);
            match of(Verdict::Chosen).or_else(|| of(Verdict::Possible)).filter(|_| !stuck.contains(&path)) {
                Some(chosen) => drop(side.places.insert(path, chosen.site.clone())),
                None => drop(side.nowhere.insert(path, why_not(&explained))),
            }
        }
        if !side.nowhere.is_empty() {
            (side.to_come, side.budget) = (None, None);
        }
        side.explanation = scene.action.as_ref().and_then(|(path, inputs)| look(path, inputs, &side.places));
        side
    }

    /// The world of what is left of the run on a side.
    fn sketch(&self, scene: &Scene<'_>, terms: &Terms<'_>, bounds: &Bounds) -> Sketch {
        let estimates = self.learned().read();
        let ground = Ground {
            workflow: &scene.graph.workflow,
            sites: terms.sites,
            estimates: &estimates,
            files: Vec::new(),
            permitted: &|path, work| terms.ahead.permitted(path, work, &|_| None),
            done: &|path| scene.so_far.done.contains(path),
            goal: terms.goal.map(|goal| bounds.thrifty(goal)),
            now: scene.now,
        };
        let mut sketch = Sketch::of(scene.graph, &ground);
        sketch.advance(&|path| scene.so_far.progress.get(path).copied());
        if scene.stand.is_some() {
            self.bind(&mut sketch, terms.sites, bounds);
        }
        sketch
    }

    /// Every site with its terms for one action, as the placer would judge them if every open site were idle.
    fn explained(
        &self,
        scene: &Scene<'_>,
        terms: &Terms<'_>,
        (sketch, places): (&Sketch, &BTreeMap<String, String>),
        (path, inputs): (&str, &[Input]),
    ) -> Option<Explanation> {
        let Terms { sites, ahead, goal, .. } = terms;
        let node = node_at(scene.graph, path).filter(|node| node.kind.is_placed())?;
        let work = node.kind.work();
        let family = Family { workflow: &scene.graph.workflow, path, work: &work };
        let mut demand = Demand::new(node.needs.clone(), 1, inputs.to_vec());
        {
            let estimates = self.learned().read();
            demand.outlooks = sites.iter().map(|site| outlook(&estimates, &family, site)).collect();
        }
        demand.permitted = ahead.permitted(path, &work, &|from| places.get(from).cloned());
        demand.late = goal.map(|goal| Late {
            deadline_s: goal.deadline.0 as f64 / 1e6 - scene.now.0 as f64 / 1e6,
            per_hour: goal.late_per_hour.units(),
            fee: goal.late_fee.units(),
        });
        let task = sketch.paths.iter().position(|known| known == path);
        demand.rest_s = task.and_then(|task| sketch.world.tasks.get(task)).map_or(0.0, |task| task.rest);
        let bounds = scene.bounds(terms, &node.needs.resources);
        demand.settings.risk /= bounds.thrift;
        (demand.budget, demand.at_most, demand.bounds) = (bounds.budget, bounds.count, bounds.said);
        Some(placement::plan(sites, &demand).explanation)
    }
}

/// The paths of the nodes that the server computes itself and that are not done.
fn instants(graph: &Graph, prefix: &str, done: &BTreeSet<String>, found: &mut Vec<String>) {
    graph.nodes.iter().for_each(|node| instants_of(node, format!("{prefix}{}", node.id), done, found));
}

fn instants_of(node: &Node, path: String, done: &BTreeSet<String>, found: &mut Vec<String>) {
    if done.contains(&path) {
        return;
    }
    match &node.kind {
        NodeKind::Use { connector, .. } if connectors::run_instant(connector, &serde_json::Value::Null, 1).is_some() => {
            found.push(path);
        }
        NodeKind::Each { body, .. } => instants_of(body, format!("{path}[]"), done, found),
        NodeKind::Workflow { graph } => instants(graph, &format!("{path}/"), done, found),
        _ => {}
    }
}

/// Why an action would have no place: what each of the first sites lacks.
fn why_not(explained: &Explanation) -> String {
    let lacking = |site: &&placement::Candidate| !matches!(site.verdict, Verdict::Chosen | Verdict::Possible);
    let said = explained.sites.iter().filter(lacking).take(SITES_NAMED).map(|site| format!("{}: {}", site.site, site.why));
    said.collect::<Vec<_>>().join("; ")
}

/// Sites that are taken away stay in the list, closed, so that the answer says so of them.
fn taken_away(fleet: &[SiteView], changed: Vec<SiteView>, changes: &[SiteChange]) -> Vec<SiteView> {
    let gone = |name: &str| changes.iter().any(|change| change.gone && change.site == name);
    let known = |name: &str| fleet.iter().find(|site| site.name == name);
    let site = |site: SiteView| match known(&site.name).filter(|_| gone(&site.name)) {
        Some(known) => SiteView { closed: Some("it is taken away here".to_owned()), ..known.clone() },
        None => site,
    };
    changed.into_iter().map(site).collect()
}

fn other_goal(goal: Option<Goal>, asked: &Suppose, run: &RunRow) -> Option<Goal> {
    if asked.no_deadline {
        return None;
    }
    let deadline = asked.within.map(|within| run.submitted_at.after(within)).or(goal.map(|goal| goal.deadline))?;
    Some(Goal {
        deadline,
        late_per_hour: asked.late_per_hour.or(goal.map(|goal| goal.late_per_hour)).unwrap_or(LATE_PER_HOUR),
        late_fee: asked.late_fee.or(goal.map(|goal| goal.late_fee)).unwrap_or_default(),
    })
}

fn limits(over: bool) -> Vec<String> {
    let mut limits = vec![
        "both sides are planned anew as if every open site were idle; where an action is or was stands in its recorded explanation",
        "how long an action takes at a site is estimated from what was seen; how long people take is not counted",
    ];
    limits.push(match over {
        true => "the run has ended: the whole of it is looked at, from its acceptance, with today's estimates and sites",
        false => "what has ended is left as it is; an action that runs is counted as if it could still go elsewhere",
    });
    if !over {
        limits.push("what may be spent is without what running actions of the run are expected to cost, and with what they have used so far");
    }
    limits.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteView {
        SiteView { name: name.into(), ..SiteView::default() }
    }

    #[test]
    fn a_site_that_is_taken_away_is_told_of() {
        let fleet = [site("a"), site("b")];
        let gone = SiteChange { site: "a".into(), gone: true, ..SiteChange::default() };
        let sites = taken_away(&fleet, changed(&fleet, std::slice::from_ref(&gone)).unwrap(), &[gone]);
        assert!(sites[0].closed.is_some() && sites[1].closed.is_none());
    }

    #[test]
    fn a_deadline_may_be_given_changed_and_taken_off() {
        let run = |asked: &Suppose, goal: Option<Goal>| other_goal(goal, asked, &test_run());
        let goal = Goal { deadline: Timestamp(5_000_000), late_per_hour: Money(7), late_fee: Money(1) };
        assert_eq!(run(&Suppose::default(), Some(goal)), Some(goal));
        assert_eq!(run(&Suppose::default(), None), None);
        assert_eq!(run(&Suppose { no_deadline: true, ..Suppose::default() }, Some(goal)), None);
        let within = Suppose { within: Some(model::Duration::from_secs(2)), ..Suppose::default() };
        assert_eq!(
            run(&within, None).map(|goal| (goal.deadline, goal.late_per_hour)),
            Some((Timestamp(3_000_000), LATE_PER_HOUR))
        );
        assert_eq!(run(&within, Some(goal)).map(|goal| (goal.deadline, goal.late_fee)), Some((Timestamp(3_000_000), Money(1))));
    }

    fn test_run() -> RunRow {
        RunRow {
            id: model::RunId(1),
            name: "one".into(),
            project: "t".into(),
            domain: "development".into(),
            workflow: "t/w".into(),
            graph: model::Digest([0; 32]),
            principal: "ana".into(),
            origin: serde_json::Value::Null,
            phase: model::Phase::Running,
            paused: false,
            submitted_at: Timestamp(1_000_000),
            finished_at: None,
            cost: Money(0),
            failure: None,
            outputs_seq: None,
            first_seq: model::Seq(1),
            last_seq: model::Seq(1),
            run_labels: BTreeMap::new(),
            actions_total: 0,
            actions_done: 0,
        }
    }
}
