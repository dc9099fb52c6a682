//! Rules about actions: when they may come into being, how they end without an attempt.

use std::sync::Arc;

use engine::event::{ActionFinished, ActionsOpened, HumanEscalated, Opened, Role};
use model::{ActionKey, ActionNo, Duration, Graph, Node, NodeKind, Phase, RunId, Timestamp};
use serde_json::Value;

use super::labels::check_label;
use super::{ActionFacts, At, Broken, Checked, Doing, Monitor, RunFacts, broken};

impl Monitor {
    pub(super) fn opened(&mut self, e: &ActionsOpened, at: Timestamp) -> Checked {
        e.actions.iter().try_for_each(|opened| self.check_move(opened))?;
        let moves = e.actions.iter().filter(|opened| matches!(opened.role, Role::Transfer { .. }));
        let moves: Vec<ActionKey> = moves.map(|opened| ActionKey::new(e.run, opened.action)).collect();
        let Some(run) = self.runs.get_mut(&e.run) else { return Ok(()) };
        e.actions.iter().try_for_each(|opened| run.open_one(e.run, opened, at))?;
        if !moves.is_empty() {
            let runs = &self.runs;
            let open = |key: &ActionKey| {
                runs.get(&key.run).and_then(|run| run.actions.get(key.action.0 as usize)).is_some_and(ActionFacts::is_open)
            };
            self.moving.retain(open);
            self.moving.extend(moves);
        }
        Ok(())
    }

    pub(super) fn action_finished(&mut self, e: &ActionFinished, at: Timestamp) -> Checked {
        let key = ActionKey::new(e.run, e.action);
        let Some(run) = self.runs.get_mut(&e.run) else { return Ok(()) };
        let Some(action) = run.actions.get(e.action.0 as usize) else {
            return broken("I2 one end", format!("{key} ends and was never opened"));
        };
        if matches!(action.phase, At::Placed | At::Stopping | At::Backoff(_)) {
            return broken("I2 one end", format!("`{}` ends while it is {:?}", action.path, action.phase));
        }
        action.check_time(e, at)?;
        if let Some(Value::String(name)) = action.input.get("signal").filter(|_| e.phase == Phase::Succeeded)
            && matches!(action.node.kind, NodeKind::Wait)
            && !e.reused
        {
            let kept = run.signals.entry(name.clone()).or_default();
            if *kept == 0 {
                return broken("signals", format!("`{}` takes a signal that was not sent", action.path));
            }
            *kept -= 1;
        }
        run.end(e.action, e.phase, e.reused)?;
        if let Some(action) = run.actions.get_mut(e.action.0 as usize) {
            action.output = e.output.clone();
        }
        if e.phase == Phase::Succeeded && !e.reused { self.note_once(key) } else { Ok(()) }
    }

    pub(super) fn escalated(&mut self, e: &HumanEscalated, at: Timestamp) -> Checked {
        let Some(action) = self.action_mut(e.run, e.action) else { return Ok(()) };
        let step = action.input.get("assign").and_then(|assign| assign.get("then")?.get(e.step as usize));
        let after: Option<Duration> = step.and_then(|step| step.get("after")?.as_str()?.parse().ok());
        let since = if e.step == 0 { action.began } else { action.escalated_at };
        if e.step != action.escalated || after.is_none_or(|after| at < since.after(after)) || !action.is_open() {
            return broken("I7 timers", format!("`{}` escalates for step {} out of turn or time", action.path, e.step));
        }
        (action.escalated, action.escalated_at) = (e.step + 1, at);
        Ok(())
    }

    pub(super) fn began(&mut self, run: RunId, action: ActionNo, at: Timestamp) -> Checked {
        if let Some(action) = self.action_mut(run, action) {
            action.began = at;
        }
        Ok(())
    }

    pub(super) fn action_mut(&mut self, run: RunId, action: ActionNo) -> Option<&mut ActionFacts> {
        self.runs.get_mut(&run)?.actions.get_mut(action.0 as usize)
    }
}

impl ActionFacts {
    /// Timers fire at their time or after it.
    fn check_time(&self, e: &ActionFinished, at: Timestamp) -> Checked {
        let due = match (e.phase, &self.node.kind) {
            (Phase::TimedOut, _) => {
                let inner = match &self.node.kind {
                    NodeKind::Workflow { graph } => graph.timeout,
                    _ => None,
                };
                match self.node.timeout.into_iter().chain(inner).min() {
                    Some(span) => self.began.after(span),
                    None => return broken("I7 timers", format!("`{}` times out and has no timeout", self.path)),
                }
            }
            (Phase::Succeeded, NodeKind::Wait) if !e.reused => {
                let span = self.input.get("for").and_then(|span| span.as_str()?.parse::<Duration>().ok());
                span.map_or(Timestamp(0), |span| self.began.after(span))
            }
            _ => Timestamp(0),
        };
        if at < due {
            return broken("I7 timers", format!("`{}` ends at {}, and is due at {}", self.path, at.0, due.0));
        }
        Ok(())
    }
}

impl RunFacts {
    fn open_one(&mut self, id: RunId, opened: &Opened, at: Timestamp) -> Checked {
        let path = &opened.path;
        if opened.action.0 as usize != self.actions.len() {
            return broken(
                "I3 numbers",
                format!("`{path}` of run {id} has number {}, not {}", opened.action, self.actions.len()),
            );
        }
        if self.by_path.insert(path.clone(), opened.action).is_some() {
            return broken("I2 one end", format!("`{path}` of run {id} is opened twice"));
        }
        let undo = matches!(opened.role, Role::Undo { .. });
        let allowed = match self.doing {
            Doing::Active => !undo,
            Doing::Undoing => undo || matches!(opened.role, Role::Transfer { .. }),
            _ => false,
        };
        let held = self.paused && !undo;
        if !allowed || held {
            let paused = if self.paused { ", paused" } else { "" };
            return broken("I8 cancel", format!("`{path}` is opened while run {id} is {:?}{paused}", self.doing));
        }
        self.scope_of(opened.scope, path);
        let node = self.node_of(opened).map_err(|what| Broken { rule: "I10 replay", what })?;
        match &opened.role {
            Role::Node => self.check_ready(opened.scope, opened.node, path)?,
            Role::Item { each, .. } => {
                let Some(map) = self.actions.get_mut(each.0 as usize) else { return broken("maps", "an item of no map") };
                let NodeKind::Each { concurrency, .. } = map.node.kind else { return broken("maps", "an item of no map") };
                map.open_items += 1;
                if map.open_items > concurrency.max(1) || !map.is_open() {
                    let what = format!("{} items of `{}` run at once, {concurrency} may", map.open_items, map.path);
                    return broken("I9 concurrency", what);
                }
            }
            Role::Undo { of } => {
                if self.undo.get(self.undone) != Some(of) {
                    return broken("undo", format!("`{path}` is undone out of turn"));
                }
                self.undone += 1;
            }
            // The worlds of the simulator have none yet.
            Role::Transfer { .. } | Role::Child { .. } => {}
        }
        let input = opened.input.as_ref().map_or(Value::Null, |input| input.value().clone());
        let read = self.read_by(opened, &node, &input);
        check_label(&opened.label, &read.all, &format!("`{path}` of run {id}"))?;
        if opened.role == Role::Node {
            self.at_node.insert((opened.scope, opened.node), opened.action);
        }
        self.open += 1;
        self.actions.push(ActionFacts {
            path: path.clone(),
            role: opened.role.clone(),
            scope: opened.scope,
            node_ix: opened.node,
            node,
            input,
            recall: opened.recall.clone(),
            phase: if matches!(opened.role, Role::Transfer { .. }) { At::Placed } else { At::Open },
            attempt: u32::from(matches!(opened.role, Role::Transfer { .. })),
            began: at,
            placed_at: at,
            site: None,
            escalated: 0,
            escalated_at: at,
            open_items: 0,
            output: None,
            read,
        });
        Ok(())
    }

    /// Learns from the path of a node which sub-workflow its scope belongs to.
    pub(super) fn scope_of(&mut self, scope: u32, path: &str) {
        if !self.scopes.contains_key(&scope)
            && let Some((parent, _)) = path.rsplit_once('/')
        {
            let parent = self.by_path.get(parent).copied();
            self.scopes.insert(scope, parent);
        }
    }

    pub(super) fn graph_of(&self, scope: u32) -> Option<Arc<Graph>> {
        match self.scopes.get(&scope)? {
            None => Some(self.graph.clone()),
            Some(parent) => match &self.actions.get(parent.0 as usize)?.node.kind {
                NodeKind::Workflow { graph } => Some(graph.clone()),
                _ => None,
            },
        }
    }

    fn node_of(&self, opened: &Opened) -> Result<Arc<Node>, String> {
        let of_action = |number: &ActionNo| self.actions.get(number.0 as usize).map(|action| action.node.clone());
        let node = match &opened.role {
            Role::Node => {
                self.graph_of(opened.scope).and_then(|graph| graph.nodes.get(opened.node as usize).cloned()).map(Arc::new)
            }
            Role::Item { each, .. } => of_action(each).and_then(|map| match &map.kind {
                NodeKind::Each { body, .. } => Some(body.clone()),
                _ => None,
            }),
            Role::Undo { of } => of_action(of).and_then(|node| {
                let undo = node.undo.clone()?;
                let (kind, needs, retry, timeout) = (undo.kind.clone(), undo.needs.clone(), undo.retry.clone(), undo.timeout);
                Some(Arc::new(Node { id: node.id.clone(), kind, needs, retry, timeout, ..Node::default() }))
            }),
            Role::Transfer { wanted_by, .. } => of_action(wanted_by),
            Role::Child { .. } => None,
        };
        node.ok_or_else(|| format!("`{}` has no definition", opened.path))
    }

    /// A node is opened or left out when all that it waits for is settled, and in a sub-workflow that has not ended.
    pub(super) fn check_ready(&self, scope: u32, node: u32, path: &str) -> Checked {
        if scope == 0 && self.reused.contains(&node) {
            return Ok(());
        }
        let Some(graph) = self.graph_of(scope) else {
            return broken("I10 replay", format!("the scope of `{path}` is not known"));
        };
        let Some(definition) = graph.nodes.get(node as usize) else {
            return broken("I10 replay", format!("`{path}` is no node"));
        };
        let before = definition.refs.iter().chain(&definition.after).chain(&definition.chosen_by);
        for other in before {
            if self.settled.get(&(scope, *other)) != Some(&true) {
                return broken("order", format!("`{path}` does not wait for `{}`", graph.nodes[*other as usize].id));
            }
        }
        let mut above = self.scopes.get(&scope).copied().flatten();
        while let Some(action) = above.and_then(|number| self.actions.get(number.0 as usize)) {
            if !action.is_open() {
                return broken("I8 cancel", format!("`{path}` is opened although `{}` has ended", action.path));
            }
            above = match action.role {
                Role::Item { each, .. } => Some(each),
                _ => self.scopes.get(&action.scope).copied().flatten(),
            };
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, scope: u32, node: u32, well: bool, path: &str) -> Checked {
        match self.settled.insert((scope, node), well) {
            Some(_) => broken("I2 one end", format!("`{path}` is settled twice")),
            None => Ok(()),
        }
    }

    /// Ends an action, once.
    pub(super) fn end(&mut self, number: ActionNo, phase: Phase, reused: bool) -> Checked {
        let Some(action) = self.actions.get_mut(number.0 as usize) else { return Ok(()) };
        if let At::Ended(before) = action.phase {
            return broken("I2 one end", format!("`{}` ends as {phase} after it ended as {before}", action.path));
        }
        action.phase = At::Ended(phase);
        self.open -= 1;
        let (role, scope, node, path) = (action.role.clone(), action.scope, action.node_ix, action.path.clone());
        let undoable = phase == Phase::Succeeded && !reused && action.node.undo.is_some();
        if undoable && !matches!(role, Role::Undo { .. } | Role::Transfer { .. }) {
            self.succeeded.push(number);
        }
        match role {
            Role::Node => self.settle(scope, node, matches!(phase, Phase::Succeeded | Phase::Skipped), &path)?,
            Role::Item { each, .. } => {
                if let Some(map) = self.actions.get_mut(each.0 as usize) {
                    map.open_items = map.open_items.saturating_sub(1);
                }
            }
            Role::Undo { .. } | Role::Transfer { .. } | Role::Child { .. } => {}
        }
        Ok(())
    }
}
