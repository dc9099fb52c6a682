//! What the data of runs really carry, as the journal has it: what was counted of their inputs when they were accepted, and what their actions could
//! read beyond that when they were opened. Whoever asks other rules about a run that is known asks with this, and not with what its
//! workflow declares alone.

use std::collections::BTreeMap;

use engine::Event;
use engine::event::{Opened, Role, RunLabelled};
use journal::{HistoryFilter, RunRow};
use model::{Graph, Label, RunId};
use policy::Rules;

use super::inputs_carry;
use crate::{ControlPlane, Fault};

/// What the data of a run carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CarriedByRun {
    /// What its inputs carry, by name.
    pub(crate) inputs: BTreeMap<String, Label>,
    /// By path without the numbers of items: what its actions could read beyond what follows from the inputs.
    pub(crate) found: BTreeMap<String, Label>,
    /// What came to it while it ran: any of its actions may have read that.
    pub(crate) came: Label,
}

impl CarriedByRun {
    /// What the inputs of a graph are declared to carry, of a run of which no more is known.
    pub(crate) fn declared(graph: &Graph) -> CarriedByRun {
        CarriedByRun { inputs: workflow::labels::declared(graph), ..CarriedByRun::default() }
    }

    /// The same when the inputs carry this.
    pub(crate) fn of_inputs(inputs: &BTreeMap<String, Label>) -> CarriedByRun {
        CarriedByRun { inputs: inputs.clone(), ..CarriedByRun::default() }
    }

    /// What is known of the data at a path beside what follows from the inputs.
    pub(crate) fn at(&self, path: &str) -> Label {
        self.found.get(path).cloned().unwrap_or_default().joined(&self.came)
    }

    /// Both together.
    pub(crate) fn with(mut self, other: &CarriedByRun) -> CarriedByRun {
        for (own, others) in [(&mut self.inputs, &other.inputs), (&mut self.found, &other.found)] {
            others.iter().for_each(|(name, label)| own.entry(name.clone()).or_default().join(label));
        }
        self.came.join(&other.came);
        self
    }
}

/// What entries say of one run.
#[derive(Default)]
struct Said {
    counted: RunLabelled,
    opened: BTreeMap<String, Label>,
}

impl Said {
    fn take(&mut self, event: Event) {
        match event {
            Event::RunLabelled(counted) => self.counted = *counted,
            Event::ActionsOpened(opened) => opened.actions.iter().for_each(|one| self.open(one)),
            Event::ChildOpened(child) => self.open(&child.opened),
            _ => {}
        }
    }

    fn open(&mut self, one: &Opened) {
        // What moves carries what the work behind it reads.
        if one.label.is_empty() || matches!(one.role, Role::Transfer { .. }) {
            return;
        }
        self.opened.entry(engine::without_items(&one.path)).or_default().join(&one.label);
    }

    fn carried(mut self) -> CarriedByRun {
        for (path, label) in &mut self.opened {
            if let Some(counted) = self.counted.reads.get(path) {
                label.0.retain(|tag| !counted.0.contains(tag));
            }
        }
        self.opened.retain(|_, label| !label.is_empty());
        CarriedByRun { inputs: self.counted.inputs, found: self.opened, came: Label::empty() }
    }
}

/// What the runs of a period carried. Most of them carry the same, which is kept once.
#[derive(Default)]
pub(crate) struct CarriedByRuns {
    of: BTreeMap<RunId, usize>,
    all: Vec<CarriedByRun>,
}

impl CarriedByRuns {
    /// The number of what a run carried, and that; none when nothing is known of it.
    pub(crate) fn of(&self, run: RunId) -> Option<(usize, &CarriedByRun)> {
        let number = *self.of.get(&run)?;
        Some((number, self.all.get(number)?))
    }
}

impl ControlPlane {
    /// What the data of a run carry by these rules: its inputs as they are known now, with what is declared, and what was found out while it ran.
    pub(crate) fn carried_by(&self, run: &RunRow, graph: &Graph, rules: &Rules) -> Result<CarriedByRun, Fault> {
        if !rules.governed() {
            return Ok(CarriedByRun::declared(graph));
        }
        let mut said = Said::default();
        self.reader().labels_of(run, &mut |_, event| said.take(event)).map_err(Fault::internal)?;
        let inputs = self.reader().body(run.first_seq, 0).map_err(Fault::internal)?.unwrap_or_default();
        let stored = |artifact: &model::Digest| self.reader().artifact_label(artifact).map_err(Fault::internal);
        let inputs = inputs_carry(rules, graph, &inputs, stored)?;
        let mut carried = said.carried().with(&CarriedByRun { inputs, ..CarriedByRun::default() });
        let key = crate::flyte::run_key(&run.project, &run.domain, &run.name);
        carried.came = self.flyte().label_of_run(&key).map_err(Fault::internal)?;
        Ok(carried)
    }

    /// What the inputs of a run were counted to carry when it was accepted, which is read at once however large it has become.
    pub(crate) fn carried_at_first(&self, run: &RunRow, graph: &Graph) -> Result<CarriedByRun, Fault> {
        let declared = CarriedByRun::declared(graph);
        if !self.rules().governed() {
            return Ok(declared);
        }
        Ok(CarriedByRun::of_inputs(&self.counted_labels(run)?.inputs).with(&declared))
    }

    /// What the data of the runs of a period carried, of those of which anything is said.
    pub(crate) fn carried_in(&self, filter: &HistoryFilter) -> Result<CarriedByRuns, Fault> {
        let mut said: BTreeMap<RunId, Said> = BTreeMap::new();
        let mut each = |run: RunId, event: Event| {
            let says = match &event {
                Event::ActionsOpened(opened) => opened.actions.iter().any(|one| !one.label.is_empty()),
                Event::ChildOpened(child) => !child.opened.label.is_empty(),
                _ => true,
            };
            if says {
                said.entry(run).or_default().take(event);
            }
        };
        self.reader().labels_in(filter, &mut each).map_err(Fault::internal)?;
        let (mut runs, mut numbers) = (CarriedByRuns::default(), BTreeMap::new());
        for (run, said) in said {
            let next = numbers.len();
            let number = *numbers.entry(said.carried()).or_insert(next);
            runs.of.insert(run, number);
        }
        let mut all: Vec<(usize, CarriedByRun)> = numbers.into_iter().map(|(carried, number)| (number, carried)).collect();
        all.sort_by_key(|(number, _)| *number);
        runs.all = all.into_iter().map(|(_, carried)| carried).collect();
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use engine::event::{ActionKind, ActionsOpened};
    use model::ActionNo;

    use super::*;

    fn opened(path: &str, tags: &[&str]) -> Opened {
        Opened {
            action: ActionNo(1),
            role: Role::Node,
            scope: Default::default(),
            node: 0,
            input: None,
            label: Label::of(tags.iter().copied()),
            recall: None,
            path: path.into(),
            kind: ActionKind::Run,
            instant: false,
        }
    }

    #[test]
    fn what_is_found_is_what_was_not_counted() {
        let mut said = Said::default();
        let labels = |all: &[(&str, &[&str])]| {
            all.iter().map(|(name, tags)| ((*name).to_owned(), Label::of(tags.iter().copied()))).collect::<BTreeMap<_, _>>()
        };
        let counted = RunLabelled {
            inputs: labels(&[("scan", &["phi"])]),
            reads: labels(&[("read", &["phi"]), ("all[]", &["phi"])]),
            ..RunLabelled::default()
        };
        said.take(Event::RunLabelled(Box::new(counted)));
        let actions =
            vec![opened("read", &["phi"]), opened("all[0]", &["phi"]), opened("all[1]", &["phi", "pii"]), opened("free", &[])];
        said.take(Event::ActionsOpened(ActionsOpened { run: RunId(1), actions }));
        let transfer = Role::Transfer {
            wanted_by: ActionNo(1),
            artifact: model::Digest([0; 32]),
            size: 1,
            from: "a".into(),
            to: "b".into(),
        };
        said.open(&Opened { role: transfer, ..opened("read<-x", &["pii"]) });
        let carried = said.carried();
        assert_eq!(
            (carried.inputs.clone(), carried.found.clone()),
            (labels(&[("scan", &["phi"])]), labels(&[("all[]", &["pii"])]))
        );
        let came = CarriedByRun { came: Label::of(["secret"]), ..carried };
        assert_eq!((came.at("all[]"), came.at("read")), (Label::of(["pii", "secret"]), Label::of(["secret"])));
    }
}
