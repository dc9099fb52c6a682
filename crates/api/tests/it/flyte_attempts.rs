//! What attempts of Flyte programs ask for in their own name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controlplane::{FLYTE_ROOT, Program, flyte_base, flyte_run_key};
use engine::Event;
use flyte::wire::*;
use flyte::{Call, Message, Reach, Rights};
use hyper::Method;
use model::{ActionKey, AttemptKey, AttemptNo, Label, Phase, RunId, Seq};

use super::access::{token, token_with_role};
use super::flyte_doors::{DOORS, KEEPERS, call, project, run};
use super::support::{PATIENCE, Up};

/// By rules about data it is known who asks.
pub(crate) const RULES: &str = "kind: tag
name: pii
owners: [officers]
enters: [{task: reads.scans}]
---
kind: policy
name: nowhere-else
cedar: |
  forbid (principal, action == Action::\"run\", resource) when { context.data in Tag::\"pii\" && resource.name == \"elsewhere\" };
";

const CREATE: &str = "workflow.RunService/CreateRun";

pub(crate) fn spec(name: &str) -> Vec<u8> {
    let [project, domain, name, version] = ["mine", "development", name, "1"].map(str::to_owned);
    let id = Some(TemplateId { project, domain, name, version, org: String::new() });
    let container = Some(Container { args: vec!["a0".into()], ..Container::default() });
    let template = TaskTemplate { id, kind: "python-task".into(), container, ..TaskTemplate::default() };
    TaskSpec { task_template: Some(template), ..TaskSpec::default() }.encode_to_vec()
}

/// A program that is at work, of somebody of whom it is not known what they may.
pub(crate) async fn program(up: &Up) -> RunId {
    named(up, "r", None).await
}

/// A program that is at work, of somebody who may what is given.
async fn named(up: &Up, name: &str, by: Option<Rights>) -> RunId {
    let flyte = up.control.flyte();
    let bytes = spec("root");
    let program = Program {
        name: name.into(),
        project: "mine".into(),
        domain: "development".into(),
        node: flyte::task::node(FLYTE_ROOT, &flyte::task::read(&bytes).unwrap()).unwrap(),
        call: Call {
            spec: flyte.keep_spec(&bytes).unwrap(),
            base: flyte_base("mine", "development", name),
            name: FLYTE_ROOT.into(),
            by,
            ..Call::default()
        },
        principal: "somebody".into(),
        idempotency_key: None,
        run_labels: BTreeMap::new(),
        subject: None,
        reused: None,
    };
    up.control.submit_program(program).await.unwrap().run
}

/// Waits until an action is at work; gives the token of its attempt, and what it reaches.
pub(crate) async fn at_work(up: &Up, run: RunId, action: &str) -> (String, AttemptKey) {
    let mut seen = up.control.notices().watch();
    let look = async {
        loop {
            let row = up.control.reader().action(run, action).unwrap();
            if let Some(row) = row.filter(|row| row.phase == Phase::Running && row.attempt > 0) {
                return AttemptKey {
                    run,
                    action: ActionKey::new(run, model::ActionNo(row.no)).action,
                    attempt: AttemptNo(row.attempt),
                };
            }
            seen.changed().await.unwrap();
        }
    };
    let key = tokio::time::timeout(PATIENCE, look).await.expect("it is at work");
    let secret = up.control.flyte().secret().to_owned();
    (format!("Bearer {}", flyte::sign::token_of(&secret, &key.to_string())), key)
}

/// What an attempt reaches, as soon as it is prepared and reaches what it is to.
pub(crate) async fn reach_of(up: &Up, key: AttemptKey, label: &Label) -> Arc<Reach> {
    let look = async {
        loop {
            let reach = up.control.flyte_reach(key).unwrap().unwrap();
            if reach.label == *label {
                return reach;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it reaches what it is to")
}

/// Has an attempt ask for a child of an action; gives what it is refused with.
pub(crate) async fn ask(up: &Up, token: &str, parent: &str, name: &str, task: &str, inputs: &str) -> (String, String) {
    let action = Enqueued {
        action_id: Some(ActionId { run: run("mine"), name: name.into() }),
        parent_action_name: Some(parent.into()),
        input_uri: inputs.into(),
        task: Some(TaskAction { spec: spec(task), ..TaskAction::default() }),
        ..Enqueued::default()
    };
    let request = EnqueueRequest { action: Some(action), ..EnqueueRequest::default() };
    call(up, token, "actions.ActionsService/Enqueue", "", request.encode_to_vec()).await
}

/// What a child carries from its beginning.
fn label_of(up: &Up, run: RunId, name: &str) -> Label {
    let events = up.control.reader().events(Seq(0), Some(run), 1_000).unwrap();
    let opened = events.into_iter().find_map(|(_, _, _, event)| match event {
        Event::ChildOpened(child) if child.opened.path == name => Some(child.opened.label),
        _ => None,
    });
    opened.expect("it is asked for")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_asked_for_under_another_parent_keeps_what_its_inputs_carry() {
    let up = Up::at_work().await;
    up.apply(RULES).await;
    let run = program(&up).await;
    let (root, _) = at_work(&up, run, FLYTE_ROOT).await;
    assert_eq!(ask(&up, &root, FLYTE_ROOT, "reader", "reads.scans", "").await, Default::default());
    let (reader, key) = at_work(&up, run, "reader").await;
    assert_eq!(label_of(&up, run, "reader"), Label::of(["pii"]));
    // What it writes for others carries what it does.
    let inputs = format!("{}/other/inputs.pb", flyte_base("mine", "development", "r"));
    let reach = reach_of(&up, key, &Label::of(["pii"])).await;
    up.control.flyte().note_label(&reach, "other").unwrap();
    up.control.flyte().objects().put(flyte::key(&inputs).unwrap(), b"").unwrap();
    assert_eq!(ask(&up, &reader, FLYTE_ROOT, "other", "plain", &inputs).await, Default::default());
    assert_eq!(label_of(&up, run, "other"), Label::of(["pii"]), "its parent carries nothing");
    assert_eq!(ask(&up, &reader, "reader", "own", "plain", "").await, Default::default());
    assert_eq!(label_of(&up, run, "own"), Label::of(["pii"]));
    assert_eq!(up.control.flyte().label_of(&flyte_run_key("mine", "development", "r"), FLYTE_ROOT).unwrap(), Label::empty());
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_stops_no_app_whatever_it_calls_the_next_one() {
    let up = Up::at_work().await;
    up.apply(RULES).await;
    let run = program(&up).await;
    let (attempt, _) = at_work(&up, run, FLYTE_ROOT).await;
    let id = |name: &str| AppId { project: "mine".into(), domain: "development".into(), name: name.into(), ..AppId::default() };
    let app = |name: &str, command: &str, state: i32, revision: u64| {
        let container = Some(Container { args: vec![command.into()], ..Container::default() });
        let spec = AppSpec { container, desired_state: state, ..AppSpec::default() }.encode_to_vec();
        let metadata = Some(AppMeta { id: Some(id(name)), revision, ..AppMeta::default() });
        AppRequest { app: Some(FlyteApp { metadata, spec, ..FlyteApp::default() }), ..AppRequest::default() }.encode_to_vec()
    };
    let (service, started, stopped) = ("flyteplugins.hitl._app:app", 3, 1);
    let ask = async |token: &str, method: &str, message: Vec<u8>| {
        let headers = [("content-type", "application/proto"), ("authorization", token)];
        let headers = if token.is_empty() { &headers[..1] } else { &headers[..] };
        let path = format!("/flyteidl2.app.AppService/{method}");
        let answer = up.call(Method::POST, &path, headers, message.into()).await;
        if answer.status.is_success() { String::new() } else { answer.json()["code"].as_str().unwrap_or_default().to_owned() }
    };
    assert_eq!(ask("", "Create", app("desk", "serve", started, 0)).await, "");
    let before = up.control.app(&id("desk")).unwrap();
    for (method, message) in [
        ("Update", app("desk", service, stopped, before.revision)),
        ("Update", app("desk", "serve", stopped, before.revision)),
        ("Create", app("desk", service, started, 0)),
        ("Delete", OfApp { app_id: Some(id("desk")) }.encode_to_vec()),
        ("Create", app("other", "serve", started, 0)),
    ] {
        assert_eq!(ask(&attempt, method, message).await, "permission_denied", "{method}");
    }
    let after = up.control.app(&id("desk")).unwrap();
    assert_eq!((after.revision, after.spec), (before.revision, before.spec));
    // The service of the plugin for people is deployed by programs.
    assert_eq!(ask(&attempt, "Create", app("people", service, started, 0)).await, "");
    up.down().await;
}

fn rights(groups: &[&str], roles: &[&str]) -> Rights {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Rights { groups: texts(groups), roles: texts(roles) }
}

fn of_run(name: &str) -> Vec<u8> {
    OfRun { run_id: run("mine").map(|id| flyte::wire::RunId { name: name.into(), ..id }), reason: None }.encode_to_vec()
}

/// Whoever starts a program may have rights elsewhere: it has not.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_has_to_do_with_its_own_project_and_domain_alone() {
    let up = Up::at_work().await;
    up.apply(RULES).await;
    let mut tokens = Vec::new();
    for (name, by) in [("r", Some(rights(&[], &["admin"]))), ("unknown", None)] {
        let run = named(&up, name, by).await;
        tokens.push(at_work(&up, run, FLYTE_ROOT).await.0);
    }
    for token in &tokens {
        for (door, sent) in DOORS.iter().filter_map(|(door, sent)| Some((*door, (*sent)?))) {
            for of in ["bank", ""] {
                let (code, why) = call(&up, token, door, "", sent(of)).await;
                assert_eq!(code, "permission_denied", "{door} of `{of}`: {why}");
            }
        }
        let create = |domain: &str| {
            let project_id = project("mine").map(|id| ProjectId { domain: domain.into(), ..id });
            CreateRunRequest { project_id, task_spec: Some(spec("other")), ..Default::default() }.encode_to_vec()
        };
        assert_eq!(call(&up, token, CREATE, "", create("production")).await.0, "permission_denied");
        assert_eq!(call(&up, token, CREATE, "", create("development")).await, Default::default());
    }
    // Nor does it stop what is not its own.
    assert_eq!(call(&up, &tokens[0], "workflow.RunService/AbortRun", "", of_run("unknown")).await.0, "permission_denied");
    assert_eq!(call(&up, &tokens[0], "workflow.RunService/AbortRun", "", of_run("r")).await, Default::default());
    up.down().await;
}

const INTERNS: &str = "kind: policy
name: interns
cedar: |
  @id(\"no-interns\")
  forbid (principal in Group::\"interns\", action == Action::\"submit\", resource) when { resource.kind == \"workflow\" };
";

/// A program may no more than whoever started it did, and does all the same what it is there for.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_no_more_than_whoever_started_it() {
    let up = Up::at_work().await;
    up.apply(RULES).await;
    up.apply(INTERNS).await;
    let create = CreateRunRequest { project_id: project("mine"), task_spec: Some(spec("other")), ..Default::default() };
    let runs = ListRunsRequest { project_id: project("mine"), ..Default::default() };
    for (name, by, creates, lists) in [
        ("both", rights(&[], &["runner"]), "", ""),
        ("intern", rights(&["interns"], &["runner"]), "permission_denied", ""),
        ("looks", rights(&[], &["viewer"]), "permission_denied", ""),
        ("starts", rights(&[], &["scope-run"]), "", "permission_denied"),
    ] {
        let id = named(&up, name, Some(by)).await;
        let (token, _) = at_work(&up, id, FLYTE_ROOT).await;
        assert_eq!(call(&up, &token, CREATE, "", create.encode_to_vec()).await.0, creates, "{name}");
        assert_eq!(call(&up, &token, "workflow.RunService/ListRuns", "", runs.encode_to_vec()).await.0, lists, "{name}");
        let action_id =
            run("mine").map(|id| ActionId { run: Some(flyte::wire::RunId { name: name.into(), ..id }), name: "child".into() });
        let task = Some(TaskAction { spec: spec("child"), ..TaskAction::default() });
        let action = Enqueued { action_id, parent_action_name: Some(FLYTE_ROOT.into()), task, ..Enqueued::default() };
        let asked = EnqueueRequest { action: Some(action), ..EnqueueRequest::default() };
        assert_eq!(call(&up, &token, "actions.ActionsService/Enqueue", "", asked.encode_to_vec()).await, Default::default());
        // What it asked for may no more than itself.
        let (child, _) = at_work(&up, id, "child").await;
        assert_eq!(call(&up, &child, CREATE, "", create.encode_to_vec()).await.0, creates, "a child of {name}");
    }
    up.down().await;
}

/// What somebody may goes with the run that they start at the door, and nobody else asks for actions of it.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_program_itself_asks_for_actions_of_its_run() {
    let up = Up::at_work().await;
    up.apply(RULES).await;
    up.apply(KEEPERS).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let keeper = token_with_role(&up, "keeper", "keeper", &admin).await;
    let eve = token_with_role(&up, "eve", "keeper", &admin).await;
    let create = CreateRunRequest { run_id: run("mine"), task_spec: Some(spec("root")), ..Default::default() };
    assert_eq!(call(&up, &keeper, CREATE, "", create.encode_to_vec()).await, Default::default());
    let id = up.control.find_run("r").unwrap().id;
    let (attempt, key) = at_work(&up, id, FLYTE_ROOT).await;
    assert_eq!(up.control.flyte_reach(key).unwrap().unwrap().by, Some(rights(&[], &["keeper"])));
    for person in [&eve, &keeper, &admin] {
        let (code, why) = ask(&up, person, FLYTE_ROOT, "theirs", "plain", "").await;
        assert_eq!(code, "permission_denied", "{why}");
    }
    assert_eq!(ask(&up, &attempt, FLYTE_ROOT, "own", "plain", "").await, Default::default());
    up.down().await;
}

/// Two calls that share a request id and say something else are two runs; one that is repeated is one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_again_is_one_run_and_what_is_said_otherwise_another() {
    let up = Up::start().await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let other = token(&up, "other", &["run", "read"], &admin).await;
    let create = async |token: &str, id: &str, request: CreateRunRequest| {
        let headers = [("content-type", "application/proto"), ("authorization", token), ("x-request-id", id)];
        let path = format!("/flyteidl2.{CREATE}");
        let answer = up.call(Method::POST, &path, &headers, request.encode_to_vec().into()).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        let run = CreateRunResponse::decode(answer.body.as_ref()).unwrap().run.unwrap();
        run.action.unwrap().id.unwrap().run.unwrap().name
    };
    let asks = |task: &str, domain: &str| {
        let project_id = project("mine").map(|id| ProjectId { domain: domain.into(), ..id });
        CreateRunRequest { project_id, task_spec: Some(spec(task)), ..Default::default() }
    };
    let first = create(&admin, "mine-a0-QZ7K", asks("one", "development")).await;
    assert_eq!(create(&admin, "mine-a0-QZ7K", asks("one", "development")).await, first, "said again");
    let mut all = vec![first];
    all.push(create(&admin, "mine-a0-QZ7K", asks("two", "development")).await);
    all.push(create(&admin, "mine-a0-QZ7K", asks("one", "production")).await);
    all.push(create(&other, "mine-a0-QZ7K", asks("one", "development")).await);
    all.push(create(&admin, "mine-a0-XXXX", asks("one", "development")).await);
    let wanted = CreateRunRequest { run_id: run("mine"), ..asks("one", "development") };
    all.push(create(&admin, "mine-a0-QZ7K", wanted).await);
    assert_eq!(all.last().map(String::as_str), Some("r"), "the name that was asked for");
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:?}");
    up.down().await;
}
