//! What clients of the Flyte SDK deploy: it is there whole or not at all, and what fails takes nothing away that was.

use controlplane::{AppState, FLYTE_ROOT};
use flyte::Message;
use flyte::wire::*;
use hyper::Method;
use model::Phase;

use super::flyte_attempts::spec;
use super::flyte_doors::{project, task, trigger};
use super::support::Up;

const DEPLOY: &str = "task.TaskService/DeployTask";

/// The answer to a call without a token, or the code of what it is refused with.
async fn call<A: Message + Default>(up: &Up, door: &str, request: &impl Message) -> Result<A, String> {
    let headers = [("content-type", "application/proto")];
    let answer = up.call(Method::POST, &format!("/flyteidl2.{door}"), &headers, request.encode_to_vec().into()).await;
    match answer.status.is_success() {
        true => Ok(A::decode(answer.body.as_ref()).unwrap()),
        false => Err(answer.json()["code"].as_str().unwrap_or_default().to_owned()),
    }
}

fn scheduled(name: &str, cron: &str, timezone: &str) -> TaskTrigger {
    let cron = Some(Cron { expression: cron.into(), timezone: timezone.into() });
    let automation = Automation { kind: 2, schedule: Some(Schedule { cron, ..Schedule::default() }), ..Automation::default() };
    TaskTrigger { name: name.into(), spec: Some(TaskTriggerSpec::default()), automation_spec: automation.encode_to_vec() }
}

fn deployment(version: &str, triggers: Vec<TaskTrigger>) -> DeployTaskRequest {
    let task_id = task("mine").map(|id| TaskId { version: version.into(), ..id });
    DeployTaskRequest { task_id, spec: spec("t"), triggers }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_deployed_with_all_its_triggers_or_not_at_all() {
    let up = Up::start().await;
    let there = |kind: &str, name: &str| !up.control.reader().resources(kind, Some(name), None).unwrap().is_empty();
    let (of_task, of_trigger) = ("mine/development/t@1", "mine/development/t/n");
    let good = || scheduled("n", "0 3 * * *", "Europe/Berlin");
    let labels = RunLabels { values: [(flyte::subject::LABEL.to_owned(), "x".to_owned())].into() };
    let about = TaskTriggerSpec {
        run_spec: RunSpec { labels: Some(labels), ..RunSpec::default() }.encode_to_vec(),
        ..TaskTriggerSpec::default()
    };
    let queued = TaskTriggerSpec {
        run_spec: RunSpec { queue: "nowhere".into(), ..RunSpec::default() }.encode_to_vec(),
        ..TaskTriggerSpec::default()
    };
    for wrong in [
        scheduled("m", "61 * * * *", "UTC"),
        scheduled("m", "0 3 * * *", "Nowhere/Nothing"),
        scheduled("a/b", "0 3 * * *", "UTC"),
        TaskTrigger { spec: Some(about), ..scheduled("m", "0 3 * * *", "UTC") },
        TaskTrigger { spec: Some(queued), ..scheduled("m", "0 3 * * *", "UTC") },
    ] {
        let refused = call::<Empty>(&up, DEPLOY, &deployment("1", vec![good(), wrong.clone()])).await;
        assert!(refused.is_err(), "{wrong:?}");
        assert!(!there("flyte-task", of_task) && !there("trigger", of_trigger), "{wrong:?}");
    }
    assert!(call::<Empty>(&up, DEPLOY, &deployment("1", vec![good()])).await.is_ok());
    assert!(there("flyte-task", of_task) && there("trigger", of_trigger));
    // One that is there is left alone, and one that is not is set, whatever the client makes of the answer.
    let delete = ChangeTriggersRequest { names: vec![trigger("mine")], active: false };
    assert!(call::<Empty>(&up, "trigger.TriggerService/DeleteTriggers", &delete).await.is_ok());
    let again = deployment("1", vec![good(), scheduled("other", "0 4 * * *", "UTC")]);
    assert_eq!(call::<Empty>(&up, DEPLOY, &again).await.unwrap_err(), "already_exists");
    assert!(there("trigger", of_trigger) && there("trigger", "mine/development/t/other"));
    let wrong = deployment("1", vec![scheduled("third", "61 * * * *", "UTC")]);
    assert_eq!(call::<Empty>(&up, DEPLOY, &wrong).await.unwrap_err(), "invalid_argument");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_told_to_their_end() {
    let up = Up::start().await;
    for version in ["1", "2", "3"] {
        assert!(call::<Empty>(&up, DEPLOY, &deployment(version, Vec::new())).await.is_ok());
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let request = Some(ListRequest { limit: 2, token, ..ListRequest::default() });
        let asked = ListVersionsRequest { task_name: task("mine"), request };
        let page: ListVersionsResponse = call(&up, "task.TaskService/ListVersions", &asked).await.unwrap();
        assert!(page.versions.len() <= 2);
        seen.extend(page.versions.into_iter().map(|version| version.version));
        token = page.token;
        if token.is_empty() {
            break;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["1", "2", "3"]);
    let asked = ListTasksRequest { project_id: project("mine"), request: None };
    let all: ListTasksResponse = call(&up, "task.TaskService/ListTasks", &asked).await.unwrap();
    assert_eq!((all.tasks.len(), all.token.as_str()), (1, ""));
    up.down().await;
}

/// An app with some memory, or something that calls itself that.
fn app(memory: &str, revision: u64) -> AppRequest {
    let id = AppId { project: "mine".into(), domain: "development".into(), name: "desk".into(), ..AppId::default() };
    let requests = vec![ResourceEntry { name: 2, value: memory.into() }];
    let resources = Some(Resources { requests });
    let container = Some(Container { args: vec!["serve".into()], resources, ..Container::default() });
    let spec = AppSpec { container, desired_state: 3, ..AppSpec::default() }.encode_to_vec();
    let metadata = Some(AppMeta { id: Some(id), revision, ..AppMeta::default() });
    AppRequest { app: Some(FlyteApp { metadata, spec, ..FlyteApp::default() }), ..AppRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_cannot_be_changed_goes_on_as_it_is() {
    let up = Up::at_work().await;
    let made: AppRequest = call(&up, "app.AppService/Create", &app("100Mi", 0)).await.unwrap();
    let id = made.app.unwrap().metadata.unwrap().id.unwrap();
    let before = up.control.app(&id).unwrap();
    let run = up.control.find_run(&before.run).unwrap().id;
    let change =
        async |memory: &str, revision| call::<AppRequest>(&up, "app.AppService/Update", &app(memory, revision)).await.map(drop);
    assert_eq!(change("many", before.revision).await.unwrap_err(), "invalid_argument");
    // The client takes it for success when something is there already.
    assert_eq!(change("200Mi", before.revision + 7).await.unwrap_err(), "failed_precondition");
    assert_eq!(call::<AppRequest>(&up, "app.AppService/Create", &app("200Mi", 0)).await.unwrap_err(), "already_exists");
    let after = up.control.app(&id).unwrap();
    assert_eq!((after.revision, &after.run), (before.revision, &before.run));
    assert_ne!(up.control.app_state(&after).unwrap().0, AppState::Failed);
    let serving = up.control.reader().action(run, FLYTE_ROOT).unwrap().unwrap();
    assert!(serving.finished_at.is_none() && serving.phase != Phase::Aborted, "{:?}", serving.phase);
    change("200Mi", before.revision).await.unwrap();
    assert_ne!(up.control.app(&id).unwrap().run, before.run);
    up.down().await;
}
