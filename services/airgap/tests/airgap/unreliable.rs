//! Registries that break off, lie, or send elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use airgap::{Error, ExportOptions, Warning, export};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt as _, stream};
use oci::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::fixture::{IMAGE, INDEX, Lab, Made, Signed, scratch, silent};

/// A registry of one image, whose answers are bent.
struct Fake {
    image: Signed,
    bend: Bend,
    requests: AtomicUsize,
}

enum Bend {
    /// Blobs end after 100,000 bytes of each request.
    BreakOff,
    /// Blobs are other bytes of the same length.
    LieAboutBlobs,
    LieAboutManifests,
    /// Blobs go on for ever.
    Endless,
    /// Blobs are on another server.
    Redirect(String),
    /// Every referrers list has these.
    Referrers(Value),
    /// Answers 503 to every second request.
    Busy,
}

async fn answer(State(fake): State<Arc<Fake>>, uri: Uri, headers: HeaderMap) -> Response {
    let count = fake.requests.fetch_add(1, Ordering::SeqCst);
    if matches!(fake.bend, Bend::Busy) && count % 2 == 0 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let path = uri.path();
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.contains("/referrers/") {
        return match &fake.bend {
            Bend::Referrers(list) => {
                ([(header::CONTENT_TYPE, INDEX)], list.to_string()).into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        };
    }
    if path.contains("/manifests/") {
        let tags = fake
            .image
            .tags
            .iter()
            .filter(|(tag, _)| tag == last)
            .map(|(_, made)| made);
        let all = fake
            .image
            .manifests
            .iter()
            .filter(|made| made.digest.to_string() == last);
        let Some(made) = tags.chain(all).next() else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let mut bytes = made.bytes.clone();
        if matches!(fake.bend, Bend::LieAboutManifests) {
            bytes.push(b' ');
        }
        let digest = made.digest.to_string();
        let headers = [
            ("content-type", made.media_type.clone()),
            ("docker-content-digest", digest),
        ];
        return (headers, bytes).into_response();
    }
    let mut blobs = fake.image.blobs.iter();
    let Some((_, bytes)) = blobs.find(|(it, _)| it.to_string() == last) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    blob(&fake.bend, bytes, &headers, path)
}

fn blob(bend: &Bend, bytes: &[u8], headers: &HeaderMap, path: &str) -> Response {
    match bend {
        Bend::LieAboutBlobs => vec![b'x'; bytes.len()].into_response(),
        Bend::Redirect(other) => {
            assert!(headers.get(header::AUTHORIZATION).is_none());
            let location = format!("{other}{path}");
            (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, location)],
            )
                .into_response()
        }
        Bend::Endless => {
            let zeros = Bytes::from_static(&[0; 4096]);
            let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(zeros.clone()));
            Body::from_stream(endless).into_response()
        }
        Bend::BreakOff => {
            let from = headers.get(header::RANGE).map(|value| {
                let text = value.to_str().unwrap().strip_prefix("bytes=").unwrap();
                text.strip_suffix('-').unwrap().parse::<usize>().unwrap()
            });
            let status = if from.is_some() {
                StatusCode::PARTIAL_CONTENT
            } else {
                StatusCode::OK
            };
            let rest = bytes[from.unwrap_or(0)..].to_vec();
            let (length, whole) = (rest.len(), rest.len() <= 300_000);
            let part = if whole {
                rest
            } else {
                rest[..300_000].to_vec()
            };
            let sent = stream::once(async move { Ok(Bytes::from(part)) });
            let broken = stream::iter((!whole).then(|| Err(std::io::Error::other("broken"))));
            let body = Body::from_stream(sent.chain(broken));
            (status, [(header::CONTENT_LENGTH, length)], body).into_response()
        }
        _ => bytes.to_vec().into_response(),
    }
}

async fn fake(bend: Bend) -> (Lab, Made, usize) {
    let mut image = Signed::default();
    let made = image.image("amd64");
    image.tags.push(("v1".to_owned(), made.clone()));
    let blobs = image.blobs.len();
    let state = Arc::new(Fake {
        image,
        bend,
        requests: AtomicUsize::new(0),
    });
    (
        Lab::serve(Router::new().fallback(answer).with_state(state), None).await,
        made,
        blobs,
    )
}

async fn try_export(lab: &Lab) -> Result<airgap::ExportReport, Error> {
    let (dir, path) = scratch("lab.tar");
    let (images, options) = ([lab.image("app:v1")], ExportOptions::default());
    let result = export(&lab.endpoints(), &images, &options, &path, silent()).await;
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(
        left,
        usize::from(result.is_ok()),
        "an unfinished file was left behind"
    );
    result
}

#[tokio::test]
async fn broken_downloads_go_on_where_they_stopped() {
    let (lab, _, blobs) = fake(Bend::BreakOff).await;
    let report = try_export(&lab).await.unwrap();
    assert_eq!(report.blobs, blobs as u64);
}

#[tokio::test]
async fn content_with_another_digest_is_refused() {
    for bend in [Bend::LieAboutBlobs, Bend::LieAboutManifests] {
        let (lab, ..) = fake(bend).await;
        let error = try_export(&lab).await.unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    }
}

#[tokio::test]
async fn endless_blobs_end_at_their_size() {
    let (lab, ..) = fake(Bend::Endless).await;
    let error = try_export(&lab).await.unwrap_err();
    assert!(matches!(error, Error::BlobSize { .. }), "{error}");
}

#[tokio::test]
async fn blobs_are_fetched_where_the_registry_sends() {
    let (elsewhere, ..) = fake(Bend::BreakOff).await;
    let (lab, ..) = fake(Bend::Redirect(format!("http://{}", elsewhere.registry))).await;
    assert!(try_export(&lab).await.is_ok());
    let (lab, ..) = fake(Bend::Redirect("file:///etc".to_owned())).await;
    let error = try_export(&lab).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Answer {
                field: "Location",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn busy_registries_are_asked_again() {
    let (lab, ..) = fake(Bend::Busy).await;
    assert!(try_export(&lab).await.is_ok());
}

#[tokio::test]
async fn referrers_lists_are_not_believed() {
    let gone = Digest::of(Algorithm::Sha256, b"gone");
    let mut all = Signed::default();
    let made = all.image("amd64");
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": IMAGE, "digest": gone, "size": 4},
        made.descriptor(),
    ]});
    let (lab, made, _) = fake(Bend::Referrers(list)).await;
    let report = try_export(&lab).await.unwrap();
    let subject = made.digest.clone();
    assert!(report.warnings.contains(&Warning::ReferrerGone {
        digest: gone,
        subject
    }));
    assert_eq!(report.images[0].signatures, 0);
    assert_eq!(report.unsigned().count(), 1);
}

#[tokio::test]
async fn a_listener_that_is_no_registry_is_named() {
    let page = Router::new().fallback(|_: Request| async { "hello" });
    let lab = Lab::serve(page, None).await;
    let error = try_export(&lab).await.unwrap_err();
    assert!(error.to_string().contains(&lab.registry), "{error}");
}
