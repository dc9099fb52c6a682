//! What no plan can be better than, as a mixed-integer program; and of small graphs the best plan that there is.

#![expect(clippy::needless_range_loop, reason = "sites are numbers here, and most lists are by site")]

use std::collections::BTreeSet;

use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp, variable};
use placement::sim::{AsExpected, Board, Chooser, play};
use placement::world::{Need, World};

use super::worlds::{SITES, SLOT};

/// A lower bound of the objective of every plan that is no dearer than one that is known.
///
/// It chooses sites (whole or in parts), and knows the critical path, the first boot of a rented site, the area of every site over all and over the tasks that
/// wait for the same, the area of the own site before and after every task,
/// the cheapest way of every output, and how many pieces have to be booted and stand idle once: as many as the work at a rented site needs to be
/// done before the latest moment at which a plan can end that is no dearer than the known one.
pub(super) fn bound(world: &World, whole: bool, known: f64) -> f64 {
    let mut vars = ProblemVariables::new();
    let tasks = world.tasks.len();
    let mut x: Vec<Vec<Option<Variable>>> = Vec::new();
    for task in &world.tasks {
        let one =
            |site: usize| world.may(task, site).then_some(if whole { variable().binary() } else { variable().min(0.0).max(1.0) });
        x.push((0..SITES).map(one).map(|var| var.map(|var| vars.add(var))).collect());
    }
    let ends: Vec<Variable> = (0..tasks).map(|_| vars.add(variable().min(0.0))).collect();
    let end = vars.add(variable().min(0.0));
    let late = vars.add(variable().min(0.0));
    let mut cost = Expression::from(0.0);
    let mut limits = Vec::new();
    let kin = kin(world);
    for (number, task) in world.tasks.iter().enumerate() {
        let mut runs = Expression::from(0.0);
        let mut once = Expression::from(0.0);
        let mut booted = Expression::from(0.0);
        for site in 0..SITES {
            let Some(var) = x[number][site] else { continue };
            runs += task.runs_at(site).mid * var;
            once += var;
            booted += world.sites[site].boot * var;
            cost += world.sites[site].second(&task.need) * task.runs_at(site).mid * var;
        }
        limits.push(constraint!(once == 1.0));
        limits.push(constraint!(ends[number] >= runs.clone()));
        for parent in &task.parents {
            limits.push(constraint!(ends[number] >= ends[*parent as usize] + runs.clone()));
        }
        limits.push(constraint!(end >= ends[number]));
        limits.push(constraint!(ends[number] >= runs.clone() + booted));
        for site in (0..SITES).filter(|site| !world.sites[*site].rented) {
            let area = |tasks: &[usize]| area(world, &x, site, tasks);
            let (earlier, later) = (area(&kin[number].0), area(&kin[number].1));
            limits.extend(earlier.map(|area| constraint!(ends[number] >= runs.clone() + area)));
            limits.extend(later.map(|area| constraint!(end >= ends[number] + area)));
        }
        // A site that reads an output that is not made there has it brought, from the cheapest site there is.
        for site in 0..SITES {
            let readers: Vec<usize> =
                world.children[number].iter().map(|child| *child as usize).filter(|child| x[*child][site].is_some()).collect();
            let price = (0..SITES)
                .filter(|from| *from != site && x[number][*from].is_some())
                .map(|from| world.links[from * SITES + site].byte * task.output)
                .fold(f64::INFINITY, f64::min);
            if readers.is_empty() || !price.is_finite() || price <= 0.0 {
                continue;
            }
            let brought = vars.add(variable().min(0.0));
            for child in readers {
                let made = x[number][site].map_or(Expression::from(0.0), Expression::from);
                limits.push(constraint!(brought >= x[child][site].unwrap_or(brought) - made));
            }
            cost += price * brought;
        }
    }
    let flow = &world.flows[0];
    let windows = windows(world);
    let least: f64 = (0..tasks).map(|task| cheapest(world, task)).sum();
    // A plan that ends later than this costs more by its lateness alone than the known one by all that can be saved.
    let latest = flow.deadline.unwrap_or(1e12) + (known - least).max(0.0) / flow.late_per_hour.max(1e-9) * 3600.0;
    for site in 0..SITES {
        let place = &world.sites[site];
        let pieces = place.rented.then(|| vars.add(variable().min(0.0)));
        if let Some(pieces) = pieces {
            cost += pieces * (place.second(&Need::from(&SLOT)) * (place.boot + place.idle));
            x.iter().filter_map(|sites| sites[site]).for_each(|var| limits.push(constraint!(pieces >= var)));
        }
        for (group, before, after) in &windows {
            let (mut area, mut work) = (Expression::from(0.0), Expression::from(0.0));
            for number in group {
                let Some(var) = x[*number][site] else { continue };
                let runs = world.tasks[*number].runs_at(site).mid;
                area += world.share(site, &world.tasks[*number].need) * runs * var;
                work += runs * var;
            }
            limits.push(constraint!(end - (before + after) >= area));
            if let Some(pieces) = pieces {
                limits.push(constraint!((latest - before - after).max(1.0) * pieces >= work));
            }
        }
    }
    limits.push(constraint!(late >= end - flow.deadline.unwrap_or(1e12)));
    cost += late * (flow.late_per_hour / 3600.0);
    let mut problem = vars.minimise(cost.clone()).using(microlp);
    for limit in limits {
        problem = problem.with(limit);
    }
    problem.solve().map(|solution| solution.eval(cost)).unwrap_or(f64::NAN)
}

/// By task: all that have to end before it begins, and all that begin after it has ended.
fn kin(world: &World) -> Vec<(Vec<usize>, Vec<usize>)> {
    let tasks = world.tasks.len();
    let mut earlier: Vec<BTreeSet<usize>> = Vec::with_capacity(tasks);
    for task in &world.tasks {
        let parents = task.parents.iter().map(|parent| *parent as usize);
        earlier.push(parents.flat_map(|parent| earlier[parent].iter().copied().chain([parent])).collect());
    }
    let later = |task: usize| (0..tasks).filter(|other| earlier[*other].contains(&task)).collect();
    (0..tasks).map(|task| (earlier[task].iter().copied().collect(), later(task))).collect()
}

/// The seconds that a site as a whole is held by some tasks, of those sites that few tasks fill; none where they are too few to fill it.
fn area(world: &World, x: &[Vec<Option<Variable>>], site: usize, tasks: &[usize]) -> Option<Expression> {
    let share = |task: usize| world.share(site, &world.tasks[task].need);
    let mut area = Expression::from(0.0);
    let held = tasks.iter().filter(|task| x[**task][site].is_some());
    for task in held.clone() {
        area += x[*task][site].map_or(Expression::from(0.0), Expression::from)
            * (share(*task) * world.tasks[*task].runs_at(site).mid);
    }
    (held.map(|task| share(*task)).sum::<f64>() > 0.5).then_some(area)
}

/// Sets of tasks, with the seconds that no plan can spare before the first and after the last of each: all of them, and those that wait for the same.
fn windows(world: &World) -> Vec<(Vec<usize>, f64, f64)> {
    let tasks = world.tasks.len();
    let quickest = |task: usize| quickest(world, task);
    let (mut before, mut after) = (vec![0.0f64; tasks], vec![0.0f64; tasks]);
    for task in 0..tasks {
        let parents = world.tasks[task].parents.iter().map(|parent| *parent as usize);
        before[task] = parents.map(|parent| before[parent] + quickest(parent)).fold(0.0, f64::max);
    }
    for task in (0..tasks).rev() {
        let children = world.children[task].iter().map(|child| *child as usize);
        after[task] = children.map(|child| after[child] + quickest(child)).fold(0.0, f64::max);
    }
    let mut groups: Vec<Vec<usize>> = vec![(0..tasks).collect()];
    let mut seen: Vec<&[u32]> = Vec::new();
    for task in &world.tasks {
        if !seen.contains(&task.parents.as_slice()) {
            seen.push(&task.parents);
            groups.push((0..tasks).filter(|other| world.tasks[*other].parents == task.parents).collect());
        }
    }
    let least = |of: &[f64], group: &[usize]| group.iter().map(|task| of[*task]).fold(f64::INFINITY, f64::min);
    groups
        .into_iter()
        .filter(|group| group.len() > 1)
        .map(|group| (group.clone(), least(&before, &group), least(&after, &group)))
        .collect()
}

/// The least that holding its needs costs, of a task.
fn cheapest(world: &World, task: usize) -> f64 {
    (0..SITES)
        .filter(|site| world.may(&world.tasks[task], *site))
        .map(|site| compute(world, task, site))
        .fold(f64::INFINITY, f64::min)
}

/// The best assignment of tasks to sites, as the simulator plays it: every one is looked at that could be better than the best so far. None
/// when that takes more plays than may be.
pub(super) fn optimum(world: &World, known: &[u16], plays_max: u64) -> Option<f64> {
    let tasks = world.tasks.len();
    let mut least: Vec<f64> = vec![0.0; tasks + 1];
    for number in (0..tasks).rev() {
        least[number] = least[number + 1] + cheapest(world, number);
    }
    let mut rest = vec![0.0f64; tasks];
    for number in (0..tasks).rev() {
        let children = world.children[number].iter().map(|child| *child as usize);
        rest[number] = children.map(|child| rest[child] + quickest(world, child)).fold(0.0, f64::max);
    }
    let best = play(world, &Chooser::Fixed(known.to_vec()), &AsExpected).total();
    let board = Board::new(world);
    let (sites, ends) = (Chooser::Fixed(known.to_vec()), vec![0.0; tasks]);
    let (made, read) = (vec![0; tasks], vec![0; tasks + world.files.len()]);
    let mut look = Look { world, board, least, rest, ends, ways: Ways::of(world), made, read, best, sites, plays: 0, plays_max };
    look.below(0, &Begun::default());
    (look.plays < plays_max).then_some(look.best)
}

/// The shortest that a task can run.
fn quickest(world: &World, task: usize) -> f64 {
    let sites = (0..SITES).filter(|site| world.may(&world.tasks[task], *site));
    sites.map(|site| world.tasks[task].runs_at(site).mid).fold(f64::INFINITY, f64::min)
}

/// What holding its needs costs, of a task at a site.
fn compute(world: &World, task: usize, site: usize) -> f64 {
    world.sites[site].second(&world.tasks[task].need) * world.tasks[task].runs_at(site).mid
}

/// What a byte costs that has to get from sites that have it to all of some others, by the cheapest tree there is: a bit for every site.
struct Ways(Vec<f64>);

impl Ways {
    fn of(world: &World) -> Ways {
        let sets = 1 << SITES;
        let mut ways = vec![f64::INFINITY; sets * sets];
        for from in 1..sets {
            let grown = &mut ways[from * sets..(from + 1) * sets];
            grown[from] = 0.0;
            // A set of sites has a larger number than what it has grown from.
            for set in from..sets {
                for to in (0..SITES).filter(|to| set >> to & 1 == 0) {
                    let byte = |site: usize| world.links[site * SITES + to].byte;
                    let least = (0..SITES).filter(|site| set >> site & 1 == 1).map(byte).fold(f64::INFINITY, f64::min);
                    grown[set | 1 << to] = grown[set | 1 << to].min(grown[set] + least);
                }
            }
            // Who is on the way may have it too.
            for set in (0..sets).rev() {
                for more in (0..SITES).filter(|more| set >> more & 1 == 0) {
                    grown[set] = grown[set].min(grown[set | 1 << more]);
                }
            }
        }
        Ways(ways)
    }

    fn byte(&self, from: usize, to: usize) -> f64 {
        self.0[(from << SITES) + (from | to)]
    }
}

struct Look<'w> {
    world: &'w World,
    board: Board<'w>,
    ways: Ways,
    /// By task: a bit for the site of those looked at.
    made: Vec<usize>,
    /// By task, then by file: a bit for every site at which one of those looked at reads it.
    read: Vec<usize>,
    /// The least that the tasks from each on cost.
    least: Vec<f64>,
    /// The shortest that the critical path behind each can be.
    rest: Vec<f64>,
    /// The earliest that each of those looked at can end.
    ends: Vec<f64>,
    best: f64,
    /// The sites so far, as a plan.
    sites: Chooser,
    plays: u64,
    plays_max: u64,
}

/// What the sites so far come to at least.
#[derive(Clone, Copy, Default)]
struct Begun {
    spent: f64,
    /// A bit for every site at which something is rented.
    rented: u64,
    /// When the workflow can end at the earliest.
    end: f64,
    /// By site: the seconds that it is held as a whole.
    held: [f64; SITES],
}

impl Look<'_> {
    /// Everything that begins like the sites so far.
    fn below(&mut self, number: usize, begun: &Begun) {
        let flow = &self.world.flows[0];
        let late = (begun.end - flow.deadline.unwrap_or(f64::INFINITY)).max(0.0) / 3_600.0 * flow.late_per_hour;
        if self.plays >= self.plays_max || begun.spent + late + self.least[number] >= self.best - 1e-12 {
            return;
        }
        if number == self.world.tasks.len() {
            self.plays += 1;
            if let Some(played) = self.board.play_below(&self.sites, self.best) {
                self.best = played.total();
            }
            return;
        }
        let task = &self.world.tasks[number];
        for site in (0..SITES).filter(|site| self.world.may(task, *site)) {
            let (place, runs) = (&self.world.sites[site], task.runs_at(site).mid);
            // Whatever is rented at all is booted at least once, and stands idle once.
            let begins = place.rented && begun.rented >> site & 1 == 0;
            let once = if begins { place.second(&Need::from(&SLOT)) * (place.boot + place.idle) } else { 0.0 };
            let ready = task.parents.iter().map(|parent| self.ends[*parent as usize]).fold(0.0, f64::max);
            self.ends[number] = ready + runs;
            let mut next = *begun;
            let before = self.reads(number, site);
            self.made[number] = 1 << site;
            next.spent += once + before.egress + compute(self.world, number, site);
            next.rented |= if begins { 1 << site } else { 0 };
            next.held[site] += runs * self.world.share(site, &task.need);
            next.end = next.end.max(self.ends[number] + self.rest[number]).max(next.held[site]);
            if let Chooser::Fixed(sites) = &mut self.sites {
                sites[number] = site as u16;
            }
            self.below(number + 1, &next);
            self.read = before.read;
        }
    }

    /// A task reads what it needs at a site.
    fn reads(&mut self, number: usize, site: usize) -> Before {
        let mut before = Before { read: self.read.clone(), egress: 0.0 };
        let task = &self.world.tasks[number];
        let outputs = task.parents.iter().map(|parent| *parent as usize);
        let outputs = outputs.map(|parent| (parent, self.made[parent], self.world.tasks[parent].output));
        let tasks = self.world.tasks.len();
        let files = task.files.iter().map(|file| (*file as usize, &self.world.files[*file as usize]));
        let files = files.map(|(number, file)| (tasks + number, file.at as usize, file.bytes));
        for (thing, at, bytes) in outputs.chain(files) {
            let to = self.read[thing] | 1 << site;
            before.egress += (self.ways.byte(at, to) - self.ways.byte(at, self.read[thing])) * bytes;
            self.read[thing] = to;
        }
        before
    }
}

/// What was read where before a task was looked at, and what it costs at least that the task reads.
struct Before {
    read: Vec<usize>,
    egress: f64,
}

#[cfg(test)]
mod tests {
    use super::super::worlds::graph;
    use super::*;

    #[test]
    fn the_best_plan_is_the_best_of_all_and_no_bound_is_above_it() {
        // One graph of each shape.
        for seed in 0..5 {
            let world = graph(seed, &[5]);
            let may = |number: usize, site: u16| world.may(&world.tasks[number], usize::from(site));
            let (mut best, mut all) = (f64::INFINITY, 0);
            for code in 0..SITES.pow(5) {
                let sites: Vec<u16> = (0..5).map(|number| (code / SITES.pow(number) % SITES) as u16).collect();
                if (0..5).all(|number| may(number, sites[number])) {
                    best = best.min(play(&world, &Chooser::Fixed(sites), &AsExpected).total());
                    all += 1;
                }
            }
            let any: Vec<u16> = (0..5).map(|number| (0..SITES as u16).find(|site| may(number, *site)).unwrap_or(0)).collect();
            let found = optimum(&world, &any, u64::MAX).unwrap();
            assert!((found - best).abs() < 1e-9, "seed {seed}: {found} and {best} of {all}");
            for whole in [true, false] {
                let bound = bound(&world, whole, best);
                assert!(bound > 0.0 && bound <= best + 1e-6, "seed {seed}: {bound} and {best}");
            }
        }
    }
}
