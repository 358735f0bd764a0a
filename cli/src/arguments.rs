//! What can be typed after `siglab`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use oci::ImageReference;

use crate::{certificates, door, images::Images, output::Advise as _};

/// A whole Sigstore for sealed places: OIDC, Fulcio, CT, Rekor, timestamps, TUF, registry, admission
#[derive(Debug, Parser)]
#[command(
    name = "siglab",
    version,
    max_term_width = 100,
    after_help = "For testing only: nothing it signs is trusted outside the lab."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// Admin door of the lab to speak to
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SIGLAB_ADMIN",
        default_value = "http://localhost:7070",
        hide_env_values = true
    )]
    pub(crate) lab: String,
    /// PEM file of authorities to trust for TLS
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SIGLAB_CA",
        hide_env_values = true
    )]
    pub(crate) ca: Option<PathBuf>,
    /// One JSON object on one line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve everything until interrupted
    Up(Up),
    /// Show a keyless signature from end to end in a lab that goes away again
    Demo(Demo),
    /// Show what runs: URLs, health, numbers
    Status,
    /// Print shell exports for cosign, sigstore-python and scripts
    Env(Env),
    /// Print an identity token for anybody
    Token(Token),
    /// Sign an image without a key
    Sign(Sign),
    /// Attach a signed statement to an image
    Attest(Attest),
    /// Check an image's signatures, step by step
    Verify(Verify),
    /// Ask the admission webhook, as kubectl apply would
    Admit(Admit),
    /// Show why a manifest is admitted or denied, by any policies
    Explain(Explain),
    /// Work on policies
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Write the files that clients need to trust the lab
    Trust(Trust),
    /// Print the objects that install a part of the lab in Kubernetes
    #[command(subcommand)]
    Manifests(ManifestsCommand),
    /// Exercises that grade themselves
    #[command(subcommand)]
    Lab(crate::lab::LabCommand),
    /// Look into the transparency log
    Log(Log),
    /// Write images with their signatures and the trust into one file
    Export(Export),
    /// Load such a file, or any image archive, into the registry
    Import(Import),
    /// Work on the registry's directory
    Registry(Registry),
    /// Check everything below a lab's directory
    Fsck(Fsck),
    /// Handle the lab's programs as container images
    #[command(subcommand)]
    Images(Images),
    /// Serve the admin doors of separate services as one (for containers)
    #[command(hide = true)]
    Door(door::Options),
    /// Make TLS certificates for separate services (for containers)
    #[command(hide = true)]
    Certificates(certificates::Options),
    /// Succeed if everything is ready (for containers)
    #[command(hide = true)]
    Health(Health),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a directory
    #[command(hide = true)]
    Man {
        /// Where
        dir: PathBuf,
    },
    /// Time many keyless signatures
    #[command(hide = true)]
    BenchSign(BenchSign),
}

/// An image as it was typed.
///
/// # Errors
/// When it is no image reference.
pub(crate) fn image(text: &str) -> anyhow::Result<ImageReference> {
    text.parse().advise(
        format!("{text} is not an image"),
        "siglab status    (shows the registry: HOST:PORT/NAME:TAG)",
    )
}

#[derive(Args, Debug)]
pub(crate) struct BenchSign {
    /// How many
    #[arg(long, default_value = "200", value_parser = parse_count)]
    pub(crate) count: usize,
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number above 0".to_owned()),
        Ok(count) => Ok(count),
    }
}

#[derive(Args, Debug)]
pub(crate) struct Up {
    /// Where state lives [default: the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// 0: take any free port for every listener
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(0..=0))]
    pub(crate) port: Option<u16>,
    /// Write URLs and files as JSON here once everything is ready
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Override one setting
    #[arg(long, value_name = "TABLE.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Keep the lab's files in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How exports are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// `export NAME='value'`
    Shell,
    /// `NAME=value`
    Dotenv,
    /// Lines for `$GITHUB_ENV`
    Github,
    /// An object
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Env {
    /// How to write them
    #[arg(long, value_enum, default_value_t = Format::Shell)]
    pub(crate) format: Format,
    /// Where the files that the variables name are written [default: under the user's cache]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Wait until everything is ready, so long at most
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Token {
    /// Shape of the token: email, github-actions, gitlab, kubernetes, spiffe, buildkite
    #[arg(long, value_name = "NAME", default_value = "email")]
    pub(crate) preset: String,
    /// Email address
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Subject
    #[arg(long, visible_alias = "sub")]
    pub(crate) subject: Option<String>,
    /// Audience
    #[arg(long, default_value = "sigstore")]
    pub(crate) audience: String,
    /// Seconds until it expires
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lifetime: Option<u32>,
    /// Any claim or input of the preset, such as repository=org/app
    #[arg(value_name = "CLAIM=VALUE")]
    pub(crate) claims: Vec<String>,
}

/// Who signs.
#[derive(Args, Debug)]
pub(crate) struct Signer {
    /// Identity token [default: one for the preset and claims below]
    #[arg(long, env = "SIGSTORE_ID_TOKEN", hide_env_values = true)]
    pub(crate) identity_token: Option<String>,
    /// Shape of the token that is made when none is given
    #[arg(long, value_name = "NAME", default_value = "github-actions")]
    pub(crate) preset: String,
    /// Claims of the token that is made when none is given
    #[arg(value_name = "CLAIM=VALUE")]
    pub(crate) claims: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// Image, by tag or digest
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) signer: Signer,
}

#[derive(Args, Debug)]
pub(crate) struct Attest {
    /// Image, by tag or digest
    pub(crate) image: String,
    /// What is stated: JSON, or any text for the type custom; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) predicate: PathBuf,
    /// Kind of statement: slsaprovenance, slsaprovenance1, spdxjson, cyclonedx, vuln, openvex, link,
    /// custom, or a URL
    #[arg(long = "type", value_name = "TYPE", default_value = "custom")]
    pub(crate) kind: String,
    #[command(flatten)]
    pub(crate) signer: Signer,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Image, by tag or digest
    pub(crate) image: String,
    /// Ask these policies: a file of ClusterImagePolicy objects
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "certificate_identity", "certificate_identity_regexp", "certificate_oidc_issuer",
        "certificate_oidc_issuer_regexp", "trusted_root",
    ])]
    pub(crate) policy: Option<PathBuf>,
    /// Who must have signed: email address or URI
    #[arg(
        long,
        value_name = "SUBJECT",
        required_unless_present_any = ["certificate_identity_regexp", "policy"]
    )]
    pub(crate) certificate_identity: Option<String>,
    /// Go regular expression for the signer
    #[arg(long, value_name = "REGEXP")]
    pub(crate) certificate_identity_regexp: Option<String>,
    /// Issuer of the signer's token
    #[arg(
        long,
        value_name = "URL",
        required_unless_present_any = ["certificate_oidc_issuer_regexp", "policy"]
    )]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// Go regular expression for the issuer
    #[arg(long, value_name = "REGEXP")]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,
    /// Trust this file instead of the lab's TUF repository
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Admit {
    /// Manifest: YAML or JSON, several documents allowed; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Manifest: YAML or JSON, several documents allowed; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: PathBuf,
    /// Ask these policies instead of those in force: a file of ClusterImagePolicy objects
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what is refused in policies, and what does not mean what it seems to
    Lint {
        /// Files of ClusterImagePolicy and TrustRoot objects; - for standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Trust {
    /// Directory to write into
    pub(crate) dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Log {
    #[command(subcommand)]
    pub(crate) command: LogCommand,
    /// Which log [default: v2; both for tail]
    #[arg(long, global = true, value_enum, value_name = "LOG")]
    pub(crate) log: Option<LogVersion>,
}

/// One of the two logs, by the version of its API.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogVersion {
    /// With promises, search and integrated times
    V1,
    /// Of tiles
    V2,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// The newest entries, one line each
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 10)]
        count: u64,
    },
    /// One entry with its proof
    Get {
        /// Its index
        index: u64,
    },
    /// Recompute the root from an entry's proof
    Prove {
        /// Its index
        index: u64,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Images, by tag or digest
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// File to write: an OCI image layout in a tar
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Take the images for this platform alone out of an index; may be repeated [default: all]
    #[arg(long = "platform", value_name = "OS/ARCH")]
    pub(crate) platforms: Vec<airgap::Platform>,
    /// Look for signatures in this repository too, as of COSIGN_REPOSITORY; may be repeated
    #[arg(long = "signature-repository", value_name = "HOST/NAME")]
    pub(crate) signature_repositories: Vec<String>,
    /// Leave signatures and attestations out
    #[arg(long)]
    pub(crate) no_signatures: bool,
    /// Leave the lab's trusted root and signing config out
    #[arg(long)]
    pub(crate) no_trust: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Archive or directory: siglab export, docker save, skopeo, crane, oras, cosign save
    pub(crate) archive: PathBuf,
    /// Registry to load into [default: the lab's]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) registry: Option<String>,
    /// Repository for images that have no name
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// Tag for the image in --repository
    #[arg(long, value_name = "TAG", requires = "repository")]
    pub(crate) tag: Option<String>,
    /// Write the archive's trusted root, as JSON and as a TrustRoot named imported, and its signing config
    /// here
    #[arg(long, value_name = "DIR")]
    pub(crate) trust_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Registry {
    #[command(subcommand)]
    pub(crate) command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Remove what no tag, subject or referrer leads to
    Gc(Gc),
}

#[derive(Args, Debug)]
pub(crate) struct Gc {
    /// The lab's directory, which nothing may be serving
    pub(crate) dir: PathBuf,
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Keep what is younger, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) grace: i64,
    /// Remove referrers whose subject is not there, too
    #[arg(long)]
    pub(crate) orphan_referrers: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Fsck {
    /// The lab's directory, or one log's or registry's
    pub(crate) dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Health {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestsCommand {
    /// The admission webhook: definitions, permissions and registrations
    ///
    /// Without --image the webhook is the lab's own, outside the cluster, and the lab must be running
    /// unless --url and --ca-file are given.
    Admission(AdmissionManifests),
}

#[derive(Args, Debug)]
pub(crate) struct AdmissionManifests {
    /// Namespace of the webhook, its settings and the secrets that policies name
    #[arg(long, value_name = "NAME", default_value = "cosign-system")]
    pub(crate) namespace: String,
    /// Run the webhook in the cluster, from this image
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["url", "ca_file"])]
    pub(crate) image: Option<String>,
    /// TUF repository of the lab as the cluster's Pods reach it
    #[arg(long, value_name = "URL", requires = "image")]
    pub(crate) tuf_url: Option<String>,
    /// Where the API server reaches a webhook outside the cluster [default: the lab's]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// PEM file of the authority of its certificate [default: the lab's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Admit what the webhook cannot be asked about
    #[arg(long)]
    pub(crate) fail_open: bool,
    /// Ask only about namespaces with the label policy.sigstore.dev/include=true
    #[arg(long)]
    pub(crate) opt_in: bool,
    /// Ask about Pods only, not about what makes them
    #[arg(long)]
    pub(crate) pods_only: bool,
    /// What happens to an image that no policy names
    #[arg(long, value_enum, default_value_t = NoMatchPolicy::Deny)]
    pub(crate) no_match_policy: NoMatchPolicy,
}

/// What happens to an image that no policy names.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum NoMatchPolicy {
    /// It is admitted
    Allow,
    /// It is denied
    Deny,
    /// It is admitted with a warning
    Warn,
}

impl NoMatchPolicy {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Warn => "warn",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_help_fits_one_screen() {
        let asked = Arguments::command().try_get_matches_from(["siglab", "--help"]);
        let help = asked.expect_err("help is shown").to_string();
        let lines = help.lines().count();
        assert!(lines <= 40, "{lines} lines:\n{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn no_two_options_are_in_each_others_way() {
        Arguments::command().debug_assert();
    }
}
