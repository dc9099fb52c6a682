//! What can be said only of the graph as a whole.

use model::{Graph, NodeIx, NodeKind};

use crate::Diagnostic;
use crate::source::{Key, Tree};

use super::{Compiler, Names};

/// Nodes that are told of each end of a circle.
const WAY_NODES_MAX: usize = 10;

impl Compiler<'_> {
    /// Tells the targets of branches who chooses them.
    pub(crate) fn resolve_decisions(&self, graph: &mut Graph, nodes: &[(Key, Tree)], _names: &Names) {
        let mut chosen: Vec<(NodeIx, NodeIx)> = Vec::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            if let NodeKind::Decide { branches } = &node.kind {
                let targets = branches.iter().flat_map(|branch| branch.then.iter().copied());
                chosen.extend(targets.map(|target| (target, index as NodeIx)));
            }
        }
        for (target, decider) in chosen {
            if target == decider {
                let span = nodes.get(decider as usize).map_or(0..0, |(key, _)| key.span.clone());
                self.findings.error("W0202", &span, "a `decide` node chooses itself");
            } else if let Some(node) = graph.nodes.get_mut(target as usize)
                && !node.chosen_by.contains(&decider)
            {
                node.chosen_by.push(decider);
            }
        }
    }

    /// Finds a circle of nodes that wait for each other, and says its way.
    pub(crate) fn check_cycles(&self, graph: &Graph, nodes: &[(Key, Tree)]) {
        // 0: not seen, 1: on the way, 2: done. A stack of our own: a long chain must not use up the thread's.
        let mut seen = vec![0u8; graph.nodes.len()];
        for start in 0..graph.nodes.len() {
            if seen.get(start).copied() != Some(0) {
                continue;
            }
            let mut stack: Vec<(usize, usize)> = vec![(start, 0)];
            mark(&mut seen, start, 1);
            while let Some((at, next)) = stack.pop() {
                let Some(node) = graph.nodes.get(at) else { continue };
                let before = node.refs.iter().chain(&node.after).chain(&node.chosen_by).nth(next).map(|index| *index as usize);
                let Some(before) = before else {
                    mark(&mut seen, at, 2);
                    continue;
                };
                stack.push((at, next + 1));
                match seen.get(before).copied() {
                    Some(0) => {
                        mark(&mut seen, before, 1);
                        stack.push((before, 0));
                    }
                    Some(1) => {
                        let way: Vec<usize> =
                            stack.iter().map(|(index, _)| *index).skip_while(|index| *index != before).collect();
                        self.report_cycle(graph, nodes, &way);
                        return;
                    }
                    _ => {}
                }
            }
        }
    }

    fn report_cycle(&self, graph: &Graph, nodes: &[(Key, Tree)], way: &[usize]) {
        let id = |index: &usize| graph.nodes.get(*index).map_or("?", |node| node.id.as_str());
        let mut names: Vec<&str> = way.iter().take(WAY_NODES_MAX).map(id).collect();
        let left_out = format!("… {} more …", way.len().saturating_sub(2 * WAY_NODES_MAX));
        if way.len() > 2 * WAY_NODES_MAX {
            names.push(&left_out);
        }
        names.extend(way.iter().skip(WAY_NODES_MAX.max(way.len().saturating_sub(WAY_NODES_MAX))).map(id));
        names.extend(way.first().map(id));
        let span = way.first().and_then(|index| nodes.get(*index)).map_or(0..0, |(key, _)| key.span.clone());
        let finding = Diagnostic::error("W0202", span, format!("these nodes wait for each other: {}", names.join(" → ")));
        self.findings.push(finding.hint("read each arrow as “needs”; remove one of the references or `after`"));
    }
}

fn mark(seen: &mut [u8], index: usize, value: u8) {
    if let Some(place) = seen.get_mut(index) {
        *place = value;
    }
}
