//! The issuer: its key, the sign-ins that wait, and the operations of OAuth in its own words.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::{KeyKind, SigningKey};
use jiff::Timestamp;
use runtime::{Clock, Figure, FigureKind, Listener, ServiceRole, ServiceUrl, Trust};
use serde_json::{Map, Value, json};
use tokio::sync::{OnceCell, watch};

use crate::{
    Config, Error,
    grant::{Authorization, Device},
    hostile::Flaw,
    jwt::{TokenKey, at_hash},
    pending::Pending,
    preset::Preset,
    token::{Issuer, Issuers, TokenRequest},
};

/// Sign-ins of each kind that may wait at once; each takes a few hundred bytes.
const PENDING_MAX: usize = 1024;

/// HTTP clients and servers refuse longer headers; a token travels in one.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The audience of request tokens for the ambient endpoint; no identity token has it.
const REQUEST_TOKEN_AUDIENCE: &str = "urn:siglab:actions-id-token-request";

/// A job may run for a day.
const REQUEST_TOKEN_SECS: i64 = 86_400;

type KeyState = Option<Result<Arc<TokenKey>, String>>;

/// The issuer's state.
#[derive(Debug)]
pub struct Service {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    /// External URL without a trailing slash: the issuer of the email preset.
    base: String,
    /// `None` until the key is read or made.
    key: watch::Receiver<KeyState>,
    since: Timestamp,
    tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) codes: Mutex<Pending<Authorization>>,
    pub(crate) devices: Mutex<Devices>,
    tokens_issued: AtomicU64,
    /// A key that is published nowhere, for hostile tokens; made when first asked for.
    unpublished_key: OnceCell<SigningKey>,
}

/// Waiting devices by device code, and device codes by user code.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) by_code: Pending<Device>,
    pub(crate) by_user_code: Pending<String>,
}

/// Tokens as the token endpoint returns them.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) id_token: String,
    pub(crate) expires_in: i64,
}

impl runtime::Service for Service {
    const NAME: &'static str = "oidc";
    const LISTENERS: &'static [Listener] = &[Listener::http("http", 8080)];
    type Config = Config;

    async fn open(config: Config, context: runtime::Context) -> anyhow::Result<Arc<Self>> {
        if let Some(problem) = config.problem() {
            anyhow::bail!(problem);
        }
        for played in &config.impersonate_issuers {
            tracing::warn!(
                issuer = played.issuer,
                "tokens may claim an issuer that is not this lab's"
            );
        }
        let base = context
            .urls
            .own("http")
            .as_str()
            .trim_end_matches('/')
            .to_owned();
        refuse_public(&base, &config)?;
        let tls = open_tls(&base, &config, &context)?;
        let since = first_start(&context)?;
        let key = open_key(&context)?;
        Ok(Arc::new(Self {
            base,
            tls,
            clock: context.clock,
            config,
            key,
            since,
            codes: Mutex::new(Pending::new(PENDING_MAX)),
            devices: Mutex::new(Devices {
                by_code: Pending::new(PENDING_MAX),
                by_user_code: Pending::new(PENDING_MAX),
            }),
            tokens_issued: AtomicU64::new(0),
            unpublished_key: OnceCell::new(),
        }))
    }

    fn router(self: Arc<Self>, _listener: &'static str) -> axum::Router {
        crate::api::router(self)
    }

    fn admin(self: Arc<Self>) -> axum::Router {
        crate::api::admin(self)
    }

    fn speaks_tls(config: &Config, _listener: &Listener) -> bool {
        config.tls
    }

    fn tls(&self, _listener: &'static str) -> Option<Arc<rustls::ServerConfig>> {
        self.tls.clone()
    }

    fn trust(&self) -> Trust {
        let service = ServiceUrl {
            role: ServiceRole::OidcProvider,
            url: self.base.clone(),
            major_api_version: 1,
            valid_from: self.since,
        };
        Trust {
            services: vec![service],
            ..Trust::default()
        }
    }

    fn readiness(&self) -> Result<(), String> {
        match &*self.key.borrow() {
            Some(Ok(_)) => Ok(()),
            Some(Err(problem)) => Err(problem.clone()),
            None => Err("the signing key is being made".to_owned()),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let waiting = lock(&self.codes).len() + lock(&self.devices).by_code.len();
        vec![
            Figure {
                name: "siglab_oidc_tokens_issued_total",
                help: "Tokens signed since the start.",
                kind: FigureKind::Counter,
                value: count(self.tokens_issued.load(Ordering::Relaxed)),
            },
            Figure {
                name: "siglab_oidc_sign_ins_waiting",
                help: "Authorization and device codes that are kept.",
                kind: FigureKind::Gauge,
                value: count(waiting as u64),
            },
        ]
    }
}

const fn count(number: u64) -> f64 {
    number as f64
}

/// A poisoned lock means that a panic left a half-written map: go down with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("no code panics while it holds this lock")
}

/// An external URL of a public issuer would make all tokens claim it: that needs the setting too.
fn refuse_public(base: &str, config: &Config) -> anyhow::Result<()> {
    let listed = config
        .impersonate_issuers
        .iter()
        .any(|played| played.issuer == base);
    anyhow::ensure!(
        listed || !x509::public_instance::is_public_issuer(base),
        "oidc.external_url {base} is a public issuer's; list it under oidc.impersonate_issuers to play it"
    );
    Ok(())
}

fn open_tls(
    base: &str,
    config: &Config,
    context: &runtime::Context,
) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    if !config.tls {
        return Ok(None);
    }
    anyhow::ensure!(
        base.starts_with("https://"),
        "oidc.tls needs an https oidc.external_url"
    );
    let played = config
        .impersonate_issuers
        .iter()
        .map(|played| played.issuer.as_str());
    let mut names: Vec<String> = std::iter::once(base)
        .chain(played)
        .filter_map(|url| url::Url::parse(url).ok()?.host_str().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    Ok(Some(runtime::tls::server(context, &names)?.config))
}

/// When this issuer began, kept so that the signing config does not change with each start.
fn first_start(context: &runtime::Context) -> anyhow::Result<Timestamp> {
    let path = context.dir.join("since");
    if let Some(bytes) = runtime::files::read_optional(&path)? {
        return std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .with_context(|| format!("{} is not a timestamp", path.display()));
    }
    let since = context.clock.backdated();
    runtime::files::write_new(&path, since.to_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(since)
}

/// Reads the key, or begins to make it: an RSA key takes a fraction of a second, and nothing else has to
/// wait for it. A key file that cannot be used stops the start.
fn open_key(context: &runtime::Context) -> anyhow::Result<watch::Receiver<KeyState>> {
    let path = runtime::keys::path(&context.dir, "token");
    if path.exists() {
        let key = make_key(context.dir.clone())?;
        return Ok(watch::channel(Some(Ok(Arc::new(key)))).1);
    }
    let (sender, receiver) = watch::channel(None);
    let dir = context.dir.clone();
    // Not one of the context's tasks: a key file is written whole even if the lab stops meanwhile.
    tokio::task::spawn_blocking(move || {
        let state = make_key(dir).map(Arc::new).map_err(|error| {
            tracing::error!("the token key could not be made: {error:#}");
            format!("the token key could not be made: {error:#}")
        });
        sender.send_replace(Some(state));
    });
    Ok(receiver)
}

fn make_key(dir: PathBuf) -> anyhow::Result<TokenKey> {
    TokenKey::new(runtime::keys::load_or_generate(
        &dir,
        "token",
        KeyKind::Rsa2048,
    )?)
}

impl Service {
    pub(crate) fn issuers(&self) -> Issuers<'_> {
        Issuers {
            base: &self.base,
            config: &self.config,
        }
    }

    /// This lab's own issuer of a preset.
    pub(crate) fn issuer(&self, preset: Preset) -> Issuer {
        Issuer {
            preset,
            url: self.issuers().url(preset),
        }
    }

    /// The key; waits while it is being made.
    pub(crate) async fn key(&self) -> Result<Arc<TokenKey>, Error> {
        let mut key = self.key.clone();
        let state = key
            .wait_for(Option::is_some)
            .await
            .context("the key's maker is gone")?;
        match state.as_ref().expect("waited for") {
            Ok(key) => Ok(key.clone()),
            Err(problem) => Err(Error::Internal(anyhow::anyhow!(problem.clone()))),
        }
    }

    /// The token that `request` asks for at issuer `at`.
    pub(crate) async fn identity_token(
        &self,
        at: &Issuer,
        request: TokenRequest,
    ) -> Result<String, Error> {
        let claims = self
            .issuers()
            .claims(at, request, self.clock.now(), random_id()?)?;
        self.sign(&claims).await
    }

    async fn sign(&self, claims: &Map<String, Value>) -> Result<String, Error> {
        let token = self.key().await?.sign(claims)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::TokenTooLarge {
                bytes: token.len(),
                max: TOKEN_BYTES_MAX,
            });
        }
        self.tokens_issued.fetch_add(1, Ordering::Relaxed);
        Ok(token)
    }

    /// A token with a flaw that verifiers must see.
    pub(crate) async fn hostile_token(
        &self,
        request: TokenRequest,
        flaw: Flaw,
    ) -> Result<String, Error> {
        let at = self.issuer(Preset::Email);
        let claims = self
            .issuers()
            .claims(&at, request, self.clock.now(), random_id()?)?;
        let make = async || {
            let made = tokio::task::spawn_blocking(|| SigningKey::generate(KeyKind::Rsa2048));
            anyhow::Ok(made.await??)
        };
        let other = self.unpublished_key.get_or_try_init(make).await?;
        tracing::info!(%flaw, "a hostile token was handed out");
        Ok(flaw.sign(&claims, &*self.key().await?, other)?)
    }

    /// What a grant gives: two tokens with the same identity. The access token is a token for the same
    /// audience too, because sigstore-python uses it as the identity token (spec/fulcio.md §4.6).
    pub(crate) async fn tokens(
        &self,
        at: &Issuer,
        request: TokenRequest,
        client_id: &str,
        nonce: Option<&str>,
    ) -> Result<Tokens, Error> {
        let now = self.clock.now();
        let request = request.with_audience(client_id);
        let mut claims = self
            .issuers()
            .claims(at, request.clone(), now, random_id()?)?;
        let access_token = self.sign(&claims).await?;
        claims.insert("jti".to_owned(), json!(random_id()?));
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        claims.insert("at_hash".to_owned(), json!(at_hash(&access_token)));
        for name in &request.omit {
            claims.shift_remove(name);
        }
        let expires = claims
            .get("exp")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        let id_token = self.sign(&claims).await?;
        Ok(Tokens {
            access_token,
            id_token,
            expires_in: expires - now.as_second(),
        })
    }

    /// The claims of one of this service's tokens that has not expired and is no request token.
    pub(crate) async fn verified(&self, token: &str) -> Result<Map<String, Value>, Error> {
        let claims = self.key().await?.verify(token).ok_or(Error::AccessToken)?;
        let ends = claims
            .get("exp")
            .and_then(Value::as_i64)
            .ok_or(Error::AccessToken)?;
        if ends <= self.clock.now().as_second() || is_request_token(&claims) {
            return Err(Error::AccessToken);
        }
        Ok(claims)
    }

    /// A token that a job shows to the ambient endpoint; it carries what the job's identity tokens say.
    pub(crate) async fn request_token(&self, claims: Map<String, Value>) -> Result<String, Error> {
        let ends = self.clock.now().as_second() + REQUEST_TOKEN_SECS;
        let token = json!({
            "iss": self.issuer(Preset::GithubActions).url,
            "aud": REQUEST_TOKEN_AUDIENCE,
            "exp": ends,
            "job": claims,
        });
        let Value::Object(token) = token else {
            unreachable!("an object literal")
        };
        self.sign(&token).await
    }

    /// What the job of a request token is.
    pub(crate) async fn job(&self, request_token: &str) -> Result<Map<String, Value>, Error> {
        if request_token == self.config.actions_request_token {
            return Ok(Map::new());
        }
        let mut claims = self
            .key()
            .await?
            .verify(request_token)
            .ok_or(Error::RequestToken)?;
        let ends = claims
            .get("exp")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        if !is_request_token(&claims) || ends <= self.clock.now().as_second() {
            return Err(Error::RequestToken);
        }
        match claims.shift_remove("job") {
            Some(Value::Object(job)) => Ok(job),
            _ => Err(Error::RequestToken),
        }
    }
}

fn is_request_token(claims: &Map<String, Value>) -> bool {
    claims.get("aud").and_then(Value::as_str) == Some(REQUEST_TOKEN_AUDIENCE)
}

/// 128 random bits, base64url: for `jti` and for codes.
pub(crate) fn random_id() -> Result<String, Error> {
    let bytes = crypto::random_bytes::<16>().context("no randomness")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
