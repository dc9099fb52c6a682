//! Opening nodes whose dependencies are settled, items of maps, and ending what is complete.

use std::collections::{BTreeMap, BTreeSet};

use model::limits::{EACH_ITEMS_MAX, RUN_ACTIONS_MAX, SUBWORKFLOW_DEPTH_MAX, VALUE_BYTES_MAX};
use model::{ActionKey, ActionNo, Digest, Failure, FailureClass, NodeIx, NodeKind, Payload, Phase, RunId, Template};
use serde_json::{Value, json};

use crate::action::ActionState;
use crate::event::{
    ActionFinished, ActionsOpened, Located, NodesSkipped, Opened, RecallKey, RecallKind, Role, ScopeNo, SkipReason, SkippedNode,
};
use crate::run::{NodeState, Run, Scope};
use crate::unit::Unit;
use crate::{EvalError, Event, Scope as Names, wait};

use super::Stepper;

/// How an action that ends in the step that opened it ends.
struct Instant {
    action: ActionNo,
    phase: Phase,
    output: Option<Payload>,
    failure: Option<Failure>,
    reused: bool,
    /// Where the artifacts of a reused output lie.
    locations: Vec<Located>,
}

/// What is opened and skipped together.
#[derive(Default)]
struct Opening {
    opened: Vec<Opened>,
    instant: Vec<Instant>,
    skipped: BTreeMap<ScopeNo, Vec<SkippedNode>>,
}

/// What to do with a node or an item.
enum Fate {
    Skip(SkipReason),
    Run {
        input: Option<Payload>,
        recall: Option<RecallKey>,
    },
    /// An item that is given what one of an earlier run was given: that one's output is taken.
    Take {
        input: Option<Payload>,
        output: Payload,
        locations: Vec<Located>,
    },
    End {
        phase: Phase,
        output: Option<Payload>,
        failure: Option<Failure>,
        reused: bool,
    },
}

fn failed(class: FailureClass, message: impl Into<String>) -> Fate {
    Fate::End { phase: Phase::Failed, output: None, failure: Some(Failure::new(class, message)), reused: false }
}

fn too_large(size: u64) -> Failure {
    let message = format!("the value is {size} bytes; at most {VALUE_BYTES_MAX} may pass between nodes: use an artifact");
    Failure::new(FailureClass::Output, message)
}

/// A key that whoever started the run knows; none when it is none.
fn given_key(given: &Value) -> Option<RecallKey> {
    let key = given.get("key")?.as_str()?.parse().ok()?;
    let is_once = given.get("once").and_then(Value::as_bool).unwrap_or(false);
    let kind = if is_once { RecallKind::Once } else { RecallKind::Cache };
    Some(RecallKey { kind, key, max_age: given.get("max_age_us").and_then(Value::as_u64).map(model::Duration) })
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Failure {
        Failure::new(FailureClass::Expression, error.to_string())
    }
}

impl Stepper<'_, '_> {
    /// Opens or skips every node that is ready.
    pub(super) fn open_ready(&mut self, id: RunId) {
        let Some(run) = self.run(id) else { return };
        let mut opening = Opening::default();
        for (scope_no, node) in &run.ready {
            let Some(scope) = run.scopes.get(*scope_no as usize) else { continue };
            let Some(unit) = scope.compiled.units.get(*node as usize) else { continue };
            let path = format!("{}{}", scope.prefix, unit.node.id);
            let fate = self.fate_of_node(run, scope, *scope_no, *node, unit, &path);
            self.add(run, &mut opening, fate, unit, Role::Node, *scope_no, *node, path);
        }
        self.carry_out(id, opening);
    }

    /// Opens as many items of a map as may run at once.
    pub(super) fn open_items(&mut self, key: ActionKey) {
        let Some(run) = self.run(key.run) else { return };
        let Some(each) = run.action(key.action) else { return };
        let (ActionState::Each(map), Some(body), NodeKind::Each { concurrency, .. }) =
            (&each.state, &each.unit.body, &each.unit.node.kind)
        else {
            return;
        };
        let Some(scope) = run.scopes.get(each.scope as usize) else { return };
        let items = each.input.as_ref().and_then(|input| input.value().get("items")?.as_array());
        let room = (*concurrency).max(1).saturating_sub(map.running);
        let mut opening = Opening::default();
        // Outputs of earlier items that items of this opening take.
        let mut taken: BTreeSet<(Digest, usize)> = BTreeSet::new();
        for index in map.next..map.total.min(map.next.saturating_add(room)) {
            let item = items.and_then(|items| items.get(index as usize)).unwrap_or(&Value::Null);
            let names = run.names_for(scope, &each.unit.node.refs, Some((item, index)));
            let path = format!("{}[{index}]", each.path);
            let mut fate = self.fate(run, scope, body, &names, &path);
            if each.scope == 0 && body.node.once.is_none() && !run.reused_items.is_empty() {
                fate = known(run, each.node, index, items.map_or(&[], Vec::as_slice), fate, &mut taken);
            }
            let role = Role::Item { each: key.action, index };
            self.add(run, &mut opening, fate, body, role, each.scope, each.node, path);
        }
        self.carry_out(key.run, opening);
    }

    fn fate_of_node(&self, run: &Run, scope: &Scope, scope_no: ScopeNo, index: NodeIx, unit: &Unit, path: &str) -> Fate {
        let node = &unit.node;
        if scope_no == 0
            && let Some(output) = run.reused.get(&index)
        {
            return Fate::End { phase: Phase::Succeeded, output: Some(output.clone()), failure: None, reused: true };
        }
        let state = |index: &NodeIx| scope.nodes.get(*index as usize);
        if node.chosen_by.iter().any(|decider| state(decider) != Some(&NodeState::Skipped) && !chose(scope, *decider, index)) {
            return Fate::Skip(SkipReason::Branch);
        }
        let left_out = |index: &NodeIx| state(index) == Some(&NodeState::Skipped);
        let orphan = !node.chosen_by.is_empty() && node.chosen_by.iter().all(left_out);
        if orphan || node.condition.is_none() && node.refs.iter().any(left_out) {
            return Fate::Skip(SkipReason::Upstream);
        }
        self.fate(run, scope, unit, &run.names_for(scope, &node.refs, None), path)
    }

    /// Evaluates condition, input and keys.
    fn fate(&self, run: &Run, scope: &Scope, unit: &Unit, names: &Names<'_>, path: &str) -> Fate {
        match self.try_fate(run, scope, unit, names, path) {
            Ok(fate) => fate,
            Err(failure) => Fate::End { phase: Phase::Failed, output: None, failure: Some(failure), reused: false },
        }
    }

    fn try_fate(&self, run: &Run, scope: &Scope, unit: &Unit, names: &Names<'_>, path: &str) -> Result<Fate, Failure> {
        let node = &unit.node;
        if let Some(condition) = &node.condition
            && !self.context.evaluator.test(condition, names)?
        {
            return Ok(Fate::Skip(SkipReason::Condition));
        }
        let mut input = self.render(run, &node.input, names)?;
        match &node.kind {
            NodeKind::Decide { .. } => return self.branch(run, unit, names),
            NodeKind::Each { .. } => {
                if let Some(fate) = check_items(run, input.as_ref()) {
                    return Ok(fate);
                }
            }
            NodeKind::Wait => {
                if let Err(message) = wait::parse(input.as_ref(), self.context.now) {
                    return Ok(failed(FailureClass::Expression, message));
                }
            }
            NodeKind::Workflow { graph } => {
                if scope.depth as usize >= SUBWORKFLOW_DEPTH_MAX {
                    return Ok(failed(
                        FailureClass::Quota,
                        format!("sub-workflows are nested deeper than {SUBWORKFLOW_DEPTH_MAX}"),
                    ));
                }
                input = Some(Payload::new(&run.salt, with_defaults(graph, input.as_ref())?));
            }
            _ => {}
        }
        let recall = self.recall_key(run, unit, input.as_ref(), names, path)?;
        Ok(Fate::Run { input, recall })
    }

    /// A rendered template as a payload; none when there is nothing in it.
    pub(super) fn render(&self, run: &Run, template: &Template, names: &Names<'_>) -> Result<Option<Payload>, Failure> {
        if template.is_null() {
            return Ok(None);
        }
        let value = if template.dynamic { self.context.evaluator.render(template, names)? } else { template.json.clone() };
        let payload = Payload::new(&run.salt, value);
        if payload.size as usize > VALUE_BYTES_MAX {
            return Err(too_large(u64::from(payload.size)));
        }
        Ok(Some(payload))
    }

    fn branch(&self, run: &Run, unit: &Unit, names: &Names<'_>) -> Result<Fate, Failure> {
        let NodeKind::Decide { branches } = &unit.node.kind else {
            return Ok(failed(FailureClass::Unknown, "not a decide node"));
        };
        for branch in branches {
            let holds = match &branch.when {
                Some(condition) => self.context.evaluator.test(condition, names)?,
                None => true,
            };
            if holds {
                let output = Some(Payload::new(&run.salt, json!({ "branch": branch.name })));
                return Ok(Fate::End { phase: Phase::Succeeded, output, failure: None, reused: false });
            }
        }
        let output = Some(Payload::new(&run.salt, json!({ "branch": null })));
        Ok(Fate::End { phase: Phase::Succeeded, output, failure: None, reused: false })
    }

    /// The key under which the output may be known already. `once` is stronger than `cache`.
    fn recall_key(
        &self,
        run: &Run,
        unit: &Unit,
        input: Option<&Payload>,
        names: &Names<'_>,
        path: &str,
    ) -> Result<Option<RecallKey>, Failure> {
        let node = &unit.node;
        if let Some(once) = &node.once {
            let value = self.render(run, once, names)?;
            let text = value.as_ref().map_or(Value::Null, |payload| payload.value().clone()).to_string();
            let key =
                Digest::of_parts(&[b"once\0", run.names.workflow.as_bytes(), b"\0", node.id.as_bytes(), b"\0", text.as_bytes()]);
            return Ok(Some(RecallKey { kind: RecallKind::Once, key, max_age: None }));
        }
        let Some(cache) = &node.cache else { return Ok(None) };
        if let Some(given) = &cache.given {
            let given = self.render(run, given, names)?;
            let key = given.as_ref().and_then(|given| given_key(given.value()));
            return Ok(key.map(|key| super::children::under_label(key, &run.label_at(path))));
        }
        let kind = serde_json::to_string(&node.kind).unwrap_or_default();
        let input = input.map_or(String::new(), |payload| payload.value().to_string());
        let label = run.label_at(path).to_string();
        let key = Digest::of_parts(&[
            b"cache\0",
            kind.as_bytes(),
            b"\0",
            cache.version.as_bytes(),
            b"\0",
            label.as_bytes(),
            b"\0",
            input.as_bytes(),
        ]);
        Ok(Some(RecallKey { kind: RecallKind::Cache, key, max_age: cache.ttl }))
    }

    fn add(
        &self,
        run: &Run,
        opening: &mut Opening,
        fate: Fate,
        unit: &Unit,
        role: Role,
        scope: ScopeNo,
        node: NodeIx,
        path: String,
    ) {
        let action = ActionNo((run.actions.len() + opening.opened.len()) as u32);
        let mut opened = Opened {
            action,
            role,
            scope,
            node,
            input: None,
            label: run.label_at(&path),
            recall: None,
            path,
            kind: unit.kind(),
            instant: true,
        };
        match fate {
            Fate::Skip(why) if opened.role == Role::Node => {
                let skipped = SkippedNode { node, why, path: opened.path, kind: opened.kind };
                opening.skipped.entry(scope).or_default().push(skipped);
                return;
            }
            Fate::Skip(_) => {
                let (phase, locations) = (Phase::Skipped, Vec::new());
                opening.instant.push(Instant { action, phase, output: None, failure: None, reused: false, locations })
            }
            Fate::End { phase, output, failure, reused } => {
                opening.instant.push(Instant { action, phase, output, failure, reused, locations: Vec::new() })
            }
            Fate::Take { input, output, locations } => {
                // A repetition of this run looks at what it was given.
                opened.input = input;
                let (phase, output) = (Phase::Succeeded, Some(output));
                opening.instant.push(Instant { action, phase, output, failure: None, reused: true, locations })
            }
            Fate::Run { input, recall } => {
                opened.instant = false;
                opened.input = input;
                opened.recall = recall;
            }
        }
        opening.opened.push(opened);
    }

    fn carry_out(&mut self, id: RunId, opening: Opening) {
        let already = self.run(id).map_or(0, |run| run.actions.len());
        if already + opening.opened.len() > RUN_ACTIONS_MAX as usize {
            self.fail_run(id, FailureClass::Quota, format!("the run would have more than {RUN_ACTIONS_MAX} actions"));
            return;
        }
        for (scope, nodes) in opening.skipped {
            self.emit(Event::NodesSkipped(NodesSkipped { run: id, scope, nodes }));
        }
        if !opening.opened.is_empty() {
            self.emit(Event::ActionsOpened(ActionsOpened { run: id, actions: opening.opened }));
        }
        for instant in opening.instant {
            self.emit(Event::ActionFinished(Box::new(ActionFinished {
                run: id,
                action: instant.action,
                phase: instant.phase,
                output: instant.output,
                failure: instant.failure,
                reused: instant.reused,
                locations: instant.locations,
            })));
        }
    }

    /// Ends a map whose items, or a sub-workflow whose nodes, are all settled.
    pub(super) fn complete(&mut self, key: ActionKey) {
        let Some(run) = self.run(key.run) else { return };
        let Some(action) = run.action(key.action) else { return };
        let output = match &action.state {
            ActionState::Each(map) => {
                // Ten thousand outputs that may pass one by one may not pass as one: told before they are put together.
                let size: u64 = map.outputs.iter().flatten().map(|output| u64::from(output.size)).sum();
                if size as usize > VALUE_BYTES_MAX {
                    return self.finish(key, Phase::Failed, None, Some(too_large(size)));
                }
                let null = Value::Null;
                let outputs = map.outputs.iter().map(|output| output.as_ref().map_or(&null, Payload::value).clone());
                self.render(run, &Template { json: Value::Array(outputs.collect()), dynamic: false }, &Names::default())
            }
            ActionState::Scope(scope) => match run.scopes.get(*scope as usize) {
                Some(scope) => self.render(run, &scope.compiled.graph.outputs, &run.names_for_outputs(scope)),
                None => Ok(None),
            },
            _ => Ok(None),
        };
        match output {
            Ok(output) => self.finish(key, Phase::Succeeded, output, None),
            Err(failure) => {
                let failure = self.told_failure(key, failure);
                self.finish(key, Phase::Failed, None, Some(failure));
            }
        }
    }
}

/// What becomes of an item of a map that would run: where one of an earlier run was given the same, that one's output is taken, and each by one item
/// alone. The item that stands where that one stood goes first. What is to happen once is found by its key, and not here.
fn known(run: &Run, node: NodeIx, index: u32, items: &[Value], fate: Fate, taken: &mut BTreeSet<(Digest, usize)>) -> Fate {
    let Fate::Run { input, recall } = fate else { return fate };
    let given = input.as_ref().map_or_else(|| Payload::new(&run.salt, Value::Null).commitment, |input| input.commitment);
    let Some(kept) = run.reused_items.get(&(node, given)) else { return Fate::Run { input, recall } };
    let item = items.get(index as usize);
    // Kept for an item that is like this one and stands where it stood.
    let is_of_another = |at: Option<u32>| at.is_some_and(|at| at != index && item.is_some() && items.get(at as usize) == item);
    let is_free = |at: &usize| !taken.contains(&(given, *at));
    let own = kept.binary_search_by_key(&Some(index), |one| one.index).ok().filter(is_free);
    let other = || kept.iter().enumerate().position(|(at, one)| is_free(&at) && !is_of_another(one.index));
    let Some((at, one)) = own.or_else(other).and_then(|at| Some((at, kept.get(at)?))) else { return Fate::Run { input, recall } };
    let (output, locations) = (one.output.clone(), one.locations.clone());
    taken.insert((given, at));
    Fate::Take { input, output, locations }
}

/// Whether a `decide` node chose this one.
fn chose(scope: &Scope, decider: NodeIx, node: NodeIx) -> bool {
    let chosen = scope.output(decider).get("branch").and_then(Value::as_str);
    match scope.compiled.graph.nodes.get(decider as usize).map(|decider| &decider.kind) {
        Some(NodeKind::Decide { branches }) => {
            branches.iter().any(|branch| Some(branch.name.as_str()) == chosen && branch.then.contains(&node))
        }
        _ => false,
    }
}

/// Refuses a map over what is no list or too long a one; a map over nothing ends at once.
fn check_items(run: &Run, input: Option<&Payload>) -> Option<Fate> {
    let items = input.and_then(|input| input.value().get("items"));
    match items {
        Some(Value::Array(items)) if items.is_empty() => {
            let output = Some(Payload::new(&run.salt, json!([])));
            Some(Fate::End { phase: Phase::Succeeded, output, failure: None, reused: false })
        }
        Some(Value::Array(items)) if items.len() > EACH_ITEMS_MAX => Some(failed(
            FailureClass::Quota,
            format!("`items` has {} entries; at most {EACH_ITEMS_MAX} are allowed", items.len()),
        )),
        Some(Value::Array(_)) => None,
        _ => Some(failed(FailureClass::Expression, "`items` is not a list")),
    }
}

/// The inputs of a sub-workflow with defaults filled in.
fn with_defaults(graph: &model::Graph, input: Option<&Payload>) -> Result<Value, Failure> {
    let mut inputs = match input.map(Payload::value) {
        Some(Value::Object(fields)) => fields.clone(),
        _ => serde_json::Map::new(),
    };
    for port in &graph.inputs {
        if !inputs.contains_key(&port.name) {
            let default = port.default.clone().ok_or_else(|| {
                Failure::new(
                    FailureClass::Expression,
                    format!("sub-workflow `{}` needs the input `{}`", graph.workflow, port.name),
                )
            })?;
            inputs.insert(port.name.clone(), default);
        }
    }
    Ok(Value::Object(inputs))
}
