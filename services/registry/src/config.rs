//! The `[registry]` table of the settings file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the registry. The default serves everybody who can reach the listener, which is bound
/// to loopback.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who may do what.
    pub auth: AuthConfig,
    /// Certificate of the listener. Without one it speaks plain HTTP.
    pub tls: TlsConfig,
    /// How signatures are found by the digest of what they sign.
    pub referrers: ReferrersMode,
    /// Answers `sha256-…` tags that nobody stored from the referrers index, for clients that look
    /// only there. They are not listed. Only with `referrers = "on"`.
    pub virtual_fallback_tags: bool,
    /// Whether a manifest may name blobs and manifests that its repository does not hold.
    pub references: ReferencesMode,
    /// Whether an index may name manifests that its repository does not hold, whatever `references`
    /// says.
    pub sparse_indexes: bool,
    /// Whether manifests, tags and blobs can be deleted.
    pub delete: bool,
    /// Accepts JSON manifests of media types other than the four of OCI and Docker.
    pub other_manifests: bool,
    /// Largest manifest in bytes, inclusive. distribution-spec asks for 4 MB at least.
    pub manifest_bytes_max: usize,
    /// Largest blob in bytes.
    pub blob_bytes_max: u64,
    /// Open upload sessions; more are answered 429.
    pub uploads_max: usize,
    /// Seconds after which an upload session that nobody touched is dropped.
    pub upload_idle_secs: u32,
    /// Tags that one push may set with `?tag=`; more are answered 414.
    pub tags_per_push_max: usize,
    /// Names in one answer of a tag list or the catalog when the client does not say how many.
    pub list_max: usize,
    /// Text of a `Warning: 299` header on every answer. Some clients print it each time.
    pub warning: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth: AuthConfig::default(),
            tls: TlsConfig::default(),
            referrers: ReferrersMode::On,
            virtual_fallback_tags: true,
            references: ReferencesMode::Strict,
            sparse_indexes: false,
            delete: true,
            other_manifests: false,
            manifest_bytes_max: 4 << 20,
            blob_bytes_max: 1 << 40,
            uploads_max: 10_000,
            upload_idle_secs: 24 * 60 * 60,
            tags_per_push_max: 64,
            list_max: 100_000,
            warning: None,
        }
    }
}

/// The three kinds of registries that clients meet.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferrersMode {
    /// The referrers API of distribution-spec 1.1.
    On,
    /// No API, and nobody but the clients maintains fallback tags: a registry of 1.0.
    Off,
    /// No API, but the fallback tag's index is maintained here, so that clients which write it at the
    /// same time do not lose each other's entries.
    Fallback,
}

/// What must exist when a manifest is pushed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferencesMode {
    /// Everything a manifest names, except its subject. Manifests that have a subject are exempt:
    /// `cosign load` pushes them before their blobs.
    Strict,
    /// Nothing.
    Lenient,
}

/// Authentication and authorisation.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Who needs credentials.
    pub access: Access,
    /// How clients are asked for them.
    pub scheme: Scheme,
    /// A file of `user:bcrypt-hash` lines as `htpasswd -B` writes them. Read again when it changes.
    pub htpasswd: Option<PathBuf>,
    /// Seconds that an access token is valid. Clients take less than 60 for 60.
    pub token_secs: u32,
    /// Seconds that a refresh token is valid.
    pub refresh_token_secs: u32,
    /// What users may do. Empty: every user everything. Otherwise only what is listed.
    pub grants: Vec<Grant>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            access: Access::Anonymous,
            scheme: Scheme::Bearer,
            htpasswd: None,
            token_secs: 300,
            refresh_token_secs: 30 * 24 * 60 * 60,
            grants: Vec::new(),
        }
    }
}

/// Who needs credentials.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Nobody: everybody may do everything.
    Anonymous,
    /// Everybody may pull; pushing and deleting needs a user.
    AnonymousRead,
    /// Everything needs a user.
    Authenticated,
}

/// How clients are asked for credentials.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// User and password with every request.
    Basic,
    /// Tokens of this registry's own token endpoint.
    Bearer,
}

/// What a user may do in some repositories.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// A user of the htpasswd file, or `*` for all of them.
    pub user: String,
    /// A repository name; a trailing `/*` means everything below it, `*` alone all repositories.
    pub repository: String,
    /// What they may do there.
    pub actions: Vec<Action>,
}

/// Actions of a token's scope.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Delete tags, manifests and blobs.
    Delete,
    /// Read.
    Pull,
    /// Write.
    Push,
}

/// Certificate of the listener.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Makes a certificate below an authority of this registry's own, kept as `tls-authority.pem` in
    /// its data directory.
    pub own: bool,
    /// Further host names and addresses of the own certificate.
    pub names: Vec<String>,
    /// A PEM chain to use instead, leaf first.
    pub certificate: Option<PathBuf>,
    /// Its PKCS#8 key.
    pub key: Option<PathBuf>,
}
