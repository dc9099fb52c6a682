//! What the simulator plays: sites, links between them, tasks, and the workflows they belong to.

use model::Resources;
use model::site::Prices;

use crate::burst::Coming;
use crate::objective::Odds;

/// Amounts of capacity as the simulator counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Need {
    /// Thousandths of a core.
    pub cpu: f64,
    /// Bytes of memory.
    pub memory: f64,
    /// Accelerators.
    pub gpus: f64,
}

impl Need {
    /// Whether all of `other` fits into this. The last digits of sums are not looked at.
    pub fn covers(&self, other: &Need) -> bool {
        self.cpu + 1e-6 >= other.cpu && self.memory + 1.0 >= other.memory && self.gpus + 1e-9 >= other.gpus
    }

    /// What is left.
    pub fn without(&self, other: &Need) -> Need {
        Need { cpu: self.cpu - other.cpu, memory: self.memory - other.memory, gpus: self.gpus - other.gpus }
    }

    /// Both together.
    pub fn plus(&self, other: &Need) -> Need {
        Need { cpu: self.cpu + other.cpu, memory: self.memory + other.memory, gpus: self.gpus + other.gpus }
    }
}

impl From<&Resources> for Need {
    fn from(of: &Resources) -> Need {
        Need { cpu: f64::from(of.cpu_millis), memory: of.memory_bytes as f64, gpus: f64::from(of.gpus) }
    }
}

/// A site.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// All it has.
    pub capacity: Need,
    /// What is held by work that is not played.
    pub busy: Need,
    /// What its use costs.
    pub prices: Prices,
    /// Whether it is rented piece by piece.
    pub rented: bool,
    /// Seconds until a new piece is there, and that an unused one is kept.
    pub boot: f64,
    /// Seconds that an unused piece is kept, and paid.
    pub idle: f64,
    /// Preemptions an hour.
    pub hazard: f64,
    /// What a forecast expects beside what is played, hour by hour from the beginning; beyond, the last counts.
    pub coming: Vec<Coming>,
}

impl Place {
    /// What a second of holding something costs.
    pub fn second(&self, need: &Need) -> f64 {
        let gib = f64::from(1u32 << 30);
        (self.prices.cpu_hour.0 as f64 * need.cpu / 1000.0
            + self.prices.memory_gib_hour.0 as f64 * need.memory / gib
            + self.prices.gpu_hour.0 as f64 * need.gpus)
            / 3.6e9
    }
}

/// The way from one site to another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// What a byte costs.
    pub byte: f64,
    /// Bytes a second.
    pub rate: f64,
}

/// Data that lie somewhere from the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct File {
    /// Bytes.
    pub bytes: f64,
    /// A bit for every site with a copy.
    pub at: u64,
}

/// A task.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// What it holds.
    pub need: Need,
    /// The same as the objective takes it.
    pub resources: Resources,
    /// How long it runs, by site; the last counts for sites beyond.
    pub runs: Vec<Odds>,
    /// A bit for every site that may and can take it.
    pub permitted: u64,
    /// Tasks that it waits for and reads from, by number; all below its own.
    pub parents: Vec<u32>,
    /// Files that it reads.
    pub files: Vec<u32>,
    /// Bytes that it makes.
    pub output: f64,
    /// Seconds of the critical path behind it: see [`World::finish`].
    pub rest: f64,
}

impl Task {
    /// How long it runs at a site.
    pub fn runs_at(&self, site: usize) -> Odds {
        self.runs.get(site).or(self.runs.last()).copied().unwrap_or(Odds::certain(1.0))
    }
}

/// A workflow: tasks that follow each other in the list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// Its first task.
    pub first: u32,
    /// The task after its last.
    pub last: u32,
    /// When it comes.
    pub arrives: f64,
    /// When it should be done.
    pub deadline: Option<f64>,
    /// What an hour of lateness costs.
    pub late_per_hour: f64,
    /// What being late costs.
    pub late_fee: f64,
}

/// What is played.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The sites; at most 64.
    pub sites: Vec<Place>,
    /// From each site to each: `from * sites + to`.
    pub links: Vec<Link>,
    /// Files.
    pub files: Vec<File>,
    /// Tasks, parents before children.
    pub tasks: Vec<Task>,
    /// Workflows.
    pub flows: Vec<Flow>,
    /// Money that may be spent in all, when there is a bound: what a plan costs beyond it counts for more than anything that it could save.
    pub budget: Option<f64>,
    /// By task: its children.
    pub children: Vec<Vec<u32>>,
    /// By task: its workflow.
    pub flow_of: Vec<u32>,
}

impl World {
    /// Fills in what follows from the rest: children, workflows of tasks, critical paths.
    pub fn finish(mut self) -> World {
        let tasks = self.tasks.len();
        self.children = vec![Vec::new(); tasks];
        for (number, task) in self.tasks.iter().enumerate() {
            for parent in &task.parents {
                if let Some(children) = self.children.get_mut(*parent as usize) {
                    children.push(number as u32);
                }
            }
        }
        self.flow_of = vec![0; tasks];
        for (index, flow) in self.flows.iter().enumerate() {
            for slot in self.flow_of.get_mut(flow.first as usize..(flow.last as usize).min(tasks)).into_iter().flatten() {
                *slot = index as u32;
            }
        }
        for number in (0..tasks).rev() {
            let after = |child: &u32| self.tasks.get(*child as usize).map_or(0.0, |child| child.rest + self.typical(child));
            let rest = self.children.get(number).map_or(0.0, |children| children.iter().map(after).fold(0.0, f64::max));
            if let Some(task) = self.tasks.get_mut(number) {
                task.rest = rest;
            }
        }
        self
    }

    /// The mean over the sites that may take a task.
    pub fn typical(&self, task: &Task) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0f64);
        for site in (0..self.sites.len()).filter(|site| self.may(task, *site)) {
            sum += task.runs_at(site).mid;
            count += 1.0;
        }
        sum / count.max(1.0)
    }

    /// Whether a site may and can take a task.
    pub fn may(&self, task: &Task, site: usize) -> bool {
        site < 64
            && task.permitted >> site & 1 == 1
            && self.sites.get(site).is_some_and(|place| place.capacity.covers(&task.need))
    }

    /// The share of a site that a task holds.
    pub fn share(&self, site: usize, need: &Need) -> f64 {
        let Some(place) = self.sites.get(site) else { return 1.0 };
        let part = |need: f64, all: f64| if all > 0.0 { need / all } else { 0.0 };
        let capacity = &place.capacity;
        part(need.cpu, capacity.cpu).max(part(need.memory, capacity.memory)).max(part(need.gpus, capacity.gpus)).min(1.0)
    }

    /// The cheapest way to a site from where copies are: money and seconds.
    pub fn cheapest(&self, at: u64, to: usize, bytes: f64) -> (f64, f64) {
        if at.is_power_of_two() {
            let link = self.links.get(at.trailing_zeros() as usize * self.sites.len() + to).copied().unwrap_or_default();
            return (link.byte * bytes, bytes / link.rate.max(1.0));
        }
        let mut best: Option<(f64, f64)> = None;
        for from in (0..self.sites.len().min(64)).filter(|from| at >> from & 1 == 1) {
            let link = self.links.get(from * self.sites.len() + to).copied().unwrap_or_default();
            let way = (link.byte * bytes, bytes / link.rate.max(1.0));
            if best.is_none_or(|best| way < best) {
                best = Some(way);
            }
        }
        best.unwrap_or((0.0, 0.0))
    }
}
