//! Rules about labels. What an action could read is reckoned from the values that it was given and from the ways that led to it, and never
//! from labels: a label has to hold at least that, and no attempt may be placed where the rules forbid any of it.

use std::collections::BTreeMap;

use engine::event::{ArtifactsLabelled, AttemptFinished, Located, Opened, Role};
use model::{ActionNo, Label, Node, Phase};
use serde_json::Value;

use super::{Checked, Monitor, RunFacts, broken};
use crate::tags::{DATA, Tags, tags_in};

/// What an action could read.
#[derive(Clone, Default)]
pub(super) struct Read {
    /// Through the ways that led to it: what comes after it on the same way knows that too.
    control: Tags,
    /// All of it.
    pub(super) all: Tags,
}

impl RunFacts {
    /// What an action that is being opened could read.
    pub(super) fn read_by(&self, opened: &Opened, node: &Node, input: &Value) -> Read {
        let mut control = match &opened.role {
            Role::Node => self.control_in(opened.scope),
            // The items of a map are there, so many of them, because of what the map read.
            Role::Item { each, .. } => self.read_all(*each),
            Role::Undo { of } => self.given_by(*of),
            Role::Transfer { wanted_by, .. } => self.read_all(*wanted_by),
            Role::Child { .. } => Tags::new(),
        };
        if matches!(opened.role, Role::Node | Role::Item { .. }) {
            control.extend(node.condition.iter().flat_map(|condition| self.named_in(opened.scope, condition)));
        }
        if opened.role == Role::Node {
            let deciders = node.chosen_by.iter().filter_map(|decider| self.at_node.get(&(opened.scope, *decider)));
            control.extend(deciders.flat_map(|decider| self.given_by(*decider)));
        }
        let mut all = control.clone();
        all.extend(tags_in(input));
        if let (Role::Node, model::NodeKind::Decide { branches }) = (&opened.role, &node.kind) {
            let conditions = branches.iter().filter_map(|branch| branch.when.as_ref());
            all.extend(conditions.flat_map(|condition| self.named_in(opened.scope, condition)));
        }
        if matches!(opened.role, Role::Node) {
            all.extend(self.whole_outputs(opened.scope, &node.input.json));
        }
        Read { control, all }
    }

    /// What whoever is in a scope knows because of the way there.
    fn control_in(&self, scope: u32) -> Tags {
        let parent = self.scopes.get(&scope).copied().flatten();
        parent
            .and_then(|parent| self.actions.get(parent.0 as usize))
            .map(|action| action.read.control.clone())
            .unwrap_or_default()
    }

    fn read_all(&self, action: ActionNo) -> Tags {
        self.actions.get(action.0 as usize).map(|action| action.read.all.clone()).unwrap_or_default()
    }

    /// What an action has given, or would give: all that it read, what its node brings, and what can be seen in its output. What goes into
    /// a sub-workflow need not come out of it.
    fn given_by(&self, action: ActionNo) -> Tags {
        let Some(action) = self.actions.get(action.0 as usize) else { return Tags::new() };
        let inner = matches!(action.node.kind, model::NodeKind::Workflow { .. });
        let mut tags = if inner { action.read.control.clone() } else { action.read.all.clone() };
        tags.extend(action.node.carries.values().flatten().cloned());
        if let Some(output) = action.output.as_ref().and_then(|output| output.body.as_ref()) {
            tags.extend(tags_in(output));
        }
        tags
    }

    /// What a condition reads: it begins with the one name that it is about.
    fn named_in(&self, scope: u32, condition: &str) -> Tags {
        let name = condition.split(' ').next().unwrap_or_default();
        if let Some(input) = name.strip_prefix("inputs.") {
            return match self.scopes.get(&scope).copied().flatten() {
                None => self.inputs.get(DATA).and_then(|data| data.get(input)).map(tags_in).unwrap_or_default(),
                Some(parent) => {
                    let parent = self.actions.get(parent.0 as usize);
                    parent.and_then(|parent| parent.input.get(input)).map(tags_in).unwrap_or_default()
                }
            };
        }
        name.strip_prefix("nodes.").map(|id| self.given_at(scope, id)).unwrap_or_default()
    }

    fn given_at(&self, scope: u32, id: &str) -> Tags {
        let index = self.graph_of(scope).and_then(|graph| graph.find(id));
        let action = index.and_then(|index| self.at_node.get(&(scope, index)).copied());
        action.map(|action| self.given_by(action)).unwrap_or_default()
    }

    /// What the nodes have given whose whole outputs stand in a template.
    fn whole_outputs(&self, scope: u32, template: &Value) -> Tags {
        match template {
            Value::String(text) => {
                let id = text.strip_prefix("${ nodes.").and_then(|rest| rest.strip_suffix(" }"));
                id.map(|id| self.given_at(scope, id)).unwrap_or_default()
            }
            Value::Array(items) => items.iter().flat_map(|item| self.whole_outputs(scope, item)).collect(),
            Value::Object(fields) => fields.values().flat_map(|field| self.whole_outputs(scope, field)).collect(),
            _ => Tags::new(),
        }
    }
}

/// A label holds at least these tags.
pub(super) fn check_label(label: &Label, tags: &Tags, what: &str) -> Checked {
    match tags.difference(&label.0).next() {
        None => Ok(()),
        Some(tag) => broken("I5 labels", format!("{what} could read `{tag}`, and is labelled {label}")),
    }
}

impl Monitor {
    /// No rule forbids a site for any of these tags.
    pub(super) fn check_place(rules: &BTreeMap<String, Tags>, site: &str, tags: &Tags, what: &str) -> Checked {
        match rules.get(site).and_then(|forbidden| forbidden.intersection(tags).next()) {
            None => Ok(()),
            Some(tag) => broken("I5 places", format!("{what} could read `{tag}`, which must not go to `{site}`")),
        }
    }

    /// An artifact moves only where all that it was made from may be.
    pub(super) fn check_move(&self, opened: &Opened) -> Checked {
        let Role::Transfer { artifact, to, .. } = &opened.role else { return Ok(()) };
        let Some(tags) = self.made_from.get(artifact) else { return Ok(()) };
        Monitor::check_place(&self.rules, to, tags, &format!("whoever made what `{}` brings", opened.path))
    }

    /// Notes what artifacts were made from.
    pub(super) fn note_made(&mut self, e: &AttemptFinished) {
        let Some(run) = self.runs.get(&e.run).filter(|_| e.phase == Phase::Succeeded) else { return };
        let Some(action) = run.actions.get(e.action.0 as usize) else { return };
        if matches!(action.role, Role::Transfer { .. }) {
            return;
        }
        let tags = run.given_by(e.action);
        let made = |located: &Located| (located.artifact, tags.clone());
        let made: BTreeMap<_, _> = e.locations.iter().map(made).filter(|(_, tags)| !tags.is_empty()).collect();
        self.unlabelled.extend(made.keys().copied());
        self.made_from.extend(made);
    }

    /// Notes the labels of artifacts.
    pub(super) fn artifacts_labelled(&mut self, e: &ArtifactsLabelled) {
        self.labelled.extend(e.labels.iter().map(|(artifact, label)| (*artifact, label.clone())));
    }

    /// At the end of a step every artifact that it made carries what it was made from.
    pub(super) fn check_artifacts(&mut self) -> Checked {
        for artifact in std::mem::take(&mut self.unlabelled) {
            let label = self.labelled.get(&artifact).cloned().unwrap_or_default();
            let tags = self.made_from.get(&artifact).cloned().unwrap_or_default();
            check_label(&label, &tags, &format!("whoever made {artifact}"))?;
        }
        Ok(())
    }

    /// At the end of a turn nothing goes on where the rules do not let it be any more.
    pub(crate) fn check_held(&self) -> Checked {
        for (name, site) in &self.sites {
            for key in site.holds.keys() {
                let Some(action) = self.action(*key).filter(|action| action.phase == super::At::Placed) else { continue };
                Monitor::check_place(&self.rules, name, &action.read.all, &format!("`{}`, which goes on,", action.path))?;
            }
        }
        for key in &self.moving {
            let goes_on = |action: &&super::ActionFacts| matches!(action.phase, super::At::Placed | super::At::Backoff(_));
            let Some(action) = self.action(*key).filter(goes_on) else { continue };
            let Role::Transfer { to, .. } = &action.role else { continue };
            Monitor::check_place(&self.rules, to, &action.read.all, &format!("whoever wants what `{}` brings", action.path))?;
        }
        Ok(())
    }
}
