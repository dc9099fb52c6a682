//! The dispatcher played: jobs come, every one that waits is decided again whenever something ends, by the code that decides in the server
//! (decisions, backlogs, estimates, trying, shares, keeping, budgets), on lengths that nobody knows before. What settings of decisions are
//! judged by, that a play of whole graphs knows nothing of.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::graph::Needs;
use model::{ActionKey, ActionNo, Money, Resources, RunId};
use placement::explore::{Purse, SHARE};
use placement::keeping::{KEEP_S, Kept};
use placement::objective::{Late, Odds, Settings};
use placement::shares::{Claim, PATIENCE_OF_ORDER_S, dominant, is_entitled, next};
use placement::sim::At;
use placement::thrift::{THRIFT_MAX, THRIFT_POWER, pace, thrift};
use placement::{Backlog, Demand, Outlook, SiteView, plan};
use prediction::{Basis, Ended, Estimates, Family, Observation};

/// Jobs of a project that find no place in a turn before no more of it are looked at: those behind them are when something ends. Of each project, since
/// a site may be kept for one whose project is not the first.
const LOOK: usize = 24;

/// Something to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Job {
    pub(super) project: usize,
    /// What it is of: jobs of a family take about as long.
    pub(super) family: usize,
    pub(super) cores: u32,
    pub(super) arrives_s: f64,
    /// When it should be done, when that matters.
    pub(super) due_s: Option<f64>,
    pub(super) late_per_hour: f64,
}

/// Who wants something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Project {
    pub(super) weight: f64,
    /// What it may spend in each period, when there is a bound.
    pub(super) budget: Option<f64>,
}

/// How it really is.
pub(super) trait Truth {
    /// Seconds that a job runs at a site.
    fn runs(&self, job: usize, site: usize) -> f64;
    /// Seconds from its placement to its beginning.
    fn starts(&self, job: usize, site: usize) -> f64;
}

/// How decisions are set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) settings: Settings,
    /// The share of spending that may go into trying.
    pub(super) share: f64,
    /// Attempts at a site from which on its starts count.
    pub(super) starts: u64,
    /// The most that lateness is divided by.
    pub(super) thrift: f64,
    /// The power of the pace that it is divided by.
    pub(super) power: f64,
    /// Seconds after which age decides, and a site is kept.
    pub(super) order_s: f64,
    /// Seconds that a site is kept.
    pub(super) keep_s: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            settings: Settings::default(),
            share: SHARE,
            starts: 8,
            thrift: THRIFT_MAX,
            power: THRIFT_POWER,
            order_s: PATIENCE_OF_ORDER_S,
            keep_s: KEEP_S,
        }
    }
}

/// What is played.
pub(super) struct Yard<'a> {
    pub(super) sites: Vec<SiteView>,
    pub(super) jobs: &'a [Job],
    pub(super) projects: Vec<Project>,
    /// Seconds after which budgets begin anew.
    pub(super) period_s: f64,
    /// What is known before: family, site, seconds.
    pub(super) known: Vec<(usize, usize, f64)>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Everything that was paid for.
    pub(super) bill: f64,
    /// What lateness cost.
    pub(super) late_cost: f64,
    /// The longest wait of a job of the last project.
    pub(super) longest_of_last_s: f64,
    /// Core-seconds that the jobs of all others waited.
    pub(super) waited_of_others_s: f64,
}

impl Outcome {
    pub(super) fn objective(&self) -> f64 {
        self.bill + self.late_cost
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Ends(usize),
    Period,
    Arrives(usize),
}

#[derive(Clone, Copy)]
struct Placed {
    site: usize,
    at_s: f64,
    starts_s: f64,
    runs_s: f64,
    bill: f64,
    promised: f64,
}

struct Play<'a, 'y> {
    yard: &'a Yard<'y>,
    truth: &'a dyn Truth,
    rules: &'a Rules,
    now_s: f64,
    heap: BinaryHeap<Reverse<(At, Happening)>>,
    views: Vec<SiteView>,
    backlogs: Vec<Backlog>,
    estimates: Estimates,
    purse: Purse,
    kept: Kept,
    queued: Vec<usize>,
    placed: Vec<Option<Placed>>,
    held: Vec<Resources>,
    spent: Vec<(f64, f64)>,
    out: Outcome,
}

fn cores(cores: u32) -> Resources {
    Resources { cpu_millis: cores * 1_000, ..Resources::default() }
}

fn key(job: usize) -> ActionKey {
    ActionKey::new(RunId(1), ActionNo(job as u32))
}

/// The name of a family as estimates know it.
fn path(family: usize) -> String {
    format!("f{family}")
}

impl Yard<'_> {
    /// Plays it.
    pub(super) fn play(&self, truth: &dyn Truth, rules: &Rules) -> Outcome {
        let mut play = Play {
            yard: self,
            truth,
            rules,
            now_s: 0.0,
            heap: BinaryHeap::new(),
            views: self.sites.clone(),
            backlogs: vec![Backlog::default(); self.sites.len()],
            estimates: Estimates::default(),
            purse: Purse::of(rules.share),
            kept: Kept::after(rules.order_s, rules.keep_s),
            queued: Vec::new(),
            placed: vec![None; self.jobs.len()],
            held: vec![Resources::default(); self.projects.len()],
            spent: vec![(0.0, 0.0); self.projects.len()],
            out: Outcome::default(),
        };
        for (family, site, wall_s) in &self.known {
            play.learn(*family, *site, *wall_s, 0.1);
        }
        for (number, job) in self.jobs.iter().enumerate() {
            play.heap.push(Reverse((At(job.arrives_s), Happening::Arrives(number))));
        }
        if self.projects.iter().any(|project| project.budget.is_some()) {
            play.heap.push(Reverse((At(self.period_s), Happening::Period)));
        }
        play.run();
        play.out
    }
}

impl Play<'_, '_> {
    fn run(&mut self) {
        let mut left = self.yard.jobs.len();
        while let Some(Reverse((at, happening))) = self.heap.pop() {
            if left == 0 {
                return;
            }
            self.now_s = at.0;
            match happening {
                Happening::Arrives(job) => self.queued.push(job),
                Happening::Period => {
                    self.spent.iter_mut().for_each(|spent| spent.0 = 0.0);
                    self.heap.push(Reverse((At(self.now_s + self.yard.period_s), Happening::Period)));
                }
                Happening::Ends(job) => {
                    self.ends(job);
                    left -= 1;
                }
            }
            // What comes at the same moment is looked at together.
            if self.heap.peek().is_none_or(|Reverse((next, _))| next.0 > self.now_s) {
                self.turn();
            }
        }
        // What waits for ever counts nothing, and would make the worst rule the best.
        assert_eq!(left, 0, "so many jobs never found a place");
    }

    fn learn(&mut self, family: usize, site: usize, wall_s: f64, overhead_s: f64) {
        let (path, site) = (path(family), self.yard.sites[site].name.clone());
        self.estimates.learn(&Observation {
            family: Family { workflow: "bench/yard", path: &path, work: "run" },
            site: &site,
            ended: Ended::Succeeded,
            wall_s,
            memory_bytes: 0.0,
            asked_bytes: 0.0,
            bytes_in: 0.0,
            bytes_out: 0.0,
            wait_s: 0.0,
            overhead_s,
        });
    }

    fn ends(&mut self, number: usize) {
        let (job, Some(placed)) = (self.yard.jobs[number], self.placed[number]) else { return };
        self.views[placed.site].free = self.views[placed.site].free.plus(&cores(job.cores));
        self.held[job.project] = self.held[job.project].minus(&cores(job.cores));
        self.backlogs[placed.site].end(key(number));
        let spent = &mut self.spent[job.project];
        *spent = (spent.0 + placed.bill, (spent.1 - placed.promised).max(0.0));
        self.out.bill += placed.bill;
        let late_s = job.due_s.map_or(0.0, |due_s| (self.now_s - due_s).max(0.0));
        self.out.late_cost += late_s / 3_600.0 * job.late_per_hour;
        let waited_s = placed.at_s - job.arrives_s;
        if job.project + 1 == self.yard.projects.len() {
            self.out.longest_of_last_s = self.out.longest_of_last_s.max(waited_s);
        } else {
            self.out.waited_of_others_s += waited_s * f64::from(job.cores);
        }
        self.learn(job.family, placed.site, placed.runs_s, placed.starts_s);
    }

    /// Looks at what waits, as the run loop does: of the project that holds least for its share first, what came first of each.
    fn turn(&mut self) {
        let all = self.yard.sites.iter().fold(Resources::default(), |all, site| all.plus(&site.capacity));
        let mut line = std::mem::take(&mut self.queued);
        let (mut left, mut passed) = (Vec::new(), vec![0; self.yard.projects.len()]);
        let wants = |line: &[usize], project: usize| line.iter().position(|job| self.yard.jobs[*job].project == project);
        let waiting: Vec<usize> = (0..self.yard.projects.len()).filter(|project| wants(&line, *project).is_some()).collect();
        loop {
            let standing = |project: usize| dominant(&self.held[project], &all) / self.yard.projects[project].weight;
            let looked_at = waiting.iter().filter(|project| passed[**project] < LOOK);
            let firsts: Vec<usize> = looked_at.filter_map(|project| wants(&line, *project)).collect();
            let claim = |at: &usize| {
                let job = self.yard.jobs[line[*at]];
                Claim { waited_s: self.now_s - job.arrives_s, standing: standing(job.project) }
            };
            let Some(at) = next(&firsts.iter().map(claim).collect::<Vec<_>>()) else { break };
            let number = line.remove(firsts[at]);
            let project = self.yard.jobs[number].project;
            let entitled = is_entitled(standing(project), waiting.iter().map(|other| standing(*other)));
            if !self.place(number, entitled) {
                left.push(number);
                passed[project] += 1;
            }
        }
        left.append(&mut line);
        left.sort_by(|a, b| self.yard.jobs[*a].arrives_s.total_cmp(&self.yard.jobs[*b].arrives_s).then(a.cmp(b)));
        self.queued = left;
    }

    /// What is expected of a family at a site, as the server turns estimates into it.
    fn outlook(&self, family: usize, site: usize, needs: &Resources) -> Outlook {
        let (path, view) = (path(family), &self.views[site]);
        let family = Family { workflow: "bench/yard", path: &path, work: "run" };
        let mut outlook = Outlook { failure_rate: 0.0, ..Outlook::default() };
        if let Some(run) = self.estimates.duration(&family, &view.name) {
            outlook.run = Odds { mid: run.mid, mean: run.mean, deviation: run.deviation() };
            outlook.interval_s = (run.low, run.high);
            outlook.samples = run.samples;
            outlook.here = run.basis == Basis::TaskAtSite;
        }
        if let Some(start) = self.estimates.overhead(&view.name).filter(|start| start.samples >= self.rules.starts) {
            outlook.start = Odds { mid: start.mid, mean: start.mean, deviation: start.deviation() };
        }
        if !view.free.covers(needs) {
            let wait = self.backlogs[site].wait_s((self.now_s * 1e6) as u64, &view.free, needs);
            outlook.wait = Odds { mid: wait, mean: wait, deviation: wait * 0.5 };
        }
        outlook
    }

    fn place(&mut self, number: usize, entitled: bool) -> bool {
        let job = self.yard.jobs[number];
        let needs = cores(job.cores);
        let mut demand = Demand::new(Needs { resources: needs, ..Needs::default() }, 1, Vec::new());
        demand.settings = self.rules.settings;
        demand.outlooks = (0..self.views.len()).map(|site| self.outlook(job.family, site, &needs)).collect();
        demand.waited_s = self.now_s - job.arrives_s;
        demand.explore = self.purse.allowance();
        let per_hour = job.late_per_hour;
        demand.late = job.due_s.map(|due_s| Late { deadline_s: due_s - self.now_s, per_hour, fee: 0.0 });
        if let Some(cap) = self.yard.projects[job.project].budget {
            let (spent, promised) = self.spent[job.project];
            let part = (self.now_s % self.yard.period_s) / self.yard.period_s;
            demand.budget = Some(Money::from_units((cap - spent - promised).max(0.0)));
            demand.settings.risk /= thrift(pace(spent + promised, cap, part), self.rules.power, self.rules.thrift);
        }
        let mut views = std::borrow::Cow::Borrowed(&self.views);
        if !self.kept.is_empty() {
            for (site, view) in views.to_mut().iter_mut().enumerate() {
                let longest = demand.outlooks[site].interval_s.1;
                view.closed = self.kept.closes(&view.name, &[key(number)], self.now_s, longest);
            }
        }
        let decided = plan(&views, &demand);
        let Some((name, _)) = decided.assignments.first() else {
            let room = (0..self.views.len()).map(|site| demand.outlooks[site].wait.mid).enumerate();
            if let Some((site, room_s)) = room.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|_| entitled) {
                self.kept.keep(&self.views[site].name, self.views.len(), key(number), demand.waited_s, self.now_s, room_s);
            }
            return false;
        };
        let judged = decided.explanation.sites.iter().find(|judged| judged.site == *name);
        let expected = judged.map_or(0.0, |judged| judged.expected.units() - judged.late.units());
        self.purse.note(Money::from_units(judged.map_or(0.0, |judged| judged.expected.units())), decided.explanation.tried);
        let site = self.views.iter().position(|view| view.name == *name).unwrap_or(0);
        let mid = demand.outlooks[site].run.sane().mid;
        self.begin(number, site, mid, expected);
        true
    }

    fn begin(&mut self, number: usize, site: usize, mid: f64, promised: f64) {
        let job = self.yard.jobs[number];
        let needs = cores(job.cores);
        let (starts_s, runs_s) = (self.truth.starts(number, site), self.truth.runs(number, site));
        let bill = self.views[site].prices.of_use(&needs, (runs_s * 1e6) as u64).units();
        self.views[site].free = self.views[site].free.minus(&needs);
        self.held[job.project] = self.held[job.project].plus(&needs);
        self.spent[job.project].1 += promised;
        self.backlogs[site].begin(key(number), ((self.now_s + mid) * 1e6) as u64, needs);
        self.placed[number] = Some(Placed { site, at_s: self.now_s, starts_s, runs_s, bill, promised });
        let placed = &self.placed;
        self.kept.tidy(|of| placed.get(of.action.0 as usize).is_some_and(Option::is_none));
        self.heap.push(Reverse((At(self.now_s + starts_s + runs_s), Happening::Ends(number))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foresight::scenarios;

    #[test]
    fn what_is_wide_waits_less_than_half_as_long_where_sites_are_kept_although_lengths_stray() {
        let longest = |rules: &Rules| (0..3).map(|seed| scenarios::keeping(seed, rules).longest_of_last_s).fold(0.0, f64::max);
        let (kept, never) = (longest(&Rules::default()), longest(&Rules { order_s: 1e9, ..Rules::default() }));
        assert!(kept < 0.5 * never, "{kept} s, and {never} s without");
    }
}
