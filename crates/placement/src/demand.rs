//! What a decision is made from: sites as they are, and work that wants a place.

use std::collections::{BTreeMap, BTreeSet};

use model::graph::Needs;
use model::site::Prices;
use model::{Money, Resources};

use crate::explain::Obstacle;
use crate::objective::{Late, Odds, Settings};

/// A site as the placer sees it.
#[derive(Clone, Debug, Default)]
pub struct SiteView {
    /// Its name.
    pub name: String,
    /// All it has.
    pub capacity: Resources,
    /// What is not reserved.
    pub free: Resources,
    /// Facts that `needs.site` refers to.
    pub attributes: BTreeMap<String, String>,
    /// What its use costs.
    pub prices: Prices,
    /// Why it takes no new work, when it does not.
    pub closed: Option<String>,
    /// Whether it stands for another place.
    pub simulated: bool,
    /// Bytes that left it in this month.
    pub sent_bytes: u64,
    /// Why such work has no boot to wait for although the site rents; none when it has.
    pub started: Option<Started>,
}

/// Capacity that is there, of a site that rents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Why it is there, in words.
    pub why: String,
    /// Whether another piece boots for each that is taken: what is saved is time, and no money.
    pub replaced: bool,
}

/// Where work may go: the gate's answer, and a hard filter. What is not permitted is never chosen, whatever it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permitted {
    /// The only sites that may be used; none when every site may that is not refused by name.
    only: Option<BTreeSet<String>>,
    /// Why a site may not be used, and what is in the way when it is not the work there itself.
    refusals: BTreeMap<String, (String, Option<Obstacle>)>,
}

impl Permitted {
    /// Every site.
    pub fn all() -> Permitted {
        Permitted::default()
    }

    /// These sites and no other.
    pub fn only(sites: impl IntoIterator<Item = String>) -> Permitted {
        Permitted { only: Some(sites.into_iter().collect()), refusals: BTreeMap::new() }
    }

    /// Takes a site out, with the reason (which policy, which attribute).
    pub fn refuse(&mut self, site: impl Into<String>, why: impl Into<String>) {
        self.take_out(site.into(), why.into(), None);
    }

    /// The same where something else is in the way than the work there itself.
    pub fn refuse_for(&mut self, site: impl Into<String>, obstacle: Obstacle, why: impl Into<String>) {
        self.take_out(site.into(), why.into(), Some(obstacle));
    }

    fn take_out(&mut self, site: String, why: String, obstacle: Option<Obstacle>) {
        if let Some(only) = &mut self.only {
            only.remove(&site);
        }
        self.refusals.insert(site, (why, obstacle));
    }

    /// Why a site may not be used; none when it may.
    pub fn refusal(&self, site: &str) -> Option<&str> {
        if let Some((why, _)) = self.refusals.get(site) {
            return Some(why);
        }
        self.only.as_ref().filter(|only| !only.contains(site)).map(|_| "it is not among the permitted sites")
    }

    /// What is in the way of a site that may not be used, when it is not the work there itself.
    pub fn obstacle(&self, site: &str) -> Option<&Obstacle> {
        self.refusals.get(site)?.1.as_ref()
    }
}

/// What is expected of a task at one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// Seconds that it runs.
    pub run: Odds,
    /// Below and above which 5 of 100 lie.
    pub interval_s: (f64, f64),
    /// What that rests on.
    pub basis: &'static str,
    /// How many attempts it is from.
    pub samples: u64,
    /// Whether those were of this very task at this very site.
    pub here: bool,
    /// The share of attempts that fail.
    pub failure_rate: f64,
    /// Seconds that it would wait for a place, when there is none now.
    pub wait: Odds,
    /// Seconds from a place to the beginning, whatever the site says that it has: a site that takes more than it can begin is known by it.
    pub start: Odds,
    /// Preemptions an hour.
    pub hazard: f64,
}

impl Default for Outlook {
    /// Nothing is known: one minute, give or take a factor of ten.
    fn default() -> Self {
        Outlook {
            run: Odds { mid: 60.0, mean: 120.0, deviation: 180.0 },
            interval_s: (6.0, 600.0),
            basis: "assumed",
            samples: 0,
            here: false,
            failure_rate: 0.02,
            wait: Odds::certain(0.0),
            start: Odds::certain(0.0),
            hazard: 0.0,
        }
    }
}

/// Work that wants a place: a number of actions that are alike.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// What each needs.
    pub needs: Needs,
    /// How many there are.
    pub count: u32,
    /// What each reads.
    pub inputs: Vec<Input>,
    /// Where it may go.
    pub permitted: Permitted,
    /// What is expected of it, site by site in the order of the sites; [`Outlook::default`] where there is none.
    pub outlooks: Vec<Outlook>,
    /// What lateness of the run costs, when it has a deadline.
    pub late: Option<Late>,
    /// Seconds of the critical path behind it.
    pub rest_s: f64,
    /// Money that the project may still spend, when it has a budget.
    pub budget: Option<Money>,
    /// How many of them the project's quota lets begin, when it has one.
    pub at_most: Option<u32>,
    /// What may be paid for trying a site of which little is known: see [`crate::explore`].
    pub explore: Money,
    /// What bounds the project's work, in words.
    pub bounds: Option<String>,
    /// The site that the run's plan names.
    pub planned: Option<String>,
    /// Seconds that the first of it has waited already. From [`crate::PATIENCE_S`] on it waits for no cheaper place.
    pub waited_s: f64,
    /// How the rule is set.
    pub settings: Settings,
}

impl Demand {
    /// So many actions of which nothing but their needs and inputs is known.
    pub fn new(needs: Needs, count: u32, inputs: Vec<Input>) -> Demand {
        Demand { needs, count, inputs, ..Demand::default() }
    }
}

/// An artifact that the work reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// Bytes.
    pub size: u64,
    /// Sites with a copy.
    pub sites: Vec<String>,
}
