//! The certificate authority: from a token and a key to a certificate.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;
use axum::Router;
use crypto::PublicKey;
use runtime::{
    CertificateAuthority, Context, Figure, FigureKind, Listener, ServiceRole, ServiceUrl, Trust,
};
use x509::{Certificate, LeafTemplate};

use crate::{
    api,
    authority::{self, Authority},
    config::Config,
    ctlog::CtLog,
    error::Error,
    grpc,
    guard::Impersonation,
    identity::Principal,
    issuers::Issuers,
    keyset::KeySets,
    proof::{self, AllowList, KeyRequest},
    token::{self, Rejection},
};

/// A certificate authority that identity tokens open.
#[derive(Debug)]
pub struct Service {
    authority: Authority,
    /// The chain in PEM without trailing newlines, issuer first.
    chain_pem: Vec<String>,
    issuers: Issuers,
    keys: KeySets,
    ctlog: Option<CtLog>,
    allowed: AllowList,
    impersonation: Impersonation,
    marker: String,
    log_token_rejections: bool,
    context: Context,
    issued: AtomicU64,
}

/// A certificate that was handed out.
#[derive(Debug)]
pub(crate) struct Issued {
    /// PEM without trailing newlines: leaf first, root last.
    pub(crate) chain: Vec<String>,
    /// Whether the leaf carries its SCT; without a CT log it has none.
    pub(crate) embedded_sct: bool,
}

impl Service {
    /// Checks token and key, logs the precertificate, and signs the certificate. The order of checks is
    /// upstream's: a request that is wrong twice gets the error of the first.
    pub(crate) async fn create_signing_certificate(
        &self,
        token: &str,
        key: &KeyRequest,
    ) -> Result<Issued, Error> {
        let principal = match self.principal(token).await {
            Ok(principal) => principal,
            Err(reason) => {
                if self.log_token_rejections {
                    tracing::info!("identity token refused: {reason}");
                }
                return Err(Error::IdentityToken);
            }
        };
        let public_key = proof::proved_key(key, &principal.name, &self.allowed)?;
        let leaf = self.certify(principal, public_key).await?;
        let mut chain = vec![pem(&leaf)];
        chain.extend(self.chain_pem.iter().cloned());
        self.issued.fetch_add(1, Ordering::Relaxed);
        Ok(Issued {
            chain,
            embedded_sct: self.ctlog.is_some(),
        })
    }

    async fn principal(&self, token: &str) -> Result<Principal<'_>, Rejection> {
        if token.is_empty() {
            return Err(Rejection::NoToken);
        }
        let now = self.context.clock.now();
        let token = token::verify(token, &self.issuers, &self.keys, now).await?;
        let principal = Principal::new(token)?;
        if !self.impersonation.allows(&principal.issuer) {
            return Err(Rejection::Impersonation {
                issuer: principal.issuer,
            });
        }
        Ok(principal)
    }

    async fn certify(
        &self,
        principal: Principal<'_>,
        public_key: PublicKey,
    ) -> Result<Certificate, Error> {
        let now = self.context.clock.now();
        if !self.authority.is_valid(now) {
            let error = anyhow::anyhow!("the certificate authority is not valid at {now}");
            runtime::log_internal(&error);
            return Err(Error::Authority);
        }
        let critical = self.impersonation.marks_critical(&principal.issuer);
        let (san, extensions) = principal.embed()?;
        let template = LeafTemplate::new(public_key, san, extensions, now)
            .map_err(anyhow::Error::from)?
            .marker(&self.marker, critical);
        let (issuer, key) = (self.authority.issuer(), &self.authority.key);
        let Some(ctlog) = &self.ctlog else {
            return Ok(template.sign(issuer, key).map_err(anyhow::Error::from)?);
        };
        let precertificate = template
            .sign_precertificate(issuer, key)
            .map_err(anyhow::Error::from)?;
        let sct = match ctlog
            .add_pre_chain(precertificate.certificate(), issuer)
            .await
        {
            Ok(sct) => sct,
            Err(error) => {
                runtime::log_internal(&error);
                return Err(Error::CtLog);
            }
        };
        precertificate.embed(&[sct], key).map_err(|error| {
            runtime::log_internal(&error.into());
            Error::Authority
        })
    }

    /// The chain, issuer first, root last, each PEM with its trailing newline.
    pub(crate) fn trust_bundle(&self) -> Vec<String> {
        self.authority
            .chain
            .iter()
            .map(Certificate::to_pem)
            .collect()
    }

    /// The issuers whose tokens are taken.
    pub(crate) const fn issuers(&self) -> &Issuers {
        &self.issuers
    }
}

fn pem(certificate: &Certificate) -> String {
    let mut text = certificate.to_pem();
    text.truncate(text.trim_end().len());
    text
}

fn read_issuers(config: &Config, context: &Context) -> anyhow::Result<Issuers> {
    let mut issuers = match &config.issuers_file {
        None => {
            let base = context.urls.text("oidc", "http");
            Issuers::for_lab(&base, &config.impersonate_issuers)?
        }
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("issuers_file {} cannot be read", path.display()))?;
            Issuers::from_text(&text)
                .with_context(|| format!("issuers_file {} cannot be used", path.display()))?
        }
    };
    issuers.play_at(&context.urls.of("oidc", "http"));
    Ok(issuers)
}

fn open_ctlog(
    config: &Config,
    context: &Context,
    chain: &[Certificate],
) -> anyhow::Result<Option<CtLog>> {
    let url = match config.ct_log_url.as_deref() {
        Some("") => return Ok(None),
        Some(url) => url.to_owned(),
        None => context.urls.text("ctlog", "http"),
    };
    url::Url::parse(&url).with_context(|| format!("ct_log_url {url:?} is not a URL"))?;
    let key = match &config.ct_log_public_key {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("ct_log_public_key {} cannot be read", path.display()))?;
            let key = PublicKey::from_pem(&text)
                .with_context(|| format!("ct_log_public_key {} cannot be used", path.display()))?;
            Some(key)
        }
    };
    Ok(Some(CtLog::new(context.http.clone(), &url, key, chain)))
}

impl runtime::Service for Service {
    const NAME: &'static str = "fulcio";
    const LISTENERS: &'static [Listener] =
        &[Listener::http("http", 5555), Listener::http("grpc", 5554)];
    type Config = Config;

    async fn open(config: Config, context: Context) -> anyhow::Result<Arc<Self>> {
        let issuers = read_issuers(&config, &context)?;
        let impersonation = Impersonation::new(
            config.impersonate_issuers.clone(),
            config.impersonation_marker_critical,
        );
        impersonation.check_issuers(&issuers)?;
        let allowed = AllowList::from_names(&config.client_signing_algorithms)?;
        let authority = Authority::open(&config, &context)?;
        let ctlog = open_ctlog(&config, &context, &authority.chain)?;
        Ok(Arc::new(Self {
            chain_pem: authority.chain.iter().map(pem).collect(),
            authority,
            issuers,
            keys: KeySets::new(context.http.clone()),
            ctlog,
            allowed,
            impersonation,
            marker: authority::marker(&context),
            log_token_rejections: config.log_token_rejections,
            context,
            issued: AtomicU64::new(0),
        }))
    }

    fn router(self: Arc<Self>, listener: &'static str) -> Router {
        if listener == "grpc" {
            grpc::router(self)
        } else {
            api::router(self)
        }
    }

    fn trust(&self) -> Trust {
        let url = self.context.urls.text(Self::NAME, "http");
        let root = self.authority.root();
        let starts = self.authority.chain.iter().map(Certificate::not_before);
        let valid_from = starts.max().unwrap_or_default();
        Trust {
            certificate_authorities: vec![CertificateAuthority {
                uri: url.clone(),
                organization: root.subject_organization().unwrap_or_default(),
                common_name: root.subject_common_name().unwrap_or_default(),
                chain: self
                    .authority
                    .chain
                    .iter()
                    .map(|c| c.der().to_vec())
                    .collect(),
                valid_from,
            }],
            services: vec![ServiceUrl {
                role: ServiceRole::CertificateAuthority,
                url,
                major_api_version: 1,
                valid_from,
            }],
            ..Trust::default()
        }
    }

    fn readiness(&self) -> Result<(), String> {
        let now = self.context.clock.now();
        if self.authority.is_valid(now) {
            return Ok(());
        }
        Err(format!("the certificate authority is not valid at {now}"))
    }

    fn figures(&self) -> Vec<Figure> {
        // Counts that a gauge can show stay far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "a counter of certificates")]
        let value = self.issued.load(Ordering::Relaxed) as f64;
        vec![Figure {
            name: "fulcio_new_certs",
            help: "Certificates handed out.",
            kind: FigureKind::Counter,
            value,
        }]
    }
}
