//! What reading a workflow takes as it grows. `cargo nextest run -p workflow growth --run-ignored all --no-capture --release` prints figures.

use std::cell::Cell;
use std::sync::Arc;

use model::Graph;
use workflow::edit::{Edit, apply};
use workflow::{Catalogue, ConnectorType, semantic};

use crate::{Shelf, files};

/// Workflows of a size, by what is special about them.
fn shapes(count: usize) -> Vec<(&'static str, String)> {
    let file = |nodes: &dyn Fn(usize) -> String| {
        let nodes: String = (0..count).map(|index| format!("  n{index}: {}\n", nodes(index))).collect();
        format!(
            "workflow: t/w\ninputs: {{n: {{type: integer, default: 1}}, names: {{type: array, items: {{type: string}}, maxItems: 10}}}}\nnodes:\n{nodes}"
        )
    };
    let before = |index: usize| index.saturating_sub(1);
    vec![
        ("alone", file(&|_| "{use: core/noop}".into())),
        (
            "chain of expressions",
            file(&|index| match index {
                0 => "{use: core/noop}".into(),
                _ => format!(
                    "{{use: core/noop, with: {{x: \"${{ nodes.n{}.y }}\", z: \"${{ inputs.n + {index} }}\"}}}}",
                    before(index)
                ),
            }),
        ),
        (
            "fan in",
            file(&|index| match index + 1 == count {
                true => {
                    format!("{{use: core/noop, after: [{}]}}", (0..index).map(|i| format!("n{i}")).collect::<Vec<_>>().join(", "))
                }
                false => {
                    "{run: [echo, \"${ run.name }\"], outputs: {a: string, b: {type: object, properties: {c: integer}}}}".into()
                }
            }),
        ),
        (
            "all modifiers",
            file(&|index| match index {
                0 => "{use: core/noop}".into(),
                _ => format!(
                    "{{run: {{script: \"echo ${{ nodes.n{0}.x }}\"}}, if: nodes.n{0}.y == 1, after: n0, needs: {{cpu: 2, memory: 1Gi}}, retry: {{max: 3, backoff: 1s..1m}}, timeout: 1h, cache: {{ttl: 1d}}, undo: {{run: [rm, \"${{ nodes.n{index}.x }}\"]}}, once: \"${{ inputs.n }}-{index}\"}}",
                    before(index)
                ),
            }),
        ),
        (
            "maps",
            file(&|index| {
                format!(
                    "{{each: {{items: \"${{ inputs.names }}\", do: {{use: core/noop, with: {{x: \"${{ item + '{index}' }}\"}}}}}}}}"
                )
            }),
        ),
        (
            "decisions",
            file(&|index| match index % 3 {
                0 if index + 2 < count => {
                    format!("{{decide: [{{when: inputs.n > {index}, then: n{}}}, {{otherwise: n{}}}]}}", index + 1, index + 2)
                }
                _ => "{use: core/noop}".into(),
            }),
        ),
        ("mistakes", file(&|index| format!("{{use: core/nop, aftr: n{index}, with: {{x: \"${{ nodes.m{index} }}\"}}}}"))),
    ]
}

/// Counts what it is asked.
#[derive(Default)]
struct Counting(Cell<u64>);

impl Catalogue for Counting {
    fn connector(&self, name: &str, version: u32) -> Option<ConnectorType> {
        self.0.set(self.0.get() + 1);
        Shelf.connector(name, version)
    }

    fn connectors(&self) -> Vec<String> {
        self.0.set(self.0.get() + 1);
        Shelf.connectors()
    }

    fn workflow(&self, _name: &str) -> Option<Arc<Graph>> {
        None
    }

    fn task(&self, _name: &str) -> Option<workflow::TaskType> {
        None
    }
}

#[test]
fn a_node_is_asked_about_so_many_times_whatever_there_is_beside_it() {
    let asked = |count: usize| -> Vec<u64> {
        let ask = |text: &str| {
            let counting = Counting::default();
            workflow::compile(text, &files(&[]), &counting);
            counting.0.get()
        };
        shapes(count).iter().map(|(_, text)| ask(text)).collect()
    };
    for ((few, many), (shape, _)) in asked(100).into_iter().zip(asked(400)).zip(shapes(1)) {
        assert!(many <= 4 * few + 4, "{shape}: {few} questions for 100 nodes, {many} for 400");
    }
}

#[test]
#[ignore = "prints figures, and asserts nothing"]
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "measures")]
fn figures() {
    println!("{:24} {:>8} {:>12} {:>12} {:>12} {:>12}", "shape", "nodes", "compile ms", "hash ms", "diff ms", "edit ms");
    for count in [1_000, 10_000] {
        for (shape, text) in shapes(count) {
            let timed = |work: &mut dyn FnMut()| {
                let begin = std::time::Instant::now();
                work();
                begin.elapsed().as_secs_f64() * 1e3
            };
            let mut graph = None;
            let compile = timed(&mut || graph = workflow::compile(&text, &files(&[]), &Shelf).graph);
            let other = workflow::compile(
                &text.replacen("n: {type: integer, default: 1}", "n: {type: integer, default: 2}", 1),
                &files(&[]),
                &Shelf,
            )
            .graph;
            let (mut hash, mut diff) = (0.0, 0.0);
            if let (Some(graph), Some(other)) = (graph, other) {
                hash = timed(&mut || assert!(!semantic::hash(&graph).to_string().is_empty()));
                diff = timed(&mut || drop(semantic::diff(&graph, &other)));
            }
            let edits = [Edit::Rename { node: "n1".into(), to: "first".into() }];
            let edit = timed(&mut || drop(apply(&text, &edits)));
            println!("{shape:24} {count:>8} {compile:>12.1} {hash:>12.1} {diff:>12.1} {edit:>12.1}");
        }
    }
}
