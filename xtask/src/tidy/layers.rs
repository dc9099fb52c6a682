//! The layer table: who may depend on whom. Dependencies point down only, and siblings do not know each other; the exceptions are
//! named here and nowhere else.

use serde_json::Value;

use crate::finding::Finding;

const RULE: &str = "layers";

/// A crate of the house.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    pub(crate) layer: Layer,
    /// The crates it may depend on.
    may_use: &'static [&'static str],
}

/// A layer. What L0 and L1 hold is pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    L0,
    L1,
    L2,
    L3,
    L4,
    L5,
    Dev,
}

const fn room(name: &'static str, layer: Layer, may_use: &'static [&'static str]) -> Room {
    Room { name, layer, may_use }
}

/// The crates, top to bottom as in ARCHITECTURE.md. A new crate needs a line here and a paragraph there.
pub(crate) const ROOMS: &[Room] = &[
    room("model", Layer::L0, &[]),
    room("workflow", Layer::L1, &["model"]),
    room("engine", Layer::L1, &["model"]),
    room("policy", Layer::L1, &["model"]),
    room("placement", Layer::L1, &["model"]),
    room("prediction", Layer::L1, &["model"]),
    room("remediation", Layer::L1, &["model"]),
    room("audit", Layer::L1, &["model"]),
    // Where a test lets a process die: nothing in release builds.
    room("failpoint", Layer::L2, &[]),
    // Keys and what is sealed under them: below everything that stores.
    room("keyring", Layer::L2, &["model"]),
    // It stores the engine's events and hashes them into the tree.
    room("journal", Layer::L2, &["model", "engine", "audit", "failpoint", "keyring"]),
    room("artifacts", Layer::L2, &["model", "keyring"]),
    // The words of a protocol, and files.
    room("flyte", Layer::L2, &["model", "keyring"]),
    // Proofs about rules: a solver is another program.
    room("prover", Layer::L2, &["model", "policy"]),
    // What a connector's action reads and makes lies in the store of its site.
    room("connectors", Layer::L2, &["model", "artifacts", "keyring"]),
    // Attempts report the engine's outcomes, their files lie in stores, and connectors run inside executors.
    room("executors", Layer::L2, &["model", "engine", "artifacts", "connectors", "failpoint", "keyring"]),
    room("controlplane", Layer::L3, BELOW_L3),
    room("api", Layer::L4, BELOW_L4),
    room("tutti", Layer::L5, BELOW_L5),
    // What an auditor runs: nothing of the server, and nothing that reaches out.
    room("verifier", Layer::L5, &["audit"]),
    room("testkit", Layer::Dev, BELOW_L4),
    room("sim", Layer::Dev, BELOW_L5),
    // What goes through a server knows the API alone; decisions and seals are measured with the code that makes them.
    room("bench", Layer::Dev, &["model", "placement", "prediction", "policy", "audit", "keyring", "artifacts", "testkit"]),
    room("xtask", Layer::Dev, &[]),
];

const BELOW_L3: &[&str] = &[
    "model",
    "workflow",
    "engine",
    "policy",
    "placement",
    "prediction",
    "remediation",
    "audit",
    "failpoint",
    "keyring",
    "journal",
    "artifacts",
    "flyte",
    "connectors",
    "executors",
];
const BELOW_L4: &[&str] = &[
    "model",
    "workflow",
    "engine",
    "policy",
    "placement",
    "prediction",
    "remediation",
    "audit",
    "failpoint",
    "keyring",
    "journal",
    "artifacts",
    "flyte",
    "connectors",
    "executors",
    "controlplane",
];
const BELOW_L5: &[&str] = &[
    "model",
    "workflow",
    "engine",
    "policy",
    "prover",
    "placement",
    "prediction",
    "remediation",
    "audit",
    "failpoint",
    "keyring",
    "journal",
    "artifacts",
    "flyte",
    "connectors",
    "executors",
    "controlplane",
    "api",
];

/// Crates that reach for the outside world; the pure layers do without them.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "crossbeam-channel",
    "fastrand",
    "futures",
    "getrandom",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "nix",
    "object_store",
    "parking_lot",
    "rand",
    "rayon",
    "reqwest",
    "rusqlite",
    "rustix",
    "smol",
    "tempfile",
    "tokio",
    "tokio-postgres",
    "tokio-util",
    "tower",
    "tracing",
    "ureq",
];

/// The room of a crate.
pub(crate) fn find(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

impl Room {
    /// Whether it has no I/O, clock, threads or randomness.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(self.layer, Layer::L0 | Layer::L1)
    }
}

/// Compares the edges that `cargo metadata` shows with the table.
pub(crate) fn check(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let name = text(package, "name");
        let manifest = if name == "xtask" { "xtask/Cargo.toml".to_owned() } else { format!("crates/{name}/Cargo.toml") };
        let Some(room) = find(name) else {
            let message = format!(
                "`{name}` is not in the layer table: give it a line in xtask/src/tidy/layers.rs and a paragraph in ARCHITECTURE.md"
            );
            findings.push(Finding::error(RULE, manifest, message));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let other = text(dependency, "name");
            let is_dev = dependency.get("kind").and_then(Value::as_str) == Some("dev");
            let complaint = match find(other) {
                Some(inner) if dependency.get("path").is_some_and(Value::is_string) => forbidden_edge(room, inner, is_dev),
                _ if room.is_pure() && !is_dev && IMPURE.contains(&other) => {
                    Some(format!("`{name}` is pure ({:?}) and may not depend on `{other}`: hand it what it needs", room.layer))
                }
                _ => None,
            };
            findings.extend(complaint.map(|message| Finding::error(RULE, manifest.clone(), message)));
        }
    }
    findings
}

fn forbidden_edge(from: &Room, to: &Room, is_dev: bool) -> Option<String> {
    let (name, other) = (from.name, to.name);
    if from.may_use.contains(&other) || (is_dev && (other == "testkit" || other == name)) {
        return None;
    }
    // The tests of a pure crate may use another: the language's evaluator drives the engine's tests.
    if is_dev && from.layer != Layer::L0 && to.is_pure() {
        return None;
    }
    if from.layer == Layer::Dev && (other == "testkit" || (is_dev && other != "xtask")) {
        return None;
    }
    let kind = if is_dev { "dev-dependency" } else { "dependency" };
    let why = match () {
        () if to.layer == Layer::Dev => "only tests may use it",
        () if from.layer == to.layer => "siblings do not know each other",
        () if from.layer == Layer::L1 => "L1 crates depend on `model` alone; the translation lives in `controlplane`",
        () => "dependencies point down only, and this edge is not in the table",
    };
    Some(format!("{kind} `{name}` ({:?}) -> `{other}` ({:?}): {why}", from.layer, to.layer))
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edge(from: &str, to: &str, kind: Option<&str>, is_ours: bool) -> Vec<Finding> {
        let path = if is_ours { json!(format!("crates/{to}")) } else { Value::Null };
        check(&json!({"packages": [{"name": from, "dependencies": [{"name": to, "kind": kind, "path": path}]}]}))
    }

    #[test]
    fn edges_of_the_table_pass() {
        for (from, to) in
            [("engine", "model"), ("journal", "audit"), ("executors", "connectors"), ("api", "controlplane"), ("tutti", "api")]
        {
            assert_eq!(edge(from, to, None, true), [], "{from} -> {to}");
        }
        assert_eq!(edge("engine", "serde", None, false), []);
        assert_eq!(edge("controlplane", "testkit", Some("dev"), true), []);
        assert_eq!(edge("engine", "testkit", Some("dev"), true), []);
        assert_eq!(edge("model", "tempfile", Some("dev"), false), []);
        assert_eq!(edge("sim", "testkit", None, true), []);
    }

    #[test]
    fn edges_outside_of_the_table_are_found() {
        for (from, to) in [
            ("model", "engine"),
            ("engine", "workflow"),
            ("engine", "journal"),
            ("journal", "artifacts"),
            ("artifacts", "connectors"),
            ("controlplane", "api"),
            ("api", "tutti"),
            ("controlplane", "testkit"),
            ("tutti", "xtask"),
            ("xtask", "model"),
        ] {
            assert_eq!(edge(from, to, None, true).len(), 1, "{from} -> {to}");
        }
        assert_eq!(edge("engine", "controlplane", Some("dev"), true).len(), 1);
    }

    #[test]
    fn a_pure_crate_that_reaches_out_and_an_unknown_crate_are_found() {
        assert_eq!(edge("engine", "tokio", None, false).len(), 1);
        assert_eq!(edge("placement", "rand", None, false).len(), 1);
        assert_eq!(edge("journal", "rusqlite", None, false), []);
        let findings = check(&json!({"packages": [{"name": "helpers", "dependencies": []}]}));
        assert!(findings[0].message.contains("not in the layer table"), "{findings:?}");
    }

    #[test]
    fn the_table_points_down() {
        let rank = |layer: Layer| match layer {
            Layer::L0 => 0,
            Layer::L1 => 1,
            Layer::L2 => 2,
            Layer::L3 => 3,
            Layer::L4 => 4,
            Layer::L5 => 5,
            Layer::Dev => 6,
        };
        let named = [
            ("connectors", "artifacts"),
            ("executors", "artifacts"),
            ("executors", "connectors"),
            ("journal", "failpoint"),
            ("executors", "failpoint"),
            ("journal", "keyring"),
            ("artifacts", "keyring"),
            ("flyte", "keyring"),
            ("connectors", "keyring"),
            ("executors", "keyring"),
            // The rules of others that figures are held against stand with the tests that use them too.
            ("bench", "testkit"),
        ];
        for room in ROOMS {
            for other in room.may_use {
                let below = find(other).is_some_and(|other| rank(other.layer) < rank(room.layer));
                assert!(below || named.contains(&(room.name, other)), "{} -> {other}", room.name);
            }
        }
    }
}
