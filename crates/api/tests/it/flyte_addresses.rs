//! Addresses that are named at the doors of the Flyte SDK: the server and what it starts read in the stead of whoever names one.

use std::collections::BTreeMap;

use controlplane::{FLYTE_ROOT, Program, flyte_base, flyte_run_key};
use flyte::wire::*;
use flyte::{Call, Message};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::access::{token, token_with_role};
use super::flyte_doors::{call, project, run, task, trigger};
use super::support::Up;

const RULES: &str = "kind: policy
name: people
cedar: |
  @id(\"starter\")
  permit (principal in Role::\"starter\", action in [Action::\"read\", Action::\"submit\"], resource in Project::\"mine\");
  @id(\"keeper\")
  permit (principal in Role::\"keeper\", action in [Action::\"read\", Action::\"view\", Action::\"submit\"], resource in Project::\"mine\");
";

const CREATE: &str = "workflow.RunService/CreateRun";
const SECRET: &[u8] = b"what another run gave";

fn spec() -> TaskSpec {
    let [project, domain, name, version] = ["mine", "development", "t", "1"].map(str::to_owned);
    let id = Some(TemplateId { project, domain, name, version, org: String::new() });
    let container = Some(Container { args: vec!["a0".into()], ..Container::default() });
    let template = TaskTemplate { id, kind: "python-task".into(), container, ..TaskTemplate::default() };
    TaskSpec { task_template: Some(template), ..TaskSpec::default() }
}

/// A run whose root gave what lies at an address.
async fn ended(up: &Up, project: &str, name: &str, output: &str) {
    let flyte = up.control.flyte();
    let program = Program {
        name: name.into(),
        project: project.into(),
        domain: "development".into(),
        node: flyte::task::node(FLYTE_ROOT, &spec()).unwrap(),
        call: Call {
            spec: flyte.keep_spec(&spec().encode_to_vec()).unwrap(),
            base: flyte_base(project, "development", name),
            name: FLYTE_ROOT.into(),
            ..Call::default()
        },
        principal: "somebody".into(),
        idempotency_key: None,
        run_labels: BTreeMap::new(),
        subject: None,
        reused: Some(json!({ "output_uri": output })),
    };
    let run = up.control.submit_program(program).await.unwrap().run;
    up.control.end_of(run, super::support::PATIENCE).await.unwrap().unwrap();
}

fn outputs_of(project: &str, name: &str) -> String {
    format!("{}/a0/1", flyte_base(project, "development", name))
}

/// Two runs with outputs, one of a project of one's own and one of another's.
async fn with_runs(up: &Up) {
    for project in ["mine", "bank"] {
        ended(up, project, "secret", &outputs_of(project, "secret")).await;
        let key = format!("{}/a0/1/outputs.pb", flyte_run_key(project, "development", "secret"));
        up.control.flyte().objects().put(&key, SECRET).unwrap();
    }
}

fn at(uri: &str) -> Option<Offloaded> {
    Some(Offloaded { uri: uri.into(), inputs_hash: String::new() })
}

/// Inputs with a file, and with an address within a value.
fn naming(file: &str, within: &str) -> Vec<u8> {
    let scalar = |scalar| Some(Literal { scalar: Some(scalar), ..Literal::default() });
    let mut packed = Vec::new();
    flyte::msgpack::pack(&json!({ "path": within }), &mut packed);
    let blob = Scalar { blob: Some(Blob { uri: file.into(), metadata: None }), ..Scalar::default() };
    let binary = Scalar { binary: Some(Binary { value: packed, tag: "msgpack".into() }), ..Scalar::default() };
    let named = |name: &str, value| NamedLiteral { name: name.into(), value };
    Values { literals: vec![named("file", scalar(blob)), named("both", scalar(binary))] }.encode_to_vec()
}

struct People {
    admin: String,
    starter: String,
    keeper: String,
}

async fn people(up: &Up) -> People {
    up.apply(RULES).await;
    let admin = token(up, "admin", &["admin"], "").await;
    let starter = token_with_role(up, "starter", "starter", &admin).await;
    let keeper = token_with_role(up, "keeper", "keeper", &admin).await;
    People { admin, starter, keeper }
}

async fn create(up: &Up, token: &str, request: CreateRunRequest) -> String {
    let request = CreateRunRequest { project_id: project("mine"), task_spec: Some(spec().encode_to_vec()), ..request };
    call(up, token, CREATE, "", request.encode_to_vec()).await.0
}

async fn upload(up: &Up, token: &str) -> String {
    let request = UploadInputsRequest { project_id: project("mine"), ..UploadInputsRequest::default() };
    let headers = [("content-type", "application/proto"), ("authorization", token)];
    let path = "/flyteidl2.dataproxy.DataProxyService/UploadInputs";
    let answer = up.call(Method::POST, path, &headers, request.encode_to_vec().into()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    UploadInputsResponse::decode(answer.body.as_ref()).unwrap().offloaded_input_data.unwrap().uri
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_an_address_for_a_run_may_read_what_lies_there() {
    let up = Up::start().await;
    with_runs(&up).await;
    let People { admin, starter, keeper } = people(&up).await;
    let (own, other) = (upload(&up, &starter).await, upload(&up, &keeper).await);
    let mine = format!("{}/outputs.pb", outputs_of("mine", "secret"));
    let bank = format!("{}/outputs.pb", outputs_of("bank", "secret"));
    let kept = flyte::uri("labels/runs/mine/development/secret/a0");
    let old = flyte::uri("inputs/0123/inputs.pb");
    let code = flyte::uri("uploads/mine/development/x/code.tgz");
    let of_bank = flyte::uri("uploads/bank/development/x/code.tgz");
    let offloaded = |uri: &str| CreateRunRequest { offloaded_input_data: at(uri), ..CreateRunRequest::default() };
    let inline =
        |file: &str, within: &str| CreateRunRequest { inputs: Some(naming(file, within)), ..CreateRunRequest::default() };
    let before = up.control.reader().runs(&journal::RunFilter { limit: 100, ..Default::default() }).unwrap().len();
    for (token, uri) in [
        (&starter, &other),
        (&starter, &mine),
        (&starter, &bank),
        (&starter, &kept),
        (&starter, &old),
        (&starter, &of_bank),
        (&keeper, &bank),
        (&keeper, &kept),
        (&keeper, &old),
        (&keeper, &of_bank),
    ] {
        assert_eq!(create(&up, token, offloaded(uri)).await, "permission_denied", "{uri}");
        assert_eq!(create(&up, token, inline(uri, "x")).await, "permission_denied", "{uri} as a file");
        assert_eq!(create(&up, token, inline("s3://elsewhere/x", uri)).await, "permission_denied", "{uri} within a value");
    }
    let runs = up.control.reader().runs(&journal::RunFilter { limit: 100, ..Default::default() }).unwrap().len();
    assert_eq!(runs, before, "what is refused begins nothing");
    for (token, uri) in [
        (&starter, own.as_str()),
        (&starter, "s3://elsewhere/x"),
        (&starter, &code),
        (&keeper, &other),
        (&keeper, &own),
        (&keeper, &mine),
        (&admin, &bank),
    ] {
        assert_eq!(create(&up, token, offloaded(uri)).await, "", "{uri}");
        assert_eq!(create(&up, token, inline(uri, uri)).await, "", "{uri} among the inputs");
    }
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_given_no_address_that_whoever_sets_it_may_not_read() {
    let up = Up::start().await;
    with_runs(&up).await;
    let People { starter, keeper, .. } = people(&up).await;
    let deploy = DeployTaskRequest { task_id: task("mine"), spec: spec().encode_to_vec(), ..Default::default() };
    assert_eq!(call(&up, &starter, "task.TaskService/DeployTask", "", deploy.encode_to_vec()).await.0, "");
    let automation = Automation {
        kind: 2,
        schedule: Some(Schedule { cron_expression: "0 0 1 1 *".into(), ..Schedule::default() }),
        ..Automation::default()
    };
    let set = async |token: &str, spec: TriggerSpec| {
        let spec = Some(TriggerSpec { task_version: "1".into(), ..spec });
        let request = DeployTriggerRequest { name: Some(trigger("mine")), spec, automation_spec: automation.encode_to_vec() };
        call(&up, token, "trigger.TriggerService/DeployTrigger", "", request.encode_to_vec()).await.0
    };
    let mine = format!("{}/outputs.pb", outputs_of("mine", "secret"));
    let named = |uri: &str| TriggerSpec { offloaded_input_data: at(uri), ..TriggerSpec::default() };
    let inline = |uri: &str| TriggerSpec { inputs: Some(naming(uri, "x")), ..TriggerSpec::default() };
    assert_eq!(set(&starter, named(&mine)).await, "permission_denied");
    assert_eq!(set(&starter, inline(&mine)).await, "permission_denied");
    let name = "mine/development/t/n";
    assert!(up.control.reader().resources("trigger", Some(name), None).unwrap().is_empty(), "nothing is set");
    // With the task that it comes with it is the same.
    let spec = Some(TaskTriggerSpec { offloaded_input_data: at(&mine), ..Default::default() });
    let with = TaskTrigger { name: "n".into(), spec, automation_spec: automation.encode_to_vec() };
    let task_id = task("mine").map(|id| TaskId { version: "2".into(), ..id });
    let deploy = DeployTaskRequest { triggers: vec![with], task_id, ..deploy };
    assert_eq!(call(&up, &starter, "task.TaskService/DeployTask", "", deploy.encode_to_vec()).await.0, "permission_denied");
    assert_eq!(set(&keeper, named(&mine)).await, "");
    assert_eq!(set(&starter, named(&upload(&up, &starter).await)).await, "");
    up.down().await;
}

/// A link to the code of a task leads nowhere else, whatever its command line says of where that lies.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_the_code_of_a_task_leads_to_what_may_be_read() {
    let up = Up::start().await;
    with_runs(&up).await;
    let People { keeper, .. } = people(&up).await;
    let code = "uploads/mine/development/x/code.tgz";
    up.control.flyte().objects().put(code, b"code").unwrap();
    let bank = format!("{}/outputs.pb", outputs_of("bank", "secret"));
    for (version, address, code) in [("1", flyte::uri(code), ""), ("2", bank, "permission_denied")] {
        let task_id = task("mine").map(|id| TaskId { version: version.into(), ..id });
        let mut spec = spec();
        let container = spec.task_template.as_mut().and_then(|template| template.container.as_mut()).unwrap();
        container.args.extend(["--tgz".to_owned(), address.clone()]);
        let deploy = DeployTaskRequest { task_id: task_id.clone(), spec: spec.encode_to_vec(), ..Default::default() };
        assert_eq!(call(&up, &keeper, "task.TaskService/DeployTask", "", deploy.encode_to_vec()).await.0, "");
        let link = CreateDownloadLinkRequest { task_id, action_attempt_id: None, artifact_type: 2 };
        let asked = call(&up, &keeper, "dataproxy.DataProxyService/CreateDownloadLink", "", link.encode_to_vec()).await;
        assert_eq!(asked.0, code, "{address}: {}", asked.1);
    }
    up.down().await;
}

/// What a program says of where its outputs lie is followed as far as its action may read, and whoever looks is told no more.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_names_what_is_anothers_brings_nothing_of_it() {
    let up = Up::start().await;
    with_runs(&up).await;
    ended(&up, "mine", "liar", &outputs_of("bank", "secret")).await;
    ended(&up, "mine", "labels", &flyte::uri("labels/runs/mine/development/secret/a0.pb")).await;
    ended(&up, "mine", "again", &outputs_of("mine", "secret")).await;
    let People { keeper, admin, .. } = people(&up).await;
    let given = async |token: &str, name: &str| {
        let id = RunId { name: name.into(), ..run("mine").unwrap() };
        let request = OfAction { action_id: Some(ActionId { run: Some(id), name: "a0".into() }) };
        let headers = [("content-type", "application/proto"), ("authorization", token)];
        let path = "/flyteidl2.dataproxy.DataProxyService/GetActionData";
        let answer = up.call(Method::POST, path, &headers, request.encode_to_vec().into()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        GetActionDataResponse::decode(answer.body.as_ref()).unwrap().outputs
    };
    assert_eq!(given(&keeper, "secret").await.as_deref(), Some(SECRET));
    assert_eq!(given(&keeper, "again").await.as_deref(), Some(SECRET), "taken from a run of the same project");
    assert_eq!(given(&keeper, "liar").await, None);
    assert_eq!(given(&keeper, "labels").await, None);
    assert_eq!(given(&admin, "liar").await.as_deref(), Some(SECRET), "whoever may see everything sees where it leads");
    up.down().await;
}

/// What a run gave is taken over by whoever may see it, and by nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_recovers_a_run_that_they_may_not_see() {
    let up = Up::start().await;
    with_runs(&up).await;
    up.apply(
        "kind: policy
name: own
cedar: |
  permit (principal in Role::\"desk\", action in [Action::\"read\", Action::\"submit\"], resource in Project::\"mine\");
  permit (principal in Role::\"desk\", action == Action::\"view\", resource in Project::\"mine\") when { resource.author == principal.name };
",
    )
    .await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let own = token_with_role(&up, "somebody", "desk", &admin).await;
    let eve = token_with_role(&up, "eve", "desk", &admin).await;
    let relation = Relation { related_to: run("mine").map(|id| RunId { name: "secret".into(), ..id }), kind: Relation::RECOVER };
    let run_spec = Provenance { relation: Some(relation), recover: None }.encode_to_vec();
    let recover =
        async |token: &str| create(&up, token, CreateRunRequest { run_spec: run_spec.clone(), ..Default::default() }).await;
    assert_eq!(recover(&eve).await, "permission_denied");
    assert_eq!(recover(&own).await, "");
    assert_eq!(recover(&admin).await, "");
    up.down().await;
}

/// Only the doors of the SDK make calls of programs, since only they ask who may read what a call names.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_looks_like_a_call_of_a_program_is_refused_at_every_other_door() {
    let up = Up::start().await;
    let workflow = "workflow: mine/w\ninputs: {call: {type: object}}\nnodes:\n  a: {use: core/noop}\n";
    up.apply(workflow).await;
    let spec = up.control.flyte().keep_spec(&spec().encode_to_vec()).unwrap();
    let call = json!({ "flyte": { "spec": spec, "task": ["", "bank", "production", "t", "1"], "inputs": outputs_of("bank", "secret") } });
    let inputs: Value = json!({ "call": call });
    up.post("/api/v1/runs", json!({"workflow": "mine/w", "inputs": inputs})).await.is_problem(400, "E0009");
    let run = up.run("mine/w", json!({"call": {"x": 1}})).await;
    let again = format!("/api/v1/runs/{}/rerun", run["name"].as_str().unwrap());
    up.post(&again, json!({ "inputs": inputs })).await.is_problem(400, "E0009");
    let text = format!("kind: trigger\nname: t\nworkflow: mine/w\nevery: 1h\ninputs: {inputs}\n");
    let applied = up.post("/api/v1/apply", json!({"documents": [{"path": "t.yaml", "text": text}]})).await;
    assert_ne!(applied.status, StatusCode::OK, "{}", applied.text());
    assert!(applied.text().contains("holds a call of a Flyte program"), "{}", applied.text());
    up.down().await;
}
