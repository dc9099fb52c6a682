//! What projects hold and spend, beside what they may: budgets, quotas, and in which order their work is looked at.
//!
//! The run loop owns this. It is made from the journal at the start and kept up by what the loop decides itself, so that no decision waits for
//! a question to the store, and no two decisions of one turn spend the same money.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engine::event::Goal;
use engine::{Candidate, Event, RunNames, State};
use journal::Reader;
use model::project::{Budget, Quota, day_begin, next_month};
use model::{ActionKey, ActionNo, Money, ProjectSpec, Resources, RunId, Timestamp};
use parking_lot::RwLock;
use placement::shares::{Claim, PATIENCE_OF_ORDER_S, dominant, is_entitled, next};
use placement::thrift::{THRIFT_MAX, THRIFT_POWER, pace, thrift};

use crate::clock::wall;

/// Actions of one project that are given places before the next project is looked at, when several want some.
const AT_ONCE: usize = 8;
const DAY_S: f64 = 86_400.0;

/// An action that holds something.
#[derive(Clone, Debug)]
struct Holding {
    project: String,
    needs: Resources,
    promised: Money,
}

/// Where a project stands, for whoever asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectStand {
    /// What it may.
    pub spec: ProjectSpec,
    /// What was spent this day, in UTC.
    pub day: Money,
    /// What was spent this month, in UTC.
    pub month: Money,
    /// What its actions hold.
    pub held: Resources,
    /// What those are expected to cost: it is as good as spent.
    pub promised: Money,
    /// When the day began that `day` is of.
    pub day_began: Timestamp,
    /// When the month began that `month` is of.
    pub month_began: Timestamp,
}

impl ProjectStand {
    /// What may still be spent; none without a budget.
    pub fn left(&self) -> Option<Money> {
        left(&self.spec.budget, self.day, self.month, self.promised)
    }
}

fn left(budget: &Budget, day: Money, month: Money, promised: Money) -> Option<Money> {
    let of = |cap: Option<Money>, spent: Money| cap.map(|cap| Money(cap.0.saturating_sub(spent.0).saturating_sub(promised.0)));
    match (of(budget.day, day), of(budget.month, month)) {
        (Some(day), Some(month)) => Some(day.min(month)),
        (day, month) => day.or(month),
    }
}

/// Where projects stand, for everybody who asks. The run loop writes it.
pub(crate) type Shown = Arc<RwLock<Stands>>;

/// Where projects stand, and what of it is of which action.
#[derive(Default)]
pub(crate) struct Stands {
    by_project: BTreeMap<String, ProjectStand>,
    holding: BTreeMap<ActionKey, Holding>,
}

impl Stands {
    /// Where all of them stand.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ProjectStand> {
        self.by_project.values()
    }

    /// Where a project stands at a time.
    pub(crate) fn of(&self, project: &str, now: Timestamp) -> ProjectStand {
        let mut stand = self.by_project.get(project).cloned().unwrap_or_default();
        stand.settle(now);
        stand
    }

    /// The same but for what a run of it holds and is expected to cost: whoever plans that run anew counts it once.
    pub(crate) fn of_all_but(&self, project: &str, run: RunId, now: Timestamp) -> ProjectStand {
        let mut stand = self.of(project, now);
        let own = ActionKey::new(run, ActionNo(0))..=ActionKey::new(run, ActionNo(u32::MAX));
        for (_, holding) in self.holding.range(own).filter(|(_, holding)| holding.project == project) {
            stand.give_back(holding);
        }
        stand
    }

    fn show(&mut self, stand: ProjectStand) {
        match self.by_project.get_mut(&stand.spec.name) {
            Some(known) => *known = stand,
            None => drop(self.by_project.insert(stand.spec.name.clone(), stand)),
        }
    }
}

/// What projects hold and spend.
#[derive(Default)]
pub(crate) struct Projects {
    accounts: BTreeMap<String, ProjectStand>,
    shown: Shown,
}

/// What bounds the work of a project now.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// What may still be spent.
    pub(crate) budget: Option<Money>,
    /// How many such actions its quota lets begin.
    pub(crate) count: Option<u32>,
    /// What may be held at once.
    pub(crate) quota: Quota,
    /// What lateness is divided by: how much faster money goes than it lasts.
    pub(crate) thrift: f64,
    /// The bounds in words, for the explanation of what gets no place.
    pub(crate) said: Option<String>,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { budget: None, count: None, quota: Quota::default(), thrift: 1.0, said: None }
    }
}

impl Bounds {
    /// When work should be done, with what lateness costs a project whose money goes so fast: it is late rather than poor.
    pub(crate) fn thrifty(&self, goal: Goal) -> Goal {
        let thrifty = |money: Money| Money((money.0 as f64 / self.thrift) as i64);
        Goal { late_per_hour: thrifty(goal.late_per_hour), late_fee: thrifty(goal.late_fee), ..goal }
    }
}

impl Projects {
    /// What the journal says of the projects, and what the open runs hold.
    pub(crate) fn read(reader: &Reader, state: &State, shown: Shown) -> Result<Projects, journal::JournalError> {
        let mut projects = Projects { shown, ..Projects::default() };
        for row in reader.resources("project", None, None)? {
            projects.take(&row.name, row.body);
        }
        let now = wall();
        let (today, month) = (day_begin(now), now.month_begin());
        for row in reader.costs(month, Timestamp(now.0 + 1))? {
            let account = projects.accounts.entry(row.project).or_default();
            account.settle(now);
            account.month += row.cost;
            if row.day * 86_400_000_000 >= today.0 {
                account.day += row.cost;
            }
        }
        for (key, names, needs) in state.holdings() {
            projects.hold(key, &names.project, needs, Money(0));
        }
        projects.show();
        Ok(projects)
    }

    fn take(&mut self, name: &str, body: serde_json::Value) {
        match serde_json::from_value::<ProjectSpec>(body) {
            Ok(spec) => self.accounts.entry(name.to_owned()).or_default().spec = spec,
            Err(error) => tracing::error!(name, %error, "a project cannot be read, and has no bounds"),
        }
    }

    /// Takes what happened. `names` are those of the run that the command was about, when it was about one.
    pub(crate) fn note(&mut self, event: &Event, names: Option<&RunNames>, now: Timestamp) {
        match event {
            Event::ResourceApplied(e) if e.kind == "project" => self.take(&e.name, e.body.value().clone()),
            Event::ResourceDeleted(e) if e.kind == "project" => {
                self.accounts.entry(e.name.clone()).or_default().spec = ProjectSpec::default();
            }
            Event::AttemptFinished(e) => {
                let held = self.release(ActionKey::new(e.run, e.action));
                if e.cost.0 == 0 && held.is_none() {
                    return;
                }
                let project = held.or_else(|| names.filter(|names| names.run == e.run).map(|names| names.project.clone()));
                let Some(project) = project else { return };
                let account = self.accounts.entry(project.clone()).or_default();
                account.settle(now);
                account.day += e.cost;
                account.month += e.cost;
                return self.show_one(&project);
            }
            _ => return,
        }
        self.show();
    }

    /// Shows where all stand.
    fn show(&self) {
        let stands = self.accounts.iter().map(|(name, account)| (name.clone(), account.stand(name))).collect();
        self.shown.write().by_project = stands;
    }

    /// Shows where one stands: there may be many, and this is done with every action.
    fn show_one(&self, project: &str) {
        let Some(account) = self.accounts.get(project) else { return };
        self.shown.write().show(account.stand(project));
    }

    /// An action begins that is expected to cost so much.
    pub(crate) fn hold(&mut self, key: ActionKey, project: &str, needs: Resources, promised: Money) {
        if needs == Resources::default() && promised.0 == 0 {
            return;
        }
        self.release(key);
        let account = self.accounts.entry(project.to_owned()).or_default();
        account.held = account.held.plus(&needs);
        account.promised += promised;
        // Both at once: nobody sees the one without the other.
        let mut shown = self.shown.write();
        shown.holding.insert(key, Holding { project: project.to_owned(), needs, promised });
        shown.show(account.stand(project));
    }

    fn release(&mut self, key: ActionKey) -> Option<String> {
        let mut shown = self.shown.write();
        let holding = shown.holding.remove(&key)?;
        if let Some(account) = self.accounts.get_mut(&holding.project) {
            account.give_back(&holding);
            shown.show(account.stand(&holding.project));
        }
        Some(holding.project)
    }

    /// What bounds actions with such needs of a project.
    pub(crate) fn bounds(&mut self, project: &str, needs: &Resources, now: Timestamp) -> Bounds {
        let Some(account) = self.accounts.get_mut(project) else { return Bounds::default() };
        account.settle(now);
        account.bounds(project, needs, now)
    }

    /// How urgent the work of a project is beside others': what it holds of all there is, by its share.
    fn standing(&self, project: &str, all: &Resources) -> f64 {
        self.accounts.get(project).map_or(0.0, |account| dominant(&account.held, all) / f64::from(account.spec.weight()))
    }
}

impl ProjectStand {
    /// With so much more that is as good as spent.
    pub(crate) fn promise(&mut self, more: Money) {
        self.promised = Money(self.promised.0.saturating_add(more.0));
    }

    /// Without what an action holds.
    fn give_back(&mut self, holding: &Holding) {
        self.held = self.held.minus(&holding.needs);
        self.promised = Money(self.promised.0.saturating_sub(holding.promised.0));
    }

    fn stand(&self, name: &str) -> ProjectStand {
        ProjectStand { spec: ProjectSpec { name: name.to_owned(), ..self.spec.clone() }, ..self.clone() }
    }

    /// Begins a new day or month when one has come. A clock that went back stays in the period that it was in.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        if self.day_began < day_begin(now) {
            (self.day_began, self.day) = (day_begin(now), Money(0));
        }
        if self.month_began < now.month_begin() {
            (self.month_began, self.month) = (now.month_begin(), Money(0));
        }
    }

    /// What bounds actions with such needs.
    pub(crate) fn bounds(&self, project: &str, needs: &Resources, now: Timestamp) -> Bounds {
        let mut bounds = Bounds { quota: self.spec.quota, ..Bounds::default() };
        let mut said = Vec::new();
        let budget = self.spec.budget;
        if budget.is_set() {
            bounds.budget = self.left();
            bounds.thrift = self.thrift(now);
            let of = |cap: Option<Money>, spent: Money, what: &str| {
                cap.map(|cap| format!("`{project}` has spent {spent} of its budget of {cap} for this {what}"))
            };
            said.extend(of(budget.day, self.day, "day"));
            said.extend(of(budget.month, self.month, "month"));
            if self.promised.0 > 0 {
                said.push(format!("what runs is expected to cost {} more", self.promised));
            }
            if bounds.thrift > 1.0 {
                said.push(format!("it goes {:.1} times as fast as it lasts, and lateness counts that much less", bounds.thrift));
            }
        }
        if self.spec.quota.is_set() {
            let fits = self.spec.quota.fits(&self.held, needs);
            bounds.count = Some(fits);
            if fits < u32::MAX {
                said.push(format!("`{project}` holds {} of its quota of {}", amounts(&self.held), quota(&self.spec)));
            }
        }
        bounds.said = (!said.is_empty()).then(|| said.join("; "));
        bounds
    }

    /// How many times as fast money goes as it lasts, from 1.
    fn thrift(&self, now: Timestamp) -> f64 {
        let of = |cap: Option<Money>, spent: Money, begun: Timestamp, length_s: f64| {
            let spent = spent.units() + self.promised.units();
            pace(spent, cap.map_or(0.0, Money::units), now.since(begun).as_secs_f64() / length_s)
        };
        let month_s = next_month(now).since(now.month_begin()).as_secs_f64();
        let day = of(self.spec.budget.day, self.day, self.day_began, DAY_S);
        thrift(day.max(of(self.spec.budget.month, self.month, self.month_began, month_s)), THRIFT_POWER, THRIFT_MAX)
    }
}

fn amounts(held: &Resources) -> String {
    format!("{} cores, {} MiB, {} accelerators", f64::from(held.cpu_millis) / 1000.0, held.memory_bytes >> 20, held.gpus)
}

fn quota(spec: &ProjectSpec) -> String {
    let parts = [
        spec.quota.cpu_millis.map(|cpu| format!("{} cores", f64::from(cpu) / 1000.0)),
        spec.quota.memory_bytes.map(|bytes| format!("{} MiB", bytes >> 20)),
        spec.quota.gpus.map(|gpus| format!("{gpus} accelerators")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What wants a place in one turn, in the order in which it is looked at.
pub(crate) struct Line {
    all: Resources,
    /// The projects that want something in this turn.
    waiting: Vec<String>,
    by_project: BTreeMap<String, VecDeque<Candidate>>,
}

impl Line {
    /// Puts candidates into the lines of their projects: what has waited too long first, then by priority, then first come first.
    pub(crate) fn new(mut candidates: Vec<Candidate>, state: &State, now: Timestamp) -> Line {
        let rank = |candidate: &Candidate| {
            let overdue = now.since(candidate.queued_at).as_secs_f64() >= PATIENCE_OF_ORDER_S;
            (!overdue, std::cmp::Reverse(if overdue { 0 } else { candidate.priority }), candidate.queued_at)
        };
        candidates.sort_by_key(rank);
        let mut by_project: BTreeMap<String, VecDeque<Candidate>> = BTreeMap::new();
        for candidate in candidates {
            match by_project.get_mut(&candidate.names.project) {
                Some(line) => line.push_back(candidate),
                None => drop(by_project.insert(candidate.names.project.clone(), VecDeque::from([candidate]))),
            }
        }
        let sites = state.fleet().sites().values();
        Line {
            all: sites.fold(Resources::default(), |all, site| all.plus(&site.spec.capacity)),
            waiting: by_project.keys().cloned().collect(),
            by_project,
        }
    }

    /// Whether a project is entitled to more, beside all that want something in this turn.
    pub(crate) fn entitles(&self, project: &str, projects: &Projects) -> bool {
        let others = self.waiting.iter().map(|other| projects.standing(other, &self.all));
        is_entitled(projects.standing(project, &self.all), others)
    }

    /// The next that is looked at; of the project that holds least for its share a few actions at a time.
    pub(crate) fn take(&mut self, projects: &Projects, now: Timestamp) -> Option<Candidate> {
        if self.by_project.len() < 2 {
            let (_, line) = self.by_project.iter_mut().next()?;
            return line.pop_front();
        }
        let claim = |(project, line): (&String, &VecDeque<Candidate>)| {
            let first = line.front();
            let waited_s = first.map_or(0.0, |first| now.since(first.queued_at).as_secs_f64());
            let standing = projects.standing(project, &self.all);
            (project.clone(), Claim { waited_s, standing })
        };
        let claims: Vec<(String, Claim)> = self.by_project.iter().map(claim).collect();
        let at = next(&claims.iter().map(|(_, claim)| *claim).collect::<Vec<_>>())?;
        let project = &claims.get(at)?.0;
        let line = self.by_project.get_mut(project)?;
        let mut candidate = line.pop_front()?;
        if candidate.actions.len() > AT_ONCE {
            let rest = candidate.actions.split_off(AT_ONCE);
            line.push_front(Candidate { actions: rest, ..candidate.clone() });
        }
        if line.is_empty() {
            self.by_project.remove(project);
        }
        Some(candidate)
    }
}
