//! Advice on where one step should be two, or two should be one.
//!
//! Only commands of which everything is in the file are looked at: what an expression gives, or what is read or undone elsewhere, is not touched.
//! What a command leaves in its folder, the file does not say. So a person has the last word, as with every advice.

use std::collections::BTreeMap;

use journal::HistoryRow;
use model::{Graph, Money, Node, NodeKind, RunId, Timestamp};
use serde_json::{Value, json};

use super::{Advice, ENOUGH};

/// A step that repeats at least this share of its attempts loses enough to be two.
const REPEATED: f64 = 0.1;
/// Seconds below which nothing is gained by splitting.
const LONG_S: f64 = 60.0;
/// Two steps are one when what lies between them is at least this part of the shorter.
const BETWEEN: f64 = 0.5;
/// What a line of a script begins with that a step of its own would not see, or that is no whole command.
const BOUND_TO_OTHERS: [&str; 14] =
    ["cd ", "export ", "set ", "source ", ". ", "if ", "for ", "while ", "case ", "function ", "trap ", "{", "}", ")"];

/// The script of a node that is nothing but one, whole in the file.
fn script_of(node: &Node) -> Option<String> {
    // What comes with an image or with files of its own stays as it is: the edit writes a script and nothing else.
    let plain = matches!(&node.kind, NodeKind::Run { image: None, code } if code.is_empty());
    if !plain || node.input.dynamic {
        return None;
    }
    let alone = node.condition.is_none() && node.chosen_by.is_empty() && node.refs.is_empty();
    let plain = node.undo.is_none() && node.once.is_none() && node.cache.is_none() && node.lowers.is_empty();
    let fields = node.input.json.as_object()?;
    let given = |name: &str| fields.get(name).is_some_and(|value| !is_empty(value));
    if !alone || !plain || given("interpreter") || given("env") || given("with") {
        return None;
    }
    match (fields.get("script").and_then(Value::as_str), fields.get("command").and_then(Value::as_array)) {
        (Some(script), _) => Some(script.trim_end().to_owned()),
        (None, Some(command)) => Some(command.iter().filter_map(Value::as_str).map(quoted).collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn needs_of(cpu_millis: u32, memory_bytes: u64) -> Value {
    json!({"cpu": f64::from(cpu_millis) / 1000.0, "memory": format!("{}Mi", memory_bytes.div_ceil(1 << 20))})
}

fn ids(graph: &Graph, nodes: &[u32]) -> Vec<String> {
    nodes.iter().filter_map(|at| graph.nodes.get(*at as usize)).map(|node| node.id.clone()).collect()
}

/// Steps that are so short beside what lies between them that they should be one.
pub(super) fn merge(graph: &Graph, by_path: &BTreeMap<String, Vec<&HistoryRow>>) -> Vec<Advice> {
    let mut advice = Vec::new();
    for (number, second) in graph.nodes.iter().enumerate() {
        let [before] = second.after.as_slice() else { continue };
        let Some(first) = graph.nodes.get(*before as usize) else { continue };
        if follows_alone(graph, *before, number as u32)
            && first.outputs.is_empty()
            && first.needs.site == second.needs.site
            && first.needs.resources.gpus == second.needs.resources.gpus
        {
            advice.extend(merged(graph, first, second, by_path));
        }
    }
    advice
}

/// Whether nothing but one node looks at another, and only at its end.
fn follows_alone(graph: &Graph, before: u32, own: u32) -> bool {
    let looks = |(number, node): (usize, &Node)| {
        let number = number as u32;
        number != own && (node.after.contains(&before) || node.refs.contains(&before) || node.chosen_by.contains(&before))
    };
    let said = graph.outputs.json.to_string();
    let named = graph
        .nodes
        .get(before as usize)
        .is_some_and(|node| said.contains(&format!("nodes.{}", node.id)) || said.contains(&format!("nodes[\\\"{}", node.id)));
    !named && !graph.nodes.iter().enumerate().any(looks)
}

fn merged(graph: &Graph, first: &Node, second: &Node, by_path: &BTreeMap<String, Vec<&HistoryRow>>) -> Option<Advice> {
    let (one, two) = (script_of(first)?, script_of(second)?);
    let (rows, others) = (by_path.get(&first.id)?, by_path.get(&second.id)?);
    let ended: BTreeMap<RunId, Timestamp> = rows.iter().map(|row| (row.run, row.finished_at)).collect();
    let between: Vec<f64> = others
        .iter()
        .filter_map(|row| Some((row, ended.get(&row.run)?)))
        .filter(|(row, _)| row.attempt <= 1)
        .map(|(row, end)| row.started_at.since(*end).as_secs_f64())
        .collect();
    if between.len() < ENOUGH {
        return None;
    }
    let mean = between.iter().sum::<f64>() / between.len() as f64;
    let length = |rows: &[&HistoryRow]| rows.iter().map(|row| row.usage.wall_us as f64 / 1e6).sum::<f64>() / rows.len() as f64;
    let shorter = length(rows).min(length(others));
    if mean < BETWEEN * shorter {
        return None;
    }
    let (a, b) = (first.needs.resources, second.needs.resources);
    let mut patch = vec![
        json!({"op": "set", "path": format!("/nodes/{}/run", second.id), "value": {"script": format!("set -e\n{one}\n{two}\n")}}),
        json!({"op": "remove", "node": first.id}),
    ];
    if a.cpu_millis > b.cpu_millis || a.memory_bytes > b.memory_bytes {
        let needs = needs_of(a.cpu_millis.max(b.cpu_millis), a.memory_bytes.max(b.memory_bytes));
        for (key, value) in needs.as_object().into_iter().flatten() {
            patch.push(json!({"op": "set", "path": format!("/nodes/{}/needs/{key}", second.id), "value": value}));
        }
    }
    let after = ids(graph, &first.after);
    if !after.is_empty() {
        patch.push(json!({"op": "set", "path": format!("/nodes/{}/after", second.id), "value": after}));
    }
    Some(Advice {
        kind: "merge",
        node: second.id.clone(),
        what: format!("do what `{}` does in the same step: nothing else looks at that, and a step costs its start", first.id),
        saves: Money(0),
        saves_s: mean,
        evidence: format!(
            "{mean:.2} s lay between them on average of {} runs, and the shorter of them takes {shorter:.2} s",
            between.len()
        ),
        patch,
    })
}

/// A long step that is often done again, and could lose only half each time.
pub(super) fn split(graph: &Graph, path: &str, node: &Node, rows: &[&HistoryRow], runs: usize) -> Option<Advice> {
    if path.contains(['/', '[']) || rows.len() < ENOUGH {
        return None;
    }
    let wall_s = rows.iter().map(|row| row.usage.wall_us as f64 / 1e6).sum::<f64>() / rows.len() as f64;
    let repeats: u64 = rows.iter().map(|row| u64::from(row.attempt.saturating_sub(1))).sum();
    if wall_s < LONG_S || (repeats as f64) < REPEATED * rows.len() as f64 {
        return None;
    }
    let (first, second) = halves(&script_of(node)?)?;
    let new = (1..).map(|number| format!("{}-{number}", node.id)).find(|id| graph.nodes.iter().all(|node| node.id != *id))?;
    let needs = node.needs.resources;
    let mut needs = needs_of(needs.cpu_millis, needs.memory_bytes);
    if node.needs.resources.gpus > 0 {
        needs["gpu"] = json!(node.needs.resources.gpus);
    }
    if !node.needs.site.is_empty() {
        needs["site"] = json!(node.needs.site);
    }
    let mut value = json!({"run": {"script": first}, "needs": needs});
    let after = ids(graph, &node.after);
    if !after.is_empty() {
        value["after"] = json!(after);
    }
    if node.retry.max > 0 {
        value["retry"] = json!({"max": node.retry.max});
    }
    // Half of what a repeat does again is kept, wherever it was lost.
    let kept_s = repeats as f64 * wall_s / 2.0 / runs.max(1) as f64;
    let paid: Money = rows.iter().map(|row| row.cost).sum();
    let attempts = rows.len() as f64 + repeats as f64;
    let saves = Money((paid.0 as f64 / attempts * repeats as f64 / 2.0 / runs.max(1) as f64) as i64);
    Some(Advice {
        kind: "split",
        node: node.id.clone(),
        what: format!(
            "do its first half as a step of its own, `{new}`: what is lost is half as much; only if the second half needs no file that the first leaves"
        ),
        saves,
        saves_s: kept_s,
        evidence: format!("{repeats} repeats of {} actions that take {wall_s:.0} s", rows.len()),
        patch: vec![
            json!({"op": "add", "node": new, "value": value}),
            json!({"op": "set", "path": format!("/nodes/{}/run", node.id), "value": {"script": second}}),
            json!({"op": "set", "path": format!("/nodes/{}/after", node.id), "value": [new]}),
        ],
    })
}

/// A script in two, where every line is a command that knows nothing of the others, and only the second half gives anything back.
fn halves(script: &str) -> Option<(String, String)> {
    let lines: Vec<&str> = script.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let bound = |line: &&str| {
        let assigns = line.split_whitespace().next().is_some_and(|word| word.contains('='));
        let open = line.starts_with([' ', '\t']) || line.ends_with(['\\', '|', '&', '(', '{']) || line.contains("<<");
        assigns || open || BOUND_TO_OTHERS.iter().any(|begin| line.starts_with(begin))
    };
    let (first, second) = lines.split_at(lines.len() / 2);
    let gives = |line: &&str| line.contains("TUTTI_OUT");
    if first.is_empty() || lines.iter().any(bound) || first.iter().any(gives) {
        return None;
    }
    Some((first.join("\n") + "\n", second.join("\n") + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_of_commands_that_know_nothing_of_each_other_are_cut() {
        let cut = halves("fetch --all\n# a word\nclean a\nclean b\nreport > \"$TUTTI_OUTPUT\"\n").unwrap();
        assert_eq!(cut, ("fetch --all\nclean a\n".into(), "clean b\nreport > \"$TUTTI_OUTPUT\"\n".into()));
        for bound in
            ["one", "x=1\nuse $x", "cd a\nls", "if true\nthen ls\nfi", "cat <<END\nEND", "a \\\n b", "a > $TUTTI_OUTPUT\nb"]
        {
            assert_eq!(halves(bound), None, "{bound}");
        }
    }

    #[test]
    fn words_are_read_back_as_they_were() {
        assert_eq!(["sleep", "1 2", "it's", ""].map(quoted).join(" "), r"sleep '1 2' 'it'\''s' ''");
    }

    const TEXT: &str = "workflow: t/w\nnodes:\n  before: {run: [\"true\"]}\n  long:\n    run:\n      script: |\n        fetch --all\n        \
                        clean a\n        clean b\n        report > \"$TUTTI_OUTPUT\"\n    needs: {cpu: 2, memory: 1Gi, gpu: 1, site: {zone: x}}\n    \
                        after: [before]\n    retry: {max: 3}\n";

    fn graph(text: &str) -> std::sync::Arc<Graph> {
        let read = workflow::compile(text, &BTreeMap::<String, std::sync::Arc<[u8]>>::new(), &workflow::Nothing);
        read.graph.unwrap_or_else(|| panic!("{text}: {:?}", read.diagnostics))
    }

    /// Actions that took so long in their last attempt, each with so many attempts.
    fn rows(count: u64, wall_s: u64, attempts: u32) -> Vec<HistoryRow> {
        let at = |seconds: u64| Timestamp(1_800_000_000_000_000 + seconds * 1_000_000);
        let row = |number: u64| HistoryRow {
            run: RunId(number),
            project: "t".into(),
            domain: "development".into(),
            workflow: "t/w".into(),
            graph: model::Digest::of(b"graph"),
            submitted_at: at(0),
            path: "long".into(),
            kind: engine::event::ActionKind::Run,
            phase: model::Phase::Succeeded,
            site: "x".into(),
            opened_at: at(0),
            started_at: at(1),
            finished_at: at(1 + wall_s),
            attempt: attempts,
            cost: Money(1_000_000 * i64::from(attempts)),
            usage: engine::event::Usage { wall_us: wall_s * 1_000_000, ..Default::default() },
            failure: None,
        };
        (1..=count).map(row).collect()
    }

    #[test]
    fn a_long_step_that_is_often_done_again_is_two_and_its_edit_is_a_workflow() {
        let graph_of = graph(TEXT);
        let node = graph_of.nodes.iter().find(|node| node.id == "long").unwrap();
        let ask = |path: &str, rows: &[HistoryRow]| {
            let rows: Vec<&HistoryRow> = rows.iter().collect();
            split(&graph_of, path, node, &rows, rows.len())
        };
        assert!(ask("long", &rows(20, 600, 1)).is_none(), "nothing was done again");
        assert!(ask("long", &rows(20, 30, 2)).is_none(), "it is short");
        assert!(ask("long", &rows(ENOUGH as u64 - 1, 600, 2)).is_none(), "little is known of it");
        assert!(ask("long[]", &rows(20, 600, 2)).is_none() && ask("sub/long", &rows(20, 600, 2)).is_none());
        let advice = ask("long", &rows(20, 600, 2)).unwrap();
        // Each was lost once: half of ten minutes, and half of what one attempt costs.
        assert_eq!((advice.kind, advice.saves_s, advice.saves), ("split", 300.0, Money(500_000)));
        assert!(advice.evidence.starts_with("20 repeats of 20 actions"), "{advice:?}");
        let edits: Vec<workflow::edit::Edit> = serde_json::from_value(advice.patch.into()).unwrap();
        let edited = graph(&workflow::edit::apply(TEXT, &edits).unwrap().text);
        let by_id = |id: &str| edited.nodes.iter().find(|node| node.id == id).unwrap();
        let (first, second) = (by_id("long-1"), by_id("long"));
        assert_eq!(first.input.json["script"], "fetch --all\nclean a\n");
        assert_eq!(second.input.json["script"], "clean b\nreport > \"$TUTTI_OUTPUT\"\n");
        assert_eq!(
            (&first.needs, first.retry.max),
            (&node.needs, node.retry.max),
            "it is as large, at the same place, and as patient"
        );
        assert_eq!(ids(&edited, &first.after), ["before"]);
        assert_eq!(ids(&edited, &second.after), ["long-1"]);
    }

    #[test]
    fn a_step_that_others_hang_on_in_its_middle_is_not_cut() {
        let rows = rows(20, 600, 2);
        let rows: Vec<&HistoryRow> = rows.iter().collect();
        for (was, now) in [
            ("    retry: {max: 3}\n", "    cache: true\n    retry: {max: 3}\n"),
            ("    retry: {max: 3}\n", "    undo: {run: {command: [\"true\"]}}\n    retry: {max: 3}\n"),
            ("        clean a\n", "        cd a\n"),
            ("        fetch --all\n", "        fetch --all > \"$TUTTI_OUTPUT\"\n"),
        ] {
            let text = TEXT.replace(was, now);
            assert_ne!(text, TEXT);
            let graph = graph(&text);
            let node = graph.nodes.iter().find(|node| node.id == "long").unwrap();
            assert_eq!(split(&graph, "long", node, &rows, rows.len()), None, "{text}");
        }
    }
}
