//! Estimates by task and site, and of their kin where little is known of them.

use std::collections::BTreeMap;

use crate::beliefs::Beliefs;
use crate::series::Series;
use crate::sizing::Sizer;

/// Series kept; the ones that were not asked of or taught for longest go first.
const SERIES_MAX: usize = 40_000;
/// What is longer than this was a clock.
const LONGEST_S: f64 = 30.0 * 86_400.0;
/// What holds more than this was a counter.
const LARGEST_BYTES: f64 = (1u64 << 46) as f64;

/// What an action is of: the same node of the same workflow, whatever the run and whatever the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family<'a> {
    /// The workflow.
    pub workflow: &'a str,
    /// The path of the node, without the numbers of items.
    pub path: &'a str,
    /// The connector, the task, or `run`.
    pub work: &'a str,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Succeeded,
    /// By a fault of its own.
    Failed,
    /// Killed, since it held more memory than it may.
    OutOfMemory,
    /// Its place was taken away: a site that was lost or drained, spot capacity that was called back.
    Preempted,
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// What it was of.
    pub family: Family<'a>,
    /// Where it ran.
    pub site: &'a str,
    /// How it ended.
    pub ended: Ended,
    /// Seconds that it ran.
    pub wall_s: f64,
    /// Bytes of memory that it held at most; 0 when nobody measured.
    pub memory_bytes: f64,
    /// Bytes of memory that it had asked for; 0 for none.
    pub asked_bytes: f64,
    /// Bytes of artifacts that it read.
    pub bytes_in: f64,
    /// Bytes of artifacts that it made.
    pub bytes_out: f64,
    /// Seconds that it waited for a place.
    pub wait_s: f64,
    /// Seconds from its placement to its end that it did not run.
    pub overhead_s: f64,
}

/// What an estimate rests on, from the best to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The same task at the same site.
    TaskAtSite,
    /// The same task at other sites, with how fast this one is beside them.
    Task,
    /// Tasks that do the same work: the same connector, or commands.
    Work,
    /// Everything seen.
    Everything,
    /// Nothing yet: an assumption.
    Assumed,
}

/// A number with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Below it lie 5 of 100.
    pub low: f64,
    /// The median.
    pub mid: f64,
    /// Above it lie 5 of 100.
    pub high: f64,
    /// The mean.
    pub mean: f64,
    /// How many values it is from.
    pub samples: u64,
    /// What it rests on.
    pub basis: Basis,
    /// The share of earlier values that lay inside of the interval that had been said of them; none when nothing was judged.
    pub coverage: Option<f64>,
}

impl Estimate {
    /// What is taken when nothing is known: any length between a tenth and ten times the guess.
    pub fn assumed(mid: f64) -> Estimate {
        Estimate { low: mid / 10.0, mid, high: mid * 10.0, mean: mid * 2.0, samples: 0, basis: Basis::Assumed, coverage: None }
    }

    /// The standard deviation of a normal variable with this interval.
    pub fn deviation(&self) -> f64 {
        ((self.high - self.low) / 3.29).max(0.0)
    }

    fn of(series: &Series, (factor, widen): (f64, f64), basis: Basis, beliefs: &Beliefs) -> Option<Estimate> {
        let said = series.interval(beliefs)?;
        let (share, judged) = series.coverage();
        let mid = said.mid * factor;
        Some(Estimate {
            low: said.low * factor / widen,
            mid,
            high: said.high * factor * widen,
            mean: series.mean(beliefs)? * factor,
            samples: series.seen(),
            basis,
            coverage: (judged > 0).then_some(share),
        })
    }
}

/// How often attempts ended badly, with what was believed before the first.
#[derive(Clone, Copy, Debug, Default)]
struct Outcomes {
    attempts: f64,
    failures: f64,
    /// Seconds run and places lost, for the hazard of spot capacity.
    seconds: f64,
    lost: f64,
}

/// All that is known of one key.
#[derive(Clone, Debug, Default)]
struct Known {
    wall: Series,
    /// Lengths of attempts that failed: they say that a success takes at least about as long.
    failed_wall: Series,
    memory: Series,
    output: Series,
    outcomes: Outcomes,
    touched: u64,
}

#[derive(Clone, Debug, Default)]
struct AtSite {
    wait: Series,
    overhead: Series,
    outcomes: Outcomes,
    /// The sum of logarithms of how much longer tasks take here than elsewhere, and of how many.
    slower: (f64, f64),
}

/// What a series is of; names are numbers so that a look-up makes no text.
type Key = (u8, u32, u32, u32);
const AT_SITE: u8 = 0;
const TASK: u8 = 1;
const WORK: u8 = 2;
const EVERYTHING: Key = (3, 0, 0, 0);

/// What is known, by task and site. Made anew from the journal at every start; the same observations in the same order give the same.
#[derive(Clone, Debug, Default)]
pub struct Estimates {
    names: BTreeMap<String, u32>,
    known: BTreeMap<Key, Known>,
    sites: BTreeMap<u32, AtSite>,
    sizers: BTreeMap<(u32, u32), Sizer>,
    /// How many items maps had.
    items: BTreeMap<(u32, u32), Series>,
    learned: u64,
    beliefs: Beliefs,
}

impl Estimates {
    /// Nothing seen yet, and something else believed than by default: for back-tests.
    pub fn believing(beliefs: Beliefs) -> Estimates {
        Estimates { beliefs, ..Estimates::default() }
    }

    fn id(&self, name: &str) -> u32 {
        self.names.get(name).copied().unwrap_or(u32::MAX)
    }

    fn intern(&mut self, name: &str) -> u32 {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.insert(name.to_owned(), id);
        id
    }

    /// Takes in how many items a map had.
    pub fn learn_items(&mut self, workflow: &str, path: &str, items: u64) {
        let key = (self.intern(workflow), self.intern(path));
        self.items.entry(key).or_default().learn(items as f64, &self.beliefs);
    }

    /// How many items a map will have.
    pub fn items(&self, workflow: &str, path: &str) -> Option<f64> {
        Some(self.items.get(&(self.id(workflow), self.id(path)))?.interval(&self.beliefs)?.mid)
    }

    /// Observations taken in.
    pub fn learned(&self) -> u64 {
        self.learned
    }

    /// Takes in an attempt that ended. Numbers that cannot be are cut to what can.
    pub fn learn(&mut self, seen: &Observation<'_>) {
        self.learned += 1;
        let (workflow, path) = (self.intern(seen.family.workflow), self.intern(seen.family.path));
        let (work, site) = (self.intern(seen.family.work), self.intern(seen.site));
        let wall = if seen.wall_s.is_nan() { 0.0 } else { seen.wall_s.clamp(0.0, LONGEST_S) };
        let beliefs = self.beliefs;
        let elsewhere =
            self.known.get(&(TASK, workflow, path, 0)).and_then(|known| known.wall.interval(&beliefs).map(|at| at.mid));
        for key in [(AT_SITE, workflow, path, site), (TASK, workflow, path, 0), (WORK, work, 0, 0), EVERYTHING] {
            let known = self.known.entry(key).or_default();
            known.touched = self.learned;
            known.learn(seen, wall, &beliefs);
        }
        let at = self.sites.entry(site).or_default();
        at.wait.learn(seen.wait_s.clamp(1e-3, LONGEST_S), &beliefs);
        at.overhead.learn(seen.overhead_s.clamp(1e-3, LONGEST_S), &beliefs);
        at.outcomes.note(seen.ended, wall);
        if let (Ended::Succeeded, Some(elsewhere), true) = (seen.ended, elsewhere, wall > 0.0) {
            at.slower.0 += (wall / elsewhere).ln().clamp(-3.0, 3.0);
            at.slower.1 += 1.0;
        }
        if seen.memory_bytes > 0.0 || seen.ended == Ended::OutOfMemory {
            let sizer = self.sizers.entry((workflow, path)).or_insert_with(|| Sizer::believing(beliefs));
            sizer.learn(seen.bytes_in, seen.memory_bytes.min(LARGEST_BYTES), wall, seen.ended == Ended::OutOfMemory);
        }
        self.forget();
    }

    /// Keeps the size bounded: the oldest tenth goes.
    fn forget(&mut self) {
        if self.known.len() <= SERIES_MAX {
            return;
        }
        let mut touched: Vec<u64> = self.known.values().map(|known| known.touched).collect();
        touched.sort_unstable();
        let before = touched.get(SERIES_MAX / 10).copied().unwrap_or_default();
        self.known.retain(|_, known| known.touched > before);
        let known = &self.known;
        self.sizers.retain(|(workflow, path), _| known.contains_key(&(TASK, *workflow, *path, 0)));
    }

    /// How much longer a task takes at a site than elsewhere: 1 until it is known better.
    fn slower(&self, site: u32) -> f64 {
        self.sites.get(&site).map_or(1.0, |at| (at.slower.0 / (at.slower.1 + self.beliefs.same_speed)).exp())
    }

    /// The keys that say something of a task at a site, the best first, with the factor and the widening that go with each.
    fn chain(&self, family: &Family<'_>, site: &str) -> [(Key, f64, f64, Basis); 4] {
        let (workflow, path) = (self.id(family.workflow), self.id(family.path));
        let (work, site) = (self.id(family.work), self.id(site));
        let slower = self.slower(site);
        let [task, work_widens, everything] = self.beliefs.widen;
        [
            ((AT_SITE, workflow, path, site), 1.0, 1.0, Basis::TaskAtSite),
            ((TASK, workflow, path, 0), slower, task, Basis::Task),
            ((WORK, work, 0, 0), slower, work_widens, Basis::Work),
            (EVERYTHING, slower, everything, Basis::Everything),
        ]
    }

    fn best(&self, family: &Family<'_>, site: &str, of: impl Fn(&Known) -> &Series, scaled: bool) -> Option<Estimate> {
        let mut weak = None;
        for (key, factor, widen, basis) in self.chain(family, site) {
            let Some(series) = self.known.get(&key).map(&of) else { continue };
            let factor = if scaled { factor } else { 1.0 };
            // One or two values of the very task beat thousands of others, but not one of the same task elsewhere that is well known.
            if series.seen() >= self.beliefs.enough {
                let better = weak.filter(|weak: &Estimate| weak.basis == Basis::TaskAtSite && basis > Basis::Task);
                return better.or_else(|| Estimate::of(series, (factor, widen), basis, &self.beliefs));
            }
            weak = weak.or_else(|| Estimate::of(series, (factor, widen), basis, &self.beliefs));
        }
        weak
    }

    /// Seconds that an action of a task runs at a site.
    pub fn duration(&self, family: &Family<'_>, site: &str) -> Option<Estimate> {
        let mut best = self.best(family, site, |known| &known.wall, true);
        let (workflow, path) = (self.id(family.workflow), self.id(family.path));
        // Failures only: a success takes at least about as long, and nobody knows how much longer.
        if best.is_none_or(|best| best.basis > Basis::Task)
            && let Some(known) = self.known.get(&(TASK, workflow, path, 0))
            && let Some(failed) = Estimate::of(&known.failed_wall, (1.0, 2.0), Basis::Task, &self.beliefs)
            && best.is_none_or(|best| best.high < failed.high)
        {
            best = Some(failed);
        }
        best
    }

    /// Bytes of memory that an action of a task holds at most.
    pub fn memory(&self, family: &Family<'_>, site: &str) -> Option<Estimate> {
        self.best(family, site, |known| &known.memory, false).filter(|estimate| estimate.basis <= Basis::Task)
    }

    /// Bytes of artifacts that an action of a task makes.
    pub fn output(&self, family: &Family<'_>, site: &str) -> Option<Estimate> {
        self.best(family, site, |known| &known.output, false).filter(|estimate| estimate.basis <= Basis::Task)
    }

    /// Seconds that actions wait for a place at a site.
    pub fn wait(&self, site: &str) -> Option<Estimate> {
        let at = self.sites.get(&self.id(site))?;
        Estimate::of(&at.wait, (1.0, 1.0), Basis::TaskAtSite, &self.beliefs)
    }

    /// Seconds between placement and end that actions do not run: starting, staging, reporting.
    pub fn overhead(&self, site: &str) -> Option<Estimate> {
        let at = self.sites.get(&self.id(site))?;
        Estimate::of(&at.overhead, (1.0, 1.0), Basis::TaskAtSite, &self.beliefs)
    }

    /// The share of attempts of a task that fail by a fault of their own.
    pub fn failure_rate(&self, family: &Family<'_>, site: &str) -> f64 {
        let chain = self.chain(family, site);
        let enough = |key: &Key| self.known.get(key).filter(|known| known.outcomes.attempts >= self.beliefs.enough as f64);
        let known = chain.iter().take(2).find_map(|(key, ..)| enough(key));
        let outcomes = known.map(|known| known.outcomes).unwrap_or_default();
        (outcomes.failures + self.beliefs.failures) / (outcomes.attempts + self.beliefs.attempts)
    }

    /// Places lost at a site an hour, given what its registration says: a Gamma-Poisson posterior in which that is worth some hours.
    pub fn hazard_per_hour(&self, site: &str, said: f64) -> f64 {
        let outcomes = self.sites.get(&self.id(site)).map(|at| at.outcomes).unwrap_or_default();
        let hours = self.beliefs.hazard_hours;
        (said.max(0.0) * hours + outcomes.lost) / (hours + outcomes.seconds / 3600.0)
    }

    /// Bytes of memory to ask for, when the history of a task says so. `killed_at` is what the attempt before asked for when it was killed
    /// for holding more.
    pub fn memory_to_ask(&self, family: &Family<'_>, bytes_in: f64, killed_at: Option<f64>) -> Option<crate::sizing::Advice> {
        self.sizers.get(&(self.id(family.workflow), self.id(family.path)))?.advise(bytes_in, killed_at)
    }
}

impl Known {
    fn learn(&mut self, seen: &Observation<'_>, wall: f64, beliefs: &Beliefs) {
        self.outcomes.note(seen.ended, wall);
        match seen.ended {
            Ended::Succeeded => {
                self.wall.learn(wall, beliefs);
                self.output.learn(seen.bytes_out.clamp(0.0, LARGEST_BYTES), beliefs);
                self.memory.learn(seen.memory_bytes.clamp(0.0, LARGEST_BYTES), beliefs);
            }
            Ended::Failed | Ended::OutOfMemory => self.failed_wall.learn(wall, beliefs),
            // It says nothing of how long it would have taken.
            Ended::Preempted => {}
        }
    }
}

impl Outcomes {
    fn note(&mut self, ended: Ended, wall: f64) {
        self.seconds += wall;
        match ended {
            Ended::Preempted => self.lost += 1.0,
            Ended::Succeeded => self.attempts += 1.0,
            Ended::Failed | Ended::OutOfMemory => {
                self.attempts += 1.0;
                self.failures += 1.0;
            }
        }
    }
}
