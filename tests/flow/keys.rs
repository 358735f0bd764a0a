//! The key files of every service: who may read them, and what a start says when one is not as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crypto::{KeyKind, SigningKey};
use runtime::{
    Clock,
    settings::{Settings, Sources},
};
use stack::Stack;
use tempfile::TempDir;

/// All keys of a lab whose registry hands out tokens.
const KEYS: [&str; 16] = [
    "admission/keys/tls-authority.pem",
    "admission/keys/tls-server.pem",
    "ctlog/keys/ctlog.pem",
    "fulcio/keys/intermediate.pem",
    "fulcio/keys/root.pem",
    "oidc/keys/token.pem",
    "registry/keys/token.pem",
    "rekor/keys/v1.pem",
    "rekor/keys/v2.pem",
    "tsa/keys/intermediate.pem",
    "tsa/keys/leaf.pem",
    "tsa/keys/root.pem",
    "tuf/keys/root.pem",
    "tuf/keys/snapshot.pem",
    "tuf/keys/targets.pem",
    "tuf/keys/timestamp.pem",
];

/// Keys that nothing durable is bound to, so that another of the same kind is a new key and no damage.
const RENEWABLE: [&str; 6] = [
    "admission/keys/tls-server.pem",
    "oidc/keys/token.pem",
    "registry/keys/token.pem",
    "tuf/keys/snapshot.pem",
    "tuf/keys/targets.pem",
    "tuf/keys/timestamp.pem",
];

/// A lab's directory. The lab itself runs only while it is started.
struct Directory {
    dir: TempDir,
    clock: Clock,
}

impl Directory {
    /// A lab that ran once.
    async fn used() -> anyhow::Result<Self> {
        let dir = TempDir::with_prefix("siglab-keys-")?;
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse()?);
        let hash = b"ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
        runtime::files::write_new(&dir.path().join("users"), hash)?;
        let used = Self { dir, clock };
        used.start().await?.stop().await;
        Ok(used)
    }

    /// The same directory at another place.
    fn copy(&self) -> anyhow::Result<Self> {
        let dir = TempDir::with_prefix("siglab-keys-")?;
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.dir.path().join(&folder))? {
                let entry = entry?;
                let below = folder.join(entry.file_name());
                let to = dir.path().join(&below);
                if entry.file_type()?.is_dir() {
                    fs::DirBuilder::new().mode(0o700).create(to)?;
                    folders.push(below);
                } else {
                    fs::copy(entry.path(), to)?;
                }
            }
        }
        let clock = self.clock.clone();
        Ok(Self { dir, clock })
    }

    async fn start(&self) -> anyhow::Result<Stack> {
        let users = self.dir.path().join("users");
        let sources = Sources {
            data_dir: Some(self.dir.path().join("data")),
            any_port: true,
            set: vec![
                "registry.auth.access=anonymous-read".to_owned(),
                format!("registry.auth.htpasswd={}", users.display()),
            ],
            ..Sources::default()
        };
        Stack::start(Settings::load(&sources)?, self.clock.clone()).await
    }

    /// Paths of all key files, by their names below the directory.
    fn keys(&self) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        let data = self.dir.path().join("data");
        let mut keys = BTreeMap::new();
        let mut folders = vec![data.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.parent().is_some_and(|folder| folder.ends_with("keys")) {
                    let name = path.strip_prefix(&data)?.display().to_string();
                    keys.insert(name, path);
                }
            }
        }
        Ok(keys)
    }

    /// Why a copy does not start, in one line, when the key of that name has this content and mode. Each
    /// time another copy, because the services of a failed start are still ending.
    async fn refusal(&self, name: &str, content: &[u8], mode: u32) -> anyhow::Result<String> {
        let copy = self.copy()?;
        let path = copy.dir.path().join("data").join(name);
        runtime::files::replace_with_mode(&path, content, mode)?;
        let refusal = match copy.start().await {
            Ok(_) => anyhow::bail!("it starts with a wrong {name}"),
            Err(refusal) => format!("{refusal:#}"),
        };
        assert!(!refusal.contains('\n'), "{name}: {refusal}");
        Ok(refusal)
    }
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[tokio::test]
async fn every_role_has_a_key_of_its_own_that_its_owner_alone_reads() -> anyhow::Result<()> {
    let lab = Directory::used().await?;
    let keys = lab.keys()?;
    let names: Vec<&str> = keys.keys().map(String::as_str).collect();
    assert_eq!(names, KEYS);
    let mut public = BTreeMap::new();
    for (name, path) in &keys {
        assert_eq!(mode(path)?, 0o600, "{name}");
        assert_eq!(mode(path.parent().expect("its folder"))?, 0o700, "{name}");
        let key = runtime::keys::load(path)?.expect("it is listed");
        let other = public.insert(key.public_key().spki_der().to_vec(), name);
        assert_eq!(other, None, "{name} is shared");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_others_can_read_or_that_is_cut_off_or_of_another_kind_stops_the_start()
-> anyhow::Result<()> {
    let lab = Directory::used().await?;
    for (name, path) in lab.keys()? {
        let content = fs::read(&path)?;
        let refusal = lab.refusal(&name, &content, 0o640).await?;
        assert!(
            refusal.contains("mode 0640") && refusal.contains(&name),
            "{refusal}"
        );
        let half = &content[..content.len() / 2];
        let refusal = lab.refusal(&name, half, 0o600).await?;
        assert!(
            refusal.contains("cannot be used") && refusal.contains(&name),
            "{refusal}"
        );
        let kind = match kind(&content)? {
            KeyKind::EcdsaP384 => KeyKind::EcdsaP256,
            _ => KeyKind::EcdsaP384,
        };
        let other = SigningKey::generate(kind)?.to_pkcs8_pem();
        lab.refusal(&name, other.as_bytes(), 0o600).await?;
    }
    Ok(())
}

fn kind(pem: &[u8]) -> anyhow::Result<KeyKind> {
    Ok(SigningKey::from_pem(std::str::from_utf8(pem)?, None)?.kind())
}

#[tokio::test]
async fn another_labs_key_stops_the_start() -> anyhow::Result<()> {
    let lab = Directory::used().await?;
    let other = Directory::used().await?;
    for (name, path) in other.keys()? {
        if !RENEWABLE.contains(&name.as_str()) {
            lab.refusal(&name, &fs::read(path)?, 0o600).await?;
        }
    }
    Ok(())
}
