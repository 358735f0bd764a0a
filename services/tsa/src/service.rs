//! The authority: its chain, the last time it gave, and the making of timestamps.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use anyhow::Context as _;
use jiff::Timestamp;
use runtime::{
    CertificateAuthority, Clock, Figure, FigureKind, Listener, ServiceRole, ServiceUrl, Trust,
};
use tsp::{Authority, Stamp, TimestampRequest};
use x509::ObjectIdentifier;

use crate::{
    Config, Error,
    store::{Chain, LastIssued},
};

/// Upstream's authority always claims one second.
const ACCURACY_SECS: u32 = 1;

/// The authority's state.
#[derive(Debug)]
pub struct Service {
    pub(crate) config: Config,
    clock: Clock,
    chain: Chain,
    /// PEM of the chain, leaf first.
    pub(crate) chain_pem: String,
    /// External URL without a trailing slash.
    url: String,
    policy: ObjectIdentifier,
    accepted_policies: Vec<ObjectIdentifier>,
    /// Locked for the one write of each new second.
    last_issued: Arc<Mutex<LastIssued>>,
    /// The second of `last_issued` that is durable: at it no lock is needed.
    durable_second: AtomicI64,
    /// A write failed: what the disk holds is unknown, so nothing is stamped until a restart (P7).
    storage_failed: AtomicBool,
    timestamps_issued: AtomicU64,
}

impl runtime::Service for Service {
    const NAME: &'static str = "tsa";
    const LISTENERS: &'static [Listener] = &[Listener::http("http", 3004)];
    type Config = Config;

    async fn open(config: Config, context: runtime::Context) -> anyhow::Result<Arc<Self>> {
        anyhow::ensure!(
            config.ca_validity_days > 0,
            "tsa.ca_validity_days must be above 0"
        );
        let parse = |key: &'static str, text: &String| {
            ObjectIdentifier::new(text)
                .map_err(|_| anyhow::anyhow!("tsa.{key}: {text:?} is no object identifier"))
        };
        let policy = parse("default_policy_oid", &config.default_policy_oid)?;
        let mut accepted_policies = vec![policy];
        for text in &config.accepted_policy_oids {
            accepted_policies.push(parse("accepted_policy_oids", text)?);
        }
        let chain = open_chain(&config, &context)?;
        let last_issued = LastIssued::load(&context.dir)?;
        Ok(Arc::new(Self {
            chain_pem: chain.to_pem(),
            url: context
                .urls
                .own("http")
                .as_str()
                .trim_end_matches('/')
                .to_owned(),
            clock: context.clock,
            chain,
            config,
            policy,
            accepted_policies,
            durable_second: AtomicI64::new(last_issued.second()),
            last_issued: Arc::new(Mutex::new(last_issued)),
            storage_failed: AtomicBool::new(false),
            timestamps_issued: AtomicU64::new(0),
        }))
    }

    fn router(self: Arc<Self>, _listener: &'static str) -> axum::Router {
        crate::api::router(self)
    }

    fn trust(&self) -> Trust {
        let leaf = self.chain.leaf();
        let root = self
            .chain
            .certificates
            .last()
            .expect("a chain has two certificates at least");
        let uri = format!("{}/api/v1/timestamp", self.url);
        let authority = CertificateAuthority {
            uri: uri.clone(),
            organization: root.subject_organization().unwrap_or_default(),
            common_name: root.subject_common_name().unwrap_or_default(),
            chain: self
                .chain
                .certificates
                .iter()
                .map(|c| c.der().to_vec())
                .collect(),
            valid_from: leaf.not_before(),
        };
        let service = ServiceUrl {
            role: ServiceRole::TimestampAuthority,
            url: uri,
            major_api_version: 1,
            valid_from: leaf.not_before(),
        };
        Trust {
            timestamp_authorities: vec![authority],
            services: vec![service],
            ..Trust::default()
        }
    }

    fn readiness(&self) -> Result<(), String> {
        if self.storage_failed.load(Ordering::SeqCst) {
            return Err("the time of the last timestamp could not be stored".to_owned());
        }
        let now = self.clock.now();
        self.check_validity(now)
            .map_err(|error| error.to_string())?;
        if now.as_second() < self.durable_second.load(Ordering::SeqCst) {
            return Err(Error::ClockBehind.to_string());
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let issued = self.timestamps_issued.load(Ordering::Relaxed);
        vec![Figure {
            name: "siglab_tsa_timestamps_issued_total",
            help: "Timestamps signed since the start.",
            kind: FigureKind::Counter,
            value: issued as f64,
        }]
    }
}

fn open_chain(config: &Config, context: &runtime::Context) -> anyhow::Result<Chain> {
    match (&config.certificate_chain_path, &config.file_signer_key_path) {
        (Some(chain), Some(key)) => {
            Chain::from_files(chain, key, config.file_signer_passwd.as_deref())
        }
        (None, None) => Chain::load_or_generate(
            &context.dir,
            &context.instance,
            context.clock.backdated(),
            config.ca_validity_days,
        ),
        _ => anyhow::bail!(
            "tsa.certificate_chain_path and tsa.file_signer_key_path are set together or not at all"
        ),
    }
}

impl Service {
    /// DER of the TimeStampResp that answers `request`.
    pub(crate) async fn timestamp(&self, request: TimestampRequest) -> Result<Vec<u8>, Error> {
        let policy = request.policy.unwrap_or(self.policy);
        if !self.accepted_policies.contains(&policy) {
            return Err(Error::Policy);
        }
        if request.has_extensions {
            return Err(Error::Extension);
        }
        let gen_time = self.next_time().await?;
        let stamp = Stamp {
            policy,
            serial: crypto::random_bytes().context("no randomness for a serial number")?,
            gen_time,
            accuracy_secs: ACCURACY_SECS,
        };
        let [leaf, others @ ..] = self.chain.certificates.as_slice() else {
            unreachable!("a chain has two certificates at least");
        };
        let others = if self.config.include_chain_in_response {
            others
        } else {
            &[]
        };
        let authority = Authority {
            key: &self.chain.key,
            leaf,
            others,
        };
        let response = authority
            .respond(&request, &stamp)
            .context("a timestamp could not be made")?;
        self.timestamps_issued.fetch_add(1, Ordering::Relaxed);
        Ok(response)
    }

    /// The time of a timestamp, durable as the last one. Another request may have moved on to the next
    /// second since this one read the clock; then the clock shows that second too, if it is right.
    async fn next_time(&self) -> Result<Timestamp, Error> {
        let first = self.clock.now();
        self.check_validity(first)?;
        match self.record(first.as_second()).await {
            Err(Error::ClockBehind) => {}
            recorded => return recorded.map(|()| first),
        }
        let second = self.clock.now();
        self.check_validity(second)?;
        self.record(second.as_second()).await.map(|()| second)
    }

    fn check_validity(&self, now: Timestamp) -> Result<(), Error> {
        let leaf = self.chain.leaf();
        if now < leaf.not_before() || now > leaf.not_after() {
            return Err(Error::ClockOutsideValidity);
        }
        Ok(())
    }

    /// Makes sure that `second` is on the disk as the last one, or refuses when a later one is.
    async fn record(&self, second: i64) -> Result<(), Error> {
        if self.storage_failed.load(Ordering::SeqCst) {
            return Err(Error::Internal(anyhow::anyhow!("an earlier write failed")));
        }
        match second.cmp(&self.durable_second.load(Ordering::SeqCst)) {
            std::cmp::Ordering::Less => return Err(Error::ClockBehind),
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Greater => {}
        }
        let last_issued = self.last_issued.clone();
        let recorded = tokio::task::spawn_blocking(move || {
            let mut last = last_issued
                .lock()
                .expect("no code panics while it holds this lock");
            if last.second() < second {
                last.advance(second)?;
            }
            anyhow::Ok(last.second())
        });
        let last = recorded
            .await
            .context("the write was cut short")
            .and_then(|last| last);
        match last {
            Ok(last) => {
                self.durable_second.fetch_max(last, Ordering::SeqCst);
                if last > second {
                    Err(Error::ClockBehind)
                } else {
                    Ok(())
                }
            }
            Err(error) => {
                self.storage_failed.store(true, Ordering::SeqCst);
                Err(Error::Internal(error))
            }
        }
    }
}
