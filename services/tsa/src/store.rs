//! What the authority keeps: `keys/{root,intermediate,leaf}.pem`, `chain.pem` and `last-issued`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use crypto::{KeyKind, SigningKey};
use jiff::{SignedDuration, Timestamp};
use x509::{
    AuthorityBuilder, Certificate, EndEntityBuilder, Name, oid::EKU_TIME_STAMPING, public_instance,
};

const CHAIN: &str = "chain.pem";
const LAST_ISSUED: &str = "last-issued";

/// The signing key and its certificates, leaf first.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) key: SigningKey,
    pub(crate) certificates: Vec<Certificate>,
}

impl Chain {
    pub(crate) fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }

    /// The chain in `dir`, made when there is none.
    pub(crate) fn load_or_generate(
        dir: &Path,
        instance: &str,
        not_before: Timestamp,
        validity_days: u16,
    ) -> anyhow::Result<Self> {
        let path = dir.join(CHAIN);
        let chain = match runtime::files::read_optional(&path)? {
            Some(bytes) => Self::load(dir, &path, &bytes)?,
            None => Self::generate(dir, &path, instance, not_before, validity_days)?,
        };
        chain.refuse_public(&path)?;
        chain.check_issuers_keys(dir)?;
        Ok(chain)
    }

    /// The issuers sign nothing any more, and their keys may be kept elsewhere; where they are here they
    /// must fit.
    fn check_issuers_keys(&self, dir: &Path) -> anyhow::Result<()> {
        for (role, certificate) in ["intermediate", "root"].iter().zip(&self.certificates[1..]) {
            let path = runtime::keys::path(dir, role);
            if let Some(key) = runtime::keys::load(&path)? {
                ensure!(
                    key.public_key().spki_der() == certificate.spki_der(),
                    "key {} is not that of its certificate in {CHAIN}",
                    path.display()
                );
            }
        }
        Ok(())
    }

    /// An own chain and key, as upstream's `file` signer takes them.
    pub(crate) fn from_files(
        chain: &Path,
        key: &Path,
        password: Option<&str>,
    ) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            runtime::files::read_optional(path)?
                .with_context(|| format!("{} is not there", path.display()))
        };
        let signing = match password {
            None => runtime::keys::load(key)?
                .with_context(|| format!("{} is not there", key.display()))?,
            Some(_) => SigningKey::from_pem(&String::from_utf8(read(key)?)?, password)
                .with_context(|| format!("{} cannot be used", key.display()))?,
        };
        let own = Self::checked(signing, chain, &read(chain)?)?;
        own.refuse_public(chain)?;
        Ok(own)
    }

    fn load(dir: &Path, path: &Path, bytes: &[u8]) -> anyhow::Result<Self> {
        let key_path = runtime::keys::path(dir, "leaf");
        let Some(key) = runtime::keys::load(&key_path)? else {
            bail!(
                "{} is there but its key {} is not",
                path.display(),
                key_path.display()
            );
        };
        Self::checked(key, path, bytes)
    }

    fn checked(key: SigningKey, path: &Path, pem: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(pem)
            .with_context(|| format!("{} is not PEM text", path.display()))?;
        let certificates = Certificate::chain_from_pem(text)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let chain = Self { key, certificates };
        chain
            .check()
            .with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(chain)
    }

    /// Keys first, the chain last: a start that was cut short goes on with the keys it finds.
    fn generate(
        dir: &Path,
        path: &Path,
        instance: &str,
        not_before: Timestamp,
        validity_days: u16,
    ) -> anyhow::Result<Self> {
        let load = |role| runtime::keys::load_or_generate(dir, role, KeyKind::EcdsaP256);
        let (root_key, intermediate_key, key) =
            (load("root")?, load("intermediate")?, load("leaf")?);
        let lifetime = SignedDuration::from_hours(24 * i64::from(validity_days));
        let not_after = not_before
            .checked_add(lifetime)
            .context("tsa.ca_validity_days")?;
        let usages = [EKU_TIME_STAMPING];
        let marker = format!("LAB-{instance}");
        let name = |role: &str, key: &SigningKey| Name {
            organization: format!("LAB-{instance} NOT FOR PRODUCTION"),
            common_name: format!("{role} {:08x}", key_number(key)),
        };
        let root = AuthorityBuilder::new(name("TSA Root", &root_key), not_before, not_after)
            .path_length(1)
            .marker(&marker)
            .self_signed(&root_key)?;
        let intermediate_name = name("TSA Intermediate", &intermediate_key);
        let intermediate = AuthorityBuilder::new(intermediate_name, not_before, not_after)
            .path_length(0)
            .ext_key_usage(&usages)
            .marker(&marker)
            .issued_by(&root, &root_key, intermediate_key.public_key())?;
        let leaf = EndEntityBuilder::new(name("TSA", &key), not_before, not_after)
            .ext_key_usage(&usages, true)
            .marker(&marker)
            .issued_by(&intermediate, &intermediate_key, key.public_key())?;
        let chain = Self {
            key,
            certificates: vec![leaf, intermediate, root],
        };
        chain.check()?;
        runtime::files::write_new(path, chain.to_pem().as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(chain)
    }

    /// PEM, leaf first.
    pub(crate) fn to_pem(&self) -> String {
        self.certificates.iter().map(Certificate::to_pem).collect()
    }

    /// The rules of spec/fulcio.md §6.4, and that the key is the leaf's.
    fn check(&self) -> anyhow::Result<()> {
        let [leaf, rest @ ..] = self.certificates.as_slice() else {
            bail!("certificate chain must contain at least two certificates");
        };
        let Some(root) = rest.last() else {
            bail!("certificate chain must contain at least two certificates");
        };
        ensure!(
            !leaf.is_ca()?,
            "leaf certificate must be an end-entity certificate, not a CA"
        );
        ensure!(
            leaf.ext_key_usage()?.len() == 1,
            "certificate should only contain one EKU"
        );
        let critical = leaf
            .extensions()
            .iter()
            .any(|e| e.oid == x509::oid::EXT_KEY_USAGE && e.critical);
        ensure!(critical, "certificate must set EKU to critical");
        ensure!(
            leaf.spki_der() == self.key.public_key().spki_der(),
            "the key is not the leaf's"
        );
        let intermediates = &rest[..rest.len() - 1];
        let roots = std::slice::from_ref(root);
        x509::verify_chain(
            leaf,
            intermediates,
            roots,
            leaf.not_before(),
            EKU_TIME_STAMPING,
        )?;
        Ok(())
    }

    /// A lab must never sign with a key or under a name of a public instance.
    fn refuse_public(&self, path: &Path) -> anyhow::Result<()> {
        let path = path.display();
        for certificate in &self.certificates {
            if let Some(name) = public_instance::public_name(certificate) {
                bail!("{path}: {name:?} is a name of a public Sigstore instance");
            }
            ensure!(
                !public_instance::is_public_key(certificate.spki_der()),
                "{path} has a key of a public Sigstore instance"
            );
        }
        Ok(())
    }
}

fn key_number(key: &SigningKey) -> u32 {
    let id = key.public_key().key_id();
    u32::from_be_bytes([id[0], id[1], id[2], id[3]])
}

/// The second of the last timestamp, durable before the timestamp is handed out. Timestamps have whole
/// seconds, so that one write a second is enough whatever the load.
#[derive(Debug)]
pub(crate) struct LastIssued {
    path: PathBuf,
    /// Seconds since 1970.
    second: i64,
}

impl LastIssued {
    pub(crate) fn load(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(LAST_ISSUED);
        let second = match runtime::files::read_optional(&path)? {
            None => i64::MIN,
            Some(bytes) => std::str::from_utf8(&bytes)
                .ok()
                .and_then(|text| text.trim().parse::<Timestamp>().ok())
                .with_context(|| format!("{} is not a timestamp", path.display()))?
                .as_second(),
        };
        Ok(Self { path, second })
    }

    pub(crate) const fn second(&self) -> i64 {
        self.second
    }

    /// Moves on to a later second.
    pub(crate) fn advance(&mut self, second: i64) -> anyhow::Result<()> {
        let at = Timestamp::from_second(second)?;
        runtime::files::replace(&self.path, at.to_string().as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.second = second;
        Ok(())
    }
}
