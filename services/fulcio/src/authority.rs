//! The issuing key and its chain: generated and kept, the operator's files, or in memory.

use std::path::Path;

use anyhow::{Context as _, ensure};
use crypto::{KeyKind, SigningKey};
use jiff::{SignedDuration, Timestamp};
use runtime::{Context, keys};
use x509::{AuthorityBuilder, Certificate, KeyUsage, Name, San, oid};

use crate::{
    config::{CaKind, Config},
    guard, store,
};

/// The issuer of all leaves.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) key: SigningKey,
    /// Issuer first, root last; a lone root when it issues directly.
    pub(crate) chain: Vec<Certificate>,
}

impl Authority {
    /// Reads or makes the authority that the settings ask for.
    pub(crate) fn open(config: &Config, context: &Context) -> anyhow::Result<Self> {
        let authority = match config.ca {
            CaKind::Generated => generated(config, context)?,
            CaKind::Ephemeral => ephemeral(config, context)?,
            CaKind::File => file(config)?,
        };
        guard::check_authority(&authority.chain)?;
        authority.check(context.clock.now())?;
        Ok(authority)
    }

    /// The certificate that issues leaves.
    pub(crate) fn issuer(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The trust anchor.
    pub(crate) fn root(&self) -> &Certificate {
        self.chain
            .last()
            .expect("a chain has at least one certificate")
    }

    /// Whether leaves issued at `at` would chain.
    pub(crate) fn is_valid(&self, at: Timestamp) -> bool {
        self.chain
            .iter()
            .all(|c| c.not_before() <= at && at <= c.not_after())
    }

    /// The rules that upstream has for a chain.
    fn check(&self, now: Timestamp) -> anyhow::Result<()> {
        let issuer = self.issuer();
        ensure!(issuer.is_ca()?, "certificate is not a CA");
        let usages = issuer.ext_key_usage()?;
        ensure!(
            self.chain.len() == 1 || usages.contains(&oid::EKU_CODE_SIGNING),
            "certificate must have extended key usage code signing set to sign code signing \
             certificates"
        );
        let may_sign = |usage: KeyUsage| usage.contains(KeyUsage::KEY_CERT_SIGN);
        ensure!(
            issuer.key_usage()?.is_none_or(may_sign),
            "certificate may not sign certificates"
        );
        ensure!(
            issuer.spki_der() == self.key.public_key().spki_der(),
            "the key is not that of the first certificate"
        );
        let (root, rest) = self.chain.split_last().context("a chain has a root")?;
        if let Some((issuer, intermediates)) = rest.split_first() {
            let roots = std::slice::from_ref(root);
            x509::verify_chain(issuer, intermediates, roots, now, oid::EKU_CODE_SIGNING)
                .context("the chain does not lead from its first to its last certificate")?;
        } else {
            ensure!(
                self.is_valid(now),
                "certificate is expired or not yet valid"
            );
            root.verify_signed_by(root)
                .context("a lone certificate must be self-signed")?;
        }
        Ok(())
    }
}

fn subject(context: &Context, role: &str, key: &SigningKey) -> Name {
    let id = key.public_key().key_id();
    Name {
        organization: format!("LAB-{} NOT FOR PRODUCTION", context.instance),
        common_name: format!("{role} {}", hex::encode(&id[..4])),
    }
}

/// Text of the lab's marker.
pub(crate) fn marker(context: &Context) -> String {
    format!("siglab {} NOT FOR PRODUCTION", context.instance)
}

fn validity(config: &Config, context: &Context) -> anyhow::Result<(Timestamp, Timestamp)> {
    ensure!(
        config.ca_validity_days > 0,
        "ca_validity_days must be at least 1"
    );
    let start = context.clock.backdated();
    let end = start.checked_add(SignedDuration::from_hours(
        24 * i64::from(config.ca_validity_days),
    ))?;
    Ok((start, end))
}

fn generated(config: &Config, context: &Context) -> anyhow::Result<Authority> {
    let dir: &Path = &context.dir;
    let root_key = keys::load_or_generate(dir, "root", KeyKind::EcdsaP256)?;
    let key = keys::load_or_generate(dir, "intermediate", KeyKind::EcdsaP256)?;
    if let Some(chain) = store::load_chain(dir)? {
        let fits = chain.len() == 2
            && chain[0].spki_der() == key.public_key().spki_der()
            && chain[1].spki_der() == root_key.public_key().spki_der();
        ensure!(
            fits,
            "{} and the keys beside it are not of one authority: restore them together, or remove \
             all three to make another",
            dir.join("chain.pem").display()
        );
        let authority = Authority { key, chain };
        if authority.is_valid(context.clock.now()) {
            return Ok(authority);
        }
        tracing::warn!("the certificate authority has expired: its keys get new certificates");
        return certify(config, context, &root_key, authority.key);
    }
    certify(config, context, &root_key, key)
}

fn certify(
    config: &Config,
    context: &Context,
    root_key: &SigningKey,
    key: SigningKey,
) -> anyhow::Result<Authority> {
    let (start, end) = validity(config, context)?;
    let marker = marker(context);
    let root = AuthorityBuilder::new(subject(context, "fulcio-root", root_key), start, end)
        .path_length(1)
        .marker(&marker)
        .self_signed(root_key)?;
    let intermediate = AuthorityBuilder::new(subject(context, "fulcio", &key), start, end)
        .path_length(0)
        .ext_key_usage(&[oid::EKU_CODE_SIGNING])
        .permitted(&permitted(config))
        .marker(&marker)
        .issued_by(&root, root_key, key.public_key())?;
    let chain = vec![intermediate, root];
    store::save_chain(&context.dir, &chain)?;
    Ok(Authority { key, chain })
}

/// Each domain as an e-mail and as a URI constraint.
fn permitted(config: &Config) -> Vec<San> {
    let both = |domain: &String| [San::Email(domain.clone()), San::Uri(domain.clone())];
    config.permit_identities.iter().flat_map(both).collect()
}

fn ephemeral(config: &Config, context: &Context) -> anyhow::Result<Authority> {
    let key = SigningKey::generate(KeyKind::EcdsaP256)?;
    let (start, end) = validity(config, context)?;
    let root = AuthorityBuilder::new(subject(context, "fulcio-ephemeral", &key), start, end)
        .path_length(1)
        .permitted(&permitted(config))
        .marker(&marker(context))
        .self_signed(&key)?;
    Ok(Authority {
        key,
        chain: vec![root],
    })
}

fn file(config: &Config) -> anyhow::Result<Authority> {
    let path = config
        .file_ca_cert
        .as_deref()
        .context("ca = \"file\" needs file_ca_cert")?;
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("file_ca_cert {} cannot be read", path.display()))?;
    let chain = Certificate::chain_from_pem(&text).with_context(|| {
        format!(
            "file_ca_cert {}: certificate chain must contain at least one certificate",
            path.display()
        )
    })?;
    let path = config
        .file_ca_key
        .as_deref()
        .context("ca = \"file\" needs file_ca_key")?;
    let key = match config.file_ca_key_password.as_deref() {
        None => keys::load(path)
            .context("file_ca_key")?
            .with_context(|| format!("file_ca_key {} is not there", path.display()))?,
        // What is encrypted may be read by others.
        Some(password) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("file_ca_key {} cannot be read", path.display()))?;
            SigningKey::from_pem(&text, Some(password))
                .with_context(|| format!("file_ca_key {} cannot be used", path.display()))?
        }
    };
    Ok(Authority { key, chain })
}
