//! `caBundle`: the authority of the webhook's certificate, in the objects by which the API server finds it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::Value;
use x509::Certificate;

use super::Cluster;

/// Authorities of other webhooks that stay beside one's own: while a Deployment is rolled out, both serve.
const OTHERS_MAX: usize = 2;

/// Objects whose `caBundle` is kept: group, kind, plural, name.
const CONFIGURATIONS: [(&str, &str, &str, &str); 5] = [
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "policy.sigstore.dev",
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "policy.sigstore.dev",
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validating.clusterimagepolicy.sigstore.dev",
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "defaulting.clusterimagepolicy.sigstore.dev",
    ),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "clusterimagepolicies.policy.sigstore.dev",
    ),
];

impl Cluster {
    /// Keeps the authority of the webhook's certificate in the objects that name it, looking at them every
    /// `period`.
    pub(crate) async fn keep_authority(
        self: Arc<Self>,
        period: Duration,
        pem: impl Fn() -> String + Send,
    ) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let own = pem();
            for (group, kind, plural, name) in CONFIGURATIONS {
                let resource = Self::resource(group, "v1", kind, plural);
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
                if let Err(error) = set_authority(&api, name, &own).await {
                    let error = anyhow::Error::from(error);
                    tracing::warn!("caBundle of {kind} {name}: {error:#}");
                }
            }
        }
    }
}

/// Puts `own` into every `caBundle` of the object, when there is such an object and one lacks it.
async fn set_authority(api: &Api<DynamicObject>, name: &str, own: &str) -> Result<(), kube::Error> {
    let Some(mut object) = api.get_opt(name).await? else {
        return Ok(());
    };
    let mut changed = false;
    let mut set = |config: Option<&mut Value>| {
        if let Some(config) = config {
            let current = config.get("caBundle").and_then(Value::as_str);
            let current = current.unwrap_or_default();
            let wanted = bundle(current, own);
            if current != wanted {
                config["caBundle"] = wanted.into();
                changed = true;
            }
        }
    };
    set(object
        .data
        .pointer_mut("/spec/conversion/webhook/clientConfig"));
    let webhooks = object
        .data
        .get_mut("webhooks")
        .and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        if webhook.get("name").and_then(Value::as_str) == Some(name) {
            set(webhook.get_mut("clientConfig"));
        }
    }
    if changed {
        api.replace(name, &PostParams::default(), &object).await?;
        tracing::info!("caBundle of {name} set");
    }
    Ok(())
}

/// `current` with `own` at its end, base64 of PEM. The last few authorities of other labs' webhooks stay, and
/// nothing else.
fn bundle(current: &str, own: &str) -> String {
    let current = STANDARD.decode(current).unwrap_or_default();
    let current = String::from_utf8(current).unwrap_or_default();
    let mut others: Vec<Certificate> = Certificate::chain_from_pem(&current).unwrap_or_default();
    let own_der = Certificate::from_pem(own).ok();
    let is_own = |one: &Certificate| own_der.as_ref().is_some_and(|own| own.der() == one.der());
    let contained = others.iter().any(is_own);
    let before = others.len();
    others.retain(|one| !is_own(one) && is_webhooks(one));
    let dropped = before - usize::from(contained) - others.len();
    if contained && dropped == 0 && others.len() <= OTHERS_MAX {
        return STANDARD.encode(current);
    }
    let first = others.len().saturating_sub(OTHERS_MAX);
    let kept: String = others[first..].iter().map(Certificate::to_pem).collect();
    STANDARD.encode(kept + own)
}

/// Whether a lab's service made the authority for its own TLS.
fn is_webhooks(authority: &Certificate) -> bool {
    let organization = authority.subject_organization().unwrap_or_default();
    let name = authority.subject_common_name().unwrap_or_default();
    organization.starts_with("LAB-") && name.starts_with("siglab TLS")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::bundle;

    /// The authority of a webhook with a directory of its own.
    fn authority() -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let context = runtime::Context::for_test("admission", dir.path());
        let tls = crate::tls::Tls::new(&context, vec!["localhost".to_owned()]);
        tls.expect("a certificate").authority_pem()
    }

    fn decoded(bundle: &str) -> String {
        String::from_utf8(STANDARD.decode(bundle).expect("base64")).expect("PEM")
    }

    #[test]
    fn two_webhooks_keep_each_others_authority_and_no_stranger() {
        let (first, second) = (authority(), authority());
        let alone = bundle("", &first);
        assert_eq!(decoded(&alone), first);
        assert_eq!(bundle(&alone, &first), alone);
        let both = bundle(&alone, &second);
        assert!(decoded(&both).contains(first.trim()) && decoded(&both).contains(second.trim()));
        // They are at peace: neither changes it again.
        assert_eq!(bundle(&both, &first), both);
        assert_eq!(bundle(&both, &second), both);
        let stranger = include_str!("../../../libs/tsp/tests/vectors/upstream-chain.pem");
        let with = STANDARD.encode(format!("{stranger}{first}"));
        assert_eq!(decoded(&bundle(&with, &first)), first);
        assert_eq!(decoded(&bundle("AAAA", &first)), first);
    }

    #[test]
    fn authorities_of_webhooks_that_are_gone_do_not_pile_up() {
        let mut current = String::new();
        for _ in 0..5 {
            current = bundle(&current, &authority());
        }
        assert_eq!(decoded(&current).matches("BEGIN CERTIFICATE").count(), 3);
    }
}
