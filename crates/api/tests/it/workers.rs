//! The contract of the worker protocol.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;

use super::support::{Lines, Up};

pub(crate) const WORK: &str = r#"
kind: connector
name: t/double
version: 1
inputs: {type: object, properties: {n: {type: integer}}, required: [n]}
outputs: {type: object, properties: {n: {type: integer}}}
---
workflow: t/work
inputs: {n: {type: integer, default: 1}}
nodes:
  a: {use: t/double, with: {n: "${ inputs.n }"}, outputs: {n: {type: integer}}}
  b: {use: t/double, with: {n: "${ nodes.a.n }"}}
outputs: {n: "${ nodes.b.n }"}
---
workflow: t/one
inputs: {n: {type: integer, default: 1}}
nodes:
  a: {use: t/double, with: {n: "${ inputs.n }"}}
outputs: {n: "${ nodes.a.n }"}
"#;

/// A worker on a stream.
struct Worker {
    say: Sender<Bytes>,
    hear: Lines,
}

impl Worker {
    /// Connects; the first line of the server is read.
    async fn connect(up: &Up, name: &str, slots: usize, holding: Value) -> (Worker, Value) {
        let (say, hear) = up.worker_stream(&[]).await;
        let mut worker = Worker { say, hear };
        let hello = json!({"worker": name, "connectors": ["t/double@1"], "slots": slots, "holding": holding});
        worker.send(json!({"hello": hello})).await;
        let welcome = worker.hear.json().await;
        assert_eq!(welcome["welcome"]["lease_ms"], 15_000, "{welcome}");
        (worker, welcome)
    }

    async fn send(&mut self, line: Value) {
        self.say.send(format!("{line}\n").into()).await.unwrap();
    }

    /// The next lease.
    async fn lease(&mut self) -> Value {
        let line = self.hear.json().await;
        assert_eq!(line["leases"].as_array().map(Vec::len), Some(1), "{line}");
        line["leases"][0].clone()
    }

    async fn report(&mut self, lease: &Value, output: Value) {
        self.send(json!({"reports": [report(lease, output)]})).await;
    }
}

fn report(lease: &Value, output: Value) -> Value {
    json!({"attempt": lease["attempt"], "epoch": lease["epoch"], "output": output})
}

async fn submit(up: &Up, workflow: &str, name: &str) {
    let run = up.post("/api/v1/runs", json!({"workflow": workflow, "inputs": {"n": 3}, "name": name})).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.text());
}

async fn end(up: &Up, run: &str) -> Value {
    up.get(&format!("/api/v1/runs/{run}?wait=30")).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn leasing_and_reporting_request_by_request() {
    let up = Up::start().await;
    up.apply(WORK).await;
    submit(&up, "t/work", "w").await;
    for n in [3, 6] {
        let leased = up.post("/api/v1/workers/lease", json!({"worker": "w1", "connectors": ["t/double@1"], "slots": 4})).await;
        assert_eq!(leased.status, StatusCode::OK, "{}", leased.text());
        let lease = &leased.json()["leases"][0];
        assert_eq!(lease["input"], json!({"n": n}));
        assert_eq!(lease["environment"]["TUTTI_RUN"], "w");
        let taken = up.post("/api/v1/workers/heartbeat", json!({"worker": "w1"})).await;
        assert_eq!(taken.json(), json!({"lease_ms": 15_000}));
        let taken =
            up.post("/api/v1/workers/report", json!({"worker": "w1", "reports": [report(lease, json!({"n": 2 * n}))]})).await;
        assert_eq!(taken.json(), json!({"lost": []}));
    }
    assert_eq!(end(&up, "w").await["outputs"], json!({"n": 12}));
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leasing_and_reporting_over_one_stream() {
    let up = Up::start().await;
    up.apply(WORK).await;
    let (mut worker, welcome) = Worker::connect(&up, "w1", 4, json!([])).await;
    assert_eq!(welcome["welcome"]["unknown"], json!([]));
    submit(&up, "t/work", "w").await;
    for n in [3, 6] {
        let lease = worker.lease().await;
        assert_eq!(lease["input"], json!({"n": n}));
        worker.report(&lease, json!({"n": 2 * n})).await;
    }
    assert_eq!(end(&up, "w").await["outputs"], json!({"n": 12}));
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_and_nothing_is_leased_twice() {
    let up = Up::start().await;
    up.apply(WORK).await;
    let runs: Vec<Value> = (0..40).map(|n| json!({"workflow": "t/one", "inputs": {"n": n}})).collect();
    up.post("/api/v1/runs:batch", json!({"runs": runs})).await;
    let (mut one, _) = Worker::connect(&up, "one", 5, json!([])).await;
    let (mut two, _) = Worker::connect(&up, "two", 5, json!([])).await;
    let mut seen = std::collections::BTreeSet::new();
    let (mut held, mut shares) = (0, [0, 0]);
    // Both have work in hand before either reports: otherwise the quicker one may do all of it.
    let mut first = vec![(1, two.hear.json().await), (0, one.hear.json().await)];
    while seen.len() < 40 {
        let (who, line) = match first.pop() {
            Some(first) => first,
            None => tokio::select! {
                line = one.hear.json() => (0, line),
                line = two.hear.json() => (1, line),
            },
        };
        let leases = line["leases"].as_array().unwrap();
        held += leases.len();
        assert!(leases.len() <= 5 && held <= 10, "no more than the slots: {held}");
        shares[who] += leases.len();
        let reports: Vec<Value> = leases
            .iter()
            .map(|lease| {
                assert!(seen.insert(lease["attempt"].as_str().unwrap().to_owned()), "{lease} was leased twice");
                report(lease, json!({"n": 2 * lease["input"]["n"].as_i64().unwrap()}))
            })
            .collect();
        held -= reports.len();
        [&mut one, &mut two][who].send(json!({"reports": reports})).await;
    }
    assert!(shares.iter().all(|share| *share >= 1), "{shares:?}");
    for run in 1..=40 {
        assert_eq!(end(&up, &run.to_string()).await["phase"], "succeeded");
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_worker_loses_its_lease_and_its_late_report_is_refused() {
    let up = Up::start().await;
    up.apply(WORK).await;
    submit(&up, "t/one", "w").await;
    // By single requests: a stream may ask for more in the moment in which the lease is lost.
    let silent = json!({"worker": "silent", "connectors": ["t/double@1"], "slots": 1});
    let lost = up.post("/api/v1/workers/lease", silent).await.json()["leases"][0].clone();
    // As if fifteen seconds had passed.
    up.control.workers().expire(Instant::now() + Duration::from_secs(16));
    let (mut other, _) = Worker::connect(&up, "other", 1, json!([])).await;
    let again = other.lease().await;
    assert_ne!(again["attempt"], lost["attempt"]);
    assert_eq!(again["idempotency_key"], lost["idempotency_key"], "it stays the same over all attempts");
    let late = json!({"worker": "silent", "reports": [report(&lost, json!({"n": 666}))]});
    assert_eq!(up.post("/api/v1/workers/report", late).await.json(), json!({"lost": [lost["attempt"]]}));
    other.report(&again, json!({"n": 6})).await;
    let run = end(&up, "w").await;
    assert_eq!((&run["outputs"], &run["actions"][0]["attempts"]), (&json!({"n": 6}), &json!(2)));
    up.down().await;
}

/// A connector that a worker serves, of which each action needs the whole site.
const WHOLE: &str = r#"
kind: site
name: small
capacity: {cpu: 1, memory: 1Gi}
attributes: {size: small}
---
kind: connector
name: t/double
version: 1
---
workflow: t/whole
nodes:
  a: {use: t/double, needs: {cpu: 1, site: {size: small}}}
  b: {use: t/double, needs: {cpu: 1, site: {size: small}}}
---
workflow: t/other
nodes:
  p: {use: core/noop, needs: {cpu: 1, site: {size: small}}}
"#;

async fn start(up: &Up, workflow: &str, name: &str) {
    let run = up.post("/api/v1/runs", json!({"workflow": workflow, "name": name})).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_worker_has_taken_says_that_it_waits_and_holds_no_room() {
    let up = Up::start().await;
    up.apply(WHOLE).await;
    start(&up, "t/whole", "w").await;
    offered(&up).await;
    let action = up.get("/api/v1/runs/w/action?path=a").await.json();
    assert_eq!((&action["phase"], &action["site"]), (&json!("waiting_for_resources"), &json!("small")), "{action}");
    assert_eq!(action["waits_for"], "a worker that serves t/double@1", "{action}");
    assert_eq!(action.get("started_at"), None, "{action}");
    let why = up.get("/api/v1/runs/w/explain?path=a").await.json();
    let summary = why[0]["summary"].as_str().or(why["items"][0]["summary"].as_str()).unwrap().to_owned();
    assert_eq!(summary, "it was placed at `small` and waits for a worker that serves `t/double@1`");
    // Both wait there, and what needs the whole site runs all the same.
    start(&up, "t/other", "p").await;
    assert_eq!(end(&up, "p").await["phase"], "succeeded");
    // A worker takes no more at once than the site has.
    let ask = json!({"worker": "w1", "connectors": ["t/double@1"], "slots": 2});
    let leases = up.post("/api/v1/workers/lease", ask.clone()).await.json()["leases"].clone();
    assert_eq!(leases.as_array().map(Vec::len), Some(1), "{leases}");
    let done = json!({"worker": "w1", "reports": [{"attempt": leases[0]["attempt"], "epoch": leases[0]["epoch"], "wall_us": 7}]});
    assert_eq!(up.post("/api/v1/workers/report", done).await.json(), json!({"lost": []}));
    let second = up.post("/api/v1/workers/lease", ask).await.json()["leases"].clone();
    let done = json!({"worker": "w1", "reports": [{"attempt": second[0]["attempt"], "epoch": second[0]["epoch"]}]});
    assert_eq!(up.post("/api/v1/workers/report", done).await.json(), json!({"lost": []}));
    let run = end(&up, "w").await;
    assert_eq!(run["phase"], "succeeded");
    for action in run["actions"].as_array().unwrap() {
        assert!(action.get("waits_for").is_none() && action["started_at"].is_string(), "{action}");
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_over_a_restart_of_the_server() {
    let up = Up::start().await;
    up.apply(WORK).await;
    submit(&up, "t/one", "w").await;
    let (mut worker, _) = Worker::connect(&up, "w1", 1, json!([])).await;
    let lease = worker.lease().await;
    let up = up.restart().await;
    offered(&up).await;
    let holding = json!([{"attempt": lease["attempt"], "epoch": lease["epoch"]}, {"attempt": "tutti-9-9-9", "epoch": 1}]);
    let (mut worker, welcome) = Worker::connect(&up, "w1", 1, holding).await;
    assert_eq!(welcome["lost"], json!(["tutti-9-9-9"]), "{welcome}");
    let kept = welcome["kept"][0].clone();
    assert_eq!(kept["attempt"], lease["attempt"], "{welcome}");
    assert!(kept["epoch"].as_u64() > lease["epoch"].as_u64(), "{kept} is of a new epoch");
    // The old epoch has no say any more, not even from the same worker.
    worker.report(&lease, json!({"n": 666})).await;
    assert_eq!(worker.hear.json().await, json!({"lost": [lease["attempt"]]}));
    worker.report(&kept, json!({"n": 6})).await;
    let run = end(&up, "w").await;
    assert_eq!((&run["outputs"], &run["actions"][0]["attempts"]), (&json!({"n": 6}), &json!(1)));
    up.down().await;
}

/// Waits until what an earlier server had asked for is offered again.
async fn offered(up: &Up) {
    while up.control.workers().depth().0 == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_another_worker_may_have_it_and_the_first_is_refused() {
    let up = Up::start().await;
    up.apply(WORK).await;
    submit(&up, "t/one", "w").await;
    let (mut first, _) = Worker::connect(&up, "first", 1, json!([])).await;
    let lease = first.lease().await;
    let up = up.restart().await;
    let (mut second, _) = Worker::connect(&up, "second", 1, json!([])).await;
    let again = second.lease().await;
    assert_eq!(again["attempt"], lease["attempt"], "the attempt is asked for again under its token");
    assert!(again["epoch"].as_u64() > lease["epoch"].as_u64());
    let holding = json!([{"attempt": lease["attempt"], "epoch": lease["epoch"]}]);
    let (mut first, welcome) = Worker::connect(&up, "first", 1, holding).await;
    assert_eq!(welcome["lost"], json!([lease["attempt"]]));
    // Neither its own epoch nor the new one is its to report under.
    first.report(&lease, json!({"n": 666})).await;
    first.report(&again, json!({"n": 666})).await;
    for _ in 0..2 {
        assert_eq!(first.hear.json().await, json!({"lost": [lease["attempt"]]}));
    }
    second.report(&again, json!({"n": 6})).await;
    assert_eq!(end(&up, "w").await["outputs"], json!({"n": 6}));
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reported_twice_counts_once() {
    let up = Up::start().await;
    up.apply(WORK).await;
    submit(&up, "t/work", "w").await;
    let (mut worker, _) = Worker::connect(&up, "w1", 1, json!([])).await;
    let lease = worker.lease().await;
    let twice = json!({"reports": [report(&lease, json!({"n": 6})), report(&lease, json!({"n": 7}))]});
    worker.send(twice).await;
    let (mut lost, mut next) = (None, None);
    while lost.is_none() || next.is_none() {
        let line = worker.hear.json().await;
        if line["lost"].is_array() {
            lost = Some(line["lost"].clone());
        } else {
            next = Some(line["leases"][0].clone());
        }
    }
    assert_eq!(lost, Some(json!([lease["attempt"]])));
    let next = next.unwrap();
    assert_eq!(next["input"], json!({"n": 6}), "the first report wins");
    worker.report(&next, json!({"n": 12})).await;
    assert_eq!(end(&up, "w").await["outputs"], json!({"n": 12}));
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_broken_promises_fail_the_action() {
    let up = Up::start().await;
    up.apply(WORK).await;
    let (mut worker, _) = Worker::connect(&up, "w1", 1, json!([])).await;
    for (name, said, class) in [
        ("f1", json!({"error": "no luck", "class": "environment"}), "environment"),
        ("f2", json!({"error": "no luck"}), "user"),
        ("f3", json!({"output": {"n": "three"}}), "output"),
        ("f4", json!({"output": {}}), "output"),
        ("f5", json!({"output": [1]}), "output"),
    ] {
        submit(&up, "t/work", name).await;
        let lease = worker.lease().await;
        let mut report = json!({"attempt": lease["attempt"], "epoch": lease["epoch"]});
        report.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        worker.send(json!({"reports": [report]})).await;
        let run = end(&up, name).await;
        assert_eq!((&run["phase"], &run["actions"][0]["failure"]["class"]), (&json!("failed"), &json!(class)), "{name}: {run}");
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_action_is_stopped_at_its_worker() {
    let up = Up::start().await;
    up.apply(WORK).await;
    submit(&up, "t/one", "w").await;
    let (mut worker, _) = Worker::connect(&up, "w1", 1, json!([])).await;
    let lease = worker.lease().await;
    up.post("/api/v1/runs/w/cancel", json!({})).await;
    assert_eq!(worker.hear.json().await, json!({"stop": [lease["attempt"]]}));
    worker.report(&lease, json!({"n": 6})).await;
    assert_eq!(worker.hear.json().await, json!({"lost": [lease["attempt"]]}));
    assert_eq!(end(&up, "w").await["phase"], "aborted");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_nobody_knows_are_named_and_those_of_the_server_refused() {
    let up = Up::start().await;
    up.apply(WORK).await;
    let (say, mut hear) = up.worker_stream(&[]).await;
    let hello = json!({"hello": {"worker": "w1", "connectors": ["t/double@1", "t/dubble@1", "t/double@2"], "slots": 1}});
    say.send(format!("{hello}\n").into()).await.unwrap();
    assert_eq!(hear.json().await["welcome"]["unknown"], json!(["t/dubble@1", "t/double@2"]));
    for wrong in ["core/noop@1", "double", "t/double", "t/double@x", "/x@1", ""] {
        let request = json!({"worker": "w2", "connectors": [wrong], "slots": 1});
        up.post("/api/v1/workers/lease", request).await.is_problem(400, "E0001");
    }
    let nothing = json!({"worker": "w2", "connectors": ["t/double@1"], "slots": 1_000_000});
    up.post("/api/v1/workers/lease", nothing).await.is_problem(400, "E0001");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_not_understood_ends_the_stream_and_not_the_lease() {
    let up = Up::start().await;
    up.apply(WORK).await;
    submit(&up, "t/one", "w").await;
    let (mut worker, _) = Worker::connect(&up, "w1", 1, json!([])).await;
    let lease = worker.lease().await;
    for (line, code) in [
        ("nonsense\n".to_owned(), "E0001"),
        ("{\"helo\": 1}\n".into(), "E0001"),
        ("{\"reports\": [{\"attempt\": 1}]}\n".into(), "E0001"),
        ("{\"reports\": []}\n".into(), "E0001"),
        ("\u{7f}\u{0}\n".into(), "E0001"),
        (format!("{{\"hello\": \"{}", "x".repeat(5 << 20)), "E0007"),
    ] {
        let (say, mut hear) = up.worker_stream(&[]).await;
        // The server may have closed before it has read all of a line that is too long.
        let _ = say.send(line.clone().into()).await;
        assert_eq!(hear.json().await["error"]["code"], code, "{}", &line[..20.min(line.len())]);
        assert_eq!(hear.next().await, None, "the stream ends");
    }
    worker.send(json!({"reports": [{"attempt": lease["attempt"], "epoch": lease["epoch"], "outpt": {}}]})).await;
    assert_eq!(worker.hear.json().await["error"]["code"], "E0001");
    let holding = json!([{"attempt": lease["attempt"], "epoch": lease["epoch"]}]);
    let (mut worker, welcome) = Worker::connect(&up, "w1", 1, holding.clone()).await;
    assert_eq!(welcome["kept"], holding);
    worker.report(&lease, json!({"n": 6})).await;
    assert_eq!(end(&up, "w").await["outputs"], json!({"n": 6}));
    up.down().await;
}

const BULKY: &str = r#"
workflow: t/bulky
inputs: {text: string}
nodes:
  a: {use: t/double, with: {n: 1, text: "${ inputs.text }"}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_read_is_dropped_and_others_go_on() {
    let up = Up::impatient().await;
    up.apply(&format!("{}---{BULKY}", WORK.replace("required: [n]", "required: [n], additionalProperties: true"))).await;
    let (deaf, _) = Worker::connect(&up, "deaf", 1_000, json!([])).await;
    let text = "x".repeat(200_000);
    for _ in 0..8 {
        let runs: Vec<Value> = (0..20).map(|_| json!({"workflow": "t/bulky", "inputs": {"text": text}})).collect();
        assert_eq!(up.post("/api/v1/runs:batch", json!({"runs": runs})).await.status, StatusCode::OK);
    }
    // 32 MB are on their way to somebody who reads nothing: after a moment the connection is gone.
    up.alone().await;
    // What it never took waits for others at once; only what was on its way to it is held until its lease ends.
    // The last of it may be on its way back in this moment.
    let back = async {
        loop {
            let (waiting, held) = up.control.workers().depth();
            if waiting + held == 160 {
                return (waiting, held);
            }
            tokio::task::yield_now().await;
        }
    };
    let (waiting, held) = tokio::time::timeout(Duration::from_secs(60), back).await.expect("nothing is lost");
    assert!(waiting > held, "{waiting} wait and {held} are held");
    up.control.workers().expire(Instant::now() + Duration::from_secs(16));
    submit(&up, "t/one", "w").await;
    let (mut other, _) = Worker::connect(&up, "other", 1_000, json!([])).await;
    let mut left = 161;
    while left > 0 {
        let line = other.hear.json().await;
        let leases = line["leases"].as_array().unwrap();
        left -= leases.len();
        let reports: Vec<Value> = leases.iter().map(|lease| report(lease, json!({"n": 6}))).collect();
        other.send(json!({"reports": reports})).await;
    }
    assert_eq!(end(&up, "w").await["outputs"], json!({"n": 6}));
    drop(deaf);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so() {
    let up = Up::start().await;
    up.apply(WORK).await;
    let (mut worker, _) = Worker::connect(&up, "w1", 1, json!([])).await;
    let down = tokio::spawn(up.down());
    assert_eq!(worker.hear.json().await["error"]["code"], "E0012");
    assert_eq!(worker.hear.next().await, None);
    down.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_the_manifest_does_not_promise_fails_the_attempt() {
    let up = Up::start().await;
    up.apply(WORK).await;
    let up = up.restart().await;
    submit(&up, "t/one", "w").await;
    let (mut worker, _) = Worker::connect(&up, "w1", 1, json!([])).await;
    let lease = worker.lease().await;
    worker.report(&lease, json!({"n": "five"})).await;
    let run = end(&up, "w").await;
    assert_eq!((&run["phase"], &run["failure"]["class"]), (&json!("failed"), &json!("output")), "{run}");
    let why = run["failure"]["message"].as_str().unwrap();
    assert!(why.contains("at `/n`: a text of 4 characters is not of type \"integer\""), "{why}");
    up.down().await;
}
