//! A world that is played many times: what follows from it alone is worked out once, plays take over each other's memory, and one that can
//! only become dearer than what is looked for is given up.

use super::{AsExpected, Chooser, Desk, Floor, Play, Played, Reality, of};
use crate::world::World;

/// What follows from the sites and the tasks alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    sites: usize,
    /// By task and site: what a second costs there, and the part of the site that is held.
    holds: Vec<(f64, f64)>,
    /// By task: a bit for every site that may and can take it.
    may: Vec<u64>,
    /// By task: the shortest that the critical path behind it can be.
    rest: Vec<f64>,
}

impl Tables {
    fn of(world: &World) -> Tables {
        let sites = world.sites.len();
        let mut tables = Tables { sites, rest: vec![0.0; world.tasks.len()], ..Tables::default() };
        for task in &world.tasks {
            let held = |(site, place): (usize, &crate::world::Place)| (place.second(&task.need), world.share(site, &task.need));
            tables.holds.extend(world.sites.iter().enumerate().map(held));
            let may = (0..sites.min(64)).filter(|site| world.may(task, *site));
            tables.may.push(may.fold(0, |bits, site| bits | 1 << site));
        }
        for number in (0..world.tasks.len()).rev() {
            let through = |child: &u32| {
                let (index, task) = (*child as usize, world.tasks.get(*child as usize));
                let sites = (0..sites).filter(|site| tables.may(index, *site));
                let runs = sites.filter_map(|site| task.map(|task| task.runs_at(site).mid)).fold(f64::INFINITY, f64::min);
                of(&tables.rest, index) + if runs.is_finite() { runs } else { 0.0 }
            };
            let rest = world.children.get(number).map_or(0.0, |children| children.iter().map(through).fold(0.0, f64::max));
            super::set(&mut tables.rest, number, rest);
        }
        tables
    }

    fn held(&self, task: usize, site: usize) -> (f64, f64) {
        of(&self.holds, task * self.sites + site)
    }

    pub(super) fn second(&self, task: usize, site: usize) -> f64 {
        self.held(task, site).0
    }

    pub(super) fn share(&self, task: usize, site: usize) -> f64 {
        self.held(task, site).1
    }

    pub(super) fn may(&self, task: usize, site: usize) -> bool {
        site < 64 && of(&self.may, task) >> site & 1 == 1
    }
}

/// A world that is played many times.
#[derive(Debug)]
pub struct Board<'w> {
    world: &'w World,
    tables: Tables,
    desk: Desk,
}

impl<'w> Board<'w> {
    /// Sets up a world.
    pub fn new(world: &'w World) -> Board<'w> {
        Board { world, tables: Tables::of(world), desk: Desk::default() }
    }

    /// Plays it: the same as [`super::play`].
    pub fn play(&mut self, chooser: &Chooser, reality: &dyn Reality) -> Played {
        let desk = std::mem::take(&mut self.desk);
        let (played, desk) = Play::new(self.world, Some(&self.tables), chooser, reality, desk).run();
        self.desk = desk;
        played
    }

    /// Plays a plan that has a site for every task, with everything as expected; none when it comes to as much as the limit or more.
    pub fn play_below(&mut self, plan: &Chooser, limit: f64) -> Option<Played> {
        let sites = match plan {
            Chooser::Fixed(sites) => sites.as_slice(),
            _ => &[],
        };
        let cost = |(number, task): (usize, &crate::world::Task)| {
            let site = usize::from(sites.get(number).copied().unwrap_or(u16::MAX));
            if self.tables.may(number, site) { self.tables.second(number, site) * task.runs_at(site).mid } else { 0.0 }
        };
        let ahead = self.world.tasks.iter().enumerate().map(cost).sum();
        // Sums are made in another order than the play makes them: the last digits decide nothing.
        let floor = Floor { limit: limit + 1e-9 * limit.abs(), ahead, late: 0.0 };
        let desk = std::mem::take(&mut self.desk);
        let mut play = Play::new(self.world, Some(&self.tables), plan, &AsExpected, desk);
        play.floor = Some(floor);
        let (played, desk) = play.run_below();
        self.desk = desk;
        played.filter(|played| played.total() < limit)
    }
}

impl Play<'_> {
    /// Plays to the end, or until it is certain that it comes to more than the limit.
    fn run_below(mut self) -> (Option<Played>, Desk) {
        while !self.is_hopeless() {
            let Some(std::cmp::Reverse((at, happening))) = self.desk.heap.pop() else {
                self.settle();
                return (Some(self.out), self.desk);
            };
            self.happen(at.0, happening);
        }
        (None, self.desk)
    }

    fn is_hopeless(&self) -> bool {
        let Some(floor) = &self.floor else { return false };
        let money = self.out.money + floor.ahead;
        let over = self.world.budget.map_or(0.0, |budget| (money - budget).max(0.0));
        money + over * super::OVER_BUDGET + floor.late > floor.limit
    }

    /// A task begins that was counted among those ahead, and ends at a time: what follows it cannot end before the shortest way behind it.
    pub(super) fn raise_floor(&mut self, number: u32, ahead: f64, ends: f64) {
        let (Some(floor), Some(tables)) = (&mut self.floor, self.tables) else { return };
        floor.ahead = (floor.ahead - ahead).max(0.0);
        let flow = self.world.flows.get(of(&self.world.flow_of, number as usize) as usize);
        let Some((flow, deadline)) = flow.and_then(|flow| Some((flow, flow.deadline?))) else { return };
        let late = ends + of(&tables.rest, number as usize) - deadline;
        if late > 1e-6 {
            // Of one workflow the latest counts; of several the latest of all is a floor still.
            floor.late = floor.late.max(late / 3600.0 * flow.late_per_hour + flow.late_fee);
        }
    }
}
