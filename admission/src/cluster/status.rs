//! The condition `Ready` in policies and TrustRoots of a cluster: whether they can be used, and why not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Cluster, WATCHED};
use crate::documents::{Origin, StoreError};

/// Time after which what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Whether an object of our own kinds can be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct State {
    /// Kind and name.
    object: (String, String),
    generation: i64,
    /// Why not.
    problem: Option<String>,
}

/// The states of all objects of our own kinds.
pub(crate) fn states(documents: &[Origin], problems: &[StoreError]) -> Vec<State> {
    let text = |object: &Value, pointer: &str| {
        let found = object.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let own = documents.iter().filter_map(|origin| {
        let kind = text(&origin.object, "/kind");
        let name = text(&origin.object, "/metadata/name");
        let problem = problems.iter().find_map(|problem| match problem {
            StoreError::Object {
                kind: of,
                name: named,
                reason,
                ..
            } if (of, named) == (&kind, &name) => Some(reason.clone()),
            _ => None,
        });
        let generation = origin.object.pointer("/metadata/generation");
        matches!(kind.as_str(), "ClusterImagePolicy" | "TrustRoot").then(|| State {
            object: (kind, name),
            generation: generation.and_then(Value::as_i64).unwrap_or_default(),
            problem,
        })
    });
    own.collect()
}

impl State {
    fn status(&self, now: Timestamp) -> Value {
        let mut ready = json!({
            "type": "Ready", "status": "True",
            "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        if let Some(problem) = &self.problem {
            ready["status"] = "False".into();
            ready["reason"] = "CannotBeUsed".into();
            ready["message"] = problem.as_str().into();
        }
        json!({ "status": { "observedGeneration": self.generation, "conditions": [ready] } })
    }
}

impl Cluster {
    /// Writes every state that changes into its object.
    pub(crate) async fn keep_status(
        self: Arc<Self>,
        mut states: watch::Receiver<Vec<State>>,
        now: impl Fn() -> Timestamp + Send,
    ) {
        let mut written: BTreeMap<(String, String), State> = BTreeMap::new();
        loop {
            // What could not be written is tried again even if nothing changes.
            if let Ok(Err(_)) = tokio::time::timeout(RETRY, states.changed()).await {
                return;
            }
            let current = states.borrow_and_update().clone();
            written.retain(|object, _| current.iter().any(|state| state.object == *object));
            for state in current {
                if written.get(&state.object) == Some(&state) {
                    continue;
                }
                match self.write_status(&state, now()).await {
                    Ok(()) => {
                        written.insert(state.object.clone(), state);
                    }
                    Err(error) => {
                        let (kind, name) = &state.object;
                        let error = anyhow::Error::from(error);
                        tracing::warn!("status of {kind} {name}: {error:#}");
                    }
                }
            }
        }
    }

    async fn write_status(&self, state: &State, now: Timestamp) -> Result<(), kube::Error> {
        let (kind, name) = &state.object;
        let watched = WATCHED.iter().find(|(_, _, known, ..)| known == kind);
        let Some((group, version, kind, plural, _)) = watched else {
            return Ok(());
        };
        let resource = Self::resource(group, version, kind, plural);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let patch = Patch::Merge(state.status(now));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Origin, StoreError, states};

    #[test]
    fn a_policy_is_ready_or_says_why_not() {
        let origin = |kind: &str, name: &str| Origin {
            file: "cluster".to_owned(),
            object: json!({"kind": kind, "metadata": {"name": name, "generation": 3}}),
        };
        let documents = [
            origin("ClusterImagePolicy", "good"),
            origin("ClusterImagePolicy", "bad"),
            origin("Secret", "bad"),
        ];
        let problem = StoreError::Object {
            origin: "cluster".to_owned(),
            kind: "ClusterImagePolicy".to_owned(),
            name: "bad".to_owned(),
            reason: "secret \"k\" not found".to_owned(),
        };
        let now = "2026-01-01T00:00:00.5Z".parse().expect("a time");
        let said = states(&documents, &[problem]);
        let said: Vec<_> = said.iter().map(|state| state.status(now)).collect();
        let time = "2026-01-01T00:00:00Z";
        assert_eq!(
            said,
            [
                json!({"status": {"observedGeneration": 3, "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": time},
                ]}}),
                json!({"status": {"observedGeneration": 3, "conditions": [{
                    "type": "Ready", "status": "False", "lastTransitionTime": time,
                    "reason": "CannotBeUsed", "message": "secret \"k\" not found",
                }]}}),
            ]
        );
    }
}
