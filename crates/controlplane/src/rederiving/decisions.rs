//! Level 3: the decisions of the rules, made again.

use engine::event::{ActionsParked, ActionsPlaced, CancelRequested, EgressDecided, SecretsReleased};
use model::{ActionNo, EgressGrant, RunId, Seq, Timestamp};
use placement::{Explanation, Obstacle, Verdict};

use super::run::Action;
use super::{Rederive, is_connector};
use crate::governing::obstacle;

impl Rederive<'_> {
    pub(super) fn placed(&mut self, seq: Seq, event: &ActionsPlaced) {
        for placed in &event.actions {
            if let Some(action) = self.runs.get_mut(&event.run).and_then(|run| run.actions.get_mut(&placed.action)) {
                action.at = Some(event.site.clone());
                action.placed.insert(placed.attempt, event.site.clone());
            } else {
                self.problem(3, seq, format!("action {} is placed, and was never opened", placed.action.0));
            }
        }
        let Some(first) = event.actions.first() else { return };
        self.explained(event.run, seq, first.action, &event.explanation, Some(&event.site));
        for placed in &event.actions {
            self.may_be_at(event.run, seq, placed.action, &event.site);
        }
    }

    /// What waits is refused everywhere where the record says so, and nowhere else for that reason.
    pub(super) fn parked(&mut self, seq: Seq, event: &ActionsParked) {
        if let Some(first) = event.actions.first() {
            self.explained(event.run, seq, *first, &event.explanation, None);
        }
    }

    fn may_be_at(&mut self, run: RunId, seq: Seq, action: ActionNo, site: &str) {
        let Some((work, action)) = self.runs.get(&run).and_then(|run| {
            let action = run.actions.get(&action)?;
            Some((run.work(action)?, action.clone()))
        }) else {
            return;
        };
        let places = self.cache.places(&self.rules, &self.fleet, &work, &action.label);
        self.decided("placements");
        match places.get(site) {
            Some(verdict) if verdict.allowed => {}
            Some(verdict) => {
                let why = format!("`{}` was placed at `{site}`, which the rules of then refuse: {}", action.path, verdict.why());
                self.problem(3, seq, why);
            }
            None => self.problem(3, seq, format!("`{}` was placed at `{site}`, which was no site then", action.path)),
        }
    }

    /// Every site of an explanation that is said to be refused is refused, and none that is said to be usable is.
    fn explained(&mut self, run: RunId, seq: Seq, action: ActionNo, explanation: &str, chosen: Option<&str>) {
        let Some((work, action)) = self.runs.get(&run).and_then(|run| {
            let action = run.actions.get(&action)?;
            Some((run.work(action)?, action.clone()))
        }) else {
            return;
        };
        if explanation.is_empty() {
            return;
        }
        let Ok(said) = serde_json::from_str::<Explanation>(explanation) else {
            return self.problem(3, seq, format!("the explanation of `{}` cannot be read", action.path));
        };
        let places = self.cache.places(&self.rules, &self.fleet, &work, &action.label);
        for candidate in said.sites.iter().filter(|candidate| Some(candidate.site.as_str()) != chosen) {
            let Some(verdict) = places.get(&candidate.site) else {
                self.problem(3, seq, format!("`{}` was weighed for `{}`, which was no site then", candidate.site, action.path));
                continue;
            };
            let refused = match (candidate.verdict, obstacle(candidate)) {
                // Attributes and size are asked about before the rules are.
                (Verdict::Unfit, _) => continue,
                (Verdict::Refused, Some(Obstacle::TellingAt(at))) => self.may_not_be_told(run, &action, &at),
                (Verdict::Refused, Some(Obstacle::MovingFrom(from))) => {
                    verdict.allowed && !self.rules.may_move(&work, &action.label, &self.fleet, &from, &candidate.site).allowed
                }
                _ => !verdict.allowed,
            };
            self.decided(if candidate.verdict == Verdict::Refused { "refusals" } else { "sites that were weighed" });
            if refused != (candidate.verdict == Verdict::Refused) {
                let (site, path) = (&candidate.site, &action.path);
                let what = match refused {
                    true => format!("`{site}` was weighed for `{path}`, and the rules of then refuse it: {}", verdict.why()),
                    false => format!("`{site}` was refused for `{path}`, and the rules of then permit it"),
                };
                self.problem(3, seq, what);
            }
        }
    }

    /// Whether what an action comes to may not be told to whoever asked for it, where that is.
    fn may_not_be_told(&mut self, run: RunId, action: &Action, at: &str) -> bool {
        let Some((work, told, is_there)) = self.runs.get(&run).and_then(|run| {
            let asked_by = run.actions.get(&action.asked_by?)?;
            let told = asked_by.label.clone().joined(&action.label);
            Some((run.work(asked_by)?, told, asked_by.at.as_deref() == Some(at)))
        }) else {
            return false;
        };
        let places = self.cache.places(&self.rules, &self.fleet, &work, &told);
        is_there && places.get(at).is_some_and(|verdict| !verdict.allowed)
    }

    /// A file is brought for an action.
    pub(super) fn brought(&mut self, run: RunId, seq: Seq, wanted_by: ActionNo, from: &str, to: &str) {
        let Some((work, action)) = self.runs.get(&run).and_then(|run| {
            let action = run.actions.get(&wanted_by)?;
            Some((run.work(action)?, action.clone()))
        }) else {
            return;
        };
        self.decided("transfers");
        let verdict = self.rules.may_move(&work, &action.label, &self.fleet, from, to);
        if !verdict.allowed {
            let what = format!("an input of `{}` was moved from `{from}` to `{to}`, which the rules of then refuse", action.path);
            self.problem(3, seq, format!("{what}: {}", verdict.why()));
        }
    }

    /// Something was stopped since the rules had changed.
    pub(super) fn stopped(&mut self, seq: Seq, event: &CancelRequested) {
        for number in event.actions.iter().chain(&event.ended) {
            let Some((work, action)) = self.runs.get(&event.run).and_then(|run| {
                let action = run.actions.get(number)?;
                // A file on its way is the business of whoever wants it.
                let for_whom = action.moves.as_ref().map_or(Some(action), |(wanted_by, ..)| run.actions.get(wanted_by))?;
                Some((run.work(for_whom)?, action.clone()))
            }) else {
                continue;
            };
            let Some(site) = action.moves.as_ref().map(|(_, _, to)| to).or(action.at.as_ref()) else { continue };
            let places = self.cache.places(&self.rules, &self.fleet, &work, &action.label);
            self.decided("stops");
            let may_come = action
                .moves
                .as_ref()
                .is_none_or(|(_, from, to)| self.rules.may_move(&work, &action.label, &self.fleet, from, to).allowed);
            let reached = self.runs.get(&event.run).and_then(|run| run.last_reach(*number)).cloned().unwrap_or_default();
            let reaches = |way: &EgressGrant| self.rules.may_reach(&work, &action.label, &self.fleet, site, way).allowed;
            if may_come && reached.iter().all(reaches) && places.get(site).is_some_and(|verdict| verdict.allowed) {
                let what = format!("`{}` was stopped at `{site}` as denied, and the rules of then permit it", action.path);
                self.problem(3, seq, what);
            }
        }
    }

    /// Secrets were released to an attempt.
    pub(super) fn released(&mut self, seq: Seq, at: Timestamp, event: &SecretsReleased) {
        let Some((work, action, project)) = self.runs.get_mut(&event.run).and_then(|run| {
            run.released.insert((event.action, event.attempt), event.secrets.keys().cloned().collect());
            let action = run.actions.get(&event.action)?;
            Some((run.work(action)?, action.clone(), run.project.clone()))
        }) else {
            return self.problem(3, seq, "secrets were released to what is no action");
        };
        if action.placed.get(&event.attempt) != Some(&event.site) {
            self.problem(
                3,
                seq,
                format!("secrets were released to `{}` at `{}`, where it was not placed", action.path, event.site),
            );
        }
        for secret in event.secrets.keys() {
            self.decided("releases of secrets");
            let may = |rules: &policy::Rules| {
                rules.may_release(&work, &action.label, &project, secret, &self.fleet, &event.site).allowed
            };
            if !self.rules_at(at).iter().any(|rules| may(rules)) {
                let what = format!("the secret `{secret}` was released to `{}`, which the rules of then refuse", action.path);
                self.problem(3, seq, what);
            }
        }
    }

    /// What an attempt did over the network went over ways that it was given.
    pub(super) fn used(&mut self, seq: Seq, event: &engine::event::NetworkUsed) {
        let Some(run) = self.runs.get(&event.run) else { return };
        let given = run.reach.get(&(event.action, event.attempt)).cloned().unwrap_or_default();
        let path = run.actions.get(&event.action).map(|action| action.path.clone()).unwrap_or_default();
        self.decided("uses of the network");
        for way in event.ways.keys().filter(|way| !given.iter().any(|given| given.to_string() == **way)) {
            self.problem(3, seq, format!("`{path}` went over `{way}`, which it was not given"));
        }
    }

    /// It was decided what an attempt may reach.
    pub(super) fn reached(&mut self, seq: Seq, at: Timestamp, event: &EgressDecided) {
        let Some((work, action)) = self.runs.get_mut(&event.run).and_then(|run| {
            run.reach.insert((event.action, event.attempt), event.permitted.clone());
            let action = run.actions.get(&event.action)?;
            Some((run.work(action)?, action.clone()))
        }) else {
            return self.problem(3, seq, "it was decided what may be reached by what is no action");
        };
        let walls = self.sites.get(&event.site).map(|site| site.sandbox.clone().unwrap_or_default());
        // Connectors ask for one way each, processes are given what there is.
        let is_connector = is_connector(&work.work);
        // Of programs it is not known any more which had to make their environment.
        let may_install = !is_connector && work.work != "run";
        let lets = |way: &EgressGrant| {
            walls.as_ref().is_some_and(|walls| match is_connector {
                true => walls.lets_connectors_use(way),
                false => {
                    walls.granted().any(|granted| granted == *way)
                        || may_install && walls.granted_to_builds().any(|granted| granted == *way)
                }
            })
        };
        if let Some(beyond) = event.permitted.iter().find(|way| !lets(way)) {
            self.problem(3, seq, format!("`{}` may reach `{beyond}`, which `{}` does not grant", action.path, event.site));
        }
        // What the site itself does not let out is not asked of the rules.
        let refused = event.refused.keys().filter_map(|text| EgressGrant::shown_as(text)).filter(&lets).map(|way| (way, false));
        let refused: Vec<(EgressGrant, bool)> = refused.collect();
        for (grant, allowed) in event.permitted.iter().map(|grant| (grant.clone(), true)).chain(refused) {
            self.decided("ways into the network");
            let may = |rules: &policy::Rules| {
                rules.may_reach(&work, &action.label, &self.fleet, &event.site, &grant).allowed == allowed
            };
            if !self.rules_at(at).iter().any(|rules| may(rules)) {
                let (said, does) = if allowed { ("may", "refuse") } else { ("may not", "permit") };
                let what =
                    format!("it is recorded that `{}` {said} reach `{grant}`, and the rules of then {does} it", action.path);
                self.problem(3, seq, what);
            }
        }
    }
}
