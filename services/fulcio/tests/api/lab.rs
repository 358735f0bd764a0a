//! What the tests stand on: an issuer and a CT log of their own, on loopback, and a Fulcio beside them.

use std::{
    fmt::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Request, StatusCode, Uri},
    response::{IntoResponse as _, Response},
    routing::post,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use crypto::{KeyKind, SigningKey};
use fulcio::{Config, Service};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use runtime::{Context, Service as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use x509::{Certificate, Sct, SignedEntry};

/// What the clock of every test says.
pub(crate) const NOW: i64 = 1_767_225_600;

/// An issuer of tokens: any path below it is an issuer of its own, with the same key.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) key: Mutex<SigningKey>,
    /// Requests that reached it.
    pub(crate) requests: AtomicUsize,
    /// Hosts that it was asked as.
    pub(crate) hosts: Mutex<Vec<String>>,
    /// Answers instead of documents when it is not 200.
    pub(crate) status: AtomicU16,
    /// Members over those of the discovery documents.
    pub(crate) discovery: Mutex<Value>,
    /// Where a redirect leads.
    pub(crate) location: Mutex<String>,
}

impl Issuer {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            key: Mutex::new(SigningKey::generate(KeyKind::Rsa2048).unwrap()),
            requests: AtomicUsize::new(0),
            hosts: Mutex::default(),
            status: AtomicU16::new(200),
            discovery: Mutex::new(json!({})),
            location: Mutex::new(String::new()),
        });
        let router = issuer.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    /// Its documents, for another listener.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .fallback(documents)
            .with_state(Arc::clone(self))
    }

    /// The key id that tokens and key set agree on.
    pub(crate) fn key_id(&self) -> String {
        let id = self.key.lock().unwrap().public_key().key_id();
        URL_SAFE_NO_PAD.encode(&id[..8])
    }

    /// The key as it is now, whatever becomes of it.
    pub(crate) fn key_copy(&self) -> SigningKey {
        SigningKey::from_pkcs8_der(self.key.lock().unwrap().to_pkcs8_der()).unwrap()
    }

    /// A token of these claims, signed as RS256 with a key id.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "kid": self.key_id(), "typ": "JWT"});
        jws(&header, claims, &self.key.lock().unwrap())
    }

    /// A good token of the issuer at `path`, with `claims` over the standard ones.
    pub(crate) fn token(&self, path: &str, claims: &Value) -> String {
        self.sign(&self.claims(path, claims))
    }

    pub(crate) fn claims(&self, path: &str, claims: &Value) -> Value {
        let mut all = json!({
            "iss": format!("{}{path}", self.url),
            "aud": "sigstore",
            "sub": "alice",
            "iat": NOW,
            "exp": NOW + 600,
        });
        let all_members = all.as_object_mut().unwrap();
        all_members.extend(claims.as_object().unwrap().clone());
        all
    }

    pub(crate) fn email_token(&self, email: &str) -> String {
        self.token(
            "",
            &json!({"sub": "c1", "email": email, "email_verified": true}),
        )
    }
}

/// A compact JWS.
pub(crate) fn jws(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut token = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(token.as_bytes()).unwrap();
    write!(token, ".{}", URL_SAFE_NO_PAD.encode(signature)).unwrap();
    token
}

async fn documents(State(issuer): State<Arc<Issuer>>, uri: Uri, headers: HeaderMap) -> Response {
    issuer.requests.fetch_add(1, Ordering::SeqCst);
    let status = StatusCode::from_u16(issuer.status.load(Ordering::SeqCst)).unwrap();
    let location = issuer.location.lock().unwrap().clone();
    if status.is_redirection() {
        return (status, [("location", location)]).into_response();
    }
    if status != StatusCode::OK {
        return status.into_response();
    }
    let host = headers["host"].to_str().unwrap();
    issuer.hosts.lock().unwrap().push(host.to_owned());
    if let Some(path) = uri.path().strip_suffix("/.well-known/openid-configuration") {
        let mut document = json!({
            "issuer": format!("http://{host}{path}"),
            "jwks_uri": format!("http://{host}/keys"),
        });
        let more = issuer.discovery.lock().unwrap().clone();
        document
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        return Json(document).into_response();
    }
    let key = issuer.key.lock().unwrap();
    let jwk = match key.public_key().rsa_components() {
        Some((n, e)) => json!({
            "kty": "RSA", "kid": "", "use": "sig", "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e),
        }),
        None => {
            let point = &key.public_key().raw_bytes()[1..];
            let (x, y) = point.split_at(32);
            json!({
                "kty": "EC", "kid": "", "crv": "P-256",
                "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
            })
        }
    };
    drop(key);
    let mut jwk = jwk;
    jwk["kid"] = json!(issuer.key_id());
    let unknown = json!({"kty": "unheard of", "kid": "x"});
    Json(json!({"keys": [unknown, jwk]})).into_response()
}

/// A CT log that signs what it gets.
pub(crate) struct CtLog {
    pub(crate) url: String,
    pub(crate) key: SigningKey,
    /// Chains as they came.
    pub(crate) chains: Mutex<Vec<Vec<Vec<u8>>>>,
    /// Answers, first to last, before those of 200.
    pub(crate) failures: Mutex<Vec<(u16, &'static str)>>,
    /// Whether the signature is broken.
    pub(crate) lies: std::sync::atomic::AtomicBool,
}

impl CtLog {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let log = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            key: SigningKey::generate(KeyKind::EcdsaP256).unwrap(),
            chains: Mutex::default(),
            failures: Mutex::default(),
            lies: false.into(),
        });
        let router = Router::new()
            .route("/ct/v1/add-pre-chain", post(add_pre_chain))
            .with_state(Arc::clone(&log));
        tokio::spawn(async move { axum::serve(listener, router).await });
        log
    }
}

async fn add_pre_chain(State(log): State<Arc<CtLog>>, Json(body): Json<Value>) -> Response {
    let failure = {
        let mut failures = log.failures.lock().unwrap();
        if failures.is_empty() {
            None
        } else {
            Some(failures.remove(0))
        }
    };
    if let Some((status, retry_after)) = failure {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, [("retry-after", retry_after)], "broken").into_response();
    }
    let chain: Vec<Vec<u8>> = body["chain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap())
        .collect();
    let precertificate = Certificate::from_der(&chain[0]).unwrap();
    let issuer = Certificate::from_der(&chain[1]).unwrap();
    log.chains.lock().unwrap().push(chain);
    let timestamp = u64::try_from(NOW).unwrap() * 1000 + 7;
    let tbs = precertificate.precertificate_tbs();
    let issuer_key_hash = crypto::sha256(issuer.spki_der());
    let extensions = b"leaf index";
    let entry = SignedEntry::Precertificate {
        issuer_key_hash,
        tbs: &tbs,
    };
    let mut input = Sct::signature_input(timestamp, entry, extensions);
    if log.lies.load(Ordering::SeqCst) {
        input.push(0);
    }
    let signature = log.key.sign(&input).unwrap();
    let mut signed = vec![4, 3];
    signed.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
    signed.extend(signature);
    Json(json!({
        "sct_version": 0,
        "id": STANDARD.encode(log.key.public_key().key_id()),
        "timestamp": timestamp,
        "extensions": STANDARD.encode(extensions),
        "signature": STANDARD.encode(signed),
    }))
    .into_response()
}

/// A Fulcio with its peers.
pub(crate) struct Lab {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) ctlog: Arc<CtLog>,
    pub(crate) service: Arc<Service>,
    pub(crate) context: Context,
    pub(crate) dir: TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The chain of a v2 answer.
    pub(crate) fn chain(&self) -> Vec<Certificate> {
        assert_eq!(self.status, 200, "{}", self.body);
        let answer = self.json();
        let certificate = answer.as_object().unwrap().values().next().unwrap();
        let pems = certificate["chain"]["certificates"].as_array().unwrap();
        pems.iter()
            .map(|pem| Certificate::from_pem(pem.as_str().unwrap()).unwrap())
            .collect()
    }

    /// Asserts upstream's error body.
    pub(crate) fn refused(&self, status: u16, code: u8, message: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(
            self.json(),
            json!({"code": code, "message": message, "details": []})
        );
        assert_eq!(self.header("content-type"), "application/json");
    }

    pub(crate) fn bad_token(&self) {
        self.refused(400, 3, "There was an error processing the identity token");
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| Config::default()).await
    }

    /// A lab whose configuration may name its issuer, and keep files in its directory.
    pub(crate) async fn with(config: impl FnOnce(&Issuer, &Path) -> Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let issuer = Issuer::start().await;
        let ctlog = CtLog::start().await;
        let config = config(&issuer, dir.path());
        let mut context = Context::for_test("fulcio", &dir.path().join("fulcio"));
        context.urls = context
            .urls
            .with("oidc", "http", issuer.url.parse().unwrap())
            .with("ctlog", "http", ctlog.url.parse().unwrap());
        let service = Service::open(config, context.clone()).await.unwrap();
        Self {
            issuer,
            ctlog,
            service,
            context,
            dir,
        }
    }

    /// Issuers as of upstream's file, `ISSUER` standing for the lab's.
    pub(crate) async fn with_issuers(yaml: &str) -> Self {
        Self::with_issuers_and(yaml, |_| {}).await
    }

    /// The same with further settings.
    pub(crate) async fn with_issuers_and(yaml: &str, more: impl FnOnce(&mut Config)) -> Self {
        Self::with(|issuer, dir| {
            let path = dir.join("issuers.yaml");
            let text = yaml.replace("ISSUER", &issuer.url);
            std::fs::File::create(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                .unwrap();
            let mut config = Config {
                issuers_file: Some(path),
                ..Config::default()
            };
            more(&mut config);
            config
        })
        .await
    }

    /// Starts the service again on the same directory.
    pub(crate) async fn reopen(&mut self, config: Config) -> anyhow::Result<()> {
        self.service = Service::open(config, self.context.clone()).await?;
        Ok(())
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let router = Arc::clone(&self.service).router("http");
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        let request = match token {
            "" => request,
            token => request.header("authorization", format!("Bearer {token}")),
        };
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn v2(&self, token: &str, body: &Value) -> Answer {
        self.post("/api/v2/signingCert", token, body.to_string())
            .await
    }

    /// A v2 request with a key of `kind` that proves possession over `name`.
    pub(crate) async fn sign(&self, token: &str, name: &str) -> Answer {
        let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        self.v2(token, &public_key_request(&key, name)).await
    }

    /// The certificate for a good token of the issuer at `path`, possession proved over `name`.
    pub(crate) async fn leaf(&self, path: &str, claims: &Value, name: &str) -> Certificate {
        let token = self.issuer.token(path, claims);
        self.sign(&token, name).await.chain().remove(0)
    }

    /// The chain of a certificate for an address.
    pub(crate) async fn chain_for(&self, email: &str) -> Vec<Certificate> {
        let token = self.issuer.email_token(email);
        self.sign(&token, email).await.chain()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }
}

/// A request body with the key and a signature over `name`.
pub(crate) fn public_key_request(key: &SigningKey, name: &str) -> Value {
    json!({"publicKeyRequest": {
        "publicKey": {"algorithm": "ECDSA", "content": key.public_key().to_pem()},
        "proofOfPossession": STANDARD.encode(key.sign(name.as_bytes()).unwrap()),
    }})
}

/// Writes a file of a test.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::File::create(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .unwrap();
    path
}

/// What OpenSSL prints when it succeeds, as it must.
pub(crate) fn openssl(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = std::process::Command::new("openssl");
    let output = command.args(arguments).current_dir(dir).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
