//! Addresses that callers name. The server and what it starts read in their stead: whoever names an address has to be somebody who may read what lies
//! there.

use std::sync::Arc;

use controlplane::ControlPlane;
use flyte::Reach;
use flyte::objects::inputs_of;
use journal::{ActionRow, RunRow};
use policy::Target;

use super::connect::{Answer, Refusal};
use super::view::broken;
use crate::rest::access::Caller;
use crate::rest::sight::{self, Sight};
use crate::rest::{App, permission};

/// A project and a domain.
type Place<'a> = (&'a str, &'a str);

/// What an attempt may touch; none for a person. Blocks.
pub(super) fn reach_of(control: &ControlPlane, caller: &Caller) -> Answer<Option<Arc<Reach>>> {
    let Some(attempt) = caller.attempt else { return Ok(None) };
    let reach = control.flyte_reach(attempt)?;
    reach.map(Some).ok_or_else(|| Refusal::new("unauthenticated", "the attempt is over"))
}

/// Whom inputs that are uploaded are known by.
fn uploader(caller: &Caller) -> String {
    match caller.attempt {
        Some(attempt) => format!("run {}", attempt.run),
        None => format!("user {}", caller.principal),
    }
}

/// A number for inputs that a caller sends, by which they are theirs.
pub(super) fn number_for(control: &ControlPlane, caller: &Caller, random: &str) -> String {
    format!("{random}-{}", flyte::sign::mark_of(control.flyte().secret(), random, &uploader(caller)))
}

fn is_own_upload(control: &ControlPlane, caller: &Caller, key: &str) -> bool {
    let random = inputs_of(key).and_then(|(.., number)| Some((number, number.split_once('-')?.0)));
    random.is_some_and(|(number, random)| number_for(control, caller, random) == number)
}

/// Refuses addresses that a caller may not read, for something that is to run at a place. What lies elsewhere is nothing of this server's: whatever
/// reads there does so with rights of its own. Blocks.
pub(super) fn check<'a>(
    app: &App,
    caller: &Caller,
    place: Place<'_>,
    addresses: impl IntoIterator<Item = &'a str>,
) -> Answer<()> {
    if caller.attempt.is_none() && permission::always(app, caller, "view") {
        return Ok(());
    }
    let reach = reach_of(&app.control, caller)?;
    for key in addresses.into_iter().filter_map(flyte::key) {
        let may = is_own_upload(&app.control, caller, key)
            || match &reach {
                Some(reach) => app.control.flyte().may_read(reach, key).map_err(broken)?,
                None => sees(app, caller, place, key)?,
            };
        if !may {
            let message = format!("`{}` names what it may not read: `{}`", caller.principal, flyte::uri(key));
            return Err(Refusal::new("permission_denied", message));
        }
    }
    Ok(())
}

/// The same for inputs that are named, and for all addresses within them. Blocks.
pub(super) fn check_inputs(app: &App, caller: &Caller, place: Place<'_>, inputs: &str) -> Answer<()> {
    check(app, caller, place, [inputs])?;
    if caller.attempt.is_none() && permission::always(app, caller, "view") {
        return Ok(());
    }
    // What is not there names nothing.
    let bytes = flyte::key(inputs).and_then(|key| app.control.flyte().objects().get(key).ok()).unwrap_or_default();
    check(app, caller, place, flyte::addresses(&bytes).all())
}

/// Whether a person may see what lies under a key.
fn sees(app: &App, caller: &Caller, place: Place<'_>, key: &str) -> Answer<bool> {
    let of_project =
        |project: &str, domain: &str| Target { project: project.to_owned(), domain: domain.to_owned(), ..Target::server() };
    if let Some((project, domain, _)) = inputs_of(key) {
        let label = app.control.flyte().label_at(&flyte::uri(key)).map_err(broken)?;
        return Ok(permission::permits(app, caller, "view", &of_project(project, domain), &label));
    }
    match key.splitn(6, '/').collect::<Vec<_>>()[..] {
        // Every program of the project reads them.
        ["uploads", project, domain, ..] if (project, domain) == place => Ok(true),
        ["uploads", project, domain, ..] => {
            let target = of_project(project, domain);
            Ok(permission::permits(app, caller, "view", &target, &model::Label::empty()))
        }
        ["runs", project, domain, name, action, ..] => {
            let reader = app.control.reader();
            let known = reader.find_run(project, domain, Some(name), None).map_err(broken)?;
            let Some(run) = known.by_name.map(|run| reader.run(run)).transpose().map_err(broken)?.flatten() else {
                return Ok(false);
            };
            // What is within a node of a workflow counts as anything of the run.
            let path = reader.action(run.id, action).map_err(broken)?.map(|action| action.path);
            Ok(Sight::of(app, caller, &run)?.withheld(path.as_deref()).is_none())
        }
        _ => Ok(false),
    }
}

/// Whether what an action says lies at an address is for whoever may see its values: what the action itself may read. A program says where its steps
/// put what they gave, and could say anything. Blocks.
pub(super) fn is_of(app: &App, caller: &Caller, (run, action): (&RunRow, &ActionRow), address: &str) -> Answer<bool> {
    let Some(key) = flyte::key(address) else { return Ok(false) };
    if inputs_of(key).is_some() || (caller.attempt.is_none() && sight::sees_all(app, caller)) {
        return Ok(true);
    }
    let control = &app.control;
    let at = controlplane::flyte_run_key(&run.project, &run.domain, &run.name);
    let mut label = control.flyte().label_of(&at, &action.path).map_err(broken)?;
    if control.rules().governed() {
        label.join(&control.label_of_run(run, Some(&action.path))?);
    }
    let reach = Reach {
        project: run.project.clone(),
        domain: run.domain.clone(),
        base: flyte::uri(&at),
        name: action.path.clone(),
        attempt: action.attempt,
        inputs: String::new(),
        label,
        site: String::new(),
    };
    control.flyte().may_read(&reach, key).map_err(broken)
}
