//! Documents that govern: tags, policies, sanitizers.

use std::collections::BTreeMap;

use model::Duration;
use model::govern::{Checks, Entrance, OnRevoke, PolicySpec, SanitizerSpec, TagKind, TagSpec};
use model::limits::TAG_ENTRANCES_MAX;
use serde_json::Value;

use super::{choice, texts};
use crate::compile::what_runs;
use crate::fields::{Fields, Findings};
use crate::source::{Data, Style, Tree};
use crate::{Catalogue, Files};

/// How long an approval of a sanitizer is good when nothing is said.
const EXPIRES: Duration = Duration::from_secs(180 * 24 * 3600);
/// Detectors that a sanitizer's output can be looked at with.
pub const DETECTORS: [&str; 4] = ["email", "iban", "ssn", "card"];

/// A policy with the place of its text, so that what is wrong in it is shown where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDocument {
    /// The policy.
    pub spec: PolicySpec,
    /// The file of its text, when it stands in one of its own.
    pub file: Option<String>,
    /// Where each line of its text begins in the file.
    pub lines: Vec<usize>,
}

impl PolicyDocument {
    /// The bytes of the file that bytes of the policy's text stand for.
    pub fn span(&self, within: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let place = |byte: usize| {
            let mut begin = 0;
            for (number, line) in self.spec.cedar.split_inclusive('\n').enumerate() {
                let in_file = self.lines.get(number).or(self.lines.last()).copied().unwrap_or(0);
                if byte < begin + line.len() || begin + line.len() == self.spec.cedar.len() {
                    return in_file + byte.saturating_sub(begin);
                }
                begin += line.len();
            }
            self.lines.first().copied().unwrap_or(0)
        };
        place(within.start)..place(within.end)
    }
}

pub(super) fn tag(tree: &Tree, findings: &Findings) -> Option<TagSpec> {
    let known = ["kind", "name", "description", "owners", "parent", "protects", "retention", "approvals", "on_revoke", "enters"];
    let fields = Fields::of(tree, "a tag", &known, findings)?;
    let name = tag_name(&fields, "name", findings)?;
    let kind = match fields.text("protects").as_deref() {
        None | Some("secrecy") => TagKind::Secrecy,
        Some("integrity") => TagKind::Integrity,
        Some("residency") => TagKind::Residency,
        Some(other) => {
            let span = fields.get("protects").map_or(0..0, |tree| tree.span.clone());
            findings.error("W0104", &span, format!("`protects` is secrecy, integrity or residency, not `{other}`"));
            TagKind::Secrecy
        }
    };
    Some(TagSpec {
        name,
        description: fields.text("description").unwrap_or_default(),
        owners: fields.texts("owners").into_iter().map(|(owner, _)| owner).collect(),
        parent: fields.get("parent").and_then(|_| tag_name(&fields, "parent", findings)),
        kind,
        retention: fields.duration("retention"),
        approvals: fields.count("approvals").map_or(2, |count| u32::try_from(count).unwrap_or(u32::MAX)),
        on_revoke: choice::<OnRevoke>(&fields, "on_revoke", "stop, finish", findings),
        enters: enters(fields.get("enters"), findings),
    })
}

/// Where a tag comes to data by itself.
fn enters(tree: Option<&Tree>, findings: &Findings) -> Vec<Entrance> {
    let Some(tree) = tree else { return Vec::new() };
    let Data::List(items) = &tree.data else {
        findings.error("W0103", &tree.span, format!("`enters` has to be a list, and this is {}", tree.kind()));
        return Vec::new();
    };
    if items.len() > TAG_ENTRANCES_MAX {
        findings.error("W0104", &tree.span, format!("`enters` has more than {TAG_ENTRANCES_MAX} entries"));
    }
    let known = ["project", "domain", "task", "inputs", "run_labels"];
    let read = |item: &Tree| {
        let fields = Fields::of(item, "an entrance", &known, findings)?;
        let entrance = Entrance {
            project: fields.text("project"),
            domain: fields.text("domain"),
            task: fields.text("task"),
            inputs: fields.text("inputs"),
            run_labels: texts(fields.get("run_labels"), "run_labels", findings),
        };
        if entrance == Entrance::default() {
            let message = "an entrance says of which tasks: `project`, `domain`, `task`, `inputs` or `run_labels`";
            findings.error("W0102", &item.span, message);
        }
        Some(entrance)
    };
    items.iter().filter_map(read).collect()
}

/// The name of a tag: names with `.` between them.
fn tag_name(fields: &Fields<'_>, key: &str, findings: &Findings) -> Option<String> {
    let name = fields.needed_text(key, "a tag")?;
    if !name.split('.').all(crate::is_name) {
        let span = fields.get(key).map_or(0..0, |tree| tree.span.clone());
        findings.error("W0105", &span, format!("`{name}` is not the name of a tag: names such as `pii`, or `pii.ssn`"));
    }
    Some(name)
}

pub(super) fn policy(tree: &Tree, text: &str, files: &dyn Files, findings: &Findings) -> Option<PolicyDocument> {
    let known = ["kind", "name", "description", "cedar", "file", "default", "approvals"];
    let fields = Fields::of(tree, "a policy", &known, findings)?;
    let name = fields.needed_name("name", "a policy")?;
    let (cedar, file, lines) = match (fields.get("cedar"), fields.get("file")) {
        (Some(_), None) => {
            let cedar = fields.text("cedar")?;
            let lines = lines_of(fields.get("cedar")?, &cedar, text);
            (cedar, None, lines)
        }
        (None, Some(named)) => {
            let path = fields.text("file")?;
            let Some(cedar) = files.read(&path).and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()) else {
                findings.error("W0205", &named.span, format!("there is no file `{path}` beside the policy"));
                return None;
            };
            let ends = cedar.match_indices('\n').map(|(at, _)| at + 1);
            let lines = std::iter::once(0).chain(ends).collect();
            (cedar, Some(path), lines)
        }
        _ => {
            findings.error("W0106", &(tree.span.start..tree.span.start + 1), "a policy has to have either `cedar` or `file`");
            return None;
        }
    };
    let closed = match fields.text("default").as_deref() {
        None | Some("permit") => false,
        Some("refuse") => true,
        Some(other) => {
            let span = fields.get("default").map_or(0..0, |tree| tree.span.clone());
            findings.error("W0104", &span, format!("`default` is permit or refuse, not `{other}`"));
            false
        }
    };
    let description = fields.text("description").unwrap_or_default();
    let approvals = fields.count("approvals").map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX));
    Some(PolicyDocument { spec: PolicySpec { name, description, cedar, closed, approvals }, file, lines })
}

/// Where the lines of a text begin in the file.
fn lines_of(tree: &Tree, value: &str, text: &str) -> Vec<usize> {
    if tree.style != Style::Literal {
        return vec![tree.span.start];
    }
    let written = text.get(tree.span.clone()).unwrap_or_default();
    let mut begins = Vec::new();
    let mut at = tree.span.start + written.find('\n').map_or(0, |end| end + 1);
    let mut rest = text.get(at..).unwrap_or_default().split_inclusive('\n');
    for line in value.split('\n') {
        let Some(in_file) = rest.next() else { break };
        let indent = if line.is_empty() { 0 } else { in_file.find(line).unwrap_or(0) };
        begins.push(at + indent);
        at += in_file.len();
    }
    begins
}

pub(super) fn sanitizer(
    tree: &Tree,
    text: &str,
    files: &dyn Files,
    catalogue: &dyn Catalogue,
    findings: &Findings,
) -> Option<SanitizerSpec> {
    let known = ["kind", "name", "description", "run", "use", "with", "strips", "checks", "expires"];
    let fields = Fields::of(tree, "a sanitizer", &known, findings)?;
    let name = fields.needed_name("name", "a sanitizer")?;
    let strips: BTreeMap<String, String> = match fields.get("strips").map(|tree| &tree.data) {
        // A list takes tags off and puts nothing in their place.
        Some(Data::List(_)) => fields.texts("strips").into_iter().map(|(tag, _)| (tag, String::new())).collect(),
        _ => texts(fields.get("strips"), "strips", findings),
    };
    if strips.is_empty() {
        findings.error(
            "W0102",
            &(tree.span.start..tree.span.start + 1),
            "a sanitizer needs `strips`: the tags that it takes off",
        );
    }
    let (identity, runs) = what_runs(&fields, text, files, catalogue, findings)?;
    let expires = fields.duration("expires").unwrap_or(EXPIRES);
    let description = fields.text("description").unwrap_or_default();
    let checks = checks(fields.get("checks"), findings);
    Some(SanitizerSpec { name, description, identity, runs, strips, checks, expires, author: String::new() })
}

fn checks(tree: Option<&Tree>, findings: &Findings) -> Checks {
    let known = ["bytes_max", "fields", "without"];
    let Some(fields) = tree.and_then(|tree| Fields::of(tree, "`checks`", &known, findings)) else { return Checks::default() };
    let without = fields.texts("without");
    for (detector, span) in &without {
        if !DETECTORS.contains(&detector.as_str()) {
            findings.error("W0104", span, format!("there is no detector `{detector}`: there are {}", DETECTORS.join(", ")));
        }
    }
    Checks {
        bytes_max: fields.bytes("bytes_max"),
        fields: fields.texts("fields").into_iter().map(|(field, _)| field).collect(),
        without: without.into_iter().map(|(detector, _)| detector).collect(),
    }
}

/// Cases of a policy test, kept as they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyTest {
    /// Its name.
    pub name: String,
    /// Its cases.
    pub cases: Value,
}

pub(super) fn policy_test(tree: &Tree, findings: &Findings) -> Option<PolicyTest> {
    let fields = Fields::of(tree, "a policy test", &["kind", "name", "description", "cases"], findings)?;
    let name = fields.needed_name("name", "a policy test")?;
    let Some(cases) = fields.get("cases").filter(|cases| matches!(cases.data, Data::List(_))) else {
        findings.error("W0102", &(tree.span.start..tree.span.start + 1), "a policy test needs `cases`, a list");
        return None;
    };
    Some(PolicyTest { name, cases: cases.to_value() })
}
