//! AdmissionReviews to the lab's webhook, as an API server sends them.

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Lab, expect};

/// What the webhook decided.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Review {
    pub(crate) allowed: bool,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
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
    /// Sends the creation of `object` to the webhook at `path`.
    ///
    /// # Errors
    /// When the webhook does not answer with a review.
    pub(crate) async fn review(&self, object: &Value) -> anyhow::Result<Review> {
        let kind = object["kind"].as_str().context("the object has no kind")?;
        let api_version = object["apiVersion"]
            .as_str()
            .context("the object has no apiVersion")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = format!("{}s", kind.to_lowercase());
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
        let url = format!("{}/validations", self.url("admission", "https")?);
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
        runtime::http::client(Some(&[CertificateDer::from(der)]))
    }
}
