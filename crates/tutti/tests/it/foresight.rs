//! What things cost, what they will, and what they would have.

use serde_json::{Value, json};

use crate::home::{Home, until};

const SITES: &str = "
kind: site
name: own
capacity: {cpu: 2, memory: 4Gi}
attributes: {zone: own}
prices: {cpu_hour: 36, egress_gb: 1000000}
---
kind: site
name: rented
capacity: {cpu: 8, memory: 16Gi}
attributes: {zone: rented}
prices: {cpu_hour: 3600, egress_gb: 1000000}
";

/// `second` waits for `first` and reads nothing of it; `third` is kept at the dear site, and reads what `first` made.
const WORK: &str = r#"
workflow: demo/work
deadline: 1h
nodes:
  first:
    run:
      script: |
        sleep 0.3
        echo data > "$TUTTI_OUT_DIR/out.txt"
        printf '{"out": {"$file": "out.txt"}}' > "$TUTTI_OUTPUT"
    needs: {cpu: 2, memory: 1Gi, site: {zone: own}}
    outputs: {out: {type: file}}
  second:
    run: {command: [sh, -c, 'sleep 1.2; echo hello']}
    needs: {cpu: 1, memory: 1Gi}
    after: [first]
  third:
    run: {command: [cat, "${ nodes.first.out }"]}
    needs: {cpu: 1, site: {zone: rented}}
"#;

#[test]
fn costs_outlooks_and_questions_about_the_past() {
    let home = Home::new();
    home.write("w/sites.yaml", SITES);
    home.write("w/work.workflow.yaml", WORK);
    let _server = home.up();
    home.ok(&["apply", "-f", "w"]);
    let plan = home.json(&["plan", "demo/work"]);
    assert_eq!(plan["nodes"][1]["verdict"], "placed", "{plan}");
    home.ok(&["run", "demo/work", "-w", "--name", "one", "--deadline", "2h"]);
    home.ok(&["run", "demo/work", "-w", "--name", "two"]);

    // The bill is the sum of its parts, by whatever it is added up.
    let runs = ["one", "two"].map(|run| home.json(&["get", "run", run])["cost"].as_f64().unwrap());
    let all = runs[0] + runs[1];
    for by in ["project", "workflow", "site", "kind", "day"] {
        let rows = home.json(&["cost", "--by", by]);
        let sum: f64 = rows.as_array().unwrap().iter().map(|row| row["cost"].as_f64().unwrap()).sum();
        assert!((sum - all).abs() < 1e-5, "{by}: {sum} and {all}: {rows}");
    }
    let kinds = home.json(&["cost", "--by", "kind"]);
    let egress = kinds.as_array().unwrap().iter().find(|row| row["name"] == "egress").unwrap();
    assert!(egress["cost"].as_f64().unwrap() > 0.0, "{kinds}");
    let bill = home.ok(&["cost", "--focus"]).stdout;
    assert!(bill.starts_with("BillingAccountId,") && bill.contains(",Networking,Data transfer,"), "{bill}");

    // What was said of egress before is what was billed. (The second run brings bytes that the site has from the first.)
    let said = home.json(&["explain", "one", "third"]);
    let sites = said[0]["placement"]["sites"].as_array().unwrap();
    let chosen = sites.iter().find(|site| site["verdict"] == "chosen").unwrap();
    let transfers = home.json(&["get", "actions", "one"]);
    let billed: f64 = transfers
        .as_array()
        .unwrap()
        .iter()
        .filter(|action| action["kind"] == "transfer")
        .map(|action| action["cost"].as_f64().unwrap())
        .sum();
    assert!((chosen["egress"].as_f64().unwrap() / 1e6 - billed).abs() < 1e-9, "{chosen} and {billed}");
    let text = home.ok(&["explain", "two", "second"]).stdout;
    assert!(text.contains("rented") && text.contains("lost on compute"), "{text}");

    // A run that has ended has nothing to come; its plan and its deadline are told.
    let outlook = home.json(&["cost", "one"]);
    assert!(outlook["to_come"].is_null() && outlook["deadline"].is_string(), "{outlook}");
    assert_eq!(outlook["planned_because"], "admission", "{outlook}");
    assert_eq!(outlook["places"]["third"], "rented", "{outlook}");

    // The same places, played, come near to what happened, but for bytes that the second run found there; a dearer site costs more.
    let same = home.json(&["whatif", "--days", "1"]);
    let cost = |of: &Value, index: usize| of["sums"][index]["cost"].as_f64().unwrap();
    let egress = |of: &Value, index: usize| of["sums"][index]["egress"].as_f64().unwrap();
    assert_eq!((same["runs"].as_u64(), same["sums"].as_array().unwrap().len()), (Some(2), 4), "{same}");
    let compute = |index: usize| cost(&same, index) - egress(&same, index);
    assert!((compute(1) / compute(0) - 1.0).abs() < 0.2, "{same}");
    let dearer = home.json(&["whatif", "--site", "own:cpu_hour=72"]);
    assert!(cost(&dearer, 3) > cost(&same, 3) + 0.01, "{dearer}");
    let without = home.json(&["whatif", "--without", "rented"]);
    assert_eq!(without["sums"][3]["stuck"], 2, "{without}");
    // Other rules: what ran at home may not any more, and what asks for home has nowhere to go.
    let rule = "kind: policy\nname: away\ncedar: |\n  @id(\"away\")\n  @reason(\"nothing at home\")\n  forbid (principal, action == Action::\"run\", resource) when { resource.zone == \"own\" };\n";
    home.write("rule.yaml", rule);
    let ruled = home.json(&["whatif", "--rules", "rule.yaml"]);
    assert_eq!((ruled["sums"][2]["refused"].as_u64(), ruled["sums"][3]["refused"].as_u64()), (Some(0), Some(2)), "{ruled}");
    let barred =
        ruled["refusals"].as_array().unwrap().iter().find(|one| one["path"] == "first").unwrap_or_else(|| panic!("{ruled}"));
    assert_eq!((barred["site"].as_str(), barred["actions"].as_u64()), (Some("own"), Some(2)), "{ruled}");
    assert!(barred["why"].as_str().unwrap().contains("nothing at home"), "{ruled}");
    assert!(home.json(&["get", "policies"]).as_array().is_none_or(Vec::is_empty), "nothing was registered");
    let shown = home.ok(&["whatif", "--rules", "rule.yaml"]).stdout;
    assert!(shown.contains("REFUSED") && shown.contains("refused: 2 of demo/work first at own"), "{shown}");
    assert_eq!(home.run(&["whatif", "--rules", "w/sites.yaml"]).code, 1, "a site is no rule");
    let deaf = home.json(&["whatif", "--before", "0", "--no-lookahead"]);
    assert_eq!(deaf["sums"].as_array().unwrap().len(), 4, "{deaf}");
    assert_eq!(home.run(&["whatif", "--before", "2"]).code, 1);
    let unknown = home.run(&["whatif", "--without", "nowhere"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert_eq!(home.run(&["whatif", "--site", "own:cpu"]).code, 2);

    // A closed site at which nothing ran was closed then; a new one that is like it is open.
    let site = |of: &Value, index: usize, name: &str| of["sums"][index]["sites"][name]["actions"].as_u64();
    let idle = "kind: site\nname: idle\ncapacity: {cpu: 4, memory: 8Gi}\nattributes: {zone: idle}\n";
    home.write("idle.yaml", idle);
    home.ok(&["apply", "-f", "idle.yaml"]);
    home.ok(&["site", "cordon", "idle"]);
    let closed = home.json(&["whatif", "--site", "other:like=idle", "--site", "local:cpu_hour=1000"]);
    assert!(matches!(site(&closed, 2, "idle"), None | Some(0)) && matches!(site(&closed, 3, "idle"), None | Some(0)), "{closed}");
    assert!(site(&closed, 3, "other") > Some(0), "{closed}");

    // One run, by itself: with nothing different both sides are the same; where the free site costs much, what may go elsewhere does.
    let one = home.json(&["whatif", "one"]);
    assert_eq!((&one["before"], &one["moved"]), (&one["after"], &serde_json::json!([])), "{one}");
    let moved = home.json(&["whatif", "one", "--site", "local:cpu_hour=7200", "--deadline", "1s"]);
    assert_eq!(
        (moved["before"]["places"]["second"].as_str(), moved["after"]["places"]["second"].as_str()),
        (Some("local"), Some("own"))
    );
    assert!(moved["moved"].as_array().is_some_and(|moved| moved.len() == 1), "{moved}");
    assert!(moved["after"]["deadline"].is_string() && moved["after"]["deadline"] != moved["before"]["deadline"], "{moved}");
    let text = home.ok(&["whatif", "one", "--site", "local:cpu_hour=7200"]).stdout;
    assert!(text.contains("as asked:") && text.contains("NODE"), "{text}");
    assert_eq!(home.run(&["whatif", "--deadline", "1h"]).code, 2);
    assert_eq!(home.run(&["whatif", "one", "--deadline", "soon"]).code, 2);

    let advice = home.json(&["advise", "demo/work"]);
    let of = |kind: &str, node: &str| {
        let all = advice.as_array().unwrap();
        all.iter().find(|one| one["kind"] == kind && one["node"] == node).unwrap_or_else(|| panic!("{kind} {node}: {advice}"))
    };
    assert_eq!(of("parallel", "second")["patch"][0]["path"], "/nodes/second/after", "{advice}");
    assert_eq!(of("move", "third")["patch"][0]["op"], "unset", "{advice}");
    assert_eq!(home.ok(&["forecast"]).code, 0);
}

#[test]
fn prices_come_from_lists_that_can_be_replaced() {
    let home = Home::new();
    let known = home.json(&["prices", "list", "aws"]);
    let hour = |rows: &Value, name: &str| {
        rows.as_array().and_then(|rows| rows.iter().find(|row| row["instance"] == name)).map(|row| row["hour"].clone())
    };
    assert_eq!(hour(&known, "aws/m5.xlarge"), Some(json!(0.192)));
    home.write("site.yaml", "kind: site\nname: burst\ncapacity: {cpu: 4, memory: 16Gi}\nprices: {instance: aws/m5.xlarge}\n");
    home.ok(&["apply", "-f", "site.yaml"]);
    let list = "kind: prices\nname: aws\nas_of: 2026-11-01\nsource: the contract\ncore_hour: 0.03\nmemory_gib_hour: 0.003\ninstances:\n  \
                m5.xlarge: {cpu: 4, memory: 16Gi, hour: 0.168}\n";
    home.write("ours.yaml", list);
    let looked = home.ok(&["prices", "refresh", "ours.yaml", "--dry-run"]);
    assert!(looked.stdout.contains("-12.5 %") && looked.stderr.contains("nothing was registered"), "{looked:?}");
    assert_eq!(hour(&home.json(&["prices", "list", "aws"]), "aws/m5.xlarge"), Some(json!(0.192)));
    home.ok(&["prices", "refresh", "ours.yaml"]);
    assert_eq!(hour(&home.json(&["prices", "list"]), "aws/m5.xlarge"), Some(json!(0.168)));
    assert_eq!(hour(&home.json(&["prices", "list"]), "aws/m5.large"), None, "the list takes the place of the other one whole");
    // What was applied keeps its prices until it is applied again.
    let price =
        || home.json(&["get", "sites"]).as_array().and_then(|sites| sites.iter().find(|site| site["name"] == "burst").cloned());
    let cpu_hour = || price().map(|site| site["cpu_hour"].clone());
    assert_eq!(cpu_hour(), Some(json!(0.033)));
    home.ok(&["apply", "-f", "site.yaml"]);
    assert_eq!(cpu_hour(), Some(json!(0.03)));
    let wrong = home.run(&["prices", "list", "aws2"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("there are aws, azure, gcp, oci"), "{wrong:?}");
    home.write("more.yaml", "kind: site\nname: x\ncapacity: {cpu: 1}\n");
    let wrong = home.run(&["prices", "refresh", "more.yaml"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("has a site in it"), "{wrong:?}");
}

#[test]
fn a_budget_stops_work_says_so_and_lets_it_go_on() {
    let home = Home::new();
    home.write(
        "site.yaml",
        "kind: site\nname: own\ncapacity: {cpu: 4, memory: 4Gi}\nattributes: {zone: own}\nprices: {cpu_hour: 3600}\n",
    );
    let budget = |day: f64| {
        home.write("project.yaml", &format!("kind: project\nname: demo\nbudget: {{day: {day}}}\nquota: {{cpu: 2}}\nshare: 3\n"));
        home.ok(&["apply", "-f", "project.yaml"]);
    };
    let work = "workflow: demo/short\nnodes:\n  a: {run: {command: [sleep, '0.5']}, needs: {cpu: 1, site: {zone: own}}}\n";
    home.write("short.workflow.yaml", work);
    let _server = home.up();
    home.ok(&["apply", "-f", "site.yaml", "-f", "short.workflow.yaml"]);
    budget(1_000.0);
    home.ok(&["run", "demo/short", "-w", "--name", "first"]);
    let rows = home.json(&["cost"]);
    let (cost, left) = (rows[0]["cost"].as_f64().unwrap(), rows[0]["left"].as_f64().unwrap());
    assert!(cost > 0.4 && (left + cost - 1_000.0).abs() < 1e-5, "{rows}");
    assert!(home.ok(&["cost"]).stdout.contains("of 1000"), "{rows}");

    // What may be spent is spent: nothing begins, whoever asks is told why, and what it takes.
    budget(0.2);
    home.ok(&["run", "demo/short", "--name", "second"]);
    until("the second run is over its budget", || {
        let explained = home.json_or_none(&["explain", "second", "a"])?;
        (explained[0]["placement"]["sites"][0]["verdict"] == "over_budget").then_some(())
    });
    let explained = home.json(&["explain", "second", "a"]);
    let placement = &explained[0]["placement"];
    let bounds = placement["bounds"].as_str().unwrap_or_default();
    assert!(bounds.contains("of its budget of 0.200000 for this day"), "{placement}");
    let text = home.ok(&["explain", "second", "a"]).stdout;
    assert!(text.contains("over_budget") && text.contains("of its budget of 0.200000"), "{text}");
    assert!(home.json(&["cost"])[0]["left"].as_f64().unwrap() < 0.0);

    // More money, and it goes on by itself.
    budget(1_000.0);
    until("the second run succeeds", || (home.json(&["get", "run", "second"])["phase"] == "succeeded").then_some(()));

    // A quota: three want a core, and two may have one.
    let wide = "workflow: demo/wide\nnodes:\n  all:\n    each: {items: [1, 2, 3], do: {run: {command: [sleep, '0.4']}, needs: {cpu: 1, site: {zone: own}}}}\n";
    home.write("wide.workflow.yaml", wide);
    home.ok(&["apply", "-f", "wide.workflow.yaml"]);
    home.ok(&["run", "demo/wide", "-w", "--name", "third"]);
    let actions = home.json(&["get", "actions", "third"]);
    let runs: Vec<(String, String)> = actions
        .as_array()
        .unwrap()
        .iter()
        .filter(|action| action["kind"] == "run")
        .map(|action| (text_of(action, "started_at"), text_of(action, "finished_at")))
        .collect();
    let at_once = runs.iter().map(|(begun, _)| runs.iter().filter(|(other, end)| other <= begun && begun < end).count()).max();
    assert!(runs.len() == 3 && at_once <= Some(2), "{actions}");
}

#[test]
fn what_a_run_is_expected_to_cost_is_counted_once_when_it_is_planned_anew() {
    let home = Home::new();
    let site = |name: &str| {
        format!(
            "kind: site\nname: {name}\ncapacity: {{cpu: 4, memory: 4Gi}}\nattributes: {{zone: {name}}}\nprices: {{cpu_hour: 3600}}\n"
        )
    };
    home.write("w/sites.yaml", &format!("{}---\n{}", site("own"), site("other")));
    let work = "workflow: demo/long\nnodes:\n  a: {run: {command: [sleep, '600']}, needs: {cpu: 1, site: {zone: own}}}\n  \
                b: {run: [\"true\"], after: [a], needs: {cpu: 1, site: {zone: own}}}\n";
    home.write("w/long.workflow.yaml", work);
    let budget = |day: f64| {
        home.write("project.yaml", &format!("kind: project\nname: demo\nbudget: {{day: {day:.6}}}\n"));
        home.ok(&["apply", "-f", "project.yaml"]);
    };
    let left = || home.json(&["cost"])[0]["left"].as_f64();
    let _server = home.up();
    home.ok(&["apply", "-f", "w"]);
    budget(1_000.0);
    home.ok(&["run", "demo/long", "--name", "one"]);
    // As soon as the first step has its place, what it is expected to cost is as good as spent.
    let promised = until("the first step has its place", || left().map(|left| 1_000.0 - left).filter(|promised| *promised > 1.0));
    budget(promised * 2.2);
    let shown = left().unwrap();
    assert!((shown - promised * 1.2).abs() < 1e-3, "{shown} and {promised}");
    let supposed = home.json(&["whatif", "one"]);
    let side = &supposed["before"];
    let (kept, over) = (side["budget"]["left"].as_f64().unwrap(), side["budget"]["over"].as_f64().unwrap());
    // All of the budget but what has been used, which is a second's money a second: not the rest beside what the step is planned to cost again.
    assert!(kept < promised * 2.2 && kept > shown, "{kept} of {} with {promised} promised: {supposed}", promised * 2.2);
    assert_eq!((over, &side["places"]), (0.0, &json!({"a": "own", "b": "own"})), "{supposed}");
    // With another budget it would be too dear, and says by how much.
    home.write("less.yaml", "kind: project\nname: demo\nbudget: {day: 0.01}\n");
    let text = home.ok(&["whatif", "one", "--rules", "less.yaml"]).stdout;
    assert!(text.contains("more than may be spent"), "{text}");
    home.ok(&["cancel", "one"]);
}

fn text_of(action: &Value, key: &str) -> String {
    action[key].as_str().unwrap_or_default().to_owned()
}

/// `b` could be done with `a`, `c` gives the same every time at a site that is dearer than spot capacity, and `d` asks for what it never uses.
const STEPS: &str = r#"
workflow: demo/steps
nodes:
  a: {run: {command: [echo, "it's a"]}, needs: {cpu: 1, memory: 64Mi, site: {zone: own}}}
  b: {run: {script: "true"}, needs: {cpu: 0.5, memory: 32Mi, site: {zone: own}}, after: [a]}
  c:
    run: {script: 'sleep 0.15; printf "{\"x\": 1}" > "$TUTTI_OUTPUT"'}
    needs: {cpu: 1, memory: 64Mi, site: {zone: own}}
    outputs: {x: {type: integer}}
  d: {run: {command: [sleep, "0.05"]}, needs: {cpu: 4, memory: 2Gi, site: {zone: own}}}
"#;

#[test]
fn advice_names_steps_that_should_be_one_and_spot_capacity_where_that_is_safe() {
    let home = Home::new();
    let site = |name: &str, cpu: f64, more: &str| {
        format!(
            "kind: site\nname: {name}\ncapacity: {{cpu: 8, memory: 8Gi}}\nattributes: {{zone: {name}}}\nprices: {{cpu_hour: {cpu}{more}}}\n"
        )
    };
    home.write("w/sites.yaml", &format!("{}---\n{}", site("own", 90.0, ""), site("spot", 30.0, ", preemptions_per_1000h: 50")));
    home.write("w/steps.workflow.yaml", STEPS);
    let _server = home.up();
    home.ok(&["apply", "-f", "w"]);
    // The machine itself is a site as well, and costs nothing.
    home.ok(&["site", "cordon", "local"]);
    (0..9).for_each(|number| drop(home.ok(&["run", "demo/steps", "-w", "--name", &format!("r{number}")])));
    let advice = || home.json(&["advise", "demo/steps"]);
    let all = advice();
    let find = |all: &Value, kind: &str| all.as_array().unwrap().iter().find(|one| one["kind"] == kind).cloned();
    let spot = find(&all, "spot").unwrap_or_else(|| panic!("{all}"));
    assert_eq!((spot["node"].as_str(), spot["patch"][0]["value"].as_str()), (Some("c"), Some("spot")), "{spot}");
    assert!(spot["saves"].as_f64().unwrap() > 0.0 && spot["evidence"].as_str().unwrap().contains("called back"), "{spot}");
    let merge = find(&all, "merge").unwrap_or_else(|| panic!("{all}"));
    assert_eq!(merge["node"], "b", "{merge}");
    assert_eq!(merge["patch"][0]["value"]["script"], "set -e\necho 'it'\\''s a'\ntrue\n", "{merge}");
    // Requests that are too large: what less of them saves is money too.
    let sized: Vec<&Value> =
        all.as_array().unwrap().iter().filter(|one| one["kind"] == "right_size" && one["node"] == "d").collect();
    let paths: Vec<&str> = sized.iter().filter_map(|one| one["patch"][0]["path"].as_str()).collect();
    assert!(paths.contains(&"/nodes/d/needs/cpu") && paths.contains(&"/nodes/d/needs/memory"), "{all}");
    let cpu = sized.iter().find(|one| one["patch"][0]["path"] == "/nodes/d/needs/cpu").unwrap();
    // Three and three quarters of four cores at 90 an hour, for as long as it ran.
    let paid: f64 =
        home.json(&["cost", "--by", "site"]).as_array().unwrap().iter().map(|row| row["cost"].as_f64().unwrap()).sum();
    let saves = cpu["saves"].as_f64().unwrap();
    assert!(saves > 0.0 && saves * 9.0 < paid, "{cpu} of {paid}");
    // The patch is one that the editor takes, and what it gives is a workflow.
    let text = std::fs::read_to_string(home.path().join("w/steps.workflow.yaml")).unwrap();
    let edits: Vec<workflow::edit::Edit> = serde_json::from_value(merge["patch"].clone()).unwrap();
    let edited = workflow::edit::apply(&text, &edits).unwrap().text;
    home.write("merged.workflow.yaml", &edited);
    home.ok(&["check", "merged.workflow.yaml"]);
    assert!(!edited.contains("\n  a:") && edited.contains("cpu: 1"), "{edited}");
    // So is every other patch.
    let cache = find(&all, "cache").unwrap_or_else(|| panic!("{all}"));
    assert_eq!((cache["node"].as_str(), &cache["patch"][0]["value"]), (Some("c"), &json!({"ttl": "30d"})), "{cache}");
    for one in all.as_array().unwrap() {
        let edits: Vec<workflow::edit::Edit> = serde_json::from_value(one["patch"].clone()).unwrap();
        home.write(
            "patched.workflow.yaml",
            &workflow::edit::apply(&text, &edits).unwrap_or_else(|error| panic!("{one}: {error:?}")).text,
        );
        let checked = home.run(&["check", "patched.workflow.yaml"]);
        assert_eq!(checked.code, 0, "{one}: {checked:?}");
    }

    // What a rule forbids is not advised.
    let rule = "kind: policy\nname: home\ncedar: |\n  @id(\"home\")\n  @reason(\"not there\")\n  forbid (principal, action == Action::\"run\", resource) when { resource.zone == \"spot\" };\n";
    home.write("rule.yaml", rule);
    home.ok(&["apply", "-f", "rule.yaml"]);
    assert_eq!(find(&advice(), "spot"), None);
}

/// `make` gives a file at home that `read` asks for at the rented site, in every run; what `make` itself reads is a word.
const MOVED: &str = r#"
workflow: demo/moved
inputs:
  day: {type: string}
nodes:
  make:
    run:
      script: |
        head -c 3000 /dev/zero | tr '\0' x > "$TUTTI_OUT_DIR/out.txt"
        echo "$DAY" >> "$TUTTI_OUT_DIR/out.txt"
        printf '{"out": {"$file": "out.txt"}}' > "$TUTTI_OUTPUT"
      env: {DAY: "${ inputs.day }"}
    needs: {cpu: 0.5, memory: 64Mi, site: {zone: own}}
    outputs: {out: {type: file}}
  read:
    run: {command: [cat, "${ nodes.make.out }"]}
    needs: {cpu: 0.5, memory: 64Mi, site: {zone: rented}}
"#;

#[test]
fn advice_brings_data_to_work_when_it_is_moved_in_every_run() {
    let home = Home::new();
    home.write("w/sites.yaml", SITES);
    home.write("w/moved.workflow.yaml", MOVED);
    let _server = home.up();
    home.ok(&["apply", "-f", "w"]);
    home.ok(&["site", "cordon", "local"]);
    let run =
        |number: u32| home.ok(&["run", "demo/moved", "-w", "--name", &format!("r{number}"), "--input", &format!("day={number}")]);
    (0..2).for_each(|number| drop(run(number)));
    let find = || {
        let all = home.json(&["advise", "demo/moved"]);
        all.as_array().unwrap().iter().find(|one| one["kind"] == "bring").cloned()
    };
    assert_eq!(find(), None, "two runs are no habit");
    (2..5).for_each(|number| drop(run(number)));
    let bring = find().unwrap_or_else(|| panic!("{}", home.json(&["advise", "demo/moved"])));
    let all = home.json(&["advise", "demo/moved"]);
    assert!(
        all.as_array().unwrap().iter().all(|one| !one["node"].as_str().unwrap().contains("<-")),
        "a transfer is no node: {all}"
    );
    // Three kilobytes at a million a GB are about 3 a run; to run half a second of half a core there is dearer by less than one.
    assert_eq!(bring["node"], "make", "{bring}");
    let saves = bring["saves"].as_f64().unwrap();
    assert!((1.0..3.1).contains(&saves), "{bring}");
    let evidence = bring["evidence"].as_str().unwrap();
    assert!(evidence.contains("in 5 of 5 runs") && evidence.contains("from `own`"), "{bring}");
    assert_eq!(bring["patch"], json!([{"op": "set", "path": "/nodes/make/needs/site/zone", "value": "rented"}]), "{bring}");

    // The edits alone, as the editor takes them.
    let alone = home.ok(&["advise", "demo/moved", "--patch", "make/bring"]);
    assert_eq!(serde_json::from_str::<Value>(&alone.stdout).unwrap(), bring["patch"]);
    assert_eq!(home.run(&["advise", "demo/moved", "--patch", "make/magic"]).code, 2);

    // It is what it says: with the edit made nothing is moved, and the run costs less.
    let before = home.json(&["get", "run", "r4"])["cost"].as_f64().unwrap();
    let text = std::fs::read_to_string(home.path().join("w/moved.workflow.yaml")).unwrap();
    let edits: Vec<workflow::edit::Edit> = serde_json::from_value(bring["patch"].clone()).unwrap();
    home.write("w/moved.workflow.yaml", &workflow::edit::apply(&text, &edits).unwrap().text);
    home.ok(&["apply", "-f", "w/moved.workflow.yaml"]);
    run(5);
    let actions = home.json(&["get", "actions", "r5"]);
    assert!(actions.as_array().unwrap().iter().all(|action| action["kind"] != "transfer"), "{actions}");
    let after = home.json(&["get", "run", "r5"])["cost"].as_f64().unwrap();
    assert!(after < before - 1.0, "{before} and {after}");
}
