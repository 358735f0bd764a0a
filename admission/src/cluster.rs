//! The cluster as the source of policies, secrets and accounts, and the keeper of the webhook's `caBundle`.

mod authority;
mod status;

pub(crate) use status::{State, states};

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::Value;

use crate::Config;
use crate::documents::Origin;

const POLICY_GROUP: &str = "policy.sigstore.dev";

/// What is watched: group, version, kind, plural, and whether it is namespaced.
const WATCHED: [(&str, &str, &str, &str, bool); 4] = [
    (
        POLICY_GROUP,
        "v1beta1",
        "ClusterImagePolicy",
        "clusterimagepolicies",
        false,
    ),
    (POLICY_GROUP, "v1alpha1", "TrustRoot", "trustroots", false),
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Secret", "secrets", true),
];

/// A connection to the API server.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    system_namespace: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// Objects by namespace and name.
type Known = BTreeMap<(String, String), Value>;

impl Cluster {
    /// Connects as the settings say; `None` when they name no cluster.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub(crate) async fn connect(config: &Config) -> anyhow::Result<Option<Self>> {
        let client_config = match (&config.kubeconfig, config.in_cluster) {
            (None, false) => return Ok(None),
            (None, true) => kube::Config::incluster().context("in_cluster")?,
            (Some(path), _) => {
                let read = || format!("kubeconfig: {}", path.display());
                let kubeconfig = Kubeconfig::read_from(path).with_context(read)?;
                kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                    .await
                    .with_context(read)?
            }
        };
        let client = Client::try_from(client_config).context("the cluster's client")?;
        Ok(Some(Self {
            client,
            system_namespace: config.system_namespace.clone(),
        }))
    }

    fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
        let kind = GroupVersionKind::gvk(group, version, kind);
        ApiResource::from_gvk_with_plural(&kind, plural)
    }

    /// Hands all objects to `apply` whenever one changes, once all kinds are known.
    pub(crate) async fn follow(self: Arc<Self>, apply: impl Fn(Vec<Origin>) + Send + 'static) {
        let mut streams = Vec::new();
        for (index, (group, version, kind, plural, namespaced)) in WATCHED.into_iter().enumerate() {
            let resource = Self::resource(group, version, kind, plural);
            let client = self.client.clone();
            let api: Api<DynamicObject> = if namespaced {
                Api::namespaced_with(client, &self.system_namespace, &resource)
            } else {
                Api::all_with(client, &resource)
            };
            let events = watcher::watcher(api, watcher::Config::default())
                .default_backoff()
                .map(move |event| (index, event));
            streams.push(events.boxed());
        }
        let mut events = futures::stream::select_all(streams);
        let mut known: [Option<Known>; WATCHED.len()] = Default::default();
        let mut listing: [Known; WATCHED.len()] = Default::default();
        let mut problem = String::new();
        while let Some((index, event)) = events.next().await {
            match event {
                Ok(event) => {
                    if take(event, index, &mut listing[index], &mut known[index]) {
                        hand_over(&known, &apply);
                    }
                }
                Err(error) => {
                    let text = format!("{:#}", anyhow::Error::from(error));
                    if text != problem {
                        tracing::warn!("watching {} of the cluster: {text}", WATCHED[index].3);
                        problem = text;
                    }
                }
            }
        }
    }

    /// An entry of a secret.
    ///
    /// # Errors
    /// What the API server answered, other than that there is none.
    pub(crate) async fn secret(
        &self,
        namespace: &str,
        name: &str,
        entry: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        let resource = Self::resource("", "v1", "Secret", "secrets");
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let secret = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let data = secret.and_then(|secret| {
            let encoded = secret.data.get("data")?.get(entry)?.as_str()?.to_owned();
            base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .ok()
        });
        Ok(data)
    }

    /// Names of a service account's `imagePullSecrets`.
    ///
    /// # Errors
    /// What the API server answered, other than that there is no such account.
    pub(crate) async fn account_secrets(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<String>, String> {
        let resource = Self::resource("", "v1", "ServiceAccount", "serviceaccounts");
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let account = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let secrets = account.and_then(|account| {
            let secrets = account.data.get("imagePullSecrets")?.as_array()?;
            Some(
                secrets
                    .iter()
                    .filter_map(|secret| secret.get("name")?.as_str().map(str::to_owned))
                    .collect(),
            )
        });
        Ok(secrets.unwrap_or_default())
    }
}

/// Takes an event; whether what is known changed.
fn take(
    event: Event<DynamicObject>,
    index: usize,
    listing: &mut Known,
    known: &mut Option<Known>,
) -> bool {
    match event {
        Event::Init => listing.clear(),
        Event::InitApply(object) => {
            let (place, value) = entry(object, index);
            listing.insert(place, value);
        }
        Event::InitDone => {
            *known = Some(std::mem::take(listing));
            return true;
        }
        Event::Apply(object) => {
            let (place, value) = entry(object, index);
            known.get_or_insert_default().insert(place, value);
            return true;
        }
        Event::Delete(object) => {
            let (place, _) = entry(object, index);
            known.get_or_insert_default().remove(&place);
            return true;
        }
    }
    false
}

/// The object as it would be in a file, and where it belongs.
fn entry(mut object: DynamicObject, index: usize) -> ((String, String), Value) {
    let (group, version, kind, ..) = WATCHED[index];
    object.metadata.managed_fields = None;
    let place = (
        object.metadata.namespace.clone().unwrap_or_default(),
        object.metadata.name.clone().unwrap_or_default(),
    );
    let mut value = serde_json::to_value(&object).unwrap_or_default();
    value["kind"] = kind.into();
    value["apiVersion"] = if group.is_empty() {
        version.into()
    } else {
        format!("{group}/{version}").into()
    };
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    (place, value)
}

fn hand_over(known: &[Option<Known>; WATCHED.len()], apply: &impl Fn(Vec<Origin>)) {
    if known.iter().any(Option::is_none) {
        return;
    }
    let objects = known.iter().flatten().flat_map(BTreeMap::values);
    apply(
        objects
            .map(|object| Origin {
                file: "cluster".to_owned(),
                object: object.clone(),
            })
            .collect(),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DynamicObject, Event, Known, take};

    fn object(name: &str, data: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": name, "managedFields": [{"manager": "kubectl"}]},
            "spec": {"mode": data}, "status": {"conditions": []},
        }))
        .expect("an object")
    }

    fn names(known: Option<&Known>) -> Vec<&str> {
        known
            .into_iter()
            .flatten()
            .map(|((_, name), _)| name.as_str())
            .collect()
    }

    #[test]
    fn a_list_replaces_what_was_known_when_it_is_whole() {
        let (mut listing, mut known) = (Known::new(), None);
        let mut event = |event| {
            let changed = take(event, 0, &mut listing, &mut known);
            (changed, known.clone())
        };
        assert!(!event(Event::Init).0);
        assert!(!event(Event::InitApply(object("a", "warn"))).0);
        assert!(event(Event::InitDone).0);
        assert!(event(Event::Apply(object("b", "warn"))).0);
        let (changed, known) = event(Event::Delete(object("a", "warn")));
        assert!(changed);
        assert_eq!(names(known.as_ref()), ["b"]);
        event(Event::Init);
        let (changed, known) = event(Event::InitApply(object("c", "warn")));
        assert!(!changed);
        assert_eq!(names(known.as_ref()), ["b"]);
        assert_eq!(names(event(Event::InitDone).1.as_ref()), ["c"]);
    }

    #[test]
    fn objects_are_as_in_a_file() {
        let (mut listing, mut known) = (Known::new(), None);
        take(
            Event::Apply(object("a", "warn")),
            0,
            &mut listing,
            &mut known,
        );
        let value = known.expect("known").into_values().next().expect("one");
        assert_eq!(
            value,
            json!({
                "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
                "metadata": {"name": "a"}, "spec": {"mode": "warn"},
            })
        );
    }
}
