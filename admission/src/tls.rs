//! The webhook's TLS identity, renewed while it serves: API servers refuse one that has expired, and with
//! failurePolicy Fail nothing could be created any more.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use runtime::Context;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Time between two renewals; a certificate is good for a week.
const PERIOD: Duration = Duration::from_secs(24 * 3600);

/// Certificate and authority in use.
#[derive(Debug)]
pub(crate) struct Tls {
    names: Vec<String>,
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    authority_pem: RwLock<String>,
}

impl Tls {
    /// A certificate for `names`.
    ///
    /// # Errors
    /// As [`runtime::tls::server`].
    pub(crate) fn new(context: &Context, names: Vec<String>) -> anyhow::Result<Self> {
        let made = runtime::tls::server(context, &names)?;
        let current = Arc::new(Current(RwLock::new(Arc::clone(&made.config.cert_resolver))));
        let mut config = (*made.config).clone();
        config.cert_resolver = Arc::clone(&current) as Arc<dyn ResolvesServerCert>;
        Ok(Self {
            names,
            config: Arc::new(config),
            current,
            authority_pem: RwLock::new(made.authority_pem),
        })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// PEM of the authority that clients must trust.
    pub(crate) fn authority_pem(&self) -> String {
        self.authority_pem
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes a new certificate, for connections from now on.
    ///
    /// # Errors
    /// As [`runtime::tls::server`]; the old one stays.
    pub(crate) fn renew(&self, context: &Context) -> anyhow::Result<()> {
        let made = runtime::tls::server(context, &self.names)?;
        let mut current = self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(&made.config.cert_resolver);
        *self
            .authority_pem
            .write()
            .unwrap_or_else(PoisonError::into_inner) = made.authority_pem;
        Ok(())
    }

    /// Renews once a day.
    pub(crate) async fn keep_fresh(&self, context: &Context) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is at once, and the certificate is new.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            match self.renew(context) {
                Ok(()) => tracing::info!("the TLS certificate is renewed"),
                Err(error) => tracing::error!("the TLS certificate is not renewed: {error:#}"),
            }
        }
    }
}

/// Answers with the certificate in use.
struct Current(RwLock<Arc<dyn ResolvesServerCert>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        current.resolve(hello)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::Tls;

    /// The certificate that a client sees which trusts the authority.
    fn handshake(tls: &Tls) -> CertificateDer<'static> {
        let mut roots = RootCertStore::empty();
        let (_, der) = crypto::from_pem(&tls.authority_pem()).expect("PEM");
        roots.add(CertificateDer::from(der)).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut server = ServerConnection::new(tls.config()).expect("a server");
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("written");
            server.read_tls(&mut bytes.as_slice()).expect("read");
            server.process_new_packets().expect("a server's view");
            bytes.clear();
            server.write_tls(&mut bytes).expect("written");
            client.read_tls(&mut bytes.as_slice()).expect("read");
            client
                .process_new_packets()
                .expect("the authority is trusted");
        }
        client.peer_certificates().expect("a chain")[0]
            .clone()
            .into_owned()
    }

    #[test]
    fn a_renewed_certificate_is_served_below_the_same_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut context = runtime::Context::for_test("admission", dir.path());
        // The client looks at the machine's clock.
        context.clock = runtime::Clock::system();
        let tls = Tls::new(&context, vec!["localhost".to_owned()]).expect("a certificate");
        let (first, authority) = (handshake(&tls), tls.authority_pem());
        tls.renew(&context).expect("renewed");
        assert_ne!(handshake(&tls), first);
        assert_eq!(tls.authority_pem(), authority);
    }
}
