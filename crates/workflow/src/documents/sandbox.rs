//! How the processes of a site are kept in.

use std::collections::BTreeSet;

use model::EgressGrant;
use model::limits::EGRESS_GRANTS_MAX;
use model::site::{SandboxMode, SandboxSpec};

use crate::fields::{Fields, Findings};
use crate::source::{Data, Tree};

/// `sandbox: require`, or a map with the mode and what is let through.
pub(super) fn sandbox(tree: &Tree, findings: &Findings) -> Option<SandboxSpec> {
    let mode = |tree: &Tree| {
        let mode = tree.as_str().and_then(SandboxMode::parse);
        if mode.is_none() {
            findings.error("W0104", &tree.span, "the mode of a sandbox is `require`, `prefer` or `off`");
        }
        mode.unwrap_or_default()
    };
    if tree.as_str().is_some() {
        return Some(SandboxSpec { mode: mode(tree), ..SandboxSpec::default() });
    }
    let fields = Fields::of(tree, "`sandbox`", &["mode", "egress", "runtime", "packages"], findings)?;
    let list = |key: &str, is_good: &dyn Fn(&str) -> Option<String>| {
        let Some(tree) = fields.get(key) else { return Default::default() };
        let Data::List(items) = &tree.data else {
            findings.error("W0103", &tree.span, format!("`{key}` has to be a list, and this is {}", tree.kind()));
            return Default::default();
        };
        if items.len() > EGRESS_GRANTS_MAX {
            findings.error("W0104", &tree.span, format!("`{key}` has more than {EGRESS_GRANTS_MAX} entries"));
        }
        let mut texts = BTreeSet::new();
        for item in items {
            match item.as_str().map(|text| is_good(text).map_or(Ok(text), Err)) {
                Some(Ok(text)) => drop(texts.insert(text.to_owned())),
                Some(Err(why)) => findings.error("W0104", &item.span, why),
                None => {
                    findings.error("W0103", &item.span, format!("an entry of `{key}` is a text, and this is {}", item.kind()))
                }
            }
        }
        texts
    };
    let place = |text: &str| text.parse::<EgressGrant>().err().map(|error| error.to_string());
    let egress = list("egress", &place);
    let packages = fields.get("packages").map(|_| list("packages", &place));
    let runtime = list("runtime", &|path| {
        let is_folder = path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..");
        (!is_folder).then(|| format!("`{path}` is not an absolute path of a folder"))
    });
    Some(SandboxSpec { mode: fields.get("mode").map(mode).unwrap_or_default(), egress, runtime, packages })
}
