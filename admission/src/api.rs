//! The webhook's paths: decode a review, decide, encode the reply.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Request as HttpRequest, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::manifests::Installation;
use crate::policy::{
    ClusterImagePolicy, Document, Limits, convert, decode_strictly, default_policy,
    default_trust_root, patch, validate,
};
use crate::review::{Answer, Conversion, Request, Review};
use crate::trust_root::{self, TrustRoot};
use crate::workload::{Kind, Workload};
use crate::{Error, Service};

/// Longest review. An API server's objects have at most 3 MiB, and a review may carry two of them.
const REVIEW_BYTES_MAX: usize = 8 << 20;

pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new().fallback(serve_http).with_state(service)
}

pub(crate) fn admin(service: Arc<Service>) -> Router {
    Router::new()
        .route("/decisions", get(decisions))
        .route("/decisions/stream", get(stream))
        .route("/explain", post(explain))
        .route("/lint", post(lint))
        .route("/policies", get(policies))
        .route("/policies/reload", post(reload))
        .route("/ca.pem", get(authority))
        .route("/manifests", get(manifests))
        .with_state(service)
}

/// `ServeHTTP`: probes are answered on any path, then the content type, then the path is looked at.
async fn serve_http(
    State(service): State<Arc<Service>>,
    request: HttpRequest<Body>,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    if is_probe(&parts.headers) {
        return if service.is_stopping() {
            Err(Error::ShuttingDown)
        } else {
            Ok(StatusCode::OK.into_response())
        };
    }
    // Read before any answer: over HTTP/2 an unread body resets the stream, and the answer is lost.
    let body = runtime::http::read_body(body, REVIEW_BYTES_MAX).await;
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| value.as_bytes() != b"application/json") {
        return Err(Error::ContentType);
    }
    let path = parts.uri.path();
    let known = [
        "/validations",
        "/mutations",
        "/validating",
        "/defaulting",
        "/resource-conversion",
    ];
    if !known.contains(&path) {
        return Err(Error::Path {
            path: path.to_owned(),
        });
    }
    let body = body.map_err(|error| match error {
        runtime::http::BodyError::TooLarge { .. } => Error::BodyTooLarge,
        _ => Error::BodyBroken,
    })?;
    if path == "/resource-conversion" {
        return convert_resources(&body);
    }
    let review: Review<Request> = decode(&body)?;
    let request = review.request.as_ref().ok_or(Error::NoRequest)?;
    let answer = match path {
        "/validations" => validate_workload(&service, request).await,
        "/mutations" => mutate_workload(&service, request).await,
        "/validating" => validate_resource(&service, request),
        _ => default_resource(request),
    };
    Ok(json_reply(&answer.reply(&review, &request.uid)))
}

fn is_probe(headers: &HeaderMap) -> bool {
    let kubelet = headers
        .get("k-kubelet-probe")
        .is_some_and(|value| !value.is_empty());
    let agent = headers.get(header::USER_AGENT);
    kubelet || agent.is_some_and(|agent| agent.as_bytes().starts_with(b"kube-probe/"))
}

fn decode<R: DeserializeOwned>(body: &[u8]) -> Result<Review<R>, Error> {
    serde_json::from_slice(body).map_err(|reason| Error::Body { reason })
}

fn json_reply(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        format!("{value}\n"),
    )
        .into_response()
}

/// `validation_admit.go`: `/validations`.
async fn validate_workload(service: &Service, request: &Request) -> Answer {
    let failed = |reason: String| Answer::denied(format!("decoding request failed: {reason}"));
    let kind = &request.kind;
    let Some(kind) = Kind::find(&kind.group, &kind.version, &kind.kind) else {
        return failed(format!("unhandled kind: {}", request.kind_text()));
    };
    let (new, old) = match decode_workloads(kind, request) {
        Ok(decoded) => decoded,
        Err(reason) => return failed(reason),
    };
    if !request.is_decided() {
        return Answer::default();
    }
    let Some(new) = new else {
        return Answer::denied("validation failed: the new object may not be nil".to_owned());
    };
    if is_exempt(request, &new, old.as_ref()) {
        return Answer::default();
    }
    service.decide(request, &new).await
}

fn decode_workloads(
    kind: &'static Kind,
    request: &Request,
) -> Result<(Option<Workload>, Option<Workload>), String> {
    let decode = |object: &Value, which: &str| {
        if object.is_null() {
            return Ok(None);
        }
        Workload::decode(kind, object)
            .map(Some)
            .map_err(|reason| format!("cannot decode incoming {which} object: {reason}"))
    };
    Ok((
        decode(&request.object, "new")?,
        decode(&request.old_object, "old")?,
    ))
}

/// What is admitted without a look: objects that go away, status, and fewer replicas of the same.
fn is_exempt(request: &Request, new: &Workload, old: Option<&Workload>) -> bool {
    let update = request.operation == "UPDATE";
    new.is_being_deleted()
        || update && request.sub_resource == "status"
        || update && new.only_scales_down(old)
}

/// `/mutations`: tags become digests.
async fn mutate_workload(service: &Service, request: &Request) -> Answer {
    let failed = |reason: String| Answer::denied(format!("mutation failed: {reason}"));
    if !request.is_decided() {
        return Answer::default();
    }
    let kind = &request.kind;
    let Some(kind) = Kind::find(&kind.group, &kind.version, &kind.kind) else {
        return failed(format!("unhandled kind: {}", request.kind_text()));
    };
    let (new, old) = match decode_workloads(kind, request) {
        Ok(decoded) => decoded,
        Err(reason) => return failed(reason),
    };
    // Divergence: upstream drops the connection here.
    let Some(new) = new else {
        return failed("the new object may not be nil".to_owned());
    };
    let mut operations = Vec::new();
    if !is_exempt(request, &new, old.as_ref()) {
        for (pointer, resolved) in service.resolve(request, &new).await {
            operations.push(json!({"op": "replace", "path": pointer, "value": resolved}));
        }
    }
    Answer {
        patch: Some(patch_or_null(operations)),
        ..Answer::default()
    }
}

fn patch_or_null(operations: Vec<Value>) -> Value {
    if operations.is_empty() {
        Value::Null
    } else {
        Value::Array(operations)
    }
}

/// The two kinds of our own.
enum Resource {
    Policy,
    TrustRoot,
}

fn resource(request: &Request) -> Result<Resource, String> {
    let kind = &request.kind;
    match (
        kind.group.as_str(),
        kind.version.as_str(),
        kind.kind.as_str(),
    ) {
        ("policy.sigstore.dev", "v1alpha1" | "v1beta1", "ClusterImagePolicy") => {
            Ok(Resource::Policy)
        }
        ("policy.sigstore.dev", "v1alpha1", "TrustRoot") => Ok(Resource::TrustRoot),
        _ => Err(format!("unhandled kind: {}", request.kind_text())),
    }
}

fn decode_document<S: DeserializeOwned + Default>(
    object: &Value,
) -> Result<Option<Document<S>>, String> {
    if object.is_null() {
        return Ok(None);
    }
    decode_strictly(object)
        .map(Some)
        .map_err(|reason| format!("cannot decode incoming new object: {reason}"))
}

/// `/validating`: ClusterImagePolicy and TrustRoot.
fn validate_resource(service: &Service, request: &Request) -> Answer {
    let failed = |reason: String| Answer::denied(format!("decoding request failed: {reason}"));
    let resource = match resource(request) {
        Ok(resource) => resource,
        Err(reason) => return failed(reason),
    };
    let errors = match resource {
        Resource::Policy => match decode_document::<crate::policy::Spec>(&request.object) {
            Ok(policy) => policy.map(|policy| {
                let objects = service.objects();
                let limits = Limits {
                    authorities_required: objects.authorities_required,
                    system_namespace: service.system_namespace(),
                };
                validate(&policy.spec, limits)
            }),
            Err(reason) => return failed(reason),
        },
        Resource::TrustRoot => match decode_document::<trust_root::Spec>(&request.object) {
            Ok(root) => root.map(|root| trust_root::validate(&root.spec)),
            Err(reason) => return failed(reason),
        },
    };
    if !request.is_decided() {
        return Answer::default();
    }
    let Some(errors) = errors else {
        return Answer::denied("validation failed: the new object may not be nil".to_owned());
    };
    if request.operation == "UPDATE" && request.sub_resource == "status" {
        return Answer::default();
    }
    Answer {
        denial: errors
            .denial()
            .map(|text| format!("validation failed: {text}")),
        warnings: errors.warnings(),
        patch: None,
    }
}

/// `/defaulting`: ClusterImagePolicy and TrustRoot.
fn default_resource(request: &Request) -> Answer {
    let failed = |reason: String| Answer::denied(format!("mutation failed: {reason}"));
    if !request.is_decided() {
        return Answer::default();
    }
    let operations = resource(request).and_then(|resource| match resource {
        Resource::Policy => {
            let policy = decode_document(&request.object)?;
            default_document(
                &request.object,
                policy,
                |policy: &mut ClusterImagePolicy| {
                    default_policy(policy);
                },
            )
        }
        Resource::TrustRoot => {
            let root = decode_document(&request.object)?;
            default_document(&request.object, root, |root: &mut TrustRoot| {
                default_trust_root(&mut root.spec);
            })
        }
    });
    match operations {
        Ok(operations) => Answer {
            patch: Some(patch_or_null(operations)),
            ..Answer::default()
        },
        Err(reason) => failed(reason),
    }
}

fn default_document<S: Serialize>(
    object: &Value,
    document: Option<Document<S>>,
    fill: impl FnOnce(&mut Document<S>),
) -> Result<Vec<Value>, String> {
    let mut document = document.ok_or("the new object may not be nil")?;
    let typed =
        |document: &Document<S>| serde_json::to_value(document).map_err(|error| error.to_string());
    let before = typed(&document)?;
    fill(&mut document);
    let after = typed(&document)?;
    let mut operations = Vec::new();
    patch(object, &before, "", &mut operations);
    patch(&before, &after, "", &mut operations);
    Ok(operations)
}

/// `/resource-conversion`.
fn convert_resources(body: &[u8]) -> Result<Response, Error> {
    let review: Review<Conversion> = decode(body)?;
    let request = review.request.as_ref().ok_or(Error::NoRequest)?;
    let converted = request
        .objects
        .iter()
        .map(|object| convert(object, &request.desired_api_version))
        .collect::<Result<Vec<_>, _>>();
    let (objects, result) = match converted {
        Ok(objects) => (objects, json!({"metadata": {}, "status": "Success"})),
        Err(message) => {
            let result = json!({"metadata": {}, "status": "Failure", "message": message});
            (Vec::new(), result)
        }
    };
    Ok(json_reply(&json!({
        "kind": review.kind,
        "apiVersion": review.api_version,
        "response": {"uid": request.uid, "convertedObjects": objects, "result": result},
    })))
}

#[derive(Debug, Deserialize)]
struct DecisionsQuery {
    limit: Option<usize>,
}

/// Admin: the latest decisions, newest first.
async fn decisions(
    State(service): State<Arc<Service>>,
    Query(query): Query<DecisionsQuery>,
) -> Response {
    axum::Json(service.decisions(query.limit.unwrap_or(usize::MAX))).into_response()
}

/// Admin: decisions as they are made, as server-sent events.
async fn stream(State(service): State<Arc<Service>>) -> Response {
    let events = futures::stream::unfold(service.follow_decisions(), |mut decisions| async {
        loop {
            match decisions.recv().await {
                Ok(decision) => {
                    let event = Event::default().json_data(&decision);
                    return event
                        .ok()
                        .map(|event| (Ok::<_, Infallible>(event), decisions));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explanation {
    /// A Pod or what makes one.
    object: Value,
    /// YAML of policies to be asked instead of those in force.
    policies: Option<String>,
}

/// Admin: what would be decided, with every step; nothing is recorded.
async fn explain(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    let asked = match serde_json::from_slice::<Explanation>(&body) {
        Ok(asked) => asked,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    match service
        .explain(&asked.object, asked.policies.as_deref())
        .await
    {
        Ok(decision) => axum::Json(decision).into_response(),
        Err(reason) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{reason}\n")).into_response(),
    }
}

/// Admin: what is wrong with the policies in the body, or not as it seems.
async fn lint(body: String) -> Response {
    match crate::lint::lint(&body) {
        Ok(findings) => axum::Json(findings).into_response(),
        Err(reason) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{reason}\n")).into_response(),
    }
}

/// Admin: names and modes of the policies in force.
async fn policies(State(service): State<Arc<Service>>) -> Response {
    let objects = service.objects();
    let list: Vec<Value> = objects
        .policies
        .values()
        .map(|policy| json!({"name": policy.name, "spec": policy.spec}))
        .collect();
    axum::Json(list).into_response()
}

/// Admin: reads the policies on disk now; 422 says why they are not in force.
async fn reload(State(service): State<Arc<Service>>) -> Response {
    match service.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{problem}\n")).into_response(),
    }
}

/// Admin: the authority of the webhook's TLS certificate, for `caBundle`.
async fn authority(State(service): State<Arc<Service>>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/x-pem-file")];
    (headers, service.authority_pem()).into_response()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct ManifestsQuery {
    namespace: Option<String>,
    image: Option<String>,
    url: Option<String>,
    fail_open: bool,
    opt_in: bool,
}

/// Admin: the objects that install this webhook. Without an image they name it by URL, its own unless
/// another is given, and carry its authority.
async fn manifests(
    State(service): State<Arc<Service>>,
    Query(query): Query<ManifestsQuery>,
) -> Result<Response, Error> {
    let outside = query.image.is_none();
    let installation = Installation {
        namespace: query
            .namespace
            .unwrap_or_else(|| service.system_namespace().to_owned()),
        url: outside.then(|| query.url.unwrap_or_else(|| service.own_url())),
        authority_pem: outside.then(|| service.authority_pem()),
        image: query.image,
        fail_open: query.fail_open,
        opt_in: query.opt_in,
    };
    let yaml = installation.to_yaml().map_err(anyhow::Error::from)?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], yaml).into_response())
}
