//! What differs in meaning, and what does not.

use std::sync::Arc;

use model::Graph;
use serde_json::json;
use workflow::semantic::{Change, diff, hash, render};

use crate::{Shelf, files};

const BASE: &str = "workflow: t/w
inputs:
  n: {type: integer, default: 1}
  scan: {type: file}
nodes:
  load: {use: core/noop, with: {x: \"${ inputs.n }\"}}
  train:
    run: {command: [python, train.py], files: [train.py], env: {A: b}}
    with: {rows: \"${ nodes.load.rows }\"}
    needs: {cpu: 2, site: {zone: on-premise}}
    retry: {max: 3, backoff: 10s..5m}
    outputs: {auc: number}
    undo: {run: [rm, \"${ nodes.train.auc }\"]}
  ask: {human: {title: Sure?, assign: {groups: [risk]}}, timeout: 1d}
  pause: {wait: {for: 10s}, after: train}
  many: {each: {items: [1, 2], do: {use: core/noop, with: {x: \"${ item }\"}, retry: 1}}}
  size: {decide: [{when: inputs.n > 100, then: large, name: big}, {when: inputs.n > 10, then: middle}, {otherwise: small}]}
  large: {use: core/noop, with: {auc: \"${ nodes.train.auc }\"}}
  middle: {use: core/noop}
  small: {use: core/noop}
  sub: {workflow: ./sub.workflow.yaml, with: {k: 1}}
outputs: {auc: \"${ nodes.train.auc }\"}
";

const SUB: &str = "workflow: t/sub\ninputs: {k: integer}\nnodes: {a: {use: core/noop}}\n";

fn graph_with(text: &str, sub: &str, code: &str) -> Arc<Graph> {
    let beside = files(&[("sub.workflow.yaml", sub), ("train.py", code)]);
    let compiled = workflow::compile(text, &beside, &Shelf);
    let findings: String = compiled.diagnostics.iter().map(|finding| finding.render("test", text)).collect();
    compiled.graph.unwrap_or_else(|| panic!("{findings}"))
}

fn graph(text: &str) -> Arc<Graph> {
    graph_with(text, SUB, "1")
}

fn changes(old: &str, new: &str) -> Vec<Change> {
    assert!(BASE.contains(old), "{old}");
    let (before, after) = (graph(BASE), graph(&BASE.replace(old, new)));
    let found = diff(&before, &after);
    assert_eq!(found.is_empty(), hash(&before) == hash(&after), "the hash knows what the difference knows: {found:?}");
    found
}

#[test]
fn every_change_is_told_at_its_place() {
    for (old, new, told) in [
        ("default: 1", "default: 2", "~ inputs.n.default: 1 → 2\n"),
        ("n: {type: integer, default: 1}", "n: {type: number, default: 1}", "~ inputs.n.type: \"integer\" → \"number\"\n"),
        ("  scan: {type: file}\n", "", "- inputs.scan: {\"type\":\"file\"}\n"),
        ("scan: {type: file}", "scan: {type: file, labels: [phi]}", "+ inputs.scan.labels: [\"phi\"]  [labels]\n"),
        (
            "use: core/noop, with: {x: \"${ inputs.n }\"}",
            "use: core/http, with: {x: \"${ inputs.n }\"}",
            "~ nodes.load.use: \"core/noop@1\" → \"core/http@1\"\n",
        ),
        ("{x: \"${ inputs.n }\"}", "{x: \"${ inputs.n }\", y: 1}", "+ nodes.load.with.y: 1\n"),
        (
            "[python, train.py], files",
            "[python3, train.py], files",
            "~ nodes.train.run.command: [\"python\",\"train.py\"] → [\"python3\",\"train.py\"]\n",
        ),
        ("env: {A: b}", "env: {A: c}", "~ nodes.train.run.env.A: \"b\" → \"c\"\n"),
        (", env: {A: b}}", ", env: {A: b}, image: x}", "+ nodes.train.run.image: \"x\"\n"),
        (
            "nodes.load.rows",
            "nodes.load.lines",
            "~ nodes.train.with.rows: \"${ nodes.load.rows }\" → \"${ nodes.load.lines }\"\n",
        ),
        ("cpu: 2", "cpu: 3", "~ nodes.train.needs.cpu_millis: 2000 → 3000\n"),
        ("zone: on-premise", "zone: cloud", "~ nodes.train.needs.site.zone: \"on-premise\" → \"cloud\"\n"),
        ("max: 3", "max: 4", "~ nodes.train.retry.max: 3 → 4\n"),
        ("10s..5m", "20s..5m", "~ nodes.train.retry.backoff_min: \"10s\" → \"20s\"\n"),
        ("outputs: {auc: number}", "outputs: {auc: number, model: model}", "+ nodes.train.outputs.model: {\"type\":\"model\"}\n"),
        (
            "undo: {run: [rm,",
            "undo: {run: [del,",
            "~ nodes.train.undo.run.command: [\"rm\",\"${ nodes.train.auc }\"] → [\"del\",\"${ nodes.train.auc }\"]\n",
        ),
        ("groups: [risk]", "groups: [leads]", "~ nodes.ask.human.assign.groups: [\"risk\"] → [\"leads\"]\n"),
        ("timeout: 1d", "timeout: 2d", "~ nodes.ask.timeout: \"1d\" → \"2d\"\n"),
        (
            "{for: 10s}, after: train",
            "{for: 10s}, after: [train, load]",
            "~ nodes.pause.after: [\"train\"] → [\"load\",\"train\"]\n",
        ),
        ("{for: 10s}", "{signal: go}", "- nodes.pause.wait.for: \"10s\"\n+ nodes.pause.wait.signal: \"go\"\n"),
        ("items: [1, 2]", "items: [1, 2, 3]", "~ nodes.many.each.items: [1,2] → [1,2,3]\n"),
        ("retry: 1}}", "retry: 2}}", "~ nodes.many.each.do.retry.max: 1 → 2\n"),
        (
            "do: {use: core/noop, with: {x: \"${ item }\"}, retry: 1}}",
            "do: {use: core/noop, with: {x: \"${ item }\"}, retry: 1}, on_failure: continue, concurrency: 2}",
            "~ nodes.many.each.concurrency: 16 → 2\n~ nodes.many.each.on_failure: \"stop\" → \"continue\"\n",
        ),
        ("inputs.n > 100", "inputs.n > 200", "~ nodes.size.decide.branches.big.when: \"inputs.n > 100\" → \"inputs.n > 200\"\n"),
        (
            "{when: inputs.n > 100, then: large, name: big}, {when: inputs.n > 10, then: middle}",
            "{when: inputs.n > 10, then: middle}, {when: inputs.n > 100, then: large, name: big}",
            "~ nodes.size.decide.order: [\"big\",\"middle\",\"small\"] → [\"middle\",\"big\",\"small\"]\n",
        ),
        ("with: {k: 1}", "with: {k: 2}", "~ nodes.sub.with.k: 1 → 2\n"),
        (
            "outputs: {auc: \"${ nodes.train.auc }\"}\n",
            "outputs: {area: \"${ nodes.train.auc }\"}\n",
            "+ outputs.area: \"${ nodes.train.auc }\"\n- outputs.auc: \"${ nodes.train.auc }\"\n",
        ),
        (
            "  middle: {use: core/noop}\n",
            "  middle: {use: core/noop, if: inputs.n > 1}\n",
            "+ nodes.middle.if: \"inputs.n > 1\"\n",
        ),
        (
            "  middle: {use: core/noop}\n",
            "  middle: {use: core/noop, cache: true}\n",
            "+ nodes.middle.cache: {\"version\":\"\"}\n",
        ),
        ("  middle: {use: core/noop}\n", "  middle: {use: core/noop, once: x}\n", "+ nodes.middle.once: \"x\"\n"),
        (
            "  middle: {use: core/noop}\n",
            "  middle: {use: core/noop, lowers: {phi: deid}}\n",
            "+ nodes.middle.lowers: {\"phi\":\"deid\"}  [labels]\n",
        ),
        (
            "  middle: {use: core/noop}\n",
            "  middle: {use: core/noop}\n  more: {use: core/fib, with: {n: 1}}\n",
            "+ nodes.more: {\"use\":\"core/fib@1\",\"with\":{\"n\":1}}\n",
        ),
        ("workflow: t/w\n", "workflow: t/w\ntimeout: 1h\n", "+ timeout: \"1h\"\n"),
        ("workflow: t/w\n", "workflow: t/w\ndeadline: 1h\n", "+ deadline: {\"within\":\"1h\"}\n"),
        ("workflow: t/w\n", "workflow: t/w\non_failure: finish\n", "~ on_failure: \"cancel\" → \"finish\"\n"),
        ("workflow: t/w\n", "workflow: t/v\n", "~ workflow: \"t/w\" → \"t/v\"\n"),
    ] {
        assert_eq!(render(&changes(old, new)), told, "{old} → {new}");
    }
}

#[test]
fn a_node_with_another_name_is_renamed_and_nothing_else() {
    let renamed =
        BASE.replace("nodes.train.", "nodes.fit.").replace("  train:\n", "  fit:\n").replace("after: train", "after: fit");
    assert_eq!(render(&diff(&graph(BASE), &graph(&renamed))), "~ nodes.fit: was called \"train\"\n");
    let branch = BASE.replace("then: large,", "then: huge,").replace("  large:", "  huge:");
    assert_eq!(render(&diff(&graph(BASE), &graph(&branch))), "~ nodes.huge: was called \"large\"\n");
    let dashed = BASE
        .replace("nodes.train.", "nodes['re-fit'].")
        .replace("  train:\n", "  re-fit:\n")
        .replace("after: train", "after: re-fit");
    let told = render(&diff(&graph(BASE), &graph(&dashed)));
    assert!(told.contains("nodes.re-fit"), "{told}");
}

#[test]
fn what_is_called_is_compared_too() {
    let base = graph(BASE);
    let sub = graph_with(BASE, &SUB.replace("core/noop", "core/http"), "1");
    assert_eq!(render(&diff(&base, &sub)), "~ nodes.sub.workflow.nodes.a.use: \"core/noop@1\" → \"core/http@1\"\n");
    let code = diff(&base, &graph_with(BASE, SUB, "2"));
    assert_eq!((code.len(), code[0].at.as_str(), code[0].change), (1, "nodes.train.run.files[\"train.py\"]", "changed"));
}

#[test]
fn what_has_no_meaning_is_no_difference() {
    for (old, new) in [
        ("workflow: t/w\n", "# A comment.\nworkflow: t/w\ndescription: For people\n"),
        ("outputs: {auc: \"${", "layout: {load: [1, 2]}\noutputs: {auc: \"${"),
        ("{cpu: 2, site: {zone: on-premise}}", "{site: {zone: on-premise}, cpu: 2000m}"),
        ("[python, train.py], files: [train.py]", "[python, \"train.py\"], files: ./train.py"),
        (
            "  middle: {use: core/noop}\n  small: {use: core/noop}\n",
            "  small: {use: core/noop@1}\n  middle:\n    use: core/noop\n    description: x\n",
        ),
        ("after: train", "after: [train, train]"),
        ("retry: 1}}", "retry: {max: 1}}}"),
        ("timeout: 1d", "timeout: 24h"),
    ] {
        assert_eq!(changes(old, new), [], "{old} → {new}");
    }
    let change = &changes("default: 1", "default: 2")[0];
    assert_eq!(
        serde_json::to_value(change).unwrap(),
        json!({"at": "inputs.n.default", "change": "changed", "before": 1, "after": 2, "labels": false})
    );
}
