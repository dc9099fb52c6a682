//! Projects that want the same, played through the decision itself: shares hold, and waiting is bounded whatever others ask for.

use std::collections::BTreeMap;

use model::graph::Needs;
use model::{ActionKey, ActionNo, Resources, RunId};
use placement::keeping::Kept;
use placement::objective::Odds;
use placement::search::Random;
use placement::shares::{Claim, PATIENCE_OF_ORDER_S, dominant, is_entitled, next};
use placement::{Demand, Outlook, SiteView, plan};

#[derive(Clone, Copy)]
struct Job {
    project: usize,
    cores: u32,
    runs_s: f64,
    arrives_s: f64,
}

fn cores(cores: u32) -> Resources {
    Resources { cpu_millis: cores * 1_000, ..Resources::default() }
}

fn key(job: usize) -> ActionKey {
    ActionKey::new(RunId(1), ActionNo(job as u32))
}

/// A site that is shared by projects with these weights.
struct Site<'a> {
    jobs: &'a [Job],
    weights: &'a [f64],
    /// Whether shares and keeping count, or who came first and fits.
    shared: bool,
    free: u32,
    queued: Vec<usize>,
    ends: Vec<(f64, usize)>,
    kept: Kept,
    begins: BTreeMap<usize, f64>,
}

const SIZE: u32 = 8;

impl Site<'_> {
    fn held(&self, project: usize) -> u32 {
        self.ends.iter().map(|(_, job)| self.jobs[*job]).filter(|job| job.project == project).map(|job| job.cores).sum()
    }

    /// Gives places until nobody finds one.
    fn turn(&mut self, now_s: f64) {
        let mut line = std::mem::take(&mut self.queued);
        let waited = |job: usize| now_s - self.jobs[job].arrives_s;
        line.sort_by(|a, b| waited(*b).total_cmp(&waited(*a)));
        let waiting: Vec<usize> =
            (0..self.weights.len()).filter(|project| line.iter().any(|job| self.jobs[*job].project == *project)).collect();
        let standing =
            |site: &Site<'_>, project: usize| dominant(&cores(site.held(project)), &cores(SIZE)) / site.weights[project];
        let mut left = Vec::new();
        // Without room nothing is to be decided but for whom a site is kept.
        let overdue = line.iter().take_while(|job| waited(**job) >= PATIENCE_OF_ORDER_S).count();
        while !line.is_empty() && (self.free > 0 || left.len() < overdue.min(4)) {
            let firsts: Vec<usize> = (0..self.weights.len())
                .filter_map(|project| line.iter().position(|job| self.jobs[*job].project == project))
                .collect();
            let claim = |at: &usize| {
                let job = self.jobs[line[*at]];
                Claim { waited_s: now_s - job.arrives_s, standing: standing(self, job.project) }
            };
            let at = if self.shared { firsts[next(&firsts.iter().map(claim).collect::<Vec<_>>()).unwrap()] } else { 0 };
            let number = line.remove(at);
            let entitled =
                is_entitled(standing(self, self.jobs[number].project), waiting.iter().map(|other| standing(self, *other)));
            if !self.place(number, now_s, entitled) {
                left.push(number);
            }
        }
        left.append(&mut line);
        self.queued = left;
    }

    fn place(&mut self, number: usize, now_s: f64, entitled: bool) -> bool {
        let job = self.jobs[number];
        let mut ends: Vec<(f64, u32)> = self.ends.iter().map(|(end, job)| (*end, self.jobs[*job].cores)).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut free, mut room_s) = (self.free, 0.0);
        for (end, held) in ends {
            if free < job.cores {
                (free, room_s) = (free + held, end - now_s);
            }
        }
        let closed = self.kept.closes("a", &[key(number)], now_s, job.runs_s).filter(|_| self.shared);
        let site = SiteView { name: "a".into(), capacity: cores(SIZE), free: cores(self.free), closed, ..SiteView::default() };
        let mut demand = Demand::new(Needs { resources: cores(job.cores), ..Needs::default() }, 1, Vec::new());
        demand.waited_s = now_s - job.arrives_s;
        demand.outlooks = vec![Outlook { run: Odds::certain(job.runs_s), wait: Odds::certain(room_s), ..Outlook::default() }];
        let placed = plan(&[site], &demand).unplaced == 0;
        if placed {
            self.free -= job.cores;
            self.ends.push((now_s + job.runs_s, number));
            self.begins.insert(number, now_s);
        } else if entitled {
            self.kept.keep("a", 1, key(number), demand.waited_s, now_s, room_s);
        }
        let begins = &self.begins;
        self.kept.tidy(|of| !begins.contains_key(&of.into_job()));
        placed
    }
}

trait IntoJob {
    fn into_job(self) -> usize;
}

impl IntoJob for ActionKey {
    fn into_job(self) -> usize {
        self.action.0 as usize
    }
}

/// When each job began, until a time.
fn play(jobs: &[Job], weights: &[f64], shared: bool, until_s: f64) -> BTreeMap<usize, f64> {
    let mut site = Site {
        jobs,
        weights,
        shared,
        free: SIZE,
        queued: Vec::new(),
        ends: Vec::new(),
        kept: Kept::default(),
        begins: BTreeMap::new(),
    };
    let mut coming: Vec<usize> = (0..jobs.len()).collect();
    coming.sort_by(|a, b| jobs[*b].arrives_s.total_cmp(&jobs[*a].arrives_s));
    loop {
        let arrival = coming.last().map_or(f64::INFINITY, |job| jobs[*job].arrives_s);
        let end = site.ends.iter().map(|(end, _)| *end).fold(f64::INFINITY, f64::min);
        let now_s = arrival.min(end);
        if now_s > until_s {
            return site.begins;
        }
        for (_, job) in site.ends.extract_if(.., |(end, _)| *end <= now_s) {
            site.free += jobs[job].cores;
        }
        while coming.last().is_some_and(|job| jobs[*job].arrives_s <= now_s) {
            site.queued.extend(coming.pop());
        }
        assert!(site.free <= SIZE, "nothing is given back twice");
        site.turn(now_s);
    }
}

/// A project that asks for half as much again as there is, in small pieces, for ever.
fn flood(random: &mut Random, hours: f64) -> Vec<Job> {
    let mut at = 0.0;
    let mut jobs = Vec::new();
    while at < hours * 3_600.0 {
        at += 5.0 * -random.share().max(1e-9).ln();
        jobs.push(Job { project: 0, cores: 1, runs_s: 30.0 + 60.0 * random.share(), arrives_s: at });
    }
    jobs
}

#[test]
fn a_flood_does_not_keep_others_waiting() {
    for seed in 0..2 {
        let mut jobs = flood(&mut Random(seed * 7 + 1), 2.0);
        let first = jobs.len();
        // Another project with a little work: always less than its share.
        jobs.extend((0..40).map(|number| Job {
            project: 1,
            cores: 1,
            runs_s: 60.0,
            arrives_s: 900.0 + 120.0 * f64::from(number),
        }));
        let longest = |shared: bool| {
            let begins = play(&jobs, &[1.0, 1.0], shared, 2.0 * 3_600.0);
            (first..jobs.len()).map(|job| begins.get(&job).map_or(1e9, |at| at - jobs[job].arrives_s)).fold(0.0, f64::max)
        };
        assert!(longest(true) <= 90.0, "seed {seed}: longer than one of the others runs: {}", longest(true));
        assert!(longest(false) > 600.0, "seed {seed}: without shares it waits behind all of the flood: {}", longest(false));
    }
}

#[test]
fn a_share_is_what_a_project_gets_when_all_want_all() {
    let jobs: Vec<Job> = (0..3_000).map(|number| Job { project: number % 2, cores: 1, runs_s: 60.0, arrives_s: 0.0 }).collect();
    let begins = play(&jobs, &[1.0, 3.0], true, 1_700.0);
    let of = |project: usize| begins.keys().filter(|job| jobs[**job].project == project).count() as f64;
    assert!((of(1) / of(0) - 3.0).abs() < 0.1, "{} and {}", of(0), of(1));
}

#[test]
fn what_needs_all_of_a_site_gets_it_in_bounded_time() {
    for seed in 0..2 {
        let mut jobs = flood(&mut Random(seed * 11 + 3), 2.0);
        let wide = jobs.len();
        jobs.push(Job { project: 1, cores: SIZE, runs_s: 300.0, arrives_s: 600.0 });
        let begins = |shared: bool| play(&jobs, &[1.0, 1.0], shared, 2.0 * 3_600.0).get(&wide).copied();
        // Its patience, and then the longest that anything runs.
        let at = begins(true).unwrap_or(1e9) - 600.0;
        assert!(at <= PATIENCE_OF_ORDER_S + 120.0, "seed {seed}: it began after {at} s");
        assert_eq!(begins(false), None, "seed {seed}: without, what is small is always before it");
    }
}
