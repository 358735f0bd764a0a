//! `siglab demo`: the whole keyless chain in a lab of its own, shown step by step.

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::Context as _;
use oci::ImageReference;
use runtime::{
    Clock,
    settings::{Settings, Sources},
};
use serde_json::json;
use stack::Stack;
use tsp::TimestampToken;
use verify::{Identity, Pattern};

use crate::{
    arguments::{self, Common},
    client::{Lab, Pushed},
    image, output,
    output::Transcript,
    sign,
    sign::Signed,
    verify::check,
};

const REPOSITORY: &str = "fleet-org/agent-router";
const WORKFLOW: &str = "fleet-org/agent-router/.github/workflows/release.yml@refs/heads/main";
const OTHER_REPOSITORY: &str = "fleet-org/audit-collector";
const OTHER_WORKFLOW: &str =
    "fleet-org/audit-collector/.github/workflows/release.yml@refs/heads/main";

pub(crate) async fn run(common: &Common, options: &arguments::Demo) -> anyhow::Result<ExitCode> {
    runtime::init_tracing("error", false);
    let temporary;
    let dir = match &options.data_dir {
        Some(dir) => dir.as_path(),
        None => {
            temporary = tempfile::tempdir().context("cannot make a temporary directory")?;
            temporary.path()
        }
    };
    let started = Instant::now();
    let policies = dir.join("policies");
    runtime::files::create_dirs(&policies)?;
    let sources = Sources {
        data_dir: Some(dir.to_owned()),
        any_port: true,
        set: vec![format!("admission.policies={}", policies.display())],
        ..Sources::default()
    };
    let stack = Stack::start(Settings::load(&sources)?, Clock::system()).await?;
    let lab = Lab::find(&stack.admin_url()).await?;
    let told = Transcript::new(common.json);
    let millis = started.elapsed().as_millis();
    told.heading(format!(
        "LAB-{} is up after {millis} ms: a Sigstore of its own, without any network",
        lab.status.instance,
    ));
    let outcome = chain(&lab, &policies, &told).await;
    stack.stop().await;
    let good = outcome?;
    told.heading(if good {
        "everything came out right; serve such a lab with: siglab up"
    } else {
        "something came out wrong, see above"
    });
    if common.json {
        let instance = &lab.status.instance;
        let steps = told.into_steps();
        output::object(
            good,
            json!({ "instance": instance, "start_ms": millis as u64, "steps": steps }),
        );
    }
    Ok(output::code(good))
}

async fn chain(lab: &Lab, policies: &Path, told: &Transcript) -> anyhow::Result<bool> {
    let registry = lab.registry_name()?;
    write_policy(lab, &registry, policies)?;

    let token = lab.token(&workflow_token(REPOSITORY, WORKFLOW)).await?;
    told.step(1, "identity", format!("token for {WORKFLOW}"));
    told.detail(
        "issuer",
        format!("{}/github-actions", lab.url("oidc", "http")?),
    );

    let (router, pushed) = push(lab, &registry, REPOSITORY, "v1.2.0", "routed").await?;
    told.step(2, "image", &pushed.name);

    let signed = sign::image_by(lab, &router, &pushed.descriptor, &token).await?;
    show_signed(&signed, told)?;
    verify(lab, &signed, &pushed, told).await?;

    told.step(
        8,
        "admission",
        "reviews of Pods under the policy fleet-org-must-be-signed",
    );
    let (_, unsigned) = push(lab, &registry, REPOSITORY, "v1.2.0-unsigned", "nobody").await?;
    let (other, pushed_other) = push(lab, &registry, OTHER_REPOSITORY, "v0.3.1", "audited").await?;
    let other_token = lab
        .token(&workflow_token(OTHER_REPOSITORY, OTHER_WORKFLOW))
        .await?;
    sign::image_by(lab, &other, &pushed_other.descriptor, &other_token).await?;
    policy_seen(lab, &unsigned).await?;
    let mut good = review(lab, "signed by the workflow", &pushed, true, told).await?;
    good &= review(lab, "not signed", &unsigned, false, told).await?;
    good &= review(
        lab,
        "signed by another workflow",
        &pushed_other,
        false,
        told,
    )
    .await?;
    Ok(good)
}

/// Parameters of a token as GitHub gives it to a release workflow.
fn workflow_token(repository: &str, workflow: &str) -> Vec<(String, String)> {
    [
        ("preset", "github-actions"),
        ("audience", "sigstore"),
        ("repository", repository),
        ("workflow_ref", workflow),
        ("job_workflow_ref", workflow),
        ("ref", "refs/heads/main"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

async fn push(
    lab: &Lab,
    registry: &str,
    repository: &str,
    tag: &str,
    message: &str,
) -> anyhow::Result<(ImageReference, Pushed)> {
    let image: ImageReference = format!("{registry}/{repository}:{tag}").parse()?;
    let made = image::with_message(message, "2026-01-01T00:00:00Z")?;
    let pushed = lab.push_image(&image, made.layer, &made.config).await?;
    Ok((image, pushed))
}

fn show_signed(signed: &Signed, told: &Transcript) -> anyhow::Result<()> {
    let certificate = &signed.issued.certificate;
    told.step(3, "certificate", signed.identity()?);
    let (from, to) = (certificate.not_before(), certificate.not_after());
    let minutes = to.duration_since(from).as_mins();
    told.detail("valid", format!("{minutes} minutes, {from} to {to}"));
    let sct = certificate
        .scts()?
        .into_iter()
        .next()
        .context("the certificate has no SCT")?;
    let logged = jiff::Timestamp::from_millisecond(i64::try_from(sct.timestamp_ms)?)?;
    told.detail(
        "SCT",
        format!("log {}…, {}", hex::encode(&sct.log_id[..6]), logged),
    );
    told.step(4, "timestamp", timestamp(&signed.bundle)?);
    let entry = signed.bundle.verification_material.tlog_entries.first();
    let entry = entry.context("the bundle has no log entry")?;
    let proof = entry
        .inclusion_proof
        .as_ref()
        .context("the entry has no inclusion proof")?;
    told.step(
        5,
        "log entry",
        format!("index {} in a tree of {}", entry.log_index, proof.tree_size),
    );
    told.step(6, "referrer", &signed.referrer.descriptor.digest);
    Ok(())
}

/// Checks the bundle as any client would, with the trusted root from the TUF repository.
async fn verify(
    lab: &Lab,
    signed: &Signed,
    pushed: &Pushed,
    told: &Transcript,
) -> anyhow::Result<()> {
    told.step(
        7,
        "verification",
        "offline, with the trusted root from the TUF repository",
    );
    let identity = Identity {
        issuer: Pattern::Exact(format!("{}/github-actions", lab.url("oidc", "http")?)),
        subject: Pattern::Exact(format!("https://github.com/{WORKFLOW}")),
    };
    let root = lab.trusted_root().await?;
    let (report, good) = check(&signed.bundle, &pushed.descriptor, &identity, &root)?;
    told.report(&report);
    anyhow::ensure!(good, "the signature does not verify");
    Ok(())
}

/// When the timestamp authority says that the signature was there.
fn timestamp(bundle: &bundle::Bundle) -> anyhow::Result<String> {
    let der = bundle.verification_material.rfc3161_timestamps.first();
    let token = TimestampToken::from_der(der.context("the bundle has no timestamp")?)?;
    Ok(format!(
        "{}, serial {}",
        token.info().gen_time,
        hex::encode(&token.info().serial)
    ))
}

/// The policy of the lesson, pointed at the lab.
fn write_policy(lab: &Lab, registry: &str, policies: &Path) -> anyhow::Result<()> {
    let policy = json!({
        "apiVersion": "policy.sigstore.dev/v1beta1",
        "kind": "ClusterImagePolicy",
        "metadata": { "name": "fleet-org-must-be-signed" },
        "spec": {
            "images": [{ "glob": format!("{registry}/fleet-org/*") }],
            "authorities": [{
                "name": "fleet-org-actions",
                "keyless": {
                    "url": lab.url("fulcio", "http")?,
                    "identities": [{
                        "issuer": format!("{}/github-actions", lab.url("oidc", "http")?),
                        "subject": format!("https://github.com/{WORKFLOW}"),
                    }],
                },
                "ctlog": { "url": lab.url("rekor", "v1")? },
            }],
        },
    });
    let path = policies.join("fleet-org.yaml");
    runtime::files::replace(&path, &serde_json::to_vec_pretty(&policy)?)?;
    Ok(())
}

/// Waits until the webhook has read the policy: it looks at the directory once a second.
async fn policy_seen(lab: &Lab, image: &Pushed) -> anyhow::Result<()> {
    for _ in 0..100 {
        if !lab
            .review(&pod(image))
            .await?
            .message()
            .contains("no matching policies")
        {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the webhook did not read the policy in five seconds")
}

fn pod(image: &Pushed) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "demo", "namespace": "default" },
        "spec": { "containers": [{ "name": "agent", "image": image.name }] },
    })
}

/// Sends a Pod with the image to the webhook and compares the answer with what it should be.
async fn review(
    lab: &Lab,
    what: &str,
    image: &Pushed,
    wanted: bool,
    told: &Transcript,
) -> anyhow::Result<bool> {
    let review = lab.review(&pod(image)).await?;
    let verdict = if review.allowed { "allowed" } else { "denied" };
    if review.allowed == wanted {
        told.outcome(true, verdict, what);
    } else {
        told.outcome(false, "WRONG", format!("{what}: {verdict}"));
    }
    for line in review.message().lines() {
        told.detail("", line);
    }
    Ok(review.allowed == wanted)
}
