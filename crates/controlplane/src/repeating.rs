//! What of a run is repeated and what is taken over: a node's output stands as long as nothing that it read is another.

use std::collections::{BTreeMap, BTreeSet};

use engine::KnownItem;
use engine::event::Located;
use journal::{ActionFilter, ActionRow, RunRow};
use model::limits::REUSED_ITEMS_BYTES_MAX;
use model::{Digest, Graph, Node, NodeIx, NodeKind, Payload, Phase, Read};
use serde_json::Value;
use workflow::labels::reads_of;

use crate::{ControlPlane, Fault, FaultKind, inputs};

/// Bytes that items were given which are read for one repetition.
const READ_BYTES_MAX: usize = 256 << 20;

/// What a repetition of a run would do, node by node of the run's own graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerunPlan {
    /// Nodes whose outputs are taken over, in the order written.
    pub reused: Vec<String>,
    /// Nodes that run, with why.
    pub again: Vec<(String, String)>,
    /// Of maps that run: how many of their items' outputs are kept for items that are given the same.
    pub items: BTreeMap<String, u64>,
}

/// The same with what is taken over.
pub(crate) struct Repeated {
    pub(crate) plan: RerunPlan,
    pub(crate) reused: Vec<(NodeIx, Value)>,
    /// Where the artifacts of these outputs lie.
    pub(crate) locations: Vec<Located>,
    /// Items of maps that run whose outputs stand for items that are given the same, by their maps.
    pub(crate) items: Items,
}

impl Repeated {
    /// Has every item of a map run again.
    pub(crate) fn forget_items(&mut self) {
        self.items = Items::default();
        self.plan.items.clear();
    }
}

/// Items of an earlier run whose outputs may be taken over.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// Those that ended well.
    ended: Vec<(NodeIx, ActionRow)>,
    /// Those that are to run again whatever they are given: what was given to one of them is in nobody's favour.
    left_out: Vec<(NodeIx, ActionRow)>,
}

impl ControlPlane {
    /// What is repeated of a run: the nodes that were chosen, those that read an input that is another, what was undone or did not succeed,
    /// and everything behind them. The outputs of the rest are taken over.
    pub(crate) fn repeated(
        &self,
        row: &RunRow,
        graph: &Graph,
        from: &[String],
        changed: &BTreeSet<String>,
    ) -> Result<Repeated, Fault> {
        let mut again: BTreeMap<NodeIx, String> = BTreeMap::new();
        // Maps that run with all of their items.
        let mut whole: BTreeSet<NodeIx> = BTreeSet::new();
        for id in from {
            let node = chosen(graph, id)?;
            again.insert(node, "it was chosen".to_owned());
            if graph.find(id).is_some() {
                whole.insert(node);
            }
        }
        let filter = ActionFilter { from: 0, limit: usize::MAX >> 1, phase: None };
        let actions = self.reader().actions(row.id, &filter).map_err(Fault::internal)?;
        for node in undone(&actions, graph) {
            again.entry(node).or_insert_with(|| "what it did was undone".to_owned());
            whole.insert(node);
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Some(input) = reads_changed(node, changed) {
                again.entry(index as NodeIx).or_insert_with(|| format!("it reads the input `{input}`, which is another"));
            }
        }
        for node in self.grown(row, graph, &actions)? {
            again.entry(node).or_insert_with(|| "tags came to its data while it ran".to_owned());
            whole.insert(node);
        }
        let outputs = self.outputs(&actions, graph)?;
        let mut locations: BTreeMap<NodeIx, Vec<Located>> = BTreeMap::new();
        for (node, output) in &outputs {
            match inputs::locate(self.sites(), output) {
                Ok(located) => drop(locations.insert(*node, located)),
                Err(_) => drop(again.entry(*node).or_insert_with(|| "what it gave is not kept any more".to_owned())),
            }
        }
        behind(graph, &mut again);
        // What did not succeed, with the same inputs, does not change what stands behind it: a branch that was left out is left out again.
        for index in (0..graph.nodes.len()).map(|index| index as NodeIx).filter(|index| !outputs.contains_key(index)) {
            again.entry(index).or_insert_with(|| "it did not succeed, was left out, or was not reached".to_owned());
        }
        // What stands behind another without reading it waits for what that does, and not for what it gives.
        whole.extend(
            (0..).zip(&graph.nodes).filter(|(_, node)| node.after.iter().any(|on| again.contains_key(on))).map(|(at, _)| at),
        );
        let items = items_of(graph, actions, from, |node| again.contains_key(&node) && !whole.contains(&node));
        let name = |index: NodeIx| graph.nodes.get(index as usize).map(|node| node.id.clone()).unwrap_or_default();
        let reused: Vec<(NodeIx, Value)> = outputs.into_iter().filter(|(node, _)| !again.contains_key(node)).collect();
        let located = reused.iter().flat_map(|(node, _)| locations.remove(node).unwrap_or_default()).collect();
        let plan = RerunPlan {
            reused: reused.iter().map(|(node, _)| name(*node)).collect(),
            again: again.into_iter().map(|(node, why)| (name(node), why)).collect(),
            items: items.counted().into_iter().map(|(node, count)| (name(node), count)).collect(),
        };
        Ok(Repeated { plan, reused, locations: located, items })
    }

    /// What items were given and gave, of the maps that `may` be taken from: as many as a run with this salt may bring with it.
    pub(crate) fn known_items(
        &self,
        items: Items,
        salt: &[u8; 32],
        may: impl Fn(NodeIx) -> bool,
    ) -> Result<Vec<KnownItem>, Fault> {
        // What an item was given is read for what the new run would commit to, and not kept.
        let given = |row: &ActionRow| -> Result<Option<(Digest, usize)>, Fault> {
            let input = match row.input {
                Some((seq, n)) => self.reader().body(seq, n).map_err(Fault::internal)?,
                None => Some(Value::Null),
            };
            let payload = input.map(|input| Payload::new(salt, input));
            Ok(payload.map(|payload| (payload.commitment, payload.size as usize)))
        };
        let mut left_out: BTreeSet<(NodeIx, Digest)> = BTreeSet::new();
        for (node, row) in &items.left_out {
            left_out.extend(given(row)?.map(|(input, _)| (*node, input)));
        }
        let (mut known, mut kept, mut read) = (Vec::new(), 0, 0);
        for (node, row) in items.ended.into_iter().filter(|(node, _)| may(*node)) {
            if read > READ_BYTES_MAX {
                break;
            }
            let Some((input, size)) = given(&row)? else { continue };
            read += size;
            let Some(index) = index_of(&row.path).filter(|_| !left_out.contains(&(node, input))) else { continue };
            let output = match row.output_seq {
                Some(seq) => self.reader().body(seq, 0).map_err(Fault::internal)?,
                None => Some(serde_json::json!({})),
            };
            let Some(output) = output else { continue };
            let size = output.to_string().len();
            if kept + size > REUSED_ITEMS_BYTES_MAX {
                continue;
            }
            // What it gave may not be kept any more.
            let Ok(locations) = inputs::locate(self.sites(), &output) else { continue };
            kept += size;
            known.push(KnownItem { node, index, input, output, locations });
        }
        Ok(known)
    }

    /// The run's own nodes whose data carry more than was counted when the run was accepted: what is counted for a repetition would not
    /// know of it.
    fn grown(&self, row: &RunRow, graph: &Graph, actions: &[ActionRow]) -> Result<BTreeSet<NodeIx>, Fault> {
        let run = crate::flyte::run_key(&row.project, &row.domain, &row.name);
        if self.flyte().label_of_run(&run).map_err(Fault::internal)?.is_empty() {
            return Ok(BTreeSet::new());
        }
        let counted = self.counted_labels(row)?;
        let mut grown = BTreeSet::new();
        for action in actions.iter().filter(|action| action.phase == Phase::Succeeded) {
            let root = action.path.split(['/', '[', '!']).next().and_then(|root| graph.find(root));
            let Some(node) = root.filter(|node| !grown.contains(node)) else { continue };
            let known = counted.reads.get(&engine::without_items(&action.path)).cloned().unwrap_or_default();
            let carried = self.flyte().label_of(&run, &action.path).map_err(Fault::internal)?;
            if !carried.0.is_subset(&known.0) {
                grown.insert(node);
            }
        }
        Ok(grown)
    }

    /// The outputs of a run's own nodes that succeeded.
    fn outputs(&self, actions: &[ActionRow], graph: &Graph) -> Result<BTreeMap<NodeIx, Value>, Fault> {
        let mut outputs = BTreeMap::new();
        for action in actions.iter().filter(|action| action.phase == Phase::Succeeded) {
            let Some(node) = Some(&action.path).filter(|path| !path.contains(['[', '/', '!'])).and_then(|path| graph.find(path))
            else {
                continue;
            };
            let output = action.output_seq.map(|seq| self.reader().body(seq, 0)).transpose().map_err(Fault::internal)?.flatten();
            outputs.insert(node, output.unwrap_or_else(|| serde_json::json!({})));
        }
        Ok(outputs)
    }
}

/// The run's own nodes of which something was undone when the run failed: their outputs stand for nothing any more.
fn undone(actions: &[ActionRow], graph: &Graph) -> BTreeSet<NodeIx> {
    let undone = actions.iter().filter_map(|action| action.path.strip_suffix("!undo"));
    undone.filter_map(|path| graph.find(path.split(['/', '[']).next()?)).collect()
}

impl Items {
    /// How many may be taken over of each map.
    fn counted(&self) -> BTreeMap<NodeIx, u64> {
        let mut counted = BTreeMap::new();
        self.ended.iter().for_each(|(node, _)| *counted.entry(*node).or_default() += 1);
        counted
    }
}

/// The items of a run's own maps that ended well, of the maps that are asked for; those that were chosen to run again are told apart. What is to
/// happen once is found by its key, and not here.
fn items_of(graph: &Graph, actions: Vec<ActionRow>, from: &[String], wanted: impl Fn(NodeIx) -> bool) -> Items {
    let chosen: BTreeSet<&str> = from.iter().filter_map(|id| Some(&id[..=id.find(']')?])).collect();
    let mut items = Items::default();
    for action in actions {
        let Some(root) = item_of(&action.path) else { continue };
        let Some(node) = graph.find(root).filter(|node| wanted(*node)) else { continue };
        let kind = graph.nodes.get(node as usize).map(|node| &node.kind);
        if !matches!(kind, Some(NodeKind::Each { body, .. }) if body.once.is_none()) {
            continue;
        }
        if chosen.contains(action.path.as_str()) {
            items.left_out.push((node, action));
        } else if action.phase == Phase::Succeeded {
            items.ended.push((node, action));
        }
    }
    items
}

/// Where an item stands in the list of its map, by its path.
fn index_of(path: &str) -> Option<u32> {
    path.rsplit_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// The map that an action is an item of, by its path.
fn item_of(path: &str) -> Option<&str> {
    let (root, index) = path.split_once('[')?;
    let index = index.strip_suffix(']')?;
    (!index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) && !root.contains(['/', '!'])).then_some(root)
}

/// The node that is meant by a name, or by the path of an action within it: an item of a map, a step of a sub-workflow.
fn chosen(graph: &Graph, id: &str) -> Result<NodeIx, Fault> {
    let root = id.split(['/', '[', '!']).next().unwrap_or(id);
    graph.find(id).or_else(|| graph.find(root)).ok_or_else(|| {
        let ids: Vec<&str> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
        Fault::new(FaultKind::NotFound, format!("`{}` has no node `{id}`", graph.workflow))
            .hint(format!("it has {}", ids.join(", ")))
    })
}

/// The input that a node reads and that is another, if there is one: in what it is given, its condition, its body, its branches, its key.
fn reads_changed(node: &Node, changed: &BTreeSet<String>) -> Option<String> {
    let mut reads = reads_of(node);
    if let Some(once) = &node.once {
        reads.extend(reads_of(&Node { input: once.clone(), ..Node::default() }));
    }
    reads.into_iter().find_map(|read| match read {
        Read::Input(Some(name)) => changed.contains(&name).then_some(name),
        // All of them at once: whichever is another.
        Read::Input(None) => changed.first().cloned(),
        Read::Node(..) | Read::Item => None,
    })
}

/// Adds what depends on these nodes.
fn behind(graph: &Graph, again: &mut BTreeMap<NodeIx, String>) {
    loop {
        let before = again.len();
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut on = node.refs.iter().chain(&node.after).chain(&node.chosen_by);
            if let Some(on) = on.find(|on| again.contains_key(on)).and_then(|on| graph.nodes.get(*on as usize)) {
                again.entry(index as NodeIx).or_insert_with(|| format!("it stands behind `{}`", on.id));
            }
        }
        if again.len() == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Template;
    use serde_json::json;

    use super::*;

    fn node(id: &str, input: Value, refs: &[NodeIx]) -> Node {
        Node { id: id.into(), input: Template { json: input, ..Template::default() }, refs: refs.to_vec(), ..Node::default() }
    }

    #[test]
    fn what_reads_an_input_that_is_another_is_found_wherever_it_reads_it() {
        let changed: BTreeSet<String> = ["n".to_owned()].into();
        let reads = |node: &Node| reads_changed(node, &changed).is_some();
        assert!(reads(&node("a", json!({"with": "${ inputs.n + 1 }"}), &[])));
        assert!(!reads(&node("a", json!({"with": "${ inputs.m }"}), &[])));
        assert!(reads(&Node { condition: Some("inputs.n > 1".into()), ..node("a", json!({}), &[]) }));
        let once = Template { json: json!("${ inputs.n }"), ..Template::default() };
        assert!(reads(&Node { once: Some(once), ..node("a", json!({}), &[]) }));
        let body = std::sync::Arc::new(node("a", json!({"with": "${ inputs.n }"}), &[]));
        assert!(reads(&Node { kind: NodeKind::Each { body, concurrency: 1, go_on: false }, ..node("a", json!({}), &[]) }));
    }

    #[test]
    fn what_stands_behind_says_behind_what() {
        let graph = Graph {
            workflow: "t/w".into(),
            nodes: vec![
                node("a", json!({}), &[]),
                node("b", json!({}), &[0]),
                node("c", json!({}), &[]),
                node("d", json!({}), &[1, 2]),
            ],
            ..Graph::default()
        };
        let mut again = BTreeMap::from([(0, "it was chosen".to_owned())]);
        behind(&graph, &mut again);
        assert_eq!(again.keys().copied().collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(again[&3], "it stands behind `b`");
    }

    #[test]
    fn an_item_is_one_of_a_map_of_the_run_itself() {
        let roots = ["m[3]", "m[3]/x", "m", "m[3]!undo", "s/m[3]", "m[x]", "m[]", "m[3][4]"].map(item_of);
        assert_eq!(roots, [Some("m"), None, None, None, None, None, None, None]);
    }

    #[test]
    fn an_action_within_a_node_stands_for_the_node() {
        let graph = Graph { workflow: "t/w".into(), nodes: vec![node("score", json!({}), &[])], ..Graph::default() };
        assert_eq!(chosen(&graph, "score").ok(), Some(0));
        assert_eq!(chosen(&graph, "score[3]").ok(), Some(0));
        assert_eq!(chosen(&graph, "score/x").ok(), Some(0));
        assert!(chosen(&graph, "scare").is_err());
    }
}
