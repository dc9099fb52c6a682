//! docs/reference/documents.md: every field of every document but workflows, from the published schema.

use anyhow::Context as _;
use serde_json::Value;

use crate::tree::Tree;

const SOURCE: &str = "crates/workflow/src/schema.json";

/// Kinds as the schema names them, with an example and the page that tells more. The tests compile the examples with all others of the docs.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "site",
        "kind: site\nname: burst\ncapacity: {cpu: 64, memory: 256Gi, gpu: 1, disk: 500Gi}\nattributes: {zone: cloud, provider: aws, region: us-east-1}\n\
         prices: {instance: aws/m5.xlarge, spot: true, boot: 60s, idle: 2m, preemptions_per_1000h: 50}\nsimulates: AWS us-east-1\n",
        "[Sites and placement](../concepts/sites-and-placement.md), [prices](placement.md#prices)",
    ),
    (
        "prices",
        "kind: prices\nname: ours\nregion: eu-central\nas_of: 2026-11-01\nsource: the frame contract\ncore_hour: 0.020\nmemory_gib_hour: 0.002\n\
         egress_gb: 0.05\ninstances:\n  small: {cpu: 2, memory: 4Gi, hour: 0.048}\n",
        "[Price lists](placement.md#price-lists)",
    ),
    (
        "project",
        "kind: project\nname: bank\nbudget: {day: 20, month: 300}\nquota: {cpu: 16, memory: 64Gi, gpu: 2}\nshare: 3\n",
        "[Projects](../concepts/placement.md#projects)",
    ),
    (
        "queue",
        "kind: queue\nname: training\ndescription: Machines with accelerators, on-premise.\nsite: {pool: gpu, zone: on-premise}\n",
        "[Use Tutti from Flyte](../guide/flyte.md#queues)",
    ),
    (
        "trigger",
        "kind: trigger\nname: nightly\nworkflow: demo/greet\ndomain: staging\ninputs: {name: Ada}\n\
         schedule: {cron: \"0 2 * * *\", timezone: Europe/Berlin}\ncatch_up: last\noverlap: skip\npaused: false\n",
        "[Triggers](../concepts/triggers.md)",
    ),
    (
        "connector",
        "kind: connector\nname: shop/price\nversion: 1\ndescription: Looks up what an article costs.\nruntime: worker\n\
         inputs: {type: object, properties: {article: {type: string}}, required: [article]}\n\
         outputs: {type: object, properties: {price: {type: number}}}\n",
        "[The worker protocol](worker-protocol.md)",
    ),
    (
        "tag",
        "kind: tag\nname: pii\ndescription: Says something about a person.\nowners: [data-protection]\nprotects: secrecy\nretention: 90d\napprovals: 2\n\
         on_revoke: stop\n",
        "[Write a rule](../guide/write-a-rule.md), [policies](policy.md)",
    ),
    (
        "policy",
        "kind: policy\nname: personal-data-stays\ndescription: Personal data stays on-premise.\ndefault: permit\ncedar: |\n  @reason(\"personal data stays on-premise\")\n  \
         forbid (principal, action == Action::\"place\", resource)\n  when { context.data in Tag::\"pii\" && resource.zone != \"on-premise\" };\n",
        "[Policies](policy.md)",
    ),
    (
        "sanitizer",
        "kind: sanitizer\nname: aggregate\ndescription: Counts instead of people.\nrun: {command: [wc, -l]}\nstrips: [pii]\n\
         expires: 90d\n",
        "[Policies](policy.md)",
    ),
    (
        "policy_test",
        "kind: policy-test\nname: personal-data\ndescription: Where personal data may be.\ncases: []\n",
        "[Policies](policy.md)",
    ),
];

/// The page.
pub(crate) fn page(tree: &Tree) -> anyhow::Result<String> {
    let source = tree.text(SOURCE).with_context(|| format!("there is no {SOURCE}"))?;
    let schema: Value = serde_json::from_str(source).with_context(|| format!("{SOURCE} is not JSON"))?;
    let mut page = String::from(
        "# Documents that are applied\n\n\
         What `tutti apply` takes beside [workflows](language.md): every kind with every field. A file may hold several documents with `---` between\n\
         them. This page is made from the [published schema](workflow.schema.json) by `cargo xtask generate`.\n",
    );
    for (kind, example, more) in KINDS {
        let of = &schema["$defs"][kind];
        let told = of["description"].as_str().with_context(|| format!("`{kind}` is not in {SOURCE}"))?;
        page += &format!("\n## `kind: {}`\n\n{told} More: {more}.\n\n", kind.replace('_', "-"));
        page += "| field | | what |\n|---|---|---|\n";
        rows(&schema, of, "", &mut page);
        page += &format!("\n```yaml\n{example}```\n");
    }
    Ok(page)
}

/// The fields of a map, and below each those of the maps within it.
fn rows(schema: &Value, of: &Value, within: &str, page: &mut String) {
    let needed = |name: &str| of["required"].as_array().is_some_and(|required| required.iter().any(|one| one == name));
    for (name, field) in of["properties"].as_object().into_iter().flatten() {
        if name == "kind" {
            continue;
        }
        let path = format!("{within}{name}");
        let mut told = text(schema, field);
        if let Some(choices) = field["enum"].as_array() {
            let choices: Vec<String> = choices.iter().filter_map(Value::as_str).map(|choice| format!("`{choice}`")).collect();
            told += &format!(" One of {}.", choices.join(", "));
        }
        let needed = if needed(name) { "needed" } else { "" };
        *page += &format!("| `{path}` | {needed} | {} |\n", told.trim().replace('|', "\\|"));
        rows(schema, field, &format!("{path}."), page);
        rows(schema, &field["items"], &format!("{path}[]."), page);
        rows(schema, &field["additionalProperties"], &format!("{path}.NAME."), page);
    }
}

/// What is said of a field: its own description, and that of the type it refers to.
fn text(schema: &Value, field: &Value) -> String {
    let own = field["description"].as_str().unwrap_or_default();
    let pointed = field["$ref"].as_str().and_then(|to| schema.pointer(to.trim_start_matches('#')));
    let kind = pointed.and_then(|of| of["description"].as_str()).unwrap_or_default();
    format!("{own} {kind}").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_within_fields_have_rows() {
        let schema = serde_json::json!({"$defs": {"size": {"description": "Bytes."}}});
        let of = serde_json::json!({"required": ["a"], "properties": {
            "kind": {"const": "x"},
            "a": {"$ref": "#/$defs/size", "description": "How much."},
            "b": {"description": "Which.", "enum": ["c", "d"], "items": {"properties": {"e": {"description": "One | other."}}}},
        }});
        let mut page = String::new();
        rows(&schema, &of, "", &mut page);
        assert_eq!(
            page,
            "| `a` | needed | How much. Bytes. |\n| `b` |  | Which. One of `c`, `d`. |\n| `b[].e` |  | One \\| other. |\n"
        );
    }
}
