//! Every endpoint, without a token, with a wrong one, with the wrong scope and with the right one; and who may connect at all.

use api::{Access, Listen, Server, Tls};
use bytes::Bytes;
use controlplane::FaultKind;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::endpoints::ENDPOINTS;
use super::support::Up;

const SCOPES: [&str; 5] = ["read", "run", "approve", "admin", "worker"];

pub(crate) async fn token(up: &Up, name: &str, scopes: &[&str], by: &str) -> String {
    let mut headers = vec![("content-type", "application/json"), ("authorization", by)];
    headers.retain(|(_, value)| !value.is_empty());
    let body = json!({"name": name, "scopes": scopes}).to_string();
    let made = up.call(Method::POST, "/api/v1/tokens", &headers, body.into()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    format!("Bearer {}", made.json()["token"].as_str().unwrap())
}

/// A route with something in place of its parts.
pub(crate) fn address(route: &str) -> String {
    let parts = route.split('/').map(|part| if part.starts_with('{') { "nobody" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_asks_for_its_scope() {
    let up = Up::start().await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let mut tokens = Vec::new();
    for scope in SCOPES {
        tokens.push((scope, token(&up, &format!("only-{scope}"), &[scope], &admin).await));
    }
    for (method, route, operations, _) in ENDPOINTS {
        let call = async |authorization: Option<&str>| {
            let headers: Vec<(&str, &str)> = authorization.map(|token| ("authorization", token)).into_iter().collect();
            let sent = up.open(method.parse().unwrap(), &address(route), &headers, super::support::empty()).await;
            let told = sent.headers().contains_key("tutti-position");
            assert!(!told || authorization.is_some(), "{method} {route} says how long the journal is");
            assert!(!told || sent.status() != StatusCode::UNAUTHORIZED, "{method} {route} says how long the journal is");
            sent.status().as_u16()
        };
        let Some(needed) = operations.split(' ').next().filter(|operation| !operation.is_empty()).map(scope_of) else {
            assert!(*route == "/hooks/{trigger}" || call(None).await != 401, "{method} {route}");
            continue;
        };
        assert_eq!(call(None).await, 401, "{method} {route} without a token");
        assert_eq!(call(Some("Bearer only-read.0000")).await, 401, "{method} {route} with a wrong token");
        assert_eq!(call(Some("Basic b25seTpyZWFk")).await, 401, "{method} {route} with another scheme");
        for (scope, token) in &tokens {
            let refused = call(Some(token)).await == 403;
            let may = *scope == needed || *scope == "admin";
            assert_eq!(!refused, may, "{method} {route} with the scope `{scope}`");
        }
    }
    up.down().await;
}

/// The scope that is enough for an operation.
fn scope_of(operation: &str) -> &'static str {
    match operation {
        "read" | "view" | "audit" => "read",
        "submit" | "steer" => "run",
        "decide" | "approve" => "approve",
        "work" => "worker",
        "author" | "operate" | "govern" | "secrets" | "administer" => "admin",
        other => panic!("no scope includes `{other}`"),
    }
}

/// What each built-in role may do: written down here again, so that a change of the policies is a change of this.
const ROLES: [(&str, &[&str]); 10] = [
    ("viewer", &["read", "view"]),
    ("runner", &["read", "view", "submit", "steer"]),
    ("author", &["read", "view", "submit", "steer", "author"]),
    ("approver", &["decide", "approve"]),
    ("operator", &["read", "steer", "operate"]),
    ("policy-admin", &["read", "govern", "approve", "audit"]),
    ("auditor", &["read", "audit"]),
    ("secrets-admin", &["read", "secrets"]),
    ("worker", &["work"]),
    ("somebody", &[]),
];

pub(crate) async fn token_with_role(up: &Up, name: &str, role: &str, by: &str) -> String {
    let mut headers = vec![("content-type", "application/json"), ("authorization", by)];
    headers.retain(|(_, value)| !value.is_empty());
    let body = json!({"name": name, "user": name, "roles": [role]}).to_string();
    let made = up.call(Method::POST, "/api/v1/tokens", &headers, body.into()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    format!("Bearer {}", made.json()["token"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_is_open_to_the_roles_that_it_is_for_and_to_no_other() {
    let up = Up::start().await;
    let admin = token(&up, "admin", &["admin"], "").await;
    for (role, operations) in ROLES {
        let token = token_with_role(&up, &format!("a-{role}"), role, &admin).await;
        for (method, route, needed, _) in ENDPOINTS.iter().filter(|(_, _, needed, _)| !needed.is_empty()) {
            let sent =
                up.open(method.parse().unwrap(), &address(route), &[("authorization", &token)], super::support::empty()).await;
            let may = needed.split(' ').any(|operation| operations.contains(&operation));
            assert_eq!(sent.status() != StatusCode::FORBIDDEN, may, "{method} {route} as `{role}`: {}", sent.status());
        }
    }
    up.down().await;
}

pub(crate) const OWN: &str = "kind: policy
name: people
cedar: |
  @id(\"desk\")
  permit (principal in Role::\"desk\", action in [Action::\"read\", Action::\"submit\", Action::\"steer\", Action::\"decide\"],
          resource in Project::\"bank\");
  @id(\"two-people\")
  @reason(\"whoever starts a run does not decide in it\")
  forbid (principal, action == Action::\"decide\", resource) when { resource.author == principal.name };
  @id(\"quiet\")
  @reason(\"eve is on holiday\")
  forbid (principal == User::\"eve\", action == Action::\"steer\", resource);
---
workflow: bank/ask
nodes:
  ok: {human: {title: Well, assign: {users: [desk, other]}, form: {type: object}}}
---
workflow: other/go
nodes:
  a: {use: core/noop}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_ones_own_is_limited_to_its_project_and_refusals_name_the_policy() {
    let up = Up::start().await;
    up.apply(OWN).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let desk = token_with_role(&up, "desk", "desk", &admin).await;
    let other = token_with_role(&up, "other", "desk", &admin).await;
    let post = async |token: &str, path: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        up.call(Method::POST, path, &headers, body.to_string().into()).await
    };
    let get = async |token: &str, path: &str| up.call(Method::GET, path, &[("authorization", token)], Bytes::new()).await;
    let elsewhere = post(&desk, "/api/v1/runs", json!({"workflow": "other/go"})).await;
    elsewhere.is_problem(403, "E0005");
    let why = &elsewhere.json()["diagnostics"];
    assert_eq!((&why["operation"], &why["principal"]), (&json!("submit"), &json!("desk")), "{why}");
    assert_eq!(why["resource"]["project"], "other", "{why}");
    assert_eq!(why["roles_that_may"], json!(["runner", "author", "admin"]), "{why}");
    // Another's workflow is not brought into a project of one's own either.
    let brought = post(&desk, "/api/v1/runs", json!({"workflow": "other/go", "project": "bank"})).await;
    brought.is_problem(403, "E0005");
    assert_eq!(brought.json()["diagnostics"]["operation"], "read", "{}", brought.text());
    let batch = json!({"runs": [{"workflow": "bank/ask"}, {"workflow": "other/go"}]});
    post(&desk, "/api/v1/runs:batch", batch).await.is_problem(403, "E0005");
    let run = post(&desk, "/api/v1/runs", json!({"workflow": "bank/ask", "name": "mine"})).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.text());
    assert_eq!(get(&desk, "/api/v1/runs/mine").await.status, StatusCode::OK);
    assert_eq!(get(&desk, "/api/v1/runs?project=bank").await.status, StatusCode::OK);
    get(&desk, "/api/v1/runs").await.is_problem(403, "E0005");
    get(&desk, "/api/v1/runs/nothing").await.is_problem(403, "E0005");
    // Two people: whoever started the run is told which policy it is, and what it looked at.
    let own = post(&desk, "/api/v1/runs/mine/decision", json!({"decision": "approve", "form": {}})).await;
    own.is_problem(403, "E0010");
    let policies = &own.json()["diagnostics"]["policies"];
    assert_eq!(policies[0]["policy"], "people/two-people", "{policies}");
    assert_eq!(policies[0]["looked_at"], json!(["`author` is `desk`"]), "{policies}");
    let second = post(&other, "/api/v1/runs/mine/decision", json!({"decision": "approve", "form": {}})).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    // A forbid is stronger than any role, and than the scope `admin`.
    let eve = token(&up, "eve", &["admin"], &admin).await;
    post(&eve, "/api/v1/runs/mine/cancel", json!({})).await.is_problem(403, "E0010");
    let asked = post(&admin, "/api/v1/policy/ask", json!({"operation": "steer", "user": "eve", "roles": ["admin"]})).await;
    assert_eq!((&asked.json()["allowed"], &asked.json()["policies"][0]), (&json!(false), &json!("people/quiet")));
    up.down().await;
}

const GUESSED: &str = "kind: policy
name: people
cedar: |
  @id(\"desk\")
  permit (principal in Role::\"desk\", action in [Action::\"read\", Action::\"submit\"], resource in Project::\"bank\");
---
workflow: bank/two
inputs: {n: {type: integer}, m: {type: integer, default: 1}}
nodes:
  a: {use: core/noop, with: {n: '${ inputs.n }'}}
  b: {use: core/noop, with: {m: '${ inputs.m }'}}
---
workflow: bank/many
inputs: {list: {type: array, items: {type: integer}}}
nodes:
  m: {each: {items: '${ inputs.list }', do: {use: core/noop, with: {n: '${ item }'}}}}
";

/// What a repetition would take over tells nobody who may not see the values whether a guess of one is right.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_see_values_does_not_find_them_out_by_repeating_a_run() {
    let up = Up::start().await;
    up.apply(GUESSED).await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let desk = token_with_role(&up, "desk", "desk", &admin).await;
    let post = async |token: &str, path: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        let answer = up.call(Method::POST, path, &headers, body.to_string().into()).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        answer.json()
    };
    let run = post(&admin, "/api/v1/runs?wait=30", json!({"workflow": "bank/two", "inputs": {"n": 7}})).await;
    let path = format!("/api/v1/runs/{}/rerun", run["name"].as_str().unwrap());
    let plan = async |token: &str, n: i64| post(token, &format!("{path}/plan"), json!({"inputs": {"n": n}})).await;
    assert_eq!(plan(&admin, 7).await["reused"], json!(["a", "b"]));
    assert_eq!(plan(&admin, 8).await["reused"], json!(["b"]));
    assert_eq!(plan(&desk, 7).await, plan(&desk, 8).await);
    assert_eq!(plan(&desk, 7).await["reused"], json!(["b"]));
    // What is done is what was planned: it tells no more.
    let mut done = Vec::new();
    for n in [7, 8] {
        let again = post(&desk, &path, json!({"inputs": {"n": n}})).await;
        let id = again["number"].as_u64().unwrap();
        up.control.end_of(model::RunId(id), super::support::PATIENCE).await.unwrap().unwrap();
        let view = up.call(Method::GET, &format!("/api/v1/runs/{id}"), &[("authorization", &desk)], Bytes::new()).await.json();
        let reused = |action: &Value| (action["path"].clone(), action["reused"].clone());
        done.push(view["actions"].as_array().unwrap().iter().map(reused).collect::<Vec<_>>());
    }
    assert_eq!(done[0], done[1]);
    // Nor do items of a list that somebody guesses, one by one.
    let run = post(&admin, "/api/v1/runs?wait=30", json!({"workflow": "bank/many", "inputs": {"list": [7, 8]}})).await;
    let path = format!("/api/v1/runs/{}/rerun/plan", run["name"].as_str().unwrap());
    let items = async |token: &str| post(token, &path, json!({"inputs": {"list": [7, 9]}})).await["items"].clone();
    assert_eq!((items(&admin).await, items(&desk).await), (json!({"m": 2}), Value::Null));
    up.down().await;
}

const OF_ONE_PROJECT: &str = "kind: policy
name: keepers
cedar: |
  @id(\"keeper\")
  permit (principal in Role::\"keeper\", action in [Action::\"read\", Action::\"steer\", Action::\"secrets\"],
          resource in Project::\"mine\");
";

/// Deploys an app that does not run.
async fn stopped_app(up: &Up, project: &str) {
    let container = flyte::wire::Container { args: vec!["serve".to_owned()], ..Default::default() };
    let spec = flyte::wire::AppSpec { container: Some(container), ..Default::default() };
    let spec = flyte::apps::wanting(flyte::Message::encode_to_vec(&spec), false);
    let (domain, name) = ("production".to_owned(), "board".to_owned());
    let id = flyte::wire::AppId { org: String::new(), project: project.to_owned(), domain, name };
    up.control.deploy_app(id, spec, Default::default(), String::new(), "somebody", None).await.unwrap();
}

/// What a query says of a project is not what a path is about.
#[tokio::test(flavor = "multi_thread")]
async fn the_project_of_an_app_and_of_a_secret_is_that_of_the_path() {
    let up = Up::start().await;
    up.apply(OF_ONE_PROJECT).await;
    stopped_app(&up, "bank").await;
    stopped_app(&up, "mine").await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let keeper = token_with_role(&up, "keeper", "keeper", &admin).await;
    let call = async |token: &str, method: Method, path: &str, body: &'static str| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        up.call(method, path, &headers, Bytes::from_static(body.as_bytes())).await
    };
    let names = |answer: super::support::Answer| -> Vec<String> {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json().as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap().to_owned()).collect()
    };
    for query in ["", "?project=mine"] {
        let path = format!("/api/v1/apps/bank/production/board/stop{query}");
        let refused = call(&keeper, Method::POST, &path, "").await;
        refused.is_problem(403, "E0005");
        let resource = &refused.json()["diagnostics"]["resource"];
        assert_eq!(*resource, json!({"kind": "app", "name": "board", "project": "bank", "domain": "production"}));
        let secret = format!("/api/v1/secrets/bank/key{query}");
        call(&keeper, Method::DELETE, &secret, "").await.is_problem(403, "E0005");
        call(&keeper, Method::PUT, &secret, "{\"value\": \"v\"}").await.is_problem(403, "E0005");
        // Apps of other projects are not told of.
        let listed = call(&keeper, Method::GET, &format!("/api/v1/apps{query}"), "").await;
        assert_eq!(names(listed), ["mine/production/board"]);
    }
    let stopped = call(&keeper, Method::POST, "/api/v1/apps/mine/production/board/stop?project=bank", "").await;
    assert_eq!(names(stopped), ["mine/production/board"]);
    let set = call(&keeper, Method::PUT, "/api/v1/secrets/mine/key", "{\"value\": \"v\"}").await;
    assert_ne!(set.status, StatusCode::FORBIDDEN, "{}", set.text());
    let mut all = names(call(&admin, Method::GET, "/api/v1/apps", "").await);
    all.sort();
    assert_eq!(all, ["bank/production/board", "mine/production/board"]);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_is_divided_and_a_policy_that_errs_refuses() {
    let up = Up::start().await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let apply = async |token: &str, text: &str| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        let body = json!({"documents": [{"path": "t.yaml", "text": text}]}).to_string();
        up.call(Method::POST, "/api/v1/apply", &headers, body.into()).await
    };
    let (workflow, tag) = ("workflow: a/b\nnodes:\n  a: {use: core/noop}\n", "kind: tag\nname: pii\nowners: [x]\n");
    let site = "kind: site\nname: s\ncapacity: {cpu: 1}\n";
    for (role, may) in [("author", workflow), ("policy-admin", tag), ("operator", site)] {
        let token = token_with_role(&up, &format!("w-{role}"), role, &admin).await;
        for text in [workflow, tag, site] {
            let answer = apply(&token, text).await;
            assert_eq!(answer.status == StatusCode::OK, text == may, "{role}: {}", answer.text());
        }
        // Escalation: a document that one may write does not take another in with it.
        apply(&token, &[workflow, tag, site].join("---\n")).await.is_problem(403, "E0005");
    }
    let author = token_with_role(&up, "author", "author", &admin).await;
    let delete = up.call(Method::DELETE, "/api/v1/resources/tag/pii", &[("authorization", &author)], Bytes::new()).await;
    delete.is_problem(403, "E0005");
    let tokens = up.call(Method::GET, "/api/v1/tokens", &[("authorization", &author)], Bytes::new()).await;
    tokens.is_problem(403, "E0005");
    // Cedar would leave out a forbid that errs, and so let everything through.
    let errs = "kind: policy\nname: errs\ncedar: |\n  forbid (principal, action == Action::\"submit\", resource) \
                when { 9223372036854775807 + 1 > 5 };\n";
    assert_eq!(apply(&admin, errs).await.status, StatusCode::OK);
    let headers = [("content-type", "application/json"), ("authorization", admin.as_str())];
    let refused = up.call(Method::POST, "/api/v1/runs", &headers, json!({"workflow": "a/b"}).to_string().into()).await;
    refused.is_problem(403, "E0010");
    assert!(refused.text().contains("could not be evaluated"), "{}", refused.text());
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_stored_as_hashes_and_can_be_revoked() {
    let up = Up::start().await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let reader = token(&up, "reader", &["read"], &admin).await;
    let get = async |token: &str| up.call(Method::GET, "/api/v1/runs", &[("authorization", token)], Bytes::new()).await;
    assert_eq!(get(&reader).await.status, StatusCode::OK);
    let secret = reader.rsplit('.').next().unwrap().to_owned();
    let listed = up.call(Method::GET, "/api/v1/tokens", &[("authorization", &admin)], Bytes::new()).await;
    assert!(!listed.text().contains(&secret) && !listed.text().contains("hash"), "{}", listed.text());
    up.call(Method::DELETE, "/api/v1/tokens/reader", &[("authorization", &admin)], Bytes::new()).await;
    get(&reader).await.is_problem(401, "E0006");
    assert_eq!(get(&reader).await.header("www-authenticate"), "Bearer");
    let data = up.down().await;
    let journal: Vec<u8> = std::fs::read_dir(data.path().join("data/journal"))
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(!journal.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "the token is in the journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_is_worth_nothing() {
    let up = Up::start().await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let headers = [("content-type", "application/json"), ("authorization", admin.as_str())];
    let make = async |name: &str, expires: &str| {
        let body = json!({"name": name, "scopes": ["read"], "expires": expires}).to_string();
        up.call(Method::POST, "/api/v1/tokens", &headers, body.into()).await
    };
    for wrong in ["0s", "3651d", "soon"] {
        assert!(make("wrong", wrong).await.status.is_client_error(), "{wrong}");
    }
    let (short, long) = (make("short", "1s").await.json(), make("long", "90d").await.json());
    let get = async |made: &Value| {
        let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
        up.call(Method::GET, "/api/v1/runs", &[("authorization", &bearer)], Bytes::new()).await
    };
    let end = std::time::Instant::now() + super::support::PATIENCE;
    let ended = loop {
        let answer = get(&short).await;
        if answer.status != StatusCode::OK || std::time::Instant::now() > end {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    ended.is_problem(401, "E0006");
    assert!(ended.text().contains("has expired"), "{}", ended.text());
    assert_eq!(get(&long).await.status, StatusCode::OK);
    let listed = up.call(Method::GET, "/api/v1/tokens", &[("authorization", &admin)], Bytes::new()).await.json();
    assert!(listed.as_array().unwrap().iter().all(|token| token["expires_at"].is_string()), "{listed}");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_cannot_be_talked_into_calling() {
    let up = Up::start().await;
    let host = up.address.to_string();
    let post = async |headers: &[(&str, &str)]| {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        up.call(Method::POST, "/api/v1/check", &all, json!({"documents": []}).to_string().into()).await
    };
    let own = format!("http://{host}");
    assert_eq!(post(&[("origin", &own)]).await.status, StatusCode::OK);
    assert_eq!(post(&[("host", "localhost:7200")]).await.status, StatusCode::OK);
    post(&[("host", "rebound.example:7200")]).await.is_problem(403, "E0005");
    post(&[("origin", "http://evil.example")]).await.is_problem(403, "E0005");
    post(&[("origin", "null")]).await.is_problem(403, "E0005");
    post(&[("sec-fetch-site", "cross-site")]).await.is_problem(403, "E0005");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    up.call(Method::POST, "/api/v1/check", &form, Bytes::from_static(b"documents=")).await.is_problem(415, "E0017");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_listens_for_others_without_tokens_and_tls() {
    let up = Up::start().await;
    let files = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = Tls { certificate: files.path().join("cert.pem"), key: files.path().join("key.pem") };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let everywhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let closed = Access { own_token: None, local_user: false };
    let with = |tls: Option<Tls>| Listen { tls, ..Listen::from(everywhere) };
    let refused = async |listen: Listen, access: Access| {
        Server::bind(listen, up.control.clone(), access).await.err().map(|fault| fault.kind)
    };
    assert_eq!(refused(with(None), closed.clone()).await, Some(FaultKind::Exposed));
    assert_eq!(refused(with(Some(tls.clone())), Access::local()).await, Some(FaultKind::Exposed));
    assert_eq!(refused(with(Some(tls.clone())), closed.clone()).await, Some(FaultKind::Exposed), "there is no token yet");
    let nothing = Tls { certificate: files.path().join("none.pem"), key: tls.key.clone() };
    assert_eq!(refused(with(Some(nothing)), closed.clone()).await, Some(FaultKind::Listen));
    token(&up, "admin", &["admin"], "").await;
    assert_eq!(refused(with(Some(tls)), closed).await, None);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_is_a_coded_problem() {
    let up = Up::start().await;
    up.get("/api/v1/nothing").await.is_problem(404, "E0002");
    let answer = up.call(Method::DELETE, "/api/v1/runs", &[], Bytes::new()).await;
    answer.is_problem(405, "E0016");
    assert!(answer.header("allow").contains("GET"), "{:?}", answer.headers);
    let json_type = [("content-type", "application/json")];
    let post = async |body: &'static [u8]| up.call(Method::POST, "/api/v1/runs", &json_type, Bytes::from_static(body)).await;
    post(b"{").await.is_problem(400, "E0001");
    post(b"[]").await.is_problem(400, "E0001");
    post(b"\xff\xfe").await.is_problem(400, "E0001");
    post(b"{\"workflow\": \"a/b\", \"worfklow\": 1}").await.is_problem(400, "E0001");
    up.call(Method::POST, "/api/v1/runs", &json_type, vec![b' '; 9 << 20].into()).await.is_problem(413, "E0007");
    up.call(Method::POST, "/api/v1/runs", &[("content-type", "text/plain")], Bytes::from_static(b"{}"))
        .await
        .is_problem(415, "E0017");
    up.get("/api/v1/runs?wait=x").await.is_problem(400, "E0001");
    let nowhere = up.get("/api/v1/runs/nobody").await;
    nowhere.is_problem(404, "E0002");
    assert_eq!(nowhere.json()["instance"], format!("urn:tutti:request:{}", nowhere.header("x-request-id")));
    let page = up.get(nowhere.json()["type"].as_str().unwrap()).await;
    assert!(page.text().starts_with("# E0002"), "the type leads to the page: {}", page.text());
    let named = up.call(Method::GET, "/healthz", &[("x-request-id", "my-id.1")], Bytes::new()).await;
    assert_eq!(named.header("x-request-id"), "my-id.1");
    let odd = up.call(Method::GET, "/healthz", &[("x-request-id", "a b")], Bytes::new()).await;
    assert_ne!(odd.header("x-request-id"), "a b");
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_go_up_and_come_down_in_parts() {
    let up = Up::start().await;
    let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let put = up.call(Method::PUT, "/api/v1/artifacts?name=a.bin", &[], content.clone().into()).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.text());
    let digest = find_digest(&put.json()).expect("a digest");
    let path = format!("/api/v1/artifacts/{digest}");
    let whole = up.get(&path).await;
    assert_eq!((whole.status, &whole.body[..]), (StatusCode::OK, &content[..]));
    let part = up.call(Method::GET, &path, &[("range", "bytes=1000-1999")], Bytes::new()).await;
    assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &content[1000..2000]));
    assert_eq!(part.header("content-range"), "bytes 1000-1999/300000");
    let none = up.call(Method::GET, &path, &[("range", "bytes=300000-")], Bytes::new()).await;
    none.is_problem(416, "E0019");
    assert_eq!(none.header("content-range"), "bytes */300000");
    let same = up.call(Method::GET, &path, &[("if-none-match", whole.header("etag"))], Bytes::new()).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    up.call(Method::PUT, "/api/v1/artifacts?name=..%2Fx", &[], Bytes::new()).await.is_problem(400, "E0001");
    up.down().await;
}

fn find_digest(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.parse::<model::Digest>().is_ok() => Some(text.clone()),
        Value::Object(fields) => fields.values().find_map(find_digest),
        _ => None,
    }
}

/// A file carries what it was made from, and whoever may look at files may not look at every file.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_carries_decides_who_may_see_it() {
    let up = Up::start().await;
    let put = up.call(Method::PUT, "/api/v1/artifacts?name=a.csv", &[], Bytes::from_static(b"name,ssn\n")).await;
    let digest = find_digest(&put.json()).expect("a digest");
    up.apply(
        "kind: tag\nname: pii\nowners: [officers]\n---\nkind: policy\nname: eyes\ncedar: |\n  @id(\"names\")\n  \
         @reason(\"names are for the officers\")\n  forbid (principal, action == Action::\"view\", resource)\n  \
         when { context.data in Tag::\"pii\" } unless { principal in Group::\"officers\" };\n---\nworkflow: a/b\ninputs:\n  \
         file: {type: file, labels: [pii]}\nnodes:\n  a: {wait: {signal: never}}\n",
    )
    .await;
    let run = up.post("/api/v1/runs", json!({"workflow": "a/b", "name": "r", "inputs": {"file": put.json()}})).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.text());
    let admin = token(&up, "admin", &["admin"], "").await;
    let headers = [("content-type", "application/json"), ("authorization", admin.as_str())];
    let body = json!({"name": "officer", "groups": ["officers"], "roles": ["viewer"]}).to_string();
    let made = up.call(Method::POST, "/api/v1/tokens", &headers, body.into()).await;
    let officer = format!("Bearer {}", made.json()["token"].as_str().unwrap());
    let viewer = token_with_role(&up, "viewer", "viewer", &admin).await;
    let get = async |token: &str, path: &str| up.call(Method::GET, path, &[("authorization", token)], Bytes::new()).await;
    let path = format!("/api/v1/artifacts/{digest}");
    for token in [&viewer, &admin] {
        let refused = get(token, &path).await;
        refused.is_problem(403, "E0010");
        assert_eq!(refused.json()["diagnostics"]["policies"][0]["policy"], "eyes/names", "{}", refused.text());
        // What it writes while it works on them carries it too.
        get(token, "/api/v1/runs/r/logs?path=a").await.is_problem(403, "E0010");
        assert_eq!(get(token, "/api/v1/runs/r").await.status, StatusCode::OK);
    }
    assert_eq!(get(&officer, &path).await.status, StatusCode::OK);
    up.down().await;
}

/// What a failure says may hold what the attempt could read. Whoever may not see that learns that there is a failure, its class, its code and what it
/// carries; the record of facts and the export hold none of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_failure_says_is_for_those_who_may_see_what_was_read() {
    const SECRET: &str = "078-05-1120";
    let up = Up::start().await;
    up.apply(
        "kind: tag\nname: pii\nowners: [officers]\n---\nkind: policy\nname: eyes\ncedar: |\n  @id(\"names\")\n  \
         forbid (principal, action == Action::\"view\", resource)\n  \
         when { context.data in Tag::\"pii\" } unless { principal in Group::\"officers\" };\n---\nworkflow: a/b\ninputs:\n  \
         ssn: {type: string, labels: [pii]}\nnodes:\n  a: {use: core/fail, with: {message: 'no such person: ${ inputs.ssn }'}}\n---\n\
         workflow: a/well\ninputs:\n  ssn: {type: string, labels: [pii]}\nnodes:\n  \
         a: {use: core/noop, with: {value: '${ inputs.ssn }'}}\noutputs: {v: '${ nodes.a.value }'}\n",
    )
    .await;
    let admin = token(&up, "admin", &["admin"], "").await;
    let as_admin = [("content-type", "application/json"), ("authorization", admin.as_str())];
    let body = json!({"name": "officer", "groups": ["officers"], "roles": ["runner"]}).to_string();
    let officer = up.call(Method::POST, "/api/v1/tokens", &as_admin, body.into()).await;
    let officer = format!("Bearer {}", officer.json()["token"].as_str().unwrap());
    let runner = token_with_role(&up, "runner", "runner", &admin).await;
    let submit = async |token: &str, workflow: &str, name: &str| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        let body = json!({"workflow": workflow, "name": name, "inputs": {"ssn": SECRET}}).to_string();
        let made = up.call(Method::POST, "/api/v1/runs?wait=60", &headers, body.into()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        made
    };
    let get = async |token: &str, path: &str| up.call(Method::GET, path, &[("authorization", token)], Bytes::new()).await;
    let answered = submit(&runner, "a/b", "r").await;
    assert!(!answered.text().contains(SECRET), "{}", answered.text());
    // What comes of it is for the same eyes as it is afterwards.
    assert!(!submit(&runner, "a/well", "w").await.text().contains(SECRET));
    assert!(submit(&officer, "a/well", "w2").await.text().contains(SECRET));
    let paths = [
        "/api/v1/runs",
        "/api/v1/runs/r",
        "/api/v1/runs/r/actions",
        "/api/v1/runs/r/action?path=a",
        "/api/v1/runs/r/explain?path=a",
        "/api/v1/runs/r/outlook",
    ];
    for path in paths {
        let (seen, hidden) = (get(&officer, path).await, get(&runner, path).await);
        assert_eq!((seen.status, hidden.status), (StatusCode::OK, StatusCode::OK), "{path}");
        assert!(!hidden.text().contains(SECRET), "{path}: {}", hidden.text());
        assert!(seen.text().contains(SECRET), "{path}: {}", seen.text());
    }
    let run = get(&runner, "/api/v1/runs/r").await.json();
    for failure in [&run["failure"], &run["actions"][0]["failure"]] {
        assert_eq!(
            (&failure["class"], &failure["label"], &failure["withheld"]),
            (&json!("user"), &json!(["pii"]), &json!(true)),
            "{run}"
        );
    }
    assert_eq!(get(&officer, "/api/v1/runs/r").await.json()["failure"]["label"], json!(["pii"]));
    // Neither facts nor entries hold it, whoever looks at them.
    for path in ["/api/v1/facts?run=r", "/api/v1/audit/export"] {
        assert!(!get(&admin, path).await.text().contains(SECRET), "{path}");
    }
    let rows = up.control.reader().events(model::Seq(0), None, 10_000).unwrap();
    let bare = rows
        .iter()
        .any(|(_, _, _, event)| engine::codec::encode(event).windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()));
    assert!(!bare, "an entry holds what a failure says");
    up.down().await;
}
