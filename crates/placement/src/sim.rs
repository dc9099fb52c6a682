//! A graph of tasks played through the sites: pure, the same for the same input, and quick enough to be asked thousands of times.
//!
//! It is what planning, what-if, benchmarks and back-tests have in common. Time is in seconds, money in units of currency. Tasks become
//! ready when what they wait for has ended; a chooser gives each a site; the site starts them, the most urgent first, when they fit beside
//! what runs. Data moves once to each site that needs it. Sites that rent capacity piece by piece boot a piece for a task, keep it warm for
//! a while, and pay for both.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::objective::Settings;
use crate::world::{Need, Task, World};

mod board;
mod choosing;
mod rollout;

pub use board::Board;

/// How far down its queue a site looks for something that fits.
const LOOK_DOWN: usize = 24;

/// Who gives a ready task its site.
#[derive(Clone, Debug, PartialEq)]
pub enum Chooser {
    /// The objective, as the dispatcher applies it, with these settings.
    Priced(Settings),
    /// The site where it ends first, whatever that costs (HEFT with dynamic earliest finish times).
    EarliestFinish,
    /// The site where it costs least, whatever that takes.
    Cheapest,
    /// The first site until its queue holds more than so many times its slots, then the site that costs least of the others.
    QueueBurst(f64),
    /// The objective with the settings that, for each workflow as it arrives, came out best of these when they were played from the state
    /// of that moment, over so many futures that stray from what is expected by so much (a standard deviation of logarithms).
    Rollout {
        /// What is tried.
        variants: Vec<Settings>,
        /// How many futures each is tried in.
        futures: u32,
        /// How far they stray.
        stray: f64,
    },
    /// This site for each task; the objective for one that has none that may take it.
    Fixed(Vec<u16>),
    /// This site for each task, as long as it is not dearer than the best of the moment by more than the settings say that a plan is left for:
    /// what the dispatcher does with a plan.
    Planned(Vec<u16>, Settings),
}

/// What came of a play.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// When the last task ended.
    pub makespan: f64,
    /// Everything that will be on the bill.
    pub money: f64,
    /// Of that: capacity that was booting or idle.
    pub idle_money: f64,
    /// Of that: egress.
    pub egress: f64,
    /// What lateness costs.
    pub late_money: f64,
    /// Seconds late; by workflow when several were played.
    pub late: Vec<f64>,
    /// The site of each task.
    pub sites: Vec<u16>,
    /// The end of each task.
    pub ends: Vec<f64>,
    /// The longest that a ready task waited for a place.
    pub longest_wait: f64,
    /// Attempts that were called back.
    pub preempted: u32,
    /// Tasks that no site may take.
    pub stuck: u32,
    /// Money beyond what may be spent, where the world says how much that is.
    pub over_budget: f64,
}

/// What a unit of money beyond the budget counts: more than any saving of a plan that keeps within it.
const OVER_BUDGET: f64 = 1e3;

impl Played {
    /// The objective: the bill and lateness, and what cannot be.
    pub fn total(&self) -> f64 {
        self.money + self.late_money + self.over_budget * OVER_BUDGET + f64::from(self.stuck) * 1e6
    }
}

/// How long tasks really take, where that differs from what is expected of them.
pub trait Reality {
    /// The seconds that a task runs at a site.
    fn runs(&self, task: usize, site: usize, expected: f64) -> f64;
    /// After how many seconds of a run its capacity is called back, if it is.
    fn called_back(&self, task: usize, site: usize, attempt: u32, runs: f64) -> Option<f64>;
}

/// Everything is as expected.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsExpected;

impl Reality for AsExpected {
    fn runs(&self, _: usize, _: usize, expected: f64) -> f64 {
        expected
    }

    fn called_back(&self, _: usize, _: usize, _: u32, _: f64) -> Option<f64> {
        None
    }
}

/// A time in seconds that can be ordered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At(pub f64);
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &At) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &At) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// An attempt ends (or is called back).
    Ends { task: u32, lost: bool },
    /// A workflow arrives.
    Arrives(u32),
    /// The data of a task are at its site.
    Staged(u32),
}

/// A piece of rented capacity that is kept warm.
#[derive(Clone, Copy, Debug)]
struct Warm {
    since: f64,
    until: f64,
    need: Need,
}

#[derive(Clone, Debug, Default)]
struct SiteState {
    free: Need,
    /// By urgency (later deadlines and shorter rests last), then number.
    queue: BTreeSet<(At, u32)>,
    /// Site-seconds of work queued, and the sum over what runs of share and expected end: how long a queue takes.
    queued_work: f64,
    running: BTreeSet<(At, u32)>,
    warm: Vec<Warm>,
}

/// Plays a world once. Who plays the same one many times sets up a [`Board`].
pub fn play(world: &World, chooser: &Chooser, reality: &dyn Reality) -> Played {
    Play::new(world, None, chooser, reality, Desk::default()).run().0
}

/// What a play writes on: taken over by the next one, so that a play asks for no memory.
#[derive(Clone, Debug, Default)]
struct Desk {
    heap: BinaryHeap<Reverse<(At, Happening)>>,
    sites: Vec<SiteState>,
    waiting: Vec<u32>,
    ready_at: Vec<f64>,
    attempts: Vec<u32>,
    /// By task: a bit for every site that has its output.
    output_at: Vec<u64>,
    /// By file: a bit for every site that has it.
    file_at: Vec<u64>,
    expected_end: Vec<f64>,
    /// By workflow: the settings that were chosen for it.
    settings: Vec<Settings>,
}

impl Desk {
    /// As it is before anything has happened.
    fn clear(&mut self, world: &World, chooser: &Chooser) {
        let tasks = world.tasks.len();
        self.heap.clear();
        self.sites.resize_with(world.sites.len(), SiteState::default);
        for (state, site) in self.sites.iter_mut().zip(&world.sites) {
            state.free = site.capacity.without(&site.busy);
            state.queued_work = 0.0;
            state.queue.clear();
            state.running.clear();
            state.warm.clear();
        }
        self.waiting.clear();
        self.waiting.extend(world.tasks.iter().map(|task| task.parents.len() as u32));
        self.file_at.clear();
        self.file_at.extend(world.files.iter().map(|file| file.at));
        for list in [&mut self.ready_at, &mut self.expected_end] {
            list.clear();
            list.resize(tasks, 0.0);
        }
        self.attempts.clear();
        self.attempts.resize(tasks, 0);
        self.output_at.clear();
        self.output_at.resize(tasks, 0);
        let settings = match chooser {
            Chooser::Priced(settings) | Chooser::Planned(_, settings) => *settings,
            _ => Settings::default(),
        };
        self.settings.clear();
        self.settings.resize(world.flows.len(), settings);
        for (index, flow) in world.flows.iter().enumerate() {
            self.heap.push(Reverse((At(flow.arrives), Happening::Arrives(index as u32))));
        }
    }
}

/// What a play can cost at least, known before it is over: what is not worth playing to its end is given up.
#[derive(Clone, Copy, Debug, Default)]
struct Floor {
    /// Beyond this nobody wants to know.
    limit: f64,
    /// What the tasks that have not begun will cost by the hour.
    ahead: f64,
    /// What lateness costs already, whatever comes.
    late: f64,
}

#[derive(Clone)]
struct Play<'a> {
    world: &'a World,
    tables: Option<&'a board::Tables>,
    chooser: &'a Chooser,
    reality: &'a dyn Reality,
    now: f64,
    /// Only where every task has its site and runs as long as expected.
    floor: Option<Floor>,
    desk: Desk,
    out: Played,
}

fn of<T: Copy + Default>(list: &[T], index: usize) -> T {
    list.get(index).copied().unwrap_or_default()
}

fn set<T>(list: &mut [T], index: usize, value: T) {
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
}

impl<'a> Play<'a> {
    fn new(
        world: &'a World,
        tables: Option<&'a board::Tables>,
        chooser: &'a Chooser,
        reality: &'a dyn Reality,
        mut desk: Desk,
    ) -> Play<'a> {
        let tasks = world.tasks.len();
        desk.clear(world, chooser);
        let out = Played { sites: vec![u16::MAX; tasks], ends: vec![0.0; tasks], ..Played::default() };
        Play { world, tables, chooser, reality, now: 0.0, floor: None, desk, out }
    }

    /// Plays to the end. Gives the desk back.
    fn run(mut self) -> (Played, Desk) {
        while let Some(Reverse((at, happening))) = self.desk.heap.pop() {
            self.happen(at.0, happening);
        }
        self.settle();
        (self.out, self.desk)
    }

    fn happen(&mut self, at: f64, happening: Happening) {
        self.now = at;
        match happening {
            Happening::Arrives(flow) => {
                self.settle_on(flow as usize);
                let Some(flow) = self.world.flows.get(flow as usize) else { return };
                for task in flow.first..flow.last {
                    if of(&self.desk.waiting, task as usize) == 0 {
                        self.ready(task);
                    }
                }
            }
            Happening::Staged(task) => self.enqueue(task),
            Happening::Ends { task, lost } => self.ends(task, lost),
        }
    }

    /// What a second of holding what a task needs costs at a site.
    fn second(&self, number: usize, task: &Task, site: usize) -> f64 {
        match self.tables {
            Some(tables) => tables.second(number, site),
            None => self.world.sites.get(site).map_or(0.0, |place| place.second(&task.need)),
        }
    }

    /// The part of a site that a task holds.
    fn share(&self, number: usize, task: &Task, site: usize) -> f64 {
        self.tables.map_or_else(|| self.world.share(site, &task.need), |tables| tables.share(number, site))
    }

    /// Whether a site may and can take a task.
    fn may(&self, number: usize, task: &Task, site: usize) -> bool {
        self.tables.map_or_else(|| self.world.may(task, site), |tables| tables.may(number, site))
    }

    /// Gives a task that became ready its site.
    fn ready(&mut self, number: u32) {
        let Some(task) = self.world.tasks.get(number as usize) else { return };
        set(&mut self.desk.ready_at, number as usize, self.now);
        let Some(site) = self.choose(number, task) else {
            self.out.stuck += 1;
            return;
        };
        set(&mut self.out.sites, number as usize, site as u16);
        let (egress, seconds) = self.bringing(task, site, true);
        self.out.egress += egress;
        self.out.money += egress;
        let (run, share) = (task.runs_at(site), self.share(number as usize, task, site));
        if let Some(state) = self.desk.sites.get_mut(site) {
            state.queued_work += run.mid * share;
        }
        self.desk.heap.push(Reverse((At(self.now + seconds), Happening::Staged(number))));
    }

    /// The money and the seconds of having a task's data at a site; with `keep` they are there from then on.
    fn bringing(&mut self, task: &Task, site: usize, keep: bool) -> (f64, f64) {
        let bit = 1u64 << site.min(63);
        let (mut money, mut seconds) = (0.0, 0.0f64);
        let parents = task.parents.iter().map(|parent| (*parent, true));
        let files = task.files.iter().map(|file| (*file, false));
        for (index, is_parent) in parents.chain(files) {
            let index = index as usize;
            let (at, bytes) = if is_parent {
                (of(&self.desk.output_at, index), self.world.tasks.get(index).map_or(0.0, |parent| parent.output))
            } else {
                (of(&self.desk.file_at, index), self.world.files.get(index).map_or(0.0, |file| file.bytes))
            };
            if at & bit != 0 || bytes <= 0.0 {
                continue;
            }
            let (price, took) = self.world.cheapest(at, site, bytes);
            money += price;
            seconds += took;
            if keep {
                let there = if is_parent { &mut self.desk.output_at } else { &mut self.desk.file_at };
                set(there, index, at | bit);
            }
        }
        seconds = seconds.min(1e9);
        (money, seconds)
    }

    fn enqueue(&mut self, number: u32) {
        let site = usize::from(of(&self.out.sites, number as usize));
        let Some(task) = self.world.tasks.get(number as usize) else { return };
        let flow = self.world.flows.get(of(&self.world.flow_of, number as usize) as usize);
        // Least slack first; without a deadline the longest rest of all that has none, after those that have one.
        let slack = match flow.and_then(|flow| flow.deadline) {
            Some(deadline) => deadline - task.rest - task.runs_at(site).mid,
            None => 1e9 + of(&self.desk.ready_at, number as usize) - task.rest,
        };
        if let Some(state) = self.desk.sites.get_mut(site) {
            state.queue.insert((At(slack), number));
        }
        self.start(site);
    }

    /// Starts what fits, the most urgent first. What has waited for very long is not overtaken any more.
    fn start(&mut self, site: usize) {
        loop {
            let Some(state) = self.desk.sites.get(site) else { return };
            let mut fitting = None;
            for (urgency, number) in state.queue.iter().take(LOOK_DOWN) {
                let Some(task) = self.world.tasks.get(*number as usize) else { continue };
                if state.free.covers(&task.need) {
                    fitting = Some((*urgency, *number));
                    break;
                }
                if self.now - of(&self.desk.ready_at, *number as usize) > crate::PATIENCE_S * 4.0 {
                    break;
                }
            }
            let Some((urgency, number)) = fitting else { return };
            if let Some(state) = self.desk.sites.get_mut(site) {
                state.queue.remove(&(urgency, number));
            }
            self.begin(number, site);
        }
    }

    fn begin(&mut self, number: u32, site: usize) {
        let index = number as usize;
        let Some(task) = self.world.tasks.get(index) else { return };
        self.out.longest_wait = self.out.longest_wait.max(self.now - of(&self.desk.ready_at, index));
        let boot = self.take_warm(site, &task.need);
        let expected = task.runs_at(site);
        let runs = self.reality.runs(index, site, expected.mid).max(0.0);
        let attempt = of(&self.desk.attempts, index);
        let lost = self.reality.called_back(index, site, attempt, runs);
        let length = boot + lost.unwrap_or(runs);
        let (share, second) = (self.share(index, task, site), self.second(index, task, site));
        set(&mut self.desk.expected_end, index, self.now + boot + expected.mid);
        if let Some(state) = self.desk.sites.get_mut(site) {
            state.queued_work = (state.queued_work - expected.mid * share).max(0.0);
            if state.queue.is_empty() && state.queued_work < 1e-6 {
                state.queued_work = 0.0;
            }
            state.free = state.free.without(&task.need);
            state.running.insert((At(self.now + boot + expected.mid), number));
            self.out.money += second * length;
            self.out.idle_money += second * boot;
        }
        self.raise_floor(number, second * expected.mid, self.now + length);
        self.desk.heap.push(Reverse((At(self.now + length), Happening::Ends { task: number, lost: lost.is_some() })));
    }

    /// Takes a warm piece, or boots one. Gives the seconds of booting.
    fn take_warm(&mut self, site: usize, need: &Need) -> f64 {
        let now = self.now;
        let (Some(place), Some(state)) = (self.world.sites.get(site), self.desk.sites.get_mut(site)) else { return 0.0 };
        if !place.rented {
            return 0.0;
        }
        let mut paid = 0.0;
        state.warm.retain(|warm| {
            let over = warm.until < now;
            if over {
                paid += place.second(&warm.need) * (warm.until - warm.since);
            }
            !over
        });
        let found = state.warm.iter().position(|warm| warm.need.covers(need));
        let boot = match found {
            Some(at) => {
                let warm = state.warm.swap_remove(at);
                paid += place.second(&warm.need) * (now - warm.since);
                0.0
            }
            None => place.boot,
        };
        self.out.money += paid;
        self.out.idle_money += paid;
        boot
    }

    fn ends(&mut self, number: u32, lost: bool) {
        let index = number as usize;
        let site = usize::from(of(&self.out.sites, index));
        let Some(task) = self.world.tasks.get(index) else { return };
        let expected = of(&self.desk.expected_end, index);
        if let (Some(state), Some(place)) = (self.desk.sites.get_mut(site), self.world.sites.get(site)) {
            state.running.remove(&(At(expected), number));
            state.free = state.free.plus(&task.need);
            if place.rented && !lost && place.idle > 0.0 {
                state.warm.push(Warm { since: self.now, until: self.now + place.idle, need: task.need });
            }
        }
        if lost {
            self.out.preempted += 1;
            let tried = of(&self.desk.attempts, index) + 1;
            set(&mut self.desk.attempts, index, tried);
            self.ready(number);
        } else {
            set(&mut self.out.ends, index, self.now);
            let there = 1u64 << site.min(63);
            set(&mut self.desk.output_at, index, there);
            self.out.makespan = self.out.makespan.max(self.now);
            for child in self.world.children.get(index).into_iter().flatten() {
                let left = of(&self.desk.waiting, *child as usize).saturating_sub(1);
                set(&mut self.desk.waiting, *child as usize, left);
                if left == 0 {
                    self.ready(*child);
                }
            }
        }
        self.start(site);
    }

    /// Pays what is still warm, and lateness.
    fn settle(&mut self) {
        for (state, place) in self.desk.sites.iter().zip(&self.world.sites) {
            let idle: f64 = state.warm.iter().map(|warm| place.second(&warm.need) * (warm.until - warm.since)).sum();
            self.out.money += idle;
            self.out.idle_money += idle;
        }
        for flow in &self.world.flows {
            let ends = self.out.ends.get(flow.first as usize..flow.last as usize).unwrap_or_default();
            let end = ends.iter().copied().fold(flow.arrives, f64::max);
            let late = flow.deadline.map_or(0.0, |deadline| (end - deadline).max(0.0));
            self.out.late.push(late);
            if late > 1e-6 {
                self.out.late_money += late / 3600.0 * flow.late_per_hour + flow.late_fee;
            }
        }
        self.out.over_budget = self.world.budget.map_or(0.0, |budget| (self.out.money - budget).max(0.0));
    }
}
