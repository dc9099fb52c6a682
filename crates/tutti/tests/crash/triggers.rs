//! A trigger fires once for each time it is due, whenever the server is killed.

use std::collections::BTreeSet;

use engine::Event;
use engine::event::Origin;
use failpoint::Point;
use model::Seq;
use serde_json::{Value, json};

use crate::judge::{judge, open};
use crate::server::{PATIENCE, Place, Server, call};
use crate::story::{Acknowledged, apply, settle};
use crate::was_hit;

fn trigger(url: &str, more: &str) {
    let text = format!("kind: trigger\nname: beat\nworkflow: crash/quick\nevery: 1s\ncatch_up: all\noverlap: queue\n{more}");
    let documents = json!({ "documents": [{ "path": "beat.yaml", "text": text }] });
    let (status, answer) = call(url, "POST", "/api/v1/apply", &documents).unwrap();
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_trigger_fires_once_for_each_time_it_is_due() {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let server = Server::start(&place, "");
    apply(&server.url);
    trigger(&server.url, "");
    server.kill();
    // Before it is asked for; decided and not written; written and not committed; durable and told to nobody; answered and not noted.
    let points = [
        (Point::TriggerDue, 2),
        (Point::LoopDecided, 5),
        (Point::JournalBeforeCommit, 5),
        (Point::JournalAfterCommit, 5),
        (Point::TriggerFired, 2),
        (Point::TriggerDue, 1),
        (Point::TriggerFired, 1),
    ];
    for (point, nth) in points {
        let mut server = Server::spawn(&place, &format!("{}=kill@{nth}", point.name()));
        // Nobody asks for anything: what comes by the point is the trigger. It may do so before the server is up.
        let _ = server.comes_up();
        assert!(server.ended_within(PATIENCE).is_some_and(|status| !status.success()), "{}: {}", point.name(), place.log_tail());
        assert!(was_hit(&place, point, "Kill"), "nothing came by {}", point.name());
    }
    let server = Server::start(&place, "");
    trigger(&server.url, "paused: true\n");
    let waiting = || call(&server.url, "GET", "/api/v1/runs?phase=queued", &Value::Null).unwrap().1;
    while waiting()["items"].as_array().is_some_and(|runs| !runs.is_empty()) {
        settle(&place, &server, &acknowledged);
    }
    settle(&place, &server, &acknowledged);
    server.stop();
    let verdict = judge(&place, &acknowledged);
    assert_eq!((verdict.lost, verdict.duplicated), (0, 0), "{verdict:?}");
    let opened = open(&place);
    let (mut due, mut started, mut runs) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (_, _, _, event) in opened.reader.events(Seq(0), None, usize::MAX >> 1).unwrap() {
        match event {
            Event::TriggerFired(fired) => {
                due.push(fired.due.0);
                started.extend(fired.run);
            }
            Event::RunSubmitted(run) if matches!(run.origin, Origin::Trigger { .. }) => drop(runs.insert(run.run)),
            _ => {}
        }
    }
    println!("{} firings over {} kills", due.len(), points.len() + 1);
    // Of the points, those of the trigger itself tell how often it had fired by then; the others may be come by for another reason.
    assert!(due.len() >= 4, "{due:?}");
    assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000), "none is left out and none comes twice: {due:?}");
    assert_eq!(started.iter().copied().collect::<BTreeSet<_>>(), runs);
    assert_eq!((started.len(), runs.len()), (due.len(), due.len()), "a run each, and no run without");
}
