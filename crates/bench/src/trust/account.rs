//! The account: what an entry costs, and what a verification of many takes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use audit::export::{Check, Head, Trust};
use audit::{Frontier, entry_hash};
use model::Digest;
use serde_json::{Value, json};

use crate::options::Options;
use crate::report::Report;
use crate::rounds::{batch_of, remove};
use crate::sample::Sample;
use crate::server::{Server, run};

/// Entries of the measurements without a disk.
const ENTRIES: u64 = 1_000_000;
/// The mean of the bytes of an entry.
const BYTES: usize = 160;
/// Entries whose decisions, labels and tickets are looked at, at most.
const DERIVED: u64 = 100_000;
/// Runs of one request.
const BATCH: usize = 1_000;

/// What belongs to the log of an entry, and levels 1 and 2 of a million of them, from memory.
pub(super) fn in_memory(rounds: u32, report: &mut Report) {
    // An event of the fleet, as its bytes begin, filled up with text.
    let entry = |seq: u64| {
        let mut bytes = vec![0x82, 0x18, 48, 0x81, 0x82, 0x78, (BYTES - 16) as u8];
        bytes.extend(format!("{seq:0width$}", width = BYTES - 16).bytes());
        bytes.push(0x60);
        bytes
    };
    for _ in 0..rounds {
        let (mut tree, begun) = (Frontier::new(), Instant::now());
        (1..=ENTRIES).for_each(|seq| tree.append(entry_hash(seq, &entry(seq))));
        let hashing = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        std::hint::black_box((1..=ENTRIES).map(|seq| entry(seq).len()).sum::<usize>());
        let making = begun.elapsed().as_secs_f64();
        report.add("log hashing", Sample::one("us_per_entry", (hashing - making) * 1e6 / ENTRIES as f64));
        let begun = Instant::now();
        let mut check = Check::new(Trust::default());
        check.head(Head { size: ENTRIES, root: Digest(tree.root()).hex(), ..Head::default() });
        (1..=ENTRIES).for_each(|seq| check.entry(seq, 0, seq, &entry(seq), None));
        let found = check.finish();
        assert!(found.holds() && found.entries == ENTRIES, "the entries of the measurement are not right: {:?}", found.problems);
        report.add(
            "log levels 1 and 2 from memory",
            Sample::one("s", begun.elapsed().as_secs_f64()).with("entries", ENTRIES as f64),
        );
    }
}

/// A governed server's own journal: verified by the program, with all that is on the disk. Then a run is erased, and it is verified again.
pub(super) fn of_a_server(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = options.folder("account")?;
    let server = Server::start(&options.tutti, &folder)?;
    govern(&server)?;
    run(&mut server.client()?, "labelled", json!({}))?;
    let begun = Instant::now();
    let made = fill(&server, DERIVED.min(options.actions))?;
    let per_entry = begun.elapsed().as_secs_f64() * 1e6 / made as f64;
    report.add("account filled by a server", Sample::one("us_per_entry", per_entry).with("entries", made as f64));
    server.stop()?;
    let derived = verify(&options.tutti, &folder, 4)?;
    report.add("account levels 1 to 4", derived);

    let begun = Instant::now();
    let said = tutti(&options.tutti, &folder, &["erase", "--run", "1"]);
    let erased = begun.elapsed().as_secs_f64();
    match said {
        Ok(_) => {
            let after = verify(&options.tutti, &folder, 2)?;
            report.add("account after a run was erased", after.with("erase_s", erased));
        }
        Err(error) => eprintln!("nothing could be erased: {error:#}"),
    }

    let server = Server::start(&options.tutti, &folder)?;
    fill(&server, options.actions)?;
    server.stop()?;
    report.add("account levels 1 and 2", verify(&options.tutti, &folder, 2)?);
    remove(&folder)
}

/// Rules, and a workflow on data that they are about.
fn govern(server: &Server) -> anyhow::Result<()> {
    let text = "kind: tag\nname: pii\nowners: [officers]\n---\nkind: policy\nname: personal\ncedar: |\n  \
                @id(\"home\") @reason(\"personal data stays at home\")\n  \
                forbid (principal, action == Action::\"run\", resource) when { context.data in Tag::\"pii\" && resource.zone == \"cloud\" };\n\
                ---\nworkflow: bench/labelled\ninputs:\n  ssn: {type: string, labels: [pii], default: x}\nnodes:\n  \
                a: {use: core/noop, with: {value: '${ inputs.ssn }'}}\n  b: {use: core/noop, with: {value: '${ nodes.a }'}}\n  \
                c: {use: core/noop, after: b}\n";
    let documents = json!([{"path": "account.yaml", "text": text}]);
    server.client()?.call("POST", "/api/v1/apply", &json!({"documents": documents}))?;
    Ok(())
}

/// Runs until there are so many entries; how many it made.
fn fill(server: &Server, wanted: u64) -> anyhow::Result<u64> {
    let mut client = server.client()?;
    let entries = |client: &mut crate::http::Client| -> anyhow::Result<u64> {
        client.call("GET", "/api/v1/audit/status", &Value::Null)?["entries"].as_u64().context("a log without a number of entries")
    };
    let before = entries(&mut client)?;
    let mut now = before;
    while now < wanted {
        batch_of(&mut client, "labelled", BATCH)?;
        now = entries(&mut client)?;
    }
    Ok(now - before)
}

fn tutti(program: &Path, data: &Path, words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(program).args(words).env("TUTTI_DATA", data).stdin(Stdio::null()).output()?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    anyhow::ensure!(output.status.success(), "`tutti {}` ended with {}: {}", words.join(" "), output.status, said());
    Ok(output.stdout)
}

fn verify(program: &Path, data: &Path, levels: u8) -> anyhow::Result<Sample> {
    let begun = Instant::now();
    let said = tutti(program, data, &["audit", "verify", "--levels", &levels.to_string(), "-o", "json"])?;
    let took = begun.elapsed().as_secs_f64();
    let found: Value = serde_json::from_slice(&said)?;
    let entries = found["entries"].as_u64().unwrap_or(0) as f64;
    let decided = found["derived"]["decisions"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_f64());
    let sample = Sample::one("s", took).with("entries", entries).with("us_per_entry", took * 1e6 / entries.max(1.0));
    Ok(sample.with("decisions", decided.sum::<f64>() + 0.0))
}
