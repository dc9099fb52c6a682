//! The files of the bank story, which the binary brings along: it tells the story wherever it is installed.

use api::rest::views::{ApplyRequest, SourceFile};
use base64::Engine as _;

/// The workflow.
pub(super) const WORKFLOW: &str = "bank/fraud-model";

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../../../examples/bank/", $path)))),+]
    };
}

/// What is applied.
const DOCUMENTS: [(&str, &str); 2] = files!["sites.yaml", "fraud-model.workflow.yaml"];
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

/// The story as `tutti apply -f examples/bank` would send it.
pub(super) fn documents() -> ApplyRequest {
    let path = |name: &str| format!("bank/{name}");
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    ApplyRequest {
        documents: DOCUMENTS.iter().map(|(name, text)| SourceFile { path: path(name), text: (*text).into() }).collect(),
        files: FILES.iter().map(|(name, text)| (path(name), encode(text))).collect(),
        dry_run: false,
        beside: None,
    }
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
