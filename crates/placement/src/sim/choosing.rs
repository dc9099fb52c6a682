//! Who gives a ready task its site, and what each site would cost it.

use super::{Chooser, Play, of};
use crate::burst::{self, Coming};
use crate::objective::{Ask, Late, Settings, price};
use crate::world::{Need, Task};

impl Play<'_> {
    /// The site of a task that became ready; none when no site may take it.
    pub(super) fn choose(&mut self, number: u32, task: &Task) -> Option<usize> {
        let index = number as usize;
        let named = match self.chooser {
            Chooser::Fixed(sites) | Chooser::Planned(sites, _) => sites.get(index).copied(),
            _ => None,
        };
        let named = named.map(usize::from).filter(|site| self.may(index, task, *site));
        if matches!(self.chooser, Chooser::Fixed(_)) && named.is_some() {
            return named;
        }
        let mut best: Option<(f64, usize)> = None;
        let mut of_plan = f64::INFINITY;
        for site in 0..self.world.sites.len() {
            if !self.may(index, task, site) {
                continue;
            }
            let score = self.score(number, task, site);
            if named == Some(site) {
                of_plan = score;
            }
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, site));
            }
        }
        let (least, site) = best?;
        match (self.chooser, named) {
            (Chooser::Planned(_, settings), Some(named)) if of_plan <= least * (1.0 + settings.deviate) + 1e-6 => Some(named),
            _ => Some(site),
        }
    }

    fn score(&mut self, number: u32, task: &Task, site: usize) -> f64 {
        let (egress, transfer) = self.bringing(task, site, false);
        let run = task.runs_at(site);
        let wait = self.wait(site, &task.need);
        let boot = self.boot(site, &task.need);
        let Some(place) = self.world.sites.get(site) else { return f64::INFINITY };
        let settings = match self.chooser {
            Chooser::EarliestFinish => return wait.max(transfer) + boot + run.mid,
            Chooser::Cheapest => Settings { risk: 0.0, ..Settings::default() },
            Chooser::QueueBurst(most) => {
                let queue = self.desk.sites.get(site).map_or(0, |state| state.queue.len());
                let share = self.share(number as usize, task, site).max(1e-6);
                let bonus = if site == 0 && (queue as f64) < most / share { -1e6 } else { 0.0 };
                // Waiting counts a little, so that bursts do not all queue at one place.
                return bonus + egress + self.second(number as usize, task, site) * (run.mean + boot) + wait * 1e-9;
            }
            Chooser::Priced(_) | Chooser::Rollout { .. } | Chooser::Fixed(_) | Chooser::Planned(..) => {
                let flow = of(&self.world.flow_of, number as usize) as usize;
                self.desk.settings.get(flow).copied().unwrap_or_default()
            }
        };
        let flow = self.world.flows.get(of(&self.world.flow_of, number as usize) as usize);
        let late = flow.and_then(|flow| {
            let deadline_s = flow.deadline? - self.now;
            // The margin is of the whole span, not of what is left of it: what has passed has passed.
            let whole = flow.deadline? - flow.arrives;
            let drawn_in = deadline_s - whole * (1.0 - settings.margin);
            Some(Late { deadline_s: drawn_in, per_hour: flow.late_per_hour, fee: flow.late_fee })
        });
        let follow = if settings.lookahead { self.following(number, task, site) } else { 0.0 };
        let ask = Ask {
            needs: &task.resources,
            run,
            failure_rate: 0.0,
            wait: burst::wait(wait, 0.25 * wait, self.coming(site), settings.before),
            transfer_s: transfer,
            egress: egress + follow,
            boot_s: boot,
            idle_s: if boot > 0.0 { place.idle } else { 0.0 },
            hazard: place.hazard,
            rest_s: task.rest,
            late,
        };
        price(&place.prices, &ask, &Settings { margin: 1.0, ..settings }).total()
    }

    /// What moving its output to children that may not run here will cost.
    fn following(&self, number: u32, task: &Task, site: usize) -> f64 {
        let Some(children) = self.world.children.get(number as usize) else { return 0.0 };
        let pinned = children.iter().filter_map(|child| self.world.tasks.get(*child as usize));
        let mut sum = 0.0;
        for child in pinned.filter(|child| !self.world.may(child, site)).take(4) {
            let to = (0..self.world.sites.len()).find(|to| self.world.may(child, *to));
            sum += to.map_or(0.0, |to| self.world.cheapest(1 << site.min(63), to, task.output).0);
        }
        sum
    }

    /// How long work would wait at a site: not at all when it fits and nobody is before it, else what is before it and the next end.
    fn wait(&self, site: usize, need: &Need) -> f64 {
        let Some(state) = self.desk.sites.get(site) else { return 1e9 };
        if state.free.covers(need) && state.queue.is_empty() && state.queued_work <= 0.0 {
            return 0.0;
        }
        let first = state.running.first().map_or(0.0, |(end, _)| (end.0 - self.now).max(0.0));
        let next = if state.free.covers(need) { 0.0 } else { first };
        next + state.queued_work
    }

    /// What a forecast expects at a site in this hour.
    fn coming(&self, site: usize) -> Option<Coming> {
        let coming = &self.world.sites.get(site)?.coming;
        coming.get((self.now / 3_600.0) as usize).or(coming.last()).copied()
    }

    fn boot(&self, site: usize, need: &Need) -> f64 {
        let (Some(place), Some(state)) = (self.world.sites.get(site), self.desk.sites.get(site)) else { return 0.0 };
        if !place.rented {
            return 0.0;
        }
        let warm = state.warm.iter().any(|warm| warm.until >= self.now && warm.need.covers(need));
        if warm { 0.0 } else { place.boot }
    }
}
