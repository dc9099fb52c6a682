//! What if, of one run: where its actions would go and what it would come to with other prices, another deadline or other rules, beside what it
//! comes to as things are. Both sides are counted in the same way, so that what differs comes from what was changed. Nothing is recorded, and
//! the run is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::event::Goal;
use engine::without_items;
use journal::RunRow;
use model::value::ArtifactRef;
use model::{Graph, Label, Money, Timestamp};
use placement::objective::{Late, Settings};
use placement::search::Effort;
use placement::sim::{AsExpected, Chooser, play};
use placement::{Demand, Explanation, Input, SiteView, Verdict};
use policy::{Fleet, Rules};
use prediction::Family;

use super::{SiteChange, changed, specs};
use crate::applying::read_all;
use crate::costs::SoFar;
use crate::foresight::{Ground, LATE_PER_HOUR, Outlook, Sketch};
use crate::governing::{Ahead, inputs_carry};
use crate::learning::node_at;
use crate::placer::outlook;
use crate::planning::idle;
use crate::{ControlPlane, Fault, FaultKind, SourceFile};

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
    /// Documents of rules (tags, policies, sanitizers) in the place of those of the same names; they count as approved.
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
}

impl ControlPlane {
    /// What a run would come to if something were different. Of a run that has ended the whole is looked at, as if it were accepted again.
    pub fn suppose(&self, name: &str, asked: &Suppose) -> Result<Supposed, Fault> {
        let run = self.find_run(name)?;
        let graph = self.graph_of_run(&run.graph)?;
        let graph =
            graph.ok_or_else(|| Fault::new(FaultKind::Conflict, format!("the graph of `{name}` is not kept any more")))?;
        let over = run.finished_at.is_some();
        let scene = Scene {
            so_far: if over { SoFar::default() } else { self.so_far(&run, &graph)? },
            now: if over { run.submitted_at } else { crate::clock::wall() },
            action: asked.action.as_ref().map(|path| self.looked_at(&run, path)).transpose()?,
            run: &run,
            graph: &graph,
        };
        let rows = self.reader().sites().map_err(Fault::internal)?;
        let fleet: Vec<SiteView> = rows.iter().map(idle).collect();
        let carried = self.carried(&run, &graph)?;
        let goal = self.reader().last_plan(&run).map_err(Fault::internal)?.and_then(|plan| plan.goal);
        let gate = |rules: Arc<Rules>, sites: &[SiteView]| {
            let fleet = Fleet::new(specs(sites, &rows, &asked.sites).iter());
            Ahead::new((rules, Arc::default()), fleet, &graph, (&run.project, &run.domain), &carried, crate::clock::wall())
        };
        let before = self.side(&scene, &fleet, &gate(self.rules(), &fleet), goal);
        let sites = taken_away(&fleet, changed(&fleet, &asked.sites)?, &asked.sites);
        let rules = self.rules_as_if(&asked.documents, &asked.without)?;
        let after = self.side(&scene, &sites, &gate(rules, &sites), other_goal(goal, asked, &run));
        Ok(Supposed { before, after, limits: limits(over) })
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

    /// What the inputs of a run carry.
    fn carried(&self, run: &RunRow, graph: &Graph) -> Result<BTreeMap<String, Label>, Fault> {
        let inputs = self.reader().body(run.first_seq, 0).map_err(Fault::internal)?.unwrap_or_default();
        inputs_carry(&self.rules(), graph, &inputs, |artifact| self.reader().artifact_label(artifact).map_err(Fault::internal))
    }

    /// The rules in force with these documents put in and these policies taken out.
    fn rules_as_if(&self, documents: &[SourceFile], without: &[String]) -> Result<Arc<Rules>, Fault> {
        if documents.is_empty() {
            return self.rules_with(&[], without);
        }
        let (read, outcome) = read_all(self.reader(), documents, &BTreeMap::new());
        if outcome.failed() {
            return Err(outcome.into());
        }
        let others = read.iter().map(|sourced| sourced.document.kind()).find(|kind| !crate::governing::KINDS.contains(kind));
        if let Some(other) = others {
            let message = format!("a document of kind {other} is no rule: tags, policies, sanitizers and approvals are");
            return Err(Fault::new(FaultKind::Malformed, message));
        }
        self.rules_with(&read, without)
    }

    fn side(&self, scene: &Scene<'_>, sites: &[SiteView], ahead: &Ahead, goal: Option<Goal>) -> Side {
        let estimates = self.learned().read();
        let ground = Ground {
            workflow: &scene.graph.workflow,
            sites,
            estimates: &estimates,
            files: Vec::new(),
            permitted: &|path, work| ahead.permitted(path, work, &|_| None),
            done: &|path| scene.so_far.done.contains(path),
            goal,
            now: scene.now,
        };
        let mut sketch = Sketch::of(scene.graph, &ground);
        sketch.advance(&|path| scene.so_far.progress.get(path).copied());
        drop(estimates);
        let mut side = Side { deadline: goal.map(|goal| goal.deadline), ..Side::default() };
        let tasks = sketch.world.tasks.len();
        let has_place = |task: usize| (0..sites.len()).any(|site| sketch.world.may(&sketch.world.tasks[task], site));
        let stuck: BTreeSet<String> =
            (0..tasks).filter(|task| !has_place(*task)).map(|task| sketch.paths[task].clone()).collect();
        if let Some(moves) = EFFORT.checked_div(tasks) {
            let found = sketch.plan(&Effort { moves: moves as u32, seed: 1 });
            let rule = || play(&sketch.world, &Chooser::Priced(Settings::default()), &AsExpected).sites;
            let chosen = found.map_or_else(rule, |found| found.sites);
            side.to_come = stuck.is_empty().then(|| sketch.outlook(&chosen));
            let places = sketch.places(&chosen).into_iter().filter(|place| !stuck.contains(&place.path));
            side.places = places.map(|place| (place.path, place.site)).collect();
        }
        let look =
            |path: &str, inputs: &[Input]| self.explained(scene, (sites, ahead), goal, (&sketch, &side.places), (path, inputs));
        let nowhere = |path: &String| (path.clone(), look(path, &[]).map_or_else(String::new, |explained| why_not(&explained)));
        let nowhere = stuck.iter().map(nowhere).collect();
        let explanation = scene.action.as_ref().and_then(|(path, inputs)| look(path, inputs));
        // What stands behind something without a place was never reached in the play; it has one all the same.
        let behind = sketch.paths.iter().filter(|path| !stuck.contains(*path) && !side.places.contains_key(*path));
        let chosen = |explained: Explanation| {
            explained.sites.into_iter().find(|site| site.verdict == Verdict::Chosen).map(|chosen| chosen.site)
        };
        let found = behind.filter_map(|path| Some((path.clone(), look(path, &[]).and_then(chosen)?)));
        let found: BTreeMap<String, String> = found.collect();
        side.places.extend(found);
        Side { nowhere, explanation, ..side }
    }

    /// Every site with its terms for one action, as the placer would judge them if every open site were idle.
    fn explained(
        &self,
        scene: &Scene<'_>,
        (sites, ahead): (&[SiteView], &Ahead),
        goal: Option<Goal>,
        (sketch, places): (&Sketch, &BTreeMap<String, String>),
        (path, inputs): (&str, &[Input]),
    ) -> Option<Explanation> {
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
        if let Some(stand) = self.stands().read().get(&scene.run.project) {
            let bounds = stand.bounds(&scene.run.project, &node.needs.resources, crate::clock::wall());
            demand.settings.risk /= bounds.thrift;
            (demand.budget, demand.at_most, demand.bounds) = (bounds.budget, bounds.count, bounds.said);
        }
        Some(placement::plan(sites, &demand).explanation)
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
