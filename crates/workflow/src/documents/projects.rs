//! Projects: what they may spend, what they may hold at once, and their share.

use model::ProjectSpec;
use model::project::{Budget, Quota, SHARE_MAX};

use super::sites::price;
use crate::fields::{Fields, Findings};
use crate::source::Tree;

/// A document of `kind: project`.
pub(super) fn project(tree: &Tree, findings: &Findings) -> Option<ProjectSpec> {
    let fields = Fields::of(tree, "a project", &["kind", "name", "budget", "quota", "share"], findings)?;
    let name = fields.needed_name("name", "a project")?;
    if name.contains('/') {
        let span = fields.get("name").map_or(0..0, |tree| tree.span.clone());
        findings.error("W0105", &span, format!("`{name}` is not the name of a project: it is what stands before the `/`"));
    }
    let share = fields.count("share").unwrap_or(1);
    if !(1..=u64::from(SHARE_MAX)).contains(&share) {
        let span = fields.get("share").map_or(0..0, |tree| tree.span.clone());
        findings.error("W0104", &span, format!("`share` is from 1 to {SHARE_MAX}"));
    }
    Some(ProjectSpec {
        name,
        budget: budget(fields.get("budget"), findings),
        quota: quota(fields.get("quota"), findings),
        share: u32::try_from(share).unwrap_or(1),
    })
}

fn budget(tree: Option<&Tree>, findings: &Findings) -> Budget {
    let fields = tree.and_then(|tree| Fields::of(tree, "`budget`", &["day", "month"], findings));
    let Some(fields) = fields else { return Budget::default() };
    Budget { day: price(&fields, "day", findings), month: price(&fields, "month", findings) }
}

fn quota(tree: Option<&Tree>, findings: &Findings) -> Quota {
    let fields = tree.and_then(|tree| Fields::of(tree, "`quota`", &["cpu", "memory", "gpu"], findings));
    let Some(fields) = fields else { return Quota::default() };
    Quota {
        cpu_millis: fields.cpu("cpu"),
        memory_bytes: fields.bytes("memory"),
        gpus: fields.count("gpu").map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
    }
}
