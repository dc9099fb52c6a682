//! What was planned when the run was accepted, beside what happened: places, cost, time.

use std::collections::{BTreeMap, BTreeSet};

use api::rest::foresight_views::RunOutlookView;
use api::rest::views::RunView;
use serde_json::Value;

use crate::client::segment;
use crate::failure::CommandError;
use crate::{output, rows};

use super::server::Served;

/// The account; none where nothing was planned.
pub(super) async fn beside(served: &Served, run: &RunView, simulated: &BTreeSet<String>) -> Result<Option<String>, CommandError> {
    let view: RunOutlookView = served.client.get(&format!("/api/v1/runs/{}/outlook", segment(&run.name))).await?;
    Ok(view.plan.as_ref().map(|plan| told(&view.places, plan, run, simulated)))
}

fn told(places: &BTreeMap<String, String>, plan: &Value, run: &RunView, simulated: &BTreeSet<String>) -> String {
    let three = |value: &Value, unit: f64| [0, 1, 2].map(|at| value[at].as_f64().unwrap_or_default() / unit);
    let [low, mid, high] = three(&plan["expected"]["cost"], 1e6);
    let money = output::money;
    let mut text = format!(
        "cost {} USD (nine of ten futures between {} and {}); it was {}\n",
        money(mid),
        money(low),
        money(high),
        money(run.cost)
    );
    let [low, mid, high] = three(&plan["expected"]["ends_in_s"], 1.0);
    let time = output::seconds;
    let people: f64 = run.actions.iter().filter(|action| action.kind == "human").map(|action| action.seconds).sum();
    text += &format!(
        "time {} without people ({} to {}); it was {}\n",
        time(mid),
        time(low),
        time(high),
        time((run.seconds - people).max(0.0))
    );
    let row = |(path, planned): (&String, &String)| {
        let mut ran: BTreeMap<&str, usize> = BTreeMap::new();
        for action in
            run.actions.iter().filter(|action| action.kind != "transfer" && engine::without_items(&action.path) == *path)
        {
            *ran.entry(action.site.as_deref().unwrap_or("nowhere")).or_default() += 1;
        }
        let ran: Vec<String> =
            ran.into_iter().map(|(site, count)| format!("{count} at {}", rows::marked(site, simulated))).collect();
        vec![path.clone(), rows::marked(planned, simulated), if ran.is_empty() { "did not run".into() } else { ran.join(", ") }]
    };
    let rows: Vec<Vec<String>> = places.iter().map(row).collect();
    format!(
        "Planned by {}, when the run was accepted:\n{text}{}",
        plan["variant"].as_str().unwrap_or("no variant"),
        output::table(&["NODE", "PLANNED AT", "RAN"], &rows)
    )
}

#[cfg(test)]
mod tests {
    use api::rest::views::ActionView;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_planned_stands_beside_what_happened() {
        let action = |path: &str, site: &str| ActionView {
            path: path.into(),
            kind: "run".into(),
            site: Some(site.into()),
            ..ActionView::default()
        };
        let actions = vec![action("score[0]", "cloud"), action("score[1]", "cloud"), action("train", "own")];
        let run = RunView { cost: 0.5, seconds: 90.0, actions, ..RunView::default() };
        let places =
            BTreeMap::from([("score[]".into(), "cloud".into()), ("train".into(), "cloud".into()), ("sign".into(), "own".into())]);
        let plan = json!({"variant": "cheapest", "expected": {"cost": [100_000, 400_000, 900_000], "ends_in_s": [60, 80, 100]}});
        let text = told(&places, &plan, &run, &BTreeSet::from(["cloud".to_owned()]));
        for part in ["between 0.1", "2 at cloud (simulated)", "1 at own", "did not run", "Planned by cheapest"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
