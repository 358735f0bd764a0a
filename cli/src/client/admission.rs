//! AdmissionReviews to the lab's webhook, as an API server sends them, and explanations of its decisions.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use verify::Report;

use super::{Lab, expect};

/// Kinds that policies decide about, of which an API server asks.
const WORKLOADS: [&str; 7] = [
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Job",
    "Pod",
    "ReplicaSet",
    "StatefulSet",
];

/// The webhook's paths for a kind of objects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Door {
    /// Policies and TrustRoots.
    Own,
    /// Pods and what makes them.
    Workloads,
}

impl Door {
    /// Where an API server asks about `object`; nowhere about most kinds.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        match object["kind"].as_str()? {
            "ClusterImagePolicy" | "TrustRoot" => Some(Self::Own),
            kind if WORKLOADS.contains(&kind) => Some(Self::Workloads),
            _ => None,
        }
    }

    /// Name of the validating webhook.
    pub(crate) const fn webhook(self) -> &'static str {
        match self {
            Self::Own => "validating.clusterimagepolicy.sigstore.dev",
            Self::Workloads => "policy.sigstore.dev",
        }
    }

    const fn validating(self) -> &'static str {
        match self {
            Self::Own => "validating",
            Self::Workloads => "validations",
        }
    }
}

/// What was or would be decided about an object.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Decision {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) allowed: bool,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    pub(crate) images: Vec<ImageDecision>,
}

/// About an image.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageDecision {
    pub(crate) image: String,
    pub(crate) paths: Vec<String>,
    pub(crate) policies: Vec<PolicyDecision>,
    #[serde(default)]
    pub(crate) note: String,
}

/// By a policy.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyDecision {
    pub(crate) policy: String,
    pub(crate) mode: String,
    pub(crate) passed: bool,
    pub(crate) authorities: Vec<AuthorityDecision>,
    #[serde(default)]
    pub(crate) error: String,
}

/// By an authority.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthorityDecision {
    pub(crate) authority: String,
    pub(crate) passed: bool,
    #[serde(default)]
    pub(crate) error: String,
    pub(crate) attempts: Vec<Attempt>,
}

/// One signature or attestation that was looked at.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) source: String,
    pub(crate) verified: bool,
    pub(crate) steps: Report,
}

/// What the webhook decided.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Review {
    pub(crate) allowed: bool,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    /// Base64 of a JSON patch, or of `null`.
    #[serde(default)]
    patch: String,
    #[serde(default)]
    status: Option<ReviewStatus>,
}

#[derive(Clone, Debug, Deserialize)]
struct ReviewStatus {
    #[serde(default)]
    message: String,
}

impl Review {
    /// The reason of a denial, empty when allowed.
    pub(crate) fn message(&self) -> &str {
        self.status.as_ref().map_or("", |status| &status.message)
    }
}

impl Lab {
    /// Sends the creation of a workload to the webhook.
    ///
    /// # Errors
    /// When the webhook does not answer with a review.
    pub(crate) async fn review(&self, object: &Value) -> anyhow::Result<Review> {
        self.send("validations", object).await
    }

    /// Sends the creation of an object to the webhook's validation.
    ///
    /// # Errors
    /// When the webhook does not answer with a review.
    pub(crate) async fn review_at(&self, door: Door, object: &Value) -> anyhow::Result<Review> {
        self.send(door.validating(), object).await
    }

    /// Has the tags of a workload resolved.
    ///
    /// # Errors
    /// When the webhook does not answer with a review.
    pub(crate) async fn mutate(&self, door: Door, object: &mut Value) -> anyhow::Result<()> {
        if door == Door::Own {
            return Ok(());
        }
        let review = self.send("mutations", object).await?;
        let patch = STANDARD.decode(&review.patch).unwrap_or_default();
        let patch: Option<Vec<Value>> = serde_json::from_slice(&patch).unwrap_or_default();
        for operation in patch.into_iter().flatten() {
            let path = operation["path"].as_str().unwrap_or_default();
            if operation["op"] == "replace"
                && let Some(place) = object.pointer_mut(path)
            {
                *place = operation["value"].clone();
            }
        }
        Ok(())
    }

    /// What would be decided about `object`, and why: under the policies in force, or those of a YAML text.
    ///
    /// # Errors
    /// What is wrong with the object or the policies.
    pub(crate) async fn explain(
        &self,
        object: &Value,
        policies: Option<&str>,
    ) -> anyhow::Result<Decision> {
        let mut asked = json!({ "object": object });
        if let Some(policies) = policies {
            asked["policies"] = policies.into();
        }
        let url = format!("{}/admission/explain", self.admin);
        let answer = self.http.post(url).json(&asked).send().await;
        let answer = expect("the webhook", answer, &[200]).await?;
        answer.json().await.context("the webhook sent no decision")
    }

    /// Sends the creation of `object` to the webhook at `path`.
    async fn send(&self, path: &str, object: &Value) -> anyhow::Result<Review> {
        let kind = object["kind"].as_str().context("the object has no kind")?;
        let api_version = object["apiVersion"]
            .as_str()
            .context("the object has no apiVersion")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = match kind {
            "ClusterImagePolicy" => "clusterimagepolicies".to_owned(),
            other => format!("{}s", other.to_lowercase()),
        };
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default");
        let request = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": { "group": group, "version": version, "kind": kind },
                "resource": { "group": group, "version": version, "resource": resource },
                "name": object["metadata"]["name"],
                "namespace": namespace,
                "operation": "CREATE",
                "userInfo": { "username": "siglab" },
                "object": object,
                "oldObject": null,
                "dryRun": true,
                "options": null,
            },
        });
        let http = self.admission_client().await?;
        let url = format!("{}/{path}", self.url("admission", "https")?);
        let answer = http
            .post(url)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&request)?)
            .send()
            .await;
        let answer: Value = expect("the webhook", answer, &[200]).await?.json().await?;
        serde_json::from_value(answer["response"].clone()).context("the webhook sent no response")
    }

    /// A client that trusts the webhook's authority, which the admin door shows.
    async fn admission_client(&self) -> anyhow::Result<reqwest::Client> {
        let url = format!("{}/admission/ca.pem", self.admin);
        let answer = expect("the admin door", self.http.get(url).send().await, &[200]).await?;
        let (_, der) = crypto::from_pem(&answer.text().await?)?;
        self.client(&[CertificateDer::from(der)])
    }
}
