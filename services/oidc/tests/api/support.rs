//! An issuer in a temporary directory with a ready key, and requests to its router.

use std::{path::Path, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use runtime::{Context, Service as _};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) struct Lab {
    pub(crate) service: Arc<oidc::Service>,
    pub(crate) context: Context,
    pub(crate) dir: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// The `Location` of a redirect, parsed.
    pub(crate) fn location(&self) -> url::Url {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text());
        self.header("location").parse().unwrap()
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(oidc::Config::default()).await
    }

    /// The key is the one of RFC 7515 A.2, so that no test waits for an RSA key to be made.
    pub(crate) async fn with(config: oidc::Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::for_test("oidc", dir.path());
        let vector: Value =
            serde_json::from_str(include_str!("../vectors/rfc7515-a2.json")).unwrap();
        let path = runtime::keys::path(dir.path(), "token");
        runtime::files::create_dirs(path.parent().unwrap()).unwrap();
        runtime::files::write_new(&path, vector["pkcs8"].as_str().unwrap().as_bytes()).unwrap();
        let service = oidc::Service::open(config, context.clone()).await.unwrap();
        Self {
            service,
            context,
            dir,
        }
    }

    /// Seconds since 1970 on the lab's clock.
    pub(crate) fn now(&self) -> i64 {
        self.context.clock.now().as_second()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answer(
            self.service
                .clone()
                .router("http")
                .oneshot(request)
                .await
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// `GET` on the admin door.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        answer(self.service.clone().admin().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn get_with(&self, path: &str, authorization: &str) -> Answer {
        let request = Request::get(path).header(header::AUTHORIZATION, authorization);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, content_type: &str, body: String) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn form(&self, path: &str, body: &str) -> Answer {
        self.post(path, "application/x-www-form-urlencoded", body.to_owned())
            .await
    }
}

async fn answer(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// Part `index` of a compact token, as JSON.
pub(crate) fn part(token: &str, index: usize) -> Value {
    let part = token
        .split('.')
        .nth(index)
        .unwrap_or_else(|| panic!("{token}"));
    serde_json::from_slice(&decode(part)).unwrap()
}

pub(crate) fn claims_of(token: &str) -> Value {
    part(token, 1)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD
        .decode(text)
        .unwrap_or_else(|_| panic!("{text}"))
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a damaged file need not be durable"
)]
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
