//! What runs while the server is killed: processes, a map over them, a file that moves, a timer, a person, a worker.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{PATIENCE, Place, Server, call, pause};

const DOCUMENTS: &str = r#"
kind: connector
name: crash/echo
runtime: worker
---
kind: site
name: shed
capacity: {cpu: 1}
attributes: {room: shed}
prices: {cpu_hour: 9}
---
kind: trigger
name: seen
workflow: crash/quick
event: {name: seen}
"#;

/// Every process writes a line that names its attempt before it does anything else.
const STORY: &str = r#"
workflow: crash/story
nodes:
  first:
    run: {script: 'echo "$TUTTI_RUN/$TUTTI_ACTION/$TUTTI_ATTEMPT" >> "$TUTTI_SITE_FILES/tally"; sleep 0.05; echo "$TUTTI_RUN" > "$TUTTI_OUT_DIR/doc"; echo "{\"doc\": {\"\$file\": \"doc\"}}" > "$TUTTI_OUTPUT"'}
    outputs: {doc: file}
  # What it made is brought to another site.
  far: {use: core/noop, with: {value: "${ nodes.first.doc }"}, needs: {site: {room: shed}}}
  wide:
    each:
      items: ${ [1, 2, 3] }
      concurrency: 2
      do:
        run: {script: 'echo "$TUTTI_RUN/$TUTTI_ACTION/$TUTTI_ATTEMPT" >> "$TUTTI_SITE_FILES/tally"'}
    after: [first]
  pause: {wait: {for: 60ms}, after: [first]}
  outside: {use: crash/echo, with: {n: 1}, after: [first]}
  sign: {human: {title: May it go on?}, after: [wide, pause, outside, far]}
  last:
    run: {script: 'echo "$TUTTI_RUN/$TUTTI_ACTION/$TUTTI_ATTEMPT" >> "$TUTTI_SITE_FILES/tally"'}
    after: [sign]
"#;

const QUICK: &str = r#"
workflow: crash/quick
nodes:
  a: {use: core/noop}
  b: {use: core/noop, after: [a]}
  c:
    run: {script: 'echo "$TUTTI_RUN/$TUTTI_ACTION/$TUTTI_ATTEMPT" >> "$TUTTI_SITE_FILES/tally"'}
    after: [b]
"#;

/// What was acknowledged: it has to be there whatever happens.
#[derive(Default)]
pub(crate) struct Acknowledged {
    /// Keys of runs, with the number that was answered.
    pub(crate) runs: Mutex<std::collections::BTreeMap<String, u64>>,
    /// Keys that were sent and not answered.
    pub(crate) unanswered: Mutex<BTreeSet<String>>,
    /// Runs whose decision was taken.
    pub(crate) decisions: Mutex<BTreeSet<String>>,
    next: AtomicU64,
}

/// Registers the workflows.
pub(crate) fn apply(url: &str) {
    let document = |path: &str, text: &str| json!({ "path": path, "text": text });
    let documents = json!({ "documents": [document("echo.yaml", DOCUMENTS), document("story.workflow.yaml", STORY), document("quick.workflow.yaml", QUICK)] });
    let (status, answer) = call(url, "POST", "/api/v1/apply", &documents).unwrap();
    assert_eq!(status, 200, "{answer}");
}

impl Acknowledged {
    /// Sends a run under a new key.
    pub(crate) fn submit(&self, url: &str, workflow: &str) {
        self.send(url, format!("{workflow}#{}", self.next.fetch_add(1, Ordering::Relaxed)));
    }

    /// A key belongs to one request: it begins with the workflow.
    fn send(&self, url: &str, key: String) {
        let workflow = key.split('#').next().unwrap_or_default();
        let request = json!({ "workflow": workflow, "idempotency_key": key });
        match call(url, "POST", "/api/v1/runs", &request) {
            Ok((status, answer)) if status < 300 => {
                let number = answer["number"].as_u64().unwrap();
                self.unanswered.lock().unwrap().remove(&key);
                let before = self.runs.lock().unwrap().insert(key.clone(), number);
                assert!(before.is_none_or(|before| before == number), "{key} was run {before:?} and is run {number}");
            }
            Ok((status, answer)) => assert_eq!(status, 503, "a submission was refused: {answer}"),
            Err(_) => drop(self.unanswered.lock().unwrap().insert(key)),
        }
    }

    /// Sends again what was sent: what was answered has to give the same run, what was not gives one.
    pub(crate) fn send_again(&self, url: &str) {
        let mut keys: Vec<String> = self.unanswered.lock().unwrap().iter().cloned().collect();
        keys.extend(self.runs.lock().unwrap().keys().last().cloned());
        keys.into_iter().for_each(|key| self.send(url, key));
    }

    /// Answers what waits for a person.
    pub(crate) fn decide(&self, url: &str) {
        let Ok((200, waiting)) = call(url, "GET", "/api/v1/approvals", &Value::Null) else { return };
        for approval in waiting.as_array().into_iter().flatten() {
            let run = approval["run"].as_str().unwrap();
            let path = format!("/api/v1/runs/{run}/decision");
            if let Ok((200, _)) = call(url, "POST", &path, &json!({ "decision": "approve" })) {
                self.decisions.lock().unwrap().insert(run.to_owned());
            }
        }
    }
}

/// A worker that serves `crash/echo` wherever the server is at the moment.
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    url: Arc<Mutex<String>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start() -> Worker {
        let (stop, url) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(String::new())));
        let (stopped, at) = (stop.clone(), url.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let url = at.lock().unwrap().clone();
                if url.is_empty() || turn(&url).is_none() {
                    pause(Duration::from_millis(10));
                }
            }
        });
        Worker { stop, url, thread: Some(thread) }
    }

    /// Where the server is now.
    pub(crate) fn serve(&self, url: &str) {
        *self.url.lock().unwrap() = url.to_owned();
    }
}

/// Leases, works, reports.
fn turn(url: &str) -> Option<()> {
    let request = json!({ "worker": "crash-worker", "connectors": ["crash/echo@1"], "slots": 4 });
    let (_, answer) = call(url, "POST", "/api/v1/workers/lease", &request).ok()?;
    let reports: Vec<Value> = answer["leases"]
        .as_array()?
        .iter()
        .map(|lease| json!({ "attempt": lease["attempt"], "epoch": lease["epoch"], "output": lease["input"] }))
        .collect();
    call(url, "POST", "/api/v1/workers/report", &json!({ "worker": "crash-worker", "reports": reports })).ok().map(drop)
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.serve("");
        // It may be waiting for work that does not come; its connection ends with the server.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers people and waits until every run has ended.
pub(crate) fn settle(place: &Place, server: &Server, acknowledged: &Acknowledged) {
    let until = Instant::now() + PATIENCE;
    loop {
        acknowledged.decide(&server.url);
        let (_, open) = call(&server.url, "GET", "/api/v1/runs?phase=running&limit=1000", &Value::Null).unwrap();
        let open: Vec<&Value> = open["items"].as_array().unwrap().iter().map(|run| &run["name"]).collect();
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "these runs do not end: {open:?}\n{}", place.log_tail());
        pause(Duration::from_millis(20));
    }
}
