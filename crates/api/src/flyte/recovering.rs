//! Recovery: a run of the same program that takes what succeeded in an earlier one. Actions are found by their names, which the client computes
//! from where they stand, what they are given and what their code is.

use engine::{Command, Outcome, Spawn};
use flyte::wire::{ActionId, Provenance, Relation};
use flyte::{Call, Message as _, Recovery};
use journal::{ActionRow, ChildRow, RunRow};
use model::{ActionKey, ActionNo, AttemptKey, Label, Phase};
use serde_json::Value;

use super::auth;
use super::connect::{Answer, Refusal};
use super::view::{self, blocking, broken};
use crate::rest::access::Caller;
use crate::rest::sight::Sight;
use crate::rest::{App, permission};

/// Children that are read at a time.
const BATCH: usize = 500;

/// What a specification of a run says of recovering another one. The other run has to be of the same project and domain.
/// Whoever asks has to be somebody who may see what it gave, since that is theirs from then on.
pub(super) fn asked(app: &App, caller: &Caller, run_spec: &[u8], place: (&str, &str)) -> Answer<Option<Recovery>> {
    let invalid = |message: String| Refusal::new("invalid_argument", message);
    let said = Provenance::decode(run_spec).map_err(|error| invalid(error.to_string()))?;
    let Some(relation) = said.relation.filter(|relation| relation.kind == Relation::RECOVER) else { return Ok(None) };
    let of = relation.related_to.ok_or_else(|| invalid("the run that is to be recovered is not named".into()))?;
    if (of.project.as_str(), of.domain.as_str()) != place {
        let (project, domain) = place;
        return Err(invalid(format!("a run of `{project}` and `{domain}` recovers none of another project or domain")));
    }
    let before = view::run_of(app.control.reader(), Some(&of))?;
    if !may_take(app, caller, &before, Some(controlplane::FLYTE_ROOT))? {
        let message = format!("`{}` may not see what the run `{}` gave, and so does not take it over", caller.principal, of.name);
        return Err(Refusal::new("permission_denied", message));
    }
    let again = said.recover.unwrap_or_default().force_rerun_actions;
    Ok(Some(Recovery { run: of.name, again }))
}

/// Whether somebody may have what an action of an earlier run gave as that of a run of their own: when they may see it there, or would not here either,
/// since it carries the same here.
fn may_take(app: &App, caller: &Caller, before: &RunRow, action: Option<&str>) -> Answer<bool> {
    let sight = Sight::of(app, caller, before)?;
    if sight.withheld(action).is_none() {
        return Ok(true);
    }
    let own = policy::Target { author: caller.principal.clone(), ..permission::run_target(before) };
    Ok(!permission::permits(app, caller, "view", &own, &Label::of(sight.label(action))))
}

/// Whom a run is about that does not say so: whom the run is about that it repeats, or that started it. It is given the same, or what came of that.
pub(super) fn subject(
    control: &controlplane::ControlPlane,
    run_spec: &[u8],
    (project, domain): (&str, &str),
    attempt: Option<AttemptKey>,
) -> Answer<Option<String>> {
    let said = Provenance::decode(run_spec).unwrap_or_default().relation.and_then(|relation| relation.related_to);
    let of_before = match said.filter(|of| (of.project.as_str(), of.domain.as_str()) == (project, domain)) {
        Some(of) => control.reader().find_run(project, domain, Some(&of.name), None).map_err(broken)?.by_name,
        None => None,
    };
    for run in of_before.into_iter().chain(attempt.map(|attempt| attempt.run)) {
        if let Some(subject) = control.reader().subject(run).map_err(broken)? {
            return Ok(Some(subject));
        }
    }
    Ok(None)
}

/// What the root of an earlier run gave, when it may stand for that of a new one: it succeeded, nothing of it is to be done again, and it was
/// the same program, and given the same.
pub(super) fn root(
    control: &controlplane::ControlPlane,
    recovery: &Recovery,
    place: (&str, &str),
    inputs: &str,
    spec: &str,
) -> Answer<Option<Value>> {
    let reader = control.reader();
    let Some(before) = source(control, recovery, place)? else { return Ok(None) };
    let root = reader.action(before.id, controlplane::FLYTE_ROOT).map_err(broken)?;
    let Some(root) = root.filter(|root| root.phase == Phase::Succeeded && recovery.again.is_empty()) else { return Ok(None) };
    let read = |uri: &str| flyte::key(uri).and_then(|key| control.flyte().objects().get(key).ok());
    let call = view::call_of(reader, &root)?;
    // What is gone is the same as nothing.
    let same = is_same(control, &call.spec, spec) && read(&call.inputs).is_some_and(|before| read(inputs) == Some(before));
    if same { given(control, &root) } else { Ok(None) }
}

/// Whether two specifications are of one program. A client that sends one again need not write all of it in the same order.
fn is_same(control: &controlplane::ControlPlane, one: &str, other: &str) -> bool {
    if one == other {
        return !one.is_empty();
    }
    let read = |name: &str| flyte::task::read(&control.flyte().spec(name).ok()?).ok()?.task_template;
    let (Some(one), Some(other)) = (read(one), read(other)) else { return false };
    one.id.is_some() && one.id == other.id && one.container.is_some() && one.container == other.container
}

/// What an action gave, while it is there: what was pruned or erased stands for nothing.
fn given(control: &controlplane::ControlPlane, action: &ActionRow) -> Answer<Option<Value>> {
    let (_, output) = view::outputs_of(control.reader(), action)?;
    Ok(Some(output).filter(|output| !output.is_null()))
}

fn source(control: &controlplane::ControlPlane, recovery: &Recovery, (project, domain): (&str, &str)) -> Answer<Option<RunRow>> {
    let reader = control.reader();
    let known = reader.find_run(project, domain, Some(&recovery.run), None).map_err(broken)?;
    Ok(known.by_name.map(|run| reader.run(run)).transpose().map_err(broken)?.flatten())
}

/// What an action came to in the run that is recovered, when that is taken.
fn before(control: &controlplane::ControlPlane, run: &RunRow, call: &Call) -> Answer<Option<(RunRow, ActionRow)>> {
    if call.recovers.as_ref().is_none_or(|recovery| recovery.again.contains(&call.name)) {
        return Ok(None);
    }
    Ok(in_source(control, run, call)?.filter(|(_, action)| action.phase == Phase::Succeeded))
}

/// What a program asks for, with what it came to in the run that is recovered.
pub(super) fn taken(app: &App, caller: &Caller, run: &RunRow, spawn: Spawn) -> Answer<Spawn> {
    let control = &app.control;
    let Some(mut call) = spawn.input.as_ref().and_then(Call::of) else { return Ok(spawn) };
    let Some((source, action)) = before(control, run, &call)? else { return Ok(spawn) };
    if !may_take(app, caller, &source, Some(&action.path))? {
        return Ok(spawn);
    }
    let Some(output) = given(control, &action)? else { return Ok(spawn) };
    // What is done again next time is not looked for here: this result has a name of its own from now on.
    call.recovered_from = source.name;
    let mut input = spawn.input.unwrap_or_default();
    input["flyte"] = call.input()["flyte"].take();
    let mut entered = spawn.entered;
    entered.extend(control.recovered_tags(&run.project, &run.domain, &call.recovered_from, &call.name)?);
    Ok(Spawn { input: Some(input), recall: None, reused: Some(output), entered, ..spawn })
}

/// Takes over the steps that an action recorded of itself in the run that is recovered: its program asks what is known of them, and not for them.
pub(super) async fn traces(app: &App, caller: &Caller, id: Option<ActionId>) -> Answer<()> {
    let (shared, caller) = (app.clone(), caller.clone());
    let spawns = blocking(move || {
        let (app, control) = (&shared, &shared.control);
        let reader = control.reader();
        let (run, parent) = view::action_of(reader, id.as_ref())?;
        auth::within(app, &caller, &run)?;
        let call = view::call_of(reader, &parent)?;
        let Some((source, above)) = in_source(control, &run, &call)? else { return Ok(Vec::new()) };
        let mut spawns = Vec::new();
        let mut from = 0;
        loop {
            let children = reader.children(source.id, above.no, from, BATCH).map_err(broken)?;
            for child in children.iter().filter(|child| is_step(child)) {
                if !may_take(app, &caller, &source, Some(&child.action.path))? {
                    continue;
                }
                let parent = ActionKey::new(run.id, ActionNo(parent.no));
                spawns.extend(step(control, &run, (&source, &call), child, parent)?);
            }
            match children.last() {
                Some(last) if children.len() == BATCH => from = last.action.no + 1,
                _ => return Ok(spawns),
            }
        }
    });
    // All are sent before the first is waited for: they share a commit.
    let inbox = app.control.inbox();
    let sent = spawns.await?.into_iter().map(|spawn| inbox.post(Command::Spawn(Box::new(spawn))));
    for answer in sent.collect::<Result<Vec<_>, _>>()? {
        // One that is there already is left as it is, and a program that has ended asks for nothing.
        let _ = answer.await;
    }
    Ok(())
}

fn is_step(child: &ChildRow) -> bool {
    child.action.kind == engine::event::ActionKind::Trace && child.action.phase == Phase::Succeeded
}

/// The same action in the run that is recovered, however it ended there.
fn in_source(control: &controlplane::ControlPlane, run: &RunRow, call: &Call) -> Answer<Option<(RunRow, ActionRow)>> {
    let Some(recovery) = &call.recovers else { return Ok(None) };
    let Some(source) = source(control, recovery, (&run.project, &run.domain))? else { return Ok(None) };
    let action = control.reader().action(source.id, &call.name).map_err(broken)?;
    Ok(action.map(|action| (source, action)))
}

/// A step of an earlier run as one of this; none when it is there, or is to be done again.
fn step(
    control: &controlplane::ControlPlane,
    run: &RunRow,
    (source, above): (&RunRow, &Call),
    child: &ChildRow,
    parent: ActionKey,
) -> Answer<Option<Spawn>> {
    let (reader, name) = (control.reader(), &child.action.path);
    let again = above.recovers.as_ref().is_some_and(|recovery| recovery.again.contains(name));
    if again || reader.action(run.id, name).map_err(broken)?.is_some() {
        return Ok(None);
    }
    let Some(output) = given(control, &child.action)? else { return Ok(None) };
    let call = Call { recovered_from: source.name.clone(), ..view::call_of(reader, &child.action)? };
    let node =
        model::Node { id: name.clone(), kind: model::NodeKind::Task { name: child.work.clone() }, ..model::Node::default() };
    Ok(Some(Spawn {
        parent,
        path: name.clone(),
        node: std::sync::Arc::new(node),
        input: Some(call.input()),
        done: Some(Outcome::Succeeded(output.clone())),
        reused: Some(output),
        entered: control.recovered_tags(&run.project, &run.domain, &source.name, name)?,
        ..Spawn::default()
    }))
}
