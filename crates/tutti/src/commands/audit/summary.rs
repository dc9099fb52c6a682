//! The page of an evidence pack for people: what the entries say, by the questions that auditors ask. It lists, and judges nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::rest::audit_views::AuditStatus;
use api::rest::rfc3339;
use audit::Checkpoint;
use engine::Event;
use engine::event::CancelReason;
use model::{ActionNo, Digest, Label, RunId};

use super::formats::labels_of;
use super::pack::Fact;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn rows(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return "<p>None is recorded.</p>".into();
    }
    let line = |cells: &mut dyn Iterator<Item = &str>, tag: &str| -> String {
        let cells: String = cells.map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let body: String = rows.iter().map(|row| line(&mut row.iter().map(String::as_str), "td")).collect();
    format!("<table>{}{body}</table>", line(&mut head.iter().copied(), "th"))
}

/// The path of each action, and the commitment to what was shown for it.
fn opened(facts: &[Fact]) -> BTreeMap<(RunId, ActionNo), (String, String)> {
    facts
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::ActionsOpened(e) => Some(e.actions.iter().map(|opened| {
                let seen = opened.input.as_ref().map_or_else(|| "-".to_owned(), |input| input.commitment.to_string());
                ((e.run, opened.action), (opened.path.clone(), seen))
            })),
            _ => None,
        })
        .flatten()
        .collect()
}

/// How an action is named for people.
type Named<'n> = &'n dyn Fn(RunId, &[ActionNo]) -> String;

fn list(all: Vec<String>) -> String {
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// What rules decided of work.
fn by_rules(event: &Event, named: Named<'_>) -> Option<Vec<String>> {
    match event {
        Event::ActionsParked(e) => Some(vec![named(e.run, &e.actions), "no site is permitted, or none will do: it waits".into()]),
        Event::CancelRequested(e) if e.why == CancelReason::Denied => {
            Some(vec![named(e.run, &e.actions), "stopped where it ran, which is not permitted any more".into()])
        }
        Event::RunLabelled(e) if !e.lowered.is_empty() => {
            let by = |(path, sanitizer): (&String, &String)| format!("{path} by the sanitizer {sanitizer}");
            Some(vec![format!("run {}", e.run), format!("tags come off: {}", list(e.lowered.iter().map(by).collect()))])
        }
        Event::EgressDecided(e) => {
            let permitted = list(e.permitted.iter().map(ToString::to_string).collect());
            let refused = list(e.refused.keys().cloned().collect());
            Some(vec![named(e.run, &[e.action]), format!("network at {}: permitted {permitted}; refused {refused}", e.site)])
        }
        _ => None,
    }
}

/// What attempts were given, and what they did with the network.
fn given(event: &Event, named: Named<'_>) -> Option<Vec<String>> {
    match event {
        Event::SecretsReleased(e) => {
            let names = e.secrets.iter().map(|(name, version)| format!("{name} version {version}")).collect();
            Some(vec![named(e.run, &[e.action]), format!("secrets at {}: {}", e.site, list(names))])
        }
        Event::NetworkUsed(e) => {
            let way = |(way, used): (&String, &engine::event::WayUsed)| {
                format!("{way}: {} connections, {} bytes out, {} in", used.connections, used.sent, used.received)
            };
            let ways = list(e.ways.iter().map(way).collect());
            Some(vec![named(e.run, &[e.action]), format!("network at {}: {ways}; {} refused", e.site, e.refused)])
        }
        _ => None,
    }
}

/// What the entries say, by the questions that auditors ask.
#[allow(clippy::too_many_lines, reason = "the sections of one page, in their order")]
pub(super) fn page(checkpoint: &Checkpoint, status: &AuditStatus, facts: &[Fact], run: Option<&str>) -> String {
    let at = |fact: &Fact| vec![fact.place.seq.to_string(), rfc3339(fact.place.at)];
    let collect = |pick: &dyn Fn(&Event) -> Option<Vec<String>>| -> Vec<Vec<String>> {
        facts.iter().filter_map(|fact| pick(&fact.event).map(|more| [at(fact), more].concat())).collect()
    };
    let opened = opened(facts);
    let place = |run: RunId, actions: &[ActionNo]| {
        let path =
            |action: &ActionNo| opened.get(&(run, *action)).map_or_else(|| format!("action {action}"), |(path, _)| path.clone());
        format!("run {run}, {}", actions.iter().map(path).collect::<Vec<_>>().join(", "))
    };
    let decisions = collect(&|event| match event {
        Event::HumanDecided(e) => {
            let seen = opened.get(&(e.run, e.action)).map(|(_, seen)| seen.clone()).unwrap_or_default();
            let (on, wrote) = (place(e.run, &[e.action]), e.form.commitment.to_string());
            Some(vec![e.principal.clone(), on, e.decision.clone(), seen, wrote])
        }
        Event::HumanDelegated(e) => {
            let to = [e.users.as_slice(), e.groups.as_slice()].concat().join(", ");
            let (on, wrote) = (place(e.run, &[e.action]), e.reason.commitment.to_string());
            Some(vec![e.principal.clone(), on, format!("handed on to {to}"), "-".into(), wrote])
        }
        Event::HumanSeen(e) => {
            Some(vec![e.principal.clone(), place(e.run, &[e.action]), "looked".into(), e.shown.to_string(), "-".into()])
        }
        _ => None,
    });
    let changes = collect(&|event| match event {
        Event::ResourceApplied(e) => {
            Some(vec![e.principal.clone(), format!("{} {} version {}", e.kind, e.name, e.version), e.body.commitment.to_string()])
        }
        Event::ResourceDeleted(e) => Some(vec![e.principal.clone(), format!("{} {} deleted", e.kind, e.name), "-".into()]),
        Event::SiteRegistered(e) => Some(vec![e.principal.clone(), format!("site {} registered", e.site.name), "-".into()]),
        Event::SiteRemoved(e) => Some(vec![e.principal.clone(), format!("site {} removed", e.site), "-".into()]),
        Event::BodiesPruned(e) => Some(vec![e.principal.clone(), format!("values of {} runs destroyed", e.runs), "-".into()]),
        Event::DataErased(e) => Some(vec![e.principal.clone(), format!("{} runs erased", e.runs.len()), "-".into()]),
        _ => None,
    });
    let carried: BTreeMap<RunId, (Label, Label)> = facts
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::RunLabelled(e) => Some((e.run, labels_of(e))),
            _ => None,
        })
        .collect();
    let runs = collect(&|event| match event {
        Event::RunSubmitted(e) => {
            let (inputs, read) = carried.get(&e.run).cloned().unwrap_or_default();
            Some(vec![e.principal.clone(), e.name.clone(), e.workflow.clone(), inputs.to_string(), read.to_string()])
        }
        _ => None,
    });
    let placed = collect(&|event| match event {
        Event::ActionsPlaced(e) => Some(vec![format!("run {}", e.run), e.actions.len().to_string(), e.site.clone()]),
        _ => None,
    });
    let by_rules = collect(&|event| by_rules(event, &place));
    let given = collect(&|event| given(event, &place));
    let witnesses: Vec<Vec<String>> = status
        .witnesses
        .iter()
        .map(|witness| vec![witness.name.clone(), witness.size.to_string(), witness.trouble.clone().unwrap_or_default()])
        .collect();
    let breaks: Vec<Vec<String>> = status
        .accepted
        .iter()
        .map(|accepted| vec![accepted.at.clone(), accepted.principal.clone(), accepted.broken.clone(), accepted.reason.clone()])
        .collect();
    let mut text = String::from(
        "<!doctype html><meta charset=\"utf-8\"><title>Evidence from an audit log</title>\
         <style>body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
         table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccc;padding:.2rem .5rem;text-align:left;word-break:break-all}</style>\
         <h1>Evidence from an audit log</h1>",
    );
    let _ = write!(
        text,
        "<p>The log <b>{}</b>, checkpoint over {} entries, root <code>{}</code>. This page is about {}. It lists what was recorded. Whether that meets a \
         requirement is for whoever judges it: nothing here is a statement of compliance.</p>\
         <p>Check the pack before you read on: see VERIFY.md.</p>",
        escaped(&checkpoint.origin),
        checkpoint.size,
        Digest(checkpoint.root).hex(),
        run.map_or_else(|| "all entries".into(), |run| format!("the run {}", escaped(run))),
    );
    let sections = [
        (
            "Audit controls and integrity",
            "Bears on HIPAA 164.312(b) and (c), SOC 2 CC7.2, ISO/IEC 27001 A.8.15, EU AI Act article 12.",
            format!(
                "<p>This page is made from {} entries. Breaks of the log that somebody accepted:</p>{}<p>Witnesses, as the server says; who signed is \
                 in the checkpoint:</p>{}",
                facts.len(),
                rows(&["when", "who", "what did not fit", "reason"], &breaks),
                rows(&["witness", "entries signed", "trouble"], &witnesses)
            ),
        ),
        (
            "Who asked for what to run",
            "Bears on HIPAA 164.312(a) and (d), SOC 2 CC6.1, EU AI Act article 12.",
            rows(&["entry", "when", "who", "run", "workflow", "label of its inputs", "what its steps could read"], &runs),
        ),
        (
            "Decisions of people",
            "Bears on EU AI Act articles 12 and 14, SOC 2 CC6.3. What a person saw and wrote is named by commitments; values are kept beside the log for as long as retention says.",
            rows(&["entry", "when", "who", "on what", "decision", "what they saw", "what they wrote"], &decisions),
        ),
        (
            "Decisions of policies",
            "Bears on HIPAA 164.312(a), SOC 2 CC6.1 and CC6.3, ISO/IEC 27001 A.8.15. Where tags come off, work is refused a place or stopped in one, and what it may \
             reach. Each entry holds the reasons.",
            rows(&["entry", "when", "what", "decision"], &by_rules),
        ),
        (
            "Secrets given, and the network used",
            "Bears on HIPAA 164.312(a) and (e), SOC 2 CC6.1 and CC6.6.",
            rows(&["entry", "when", "for what", "what"], &given),
        ),
        (
            "Changes of what is in force",
            "Bears on SOC 2 CC8.1 and CC6, ISO/IEC 27001 A.8.15.",
            rows(&["entry", "when", "who", "what", "commitment"], &changes),
        ),
        (
            "Where work was placed",
            "Bears on HIPAA 164.312(e), SOC 2 CC6.6. Each entry holds every candidate site and why it was or was not chosen.",
            rows(&["entry", "when", "run", "actions", "site"], &placed),
        ),
    ];
    for (title, bears_on, body) in sections {
        let _ = write!(text, "<h2>{title}</h2><p><i>{bears_on}</i></p>{body}");
    }
    text + "\n"
}
