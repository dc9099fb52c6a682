//! Workflow files.

use model::{Duration, NodeKind};
use serde_json::json;

use crate::{Shelf, codes, files, graph};

/// A workflow with these nodes.
fn nodes(nodes: &str) -> String {
    format!("workflow: t/w\ninputs: {{n: integer, s: {{type: string, default: x}}}}\nnodes:\n{nodes}")
}

#[test]
fn the_hospital_example_compiles() {
    let text = include_str!("../examples/hospital.workflow.yaml");
    let form = r#"{"type": "object", "properties": {"cpt_code": {"type": "string"}}}"#;
    let compiled = workflow::compile(text, &files(&[("forms/verify.json", form)]), &Shelf);
    let findings: String = compiled.diagnostics.iter().map(|finding| finding.render("hospital", text)).collect();
    let graph = compiled.graph.unwrap_or_else(|| panic!("{findings}"));
    assert_eq!(findings, "");
    let node = |id: &str| &graph.nodes[graph.find(id).unwrap() as usize];
    let ids = |list: &[u32]| list.iter().map(|index| graph.nodes[*index as usize].id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&node("verify").refs), ["analyse", "reader"]);
    assert_eq!(ids(&node("bill").refs), ["verify", "report"]);
    assert_eq!(node("analyse").needs.resources.memory_bytes, 8 << 30);
    assert_eq!(node("analyse").retry.backoff_max, Duration::from_secs(300));
    assert_eq!(node("verify").input.json["form"]["properties"]["cpt_code"], json!({"type": "string"}));
    assert_eq!(node("verify").input.json["second"], json!("${ nodes.analyse.score >= 0.95 }"));
    assert!(node("report").undo.is_some() && node("bill").once.is_some());
    assert_eq!(node("deid").lowers["phi"], "deid");
}

#[test]
fn every_kind_is_read() {
    let text = nodes(
        "  a: {use: core/fib, with: {n: \"${ inputs.n }\"}}
  b: {run: [echo, \"${ nodes.a.value }\"], after: c}
  c: {wait: {for: 10s}}
  d: {each: {items: [1, 2], concurrency: 3, on_failure: continue, do: {use: core/noop, with: {i: \"${ item }\", j: \"${ index }\"}}}}
  e: {decide: [{when: \"${ inputs.n > 1 }\", then: [f, g], name: many}, {otherwise: g}]}
  f: {human: {title: Sure?, assign: {groups: [g]}}}
  g: {task: my.task, with: {x: 1}}
  h: {run: {script: \"echo $HOME $${HOME}\", env: {A: b}}, retry: 2, timeout: 1m, cache: {ttl: 1d}}
",
    );
    let graph = graph(&text);
    let kinds: Vec<&str> = graph.nodes.iter().map(|node| node.kind.as_str()).collect();
    assert_eq!(kinds, ["use", "run", "wait", "each", "decide", "human", "task", "run"]);
    assert_eq!(graph.nodes[1].after, [2]);
    assert_eq!(graph.nodes[5].chosen_by, [4]);
    let NodeKind::Each { body, concurrency, go_on } = &graph.nodes[3].kind else { panic!() };
    assert_eq!((body.kind.as_str(), *concurrency, *go_on), ("use", 3, true));
    assert_eq!(graph.nodes[7].retry.max, 2);
    assert_eq!(graph.nodes[7].needs.resources.cpu_millis, 1000);
}

#[test]
fn mistakes_are_found_with_hints() {
    for (text, code) in [
        ("  a: {uze: core/noop}", "W0101"),
        ("  a: {use: core/noop, retyr: 1}", "W0101"),
        ("  a: {}", "W0106"),
        ("  a: {use: core/noop, run: [x]}", "W0106"),
        ("  a: {use: core/nope}", "W0203"),
        ("  a: {use: core/fib}", "W0102"),
        ("  a: {use: core/fib, with: {m: 1}}", "W0101"),
        ("  a: {use: core/fib, with: {n: x}}", "W0303"),
        ("  a: {use: core/noop, with: {x: \"${ nodes.b.y }\"}}", "W0201"),
        ("  a: {use: core/noop, after: b}", "W0201"),
        ("  a: {use: core/noop, after: b}\n  b: {use: core/noop, with: {x: \"${ nodes.a }\"}}", "W0202"),
        ("  a: {use: core/noop, with: {x: \"${ nodes.a }\"}}", "W0202"),
        ("  a: {use: core/noop, if: inputs.n}", "W0303"),
        ("  a: {use: core/noop, if: \"${ inputs.n > 1 } x\"}", "W0301"),
        ("  a: {use: core/noop, timeout: soon}", "W0104"),
        ("  a: {use: core/noop, retry: 1000}", "W0104"),
        ("  a: {use: core/noop, needs: {memory: lots}}", "W0104"),
        ("  a: {run: {script: \"echo ${HOME}\"}}", "W0302"),
        ("  a: {run: {script: x, files: [nope.py]}}", "W0205"),
        ("  a: {run: {script: x, files: [../../etc/passwd]}}", "W0205"),
        ("  a: {workflow: other/w}", "W0204"),
        ("  a: {each: {items: \"${ inputs.n }\", do: {use: core/noop}}}", "W0303"),
        ("  a: {each: {items: [1], do: {human: {title: x}}}}", "W0104"),
        ("  a: {decide: [{otherwise: b}, {when: true, then: b}]}\n  b: {use: core/noop}", "W0104"),
        ("  a: {human: {assign: {groups: [x]}}}", "W0102"),
        ("  a: {wait: {for: 1s, signal: x}}", "W0106"),
        ("  1a: {use: core/noop}", "W0105"),
        ("  a: {use: core/noop, outputs: {x: strin}}", "W0104"),
    ] {
        let text = nodes(&format!("{text}\n"));
        assert!(codes(&text).contains(&code), "{text}: {:?}", codes(&text));
    }
    assert!(codes("nodes: {}").contains(&"W0102"));
    assert!(codes("").contains(&"W0102"));
}

#[test]
fn a_finding_points_at_its_place() {
    let text = nodes("  train:\n    use: core/noop\n    retyr: 3\n");
    let compiled = crate::compile(&text);
    let rendered = compiled.diagnostics[0].render("w.yaml", &text);
    assert_eq!(
        rendered,
        "error[W0101]: node `train` has no field `retyr`\n --> w.yaml:6:5\n  |\n6 |     retyr: 3\n  |     ^^^^^\n  = hint: did you mean `retry`?\n"
    );
    let text = nodes("  a: {use: core/noop, with: {x: \"n ${ inputs.m } y\"}}\n");
    let finding = &crate::compile(&text).diagnostics[0];
    assert_eq!(&text[finding.span.clone()], " inputs.m ");
}

#[test]
fn files_are_taken_along() {
    let text = nodes(
        "  a: {run: {command: [python, x.py], files: [\"*.py\", lib/a.txt]}}\n  b: {workflow: ./sub.workflow.yaml, with: {k: 1}}\n",
    );
    let sub = "workflow: t/sub\ninputs: {k: integer}\nnodes: {a: {use: core/noop}}\noutputs: {r: \"${ inputs.k }\"}\n";
    let beside = files(&[("x.py", "1"), ("y.py", "2"), ("lib/a.txt", "3"), ("z.txt", "4"), ("sub.workflow.yaml", sub)]);
    let graph = workflow::compile(&text, &beside, &Shelf).graph.unwrap();
    let NodeKind::Run { code, .. } = &graph.nodes[0].kind else { panic!() };
    assert_eq!(code.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["x.py", "y.py", "lib/a.txt"]);
    let NodeKind::Workflow { graph } = &graph.nodes[1].kind else { panic!() };
    assert_eq!(graph.workflow, "t/sub");
}

#[test]
fn hostile_files_end_quickly() {
    let many: String = (0..100_000).map(|index| format!("  n{index}: {{use: core/noop}}\n")).collect();
    assert_eq!(codes(&nodes(&many))[0], "W0001");
    let chain: String = (0..9_000).map(|i| format!("  n{i}: {{use: core/noop, after: n{}}}\n", (i + 1) % 9_000)).collect();
    assert!(codes(&nodes(&chain)).contains(&"W0202"));
    assert_eq!(codes(&"x".repeat(50 << 20)), ["W0001"]);
    assert!(!codes(&format!("a: {}", "{a: ".repeat(10_000))).is_empty());
}

#[test]
fn outputs_of_nodes_are_typed() {
    for (text, code) in [
        ("  a: {use: core/noop, outputs: {auc: number}}\n  b: {use: core/noop, if: \"!nodes.a.auc\"}", "W0303"),
        ("  a: {run: [x], outputs: {auc: number}}\n  b: {use: core/noop, if: \"nodes.a.auc == 'x'\"}", "W0303"),
        ("  a: {wait: {for: 1s}}\n  b: {use: core/noop, if: nodes.a.by == ''}", "W0306"),
        ("  a: {each: {items: [1], do: {use: core/noop}}}\n  b: {use: core/noop, if: nodes.a}", "W0303"),
        ("  a: {use: core/noop, if: nodes.size() > 0}", "W0302"),
        ("  a: {use: core/noop, if: \"[1].exists(nodes, nodes == 1)\"}", "W0302"),
        ("  a-b: {use: core/noop}\n  c: {use: core/noop, if: nodes.a-b.x}", "W0201"),
    ] {
        let text = nodes(&format!("{text}\n"));
        assert!(codes(&text).contains(&code), "{text}: {:?}", codes(&text));
    }
    let found = graph(&nodes("  a-b: {use: core/noop}\n  c: {use: core/noop, with: {x: \"${ nodes['a-b'].x }\"}}\n"));
    assert_eq!(found.nodes[1].refs, [0], "a reference in brackets is an edge too");
}

#[test]
fn what_is_pasted_into_a_script_is_warned_of() {
    let pasted = |run: &str| {
        codes(&format!("workflow: t/x\ninputs: {{s: string, n: integer, f: artifact}}\nnodes:\n  a: {{run: {run}}}\n"))
    };
    for run in [
        r#"{script: "echo ${ inputs.s }"}"#,
        r#"{script: "echo '${ inputs.s + 'x' }'"}"#,
        r#"{script: "print('${ inputs.s }')", interpreter: [python3]}"#,
        r#"[sh, -c, "echo ${ inputs.s }"]"#,
        r#"[/bin/bash, -e, -uc, "echo ${ run.name }"]"#,
        r#"{command: [sh, -c, "${ inputs.s }"]}"#,
    ] {
        assert_eq!(pasted(run), ["W0307"], "{run}");
    }
    for run in [
        r#"{script: "head -n ${ inputs.n } ${ size(inputs.s) } ${ inputs.n > 1 }"}"#,
        r#"{script: "echo $S", env: {S: "${ inputs.s }"}}"#,
        r#"[echo, "${ inputs.s }"]"#,
        r#"[sh, -c, 'echo "$1"', x, "${ inputs.s }"]"#,
    ] {
        assert!(pasted(run).is_empty(), "{run}: {:?}", pasted(run));
    }
}

#[test]
fn files_that_call_each_other_end() {
    let calls =
        |other: &str| format!("workflow: t/x\nnodes: {{a: {{workflow: ./{other}.yaml}}, b: {{workflow: ./{other}.yaml}}}}\n");
    let (one, two) = (calls("two"), calls("one"));
    let beside = files(&[("one.yaml", one.as_str()), ("two.yaml", two.as_str())]);
    let compiled = workflow::compile(&one, &beside, &Shelf);
    assert!(compiled.diagnostics.iter().any(|finding| finding.code == "W0204"), "{:?}", compiled.diagnostics);
    let chain: Vec<(String, String)> = (0..40).map(|i| (format!("f{i}.yaml"), calls(&format!("f{}", i + 1)))).collect();
    let chain: Vec<(&str, &str)> = chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert!(workflow::compile(&calls("f0"), &files(&chain), &Shelf).graph.is_none());
}

#[test]
fn deep_expressions_are_refused_not_overflowed() {
    for expression in [
        "1".to_owned() + &"+1".repeat(2_000),
        "!".repeat(4_000) + "true",
        "(".repeat(2_000) + "1" + &")".repeat(2_000),
        "inputs".to_owned() + &".s".repeat(2_000),
        "[".repeat(1_000) + &"]".repeat(1_000),
    ] {
        let text = nodes(&format!("  a: {{use: core/noop, with: {{x: \"${{ {expression} }}\"}}}}\n"));
        assert!(codes(&text).iter().any(|code| code.starts_with("W03")), "{expression:.40}: {:?}", codes(&text));
    }
}

/// Files of the folder of the bank story.
struct Folder;

impl workflow::Files for Folder {
    #[expect(clippy::disallowed_methods, reason = "a test reads the files of an example")]
    fn read(&self, path: &str) -> Option<std::sync::Arc<[u8]>> {
        std::fs::read(format!("{}/../../examples/bank/{path}", env!("CARGO_MANIFEST_DIR"))).ok().map(Into::into)
    }

    fn paths(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn the_bank_story_refers_to_what_its_nodes_give() {
    let text = include_str!("../../../../examples/bank/fraud-model.workflow.yaml");
    let compiled = workflow::compile(text, &Folder, &Shelf);
    let wrong = compiled.diagnostics.iter().filter(|finding| !matches!(finding.code, "W0203" | "W0205"));
    assert_eq!(wrong.map(|finding| finding.render("bank", text)).collect::<String>(), "");
}

#[test]
fn a_deployed_task_has_types_and_a_version() {
    let graph =
        graph(&nodes("  a: {task: scoring.score, with: {n: 1}}\n  b: {use: core/noop, with: {x: \"${ nodes.a.o0 * 2.0 }\"}}\n"));
    let NodeKind::Task { name } = &graph.nodes[0].kind else { panic!() };
    assert_eq!((name.as_str(), graph.nodes[0].needs.resources.cpu_millis), ("scoring.score@7", 2_000));
    for (wrong, code) in [
        ("{task: scoring.score, with: {by: 1.5}}", "W0102"),
        ("{task: scoring.score, with: {n: many}}", "W0303"),
        ("{task: scoring.score, with: {n: 1, m: 2}}", "W0101"),
    ] {
        let found = codes(&nodes(&format!("  a: {wrong}\n")));
        assert!(found.contains(&code), "{wrong}: {found:?}");
    }
    let found =
        codes(&nodes("  a: {task: scoring.score, with: {n: 1}}\n  b: {use: core/noop, with: {x: \"${ nodes.a.o1 }\"}}\n"));
    assert!(!found.is_empty(), "there is no such output");
}
