//! Secrets as the SDK sets them: of a domain of a project, or of all of a project where the client names no domain. They are those of Tutti.

use controlplane::SecretInfo;
use flyte::wire::{
    Empty, KnownSecret, ListSecretsRequest, ListSecretsResponse, OfSecret, SecretId, SecretMetadata, SecretResponse,
    SecretStatus, SetSecretRequest,
};

use super::connect::{Answer, Refusal};
use super::view;
use crate::rest::App;
use crate::rest::access::Caller;

/// A secret that pulls images.
const IMAGE_PULL: i32 = 1;
/// It is there wherever it is needed.
const PRESENT: i32 = 2;

fn named(id: Option<SecretId>) -> Answer<SecretId> {
    let id = id.ok_or_else(|| Refusal::new("invalid_argument", "the secret is not named"))?;
    if id.project.is_empty() {
        return Err(Refusal::new("invalid_argument", "a secret is one of a project: name it (`--project`)"));
    }
    Ok(id)
}

/// Where a client says that a secret is.
fn place(id: &SecretId) -> (&str, Option<&str>) {
    (&id.project, Some(id.domain.as_str()).filter(|domain| !domain.is_empty()))
}

/// The secret of exactly this place.
async fn find(app: &App, id: &SecretId) -> Answer<Option<SecretInfo>> {
    let known = app.control.secrets(Some(id.project.clone())).await?;
    Ok(known.into_iter().find(|secret| secret.name == id.name && secret.domain.as_deref() == place(id).1))
}

fn full(id: &SecretId) -> String {
    match place(id) {
        (project, Some(domain)) => format!("{project}/{domain}/{}", id.name),
        (project, None) => format!("{project}/{}", id.name),
    }
}

fn missing(id: &SecretId) -> Refusal {
    Refusal::not_found("secret", &full(id))
}

async fn set(app: &App, caller: &Caller, id: &SecretId, request: SetSecretRequest, tags: Vec<String>) -> Answer<Empty> {
    let spec = request.secret_spec.unwrap_or_default();
    if spec.kind == IMAGE_PULL {
        return Err(Refusal::new("unimplemented", "no images are pulled here: environments stand for them"));
    }
    let value = if spec.binary_value.is_empty() {
        spec.string_value
    } else {
        let text = || Refusal::new("invalid_argument", "the value is not text: encode it, for instance as base64");
        String::from_utf8(spec.binary_value).map_err(|_| text())?
    };
    app.control.set_secret(place(id), &id.name, value, tags, &caller.principal).await?;
    Ok(Empty {})
}

/// Sets a secret that is not there.
pub(super) async fn create(app: &App, caller: &Caller, mut request: SetSecretRequest) -> Answer<Empty> {
    let id = named(request.id.take())?;
    if find(app, &id).await?.is_some() {
        return Err(Refusal::new("already_exists", format!("there is a secret `{}` already", full(&id))));
    }
    set(app, caller, &id, request, Vec::new()).await
}

/// Gives a secret another value. Its tags stay.
pub(super) async fn update(app: &App, caller: &Caller, mut request: SetSecretRequest) -> Answer<Empty> {
    let id = named(request.id.take())?;
    let known = find(app, &id).await?.ok_or_else(|| missing(&id))?;
    set(app, caller, &id, request, known.tags).await
}

fn view(secret: SecretInfo, organization: &str) -> KnownSecret {
    let domain = secret.domain.unwrap_or_default();
    let id = SecretId { name: secret.name, organization: organization.to_owned(), domain, project: secret.project };
    let metadata = SecretMetadata {
        created_time: Some(view::time(model::Timestamp(secret.set_at))),
        secret_status: Some(SecretStatus { overall_status: PRESENT }),
    };
    KnownSecret { id: Some(id), secret_metadata: Some(metadata) }
}

/// What is known of a secret without its value.
pub(super) async fn get(app: &App, request: OfSecret) -> Answer<SecretResponse> {
    let id = named(request.id)?;
    let known = find(app, &id).await?.ok_or_else(|| missing(&id))?;
    Ok(SecretResponse { secret: Some(view(known, &id.organization)) })
}

/// Destroys a secret.
pub(super) async fn delete(app: &App, caller: &Caller, request: OfSecret) -> Answer<Empty> {
    let id = named(request.id)?;
    app.control.remove_secret(place(&id), &id.name, &caller.principal).await?;
    Ok(Empty {})
}

/// The secrets that runs of a domain are given, by their names, a page at a time: those of the domain, and those of the whole project that no
/// other of the domain stands for. Without a domain all of them.
pub(super) async fn list(app: &App, request: ListSecretsRequest) -> Answer<ListSecretsResponse> {
    let project = Some(request.project.clone()).filter(|project| !project.is_empty());
    let mut known = app.control.secrets(project).await?;
    if !request.domain.is_empty() {
        known.retain(|secret| secret.domain.as_ref().is_none_or(|domain| *domain == request.domain));
        let own: Vec<(String, String)> = known
            .iter()
            .filter(|secret| secret.domain.is_some())
            .map(|secret| (secret.project.clone(), secret.name.clone()))
            .collect();
        known.retain(|secret| secret.domain.is_some() || !own.contains(&(secret.project.clone(), secret.name.clone())));
    }
    known.sort_by(|one, other| (&one.project, &one.name, &one.domain).cmp(&(&other.project, &other.name, &other.domain)));
    let (known, token) = view::page(known, usize::try_from(request.limit).unwrap_or(0), &request.token);
    let secrets = known.into_iter().map(|secret| view(secret, &request.organization)).collect();
    Ok(ListSecretsResponse { secrets, token })
}
