//! The report.

use audit::evidence::Verdict;

/// Prints what was found.
pub(crate) fn print(verdict: &Verdict, json: bool) {
    if json {
        match serde_json::to_string_pretty(verdict) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("tutti-verify: {error}"),
        }
        return;
    }
    print!("{}", lines(verdict));
}

fn lines(verdict: &Verdict) -> String {
    let report = &verdict.report;
    let mut text = format!("{}: tree of {} entries, root {}\n", verdict.what, report.entries, report.root);
    if report.runs > 0 {
        text += &format!("runs: {}\n", report.runs);
    }
    if verdict.proofs > 0 {
        text += &format!("proofs of entries: {}\n", verdict.proofs);
    }
    for compared in &report.checkpoints {
        let trusted = if compared.trusted { "with a key that you trust" } else { "with a key that came with it" };
        let holds = if compared.holds { "holds" } else { "DOES NOT HOLD" };
        text += &format!("{} over {} entries, {trusted}: {holds}\n", compared.from, compared.size);
    }
    for (name, time) in &report.witnesses {
        text += &format!("witness {name} signed at {time} seconds since 1970\n");
    }
    for problem in &report.problems {
        let place = problem.seq.map(|seq| format!("entry {seq}: ")).unwrap_or_default();
        text += &format!("problem (level {}): {place}{}\n", problem.level, problem.what);
    }
    let told = report.problems.len() as u64;
    if report.problems_total > told {
        text += &format!("and {} more\n", report.problems_total - told);
    }
    text + LEVELS + &conclusion(verdict)
}

/// How far this program looks.
const LEVELS: &str = "checked: levels 1 and 2 (signatures, tree, order of entries); not levels 3 and 4 (decisions, labels and tickets): `tutti audit verify`\n";

fn conclusion(verdict: &Verdict) -> String {
    let report = &verdict.report;
    match (verdict.holds, report.sealed) {
        (false, _) => format!("IT DOES NOT HOLD: {} problems\n", report.problems_total),
        (true, 0) => "it holds in itself, under nothing that you trust: give --key, --policy or --root\n".into(),
        (true, sealed) if sealed == report.entries => "it holds, under what you trust\n".into(),
        (true, sealed) => format!("it holds, under what you trust, up to entry {sealed}; later entries hold in themselves\n"),
    }
}
