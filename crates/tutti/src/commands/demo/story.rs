//! The files of the bank story, which the binary brings along: it tells the story wherever it is installed.

use std::collections::BTreeMap;

use api::rest::governance_views::PolicyTestRequest;
use api::rest::views::{ApplyRequest, SourceFile};
use base64::Engine as _;

/// The workflow.
pub(super) const WORKFLOW: &str = "bank/fraud-model";

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../../../examples/bank/", $path)))),+]
    };
}

/// Places and rules: applied first, since somebody has to vouch for the sanitizer before a workflow may rely on it.
const RULES: [(&str, &str); 2] = files!["sites.yaml", "rules.yaml"];
/// What the rules are there for.
const TESTS: [(&str, &str); 1] = files!["rules.test.yaml"];
/// The workflow that is run.
const GOOD: [(&str, &str); 1] = files!["fraud-model.workflow.yaml"];
/// The one that is refused.
const LEAKY: [(&str, &str); 1] = files!["leaky.workflow.yaml"];
/// What the workflow refers to.
const FILES: [(&str, &str); 18] = files![
    "forms/approve-model.json",
    "steps/card.py",
    "steps/charts.py",
    "steps/deploy.py",
    "steps/evidence.py",
    "steps/ingest.py",
    "steps/model.py",
    "steps/page.py",
    "steps/pseudonymise.py",
    "steps/quality.py",
    "steps/report.py",
    "steps/score.py",
    "steps/sign.py",
    "steps/signing.py",
    "steps/split.py",
    "steps/step.py",
    "steps/train.py",
    "steps/validate.py",
];

fn path(name: &str) -> String {
    format!("bank/{name}")
}

fn sources<'f>(files: impl IntoIterator<Item = &'f (&'static str, &'static str)>) -> Vec<SourceFile> {
    files.into_iter().map(|(name, text)| SourceFile { path: path(name), text: (*text).into() }).collect()
}

fn files() -> BTreeMap<String, String> {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    FILES.iter().map(|(name, text)| (path(name), encode(text))).collect()
}

fn request(documents: Vec<SourceFile>) -> ApplyRequest {
    ApplyRequest { documents, files: files(), ..ApplyRequest::default() }
}

/// Sites and rules, as `tutti apply -f examples/bank/sites.yaml examples/bank/rules.yaml` would send them.
pub(super) fn rules() -> ApplyRequest {
    request(sources(&RULES))
}

/// The workflow.
pub(super) fn workflow() -> ApplyRequest {
    request(sources(&GOOD))
}

/// The workflow that is refused.
pub(super) fn leaky() -> ApplyRequest {
    request(sources(&LEAKY))
}

/// The rules with their tests, as `tutti policy test examples/bank` would send them; after an edit of the rules, when there is one.
pub(super) fn tests(edit: Option<(&str, &str)>) -> PolicyTestRequest {
    let mut documents = sources(RULES.iter().chain(&TESTS).chain(&GOOD).chain(&LEAKY));
    if let Some((from, to)) = edit {
        for document in documents.iter_mut().filter(|document| document.path.ends_with("rules.yaml")) {
            document.text = document.text.replace(from, to);
        }
    }
    PolicyTestRequest { documents, files: files() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_story_is_brought_along() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bank");
        let mut there = BTreeSet::new();
        for (part, ending) in [("forms", "json"), ("steps", "py")] {
            for entry in std::fs::read_dir(folder.join(part)).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if name.ends_with(&format!(".{ending}")) {
                    there.insert(format!("{part}/{name}"));
                }
            }
        }
        let brought: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(there, brought);
    }
}
