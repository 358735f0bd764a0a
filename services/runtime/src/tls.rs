//! The lab's own TLS authority: one per directory, made on first start, with one certificate per server.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use crypto::KeyKind;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{Context, files, keys};

/// Days that the authority is valid (RELIABILITY "Safe defaults" 5).
const AUTHORITY_DAYS: i64 = 90;

/// Days that a server certificate is valid; a new one is made on every start.
const SERVER_DAYS: i64 = 7;

/// A server's TLS identity.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For [`crate::Service::tls`].
    pub config: Arc<ServerConfig>,
    /// The authority that clients must trust, PEM.
    pub authority_pem: String,
}

/// Makes a server certificate for `names` (DNS names or IP addresses) below the authority kept in the
/// service's directory, which is made on first start.
///
/// # Errors
/// When the kept key or certificate cannot be used, or time is outside every calendar.
pub fn server(context: &Context, names: &[String]) -> anyhow::Result<ServerTls> {
    let now = context.clock.now();
    let authority_key = key_pair(&context.dir, "tls-authority")?;
    let authority_pem = authority(context, &authority_key, now)?;
    let params = authority_params(&context.instance, now, AUTHORITY_DAYS)?;
    let issuer = Issuer::from_params(&params, authority_key);

    let server_key = key_pair(&context.dir, "tls-server")?;
    let params = server_params(&context.instance, names, now, SERVER_DAYS)?;
    let certificate = params.signed_by(&server_key, &issuer)?;

    let chain = vec![certificate.der().clone(), authority_der(&authority_pem)?];
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    Ok(ServerTls {
        config: config(chain, private)?,
        authority_pem,
    })
}

/// A TLS identity from PEM files: the chain leaf first, and its PKCS#8 key.
///
/// # Errors
/// One line that names the file that cannot be used.
pub fn from_files(chain: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let certificates = certificates(&read(chain)?)
        .with_context(|| format!("{} cannot be used", chain.display()))?;
    let (_, der) =
        crypto::from_pem(&read(key)?).with_context(|| format!("{} is not PEM", key.display()))?;
    config(
        certificates,
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
    )
    .with_context(|| format!("{} and {} do not fit", chain.display(), key.display()))
}

/// The certificates of a PEM text; there must be one.
///
/// # Errors
/// What is wrong with the text.
pub fn certificates(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = crypto::from_pem_chain(pem)?
        .into_iter()
        .filter(|(label, _)| label == "CERTIFICATE")
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    anyhow::ensure!(!found.is_empty(), "it has no certificate");
    Ok(found)
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn key_pair(dir: &Path, role: &str) -> anyhow::Result<KeyPair> {
    let key = keys::load_or_generate(dir, role, KeyKind::EcdsaP256)?;
    Ok(KeyPair::try_from(key.to_pkcs8_der())?)
}

/// The authority's certificate, kept so that clients need to learn it once; a new one only when it has
/// less than a server certificate's lifetime left.
fn authority(context: &Context, key: &KeyPair, now: Timestamp) -> anyhow::Result<String> {
    let path = context.dir.join("tls-authority.pem");
    let renew_path = context.dir.join("tls-authority.renew");
    let renew_at = files::read_optional(&renew_path)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.trim().parse::<Timestamp>().ok());
    if let (Some(renew_at), Some(pem)) = (renew_at, files::read_optional(&path)?)
        && now < renew_at
    {
        let pem = String::from_utf8(pem).context("tls-authority.pem is not text")?;
        // A certificate holds its key's SubjectPublicKeyInfo as it is.
        let spki = key.subject_public_key_info();
        let certificate = authority_der(&pem).context("tls-authority.pem cannot be used")?;
        anyhow::ensure!(
            certificate.windows(spki.len()).any(|bytes| bytes == spki),
            "key {} is not that of tls-authority.pem: restore them together, or remove both",
            keys::path(&context.dir, "tls-authority").display()
        );
        return Ok(pem);
    }
    let params = authority_params(&context.instance, now, AUTHORITY_DAYS)?;
    let pem = params.self_signed(key)?.pem();
    files::replace(&path, pem.as_bytes())?;
    let renew_at = now + jiff::SignedDuration::from_hours(24 * (AUTHORITY_DAYS - SERVER_DAYS - 1));
    files::replace(&renew_path, renew_at.to_string().as_bytes())?;
    Ok(pem)
}

pub(crate) fn server_params(
    instance: &str,
    names: &[String],
    now: Timestamp,
    days: i64,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names.to_vec()).context("a TLS name is not valid")?;
    params.distinguished_name = name(instance, "TLS server");
    validity(&mut params, now, days)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

pub(crate) fn authority_params(
    instance: &str,
    now: Timestamp,
    days: i64,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(instance, "TLS authority");
    validity(&mut params, now, days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn authority_der(pem: &str) -> anyhow::Result<CertificateDer<'static>> {
    Ok(CertificateDer::from(crypto::from_pem(pem)?.1))
}

fn name(instance: &str, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    let organization = format!("LAB-{instance} NOT FOR PRODUCTION");
    name.push(DnType::OrganizationName, organization);
    name.push(DnType::CommonName, format!("siglab {common_name}"));
    name
}

fn validity(params: &mut CertificateParams, now: Timestamp, days: i64) -> anyhow::Result<()> {
    let date = |timestamp: Timestamp| {
        let day = jiff::tz::TimeZone::UTC.to_datetime(timestamp).date();
        let month = u8::try_from(day.month()).expect("1 to 12");
        rcgen::date_time_ymd(
            i32::from(day.year()),
            month,
            u8::try_from(day.day()).expect("1 to 31"),
        )
    };
    params.not_before = date(now.checked_sub(jiff::SignedDuration::from_hours(24))?);
    params.not_after = date(now.checked_add(jiff::SignedDuration::from_hours(24 * (days + 1)))?);
    Ok(())
}
