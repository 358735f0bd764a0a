//! Where an exercise is done: in the webhook's folder, or in a cluster.

use std::collections::BTreeMap;

use anyhow::Context as _;
use labs::{Observation, Patch, Registered, Values, Where};
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    folder::Folder,
    workspace::{Workspace, files},
};
use crate::client::{Lab, expect};

/// Name of the registrations about workloads, both of them.
pub(crate) const POLICIES: &str = "policy.sigstore.dev";

/// Namespace of the controller.
pub(crate) const SYSTEM_NAMESPACE: &str = "cosign-system";

/// Name of the controller's settings.
pub(crate) const SETTINGS: &str = "config-policy-controller";

/// Name of a policy that shows whether the webhook reads what is written.
pub(crate) const CANARY: &str = "siglab-lab-canary";

/// Where policies, registrations and Pods are.
#[derive(Debug)]
pub(crate) enum Place {
    Cluster(Cluster),
    Folder(Folder),
}

impl Place {
    /// Where this exercise is done.
    pub(crate) fn of(workspace: &Workspace, lab: Lab) -> Self {
        if let Some(kubeconfig) = workspace.state.kubeconfig.clone() {
            return Self::Cluster(Cluster { lab, kubeconfig });
        }
        let exercise = &workspace.exercise;
        let registrations = workspace.folder().join("cluster");
        Self::Folder(Folder {
            lab,
            policies: workspace.state.policies.clone(),
            registrations: exercise.is_about_registrations().then_some(registrations),
            namespaces: exercise.namespaces.clone(),
        })
    }

    pub(crate) const fn lab(&self) -> &Lab {
        match self {
            Self::Cluster(cluster) => &cluster.lab,
            Self::Folder(folder) => &folder.lab,
        }
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Makes sure that an exercise can begin; returns the objects of the cluster that it changes.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) async fn prepare(&self) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Cluster(cluster) => cluster.prepare().await,
            Self::Folder(folder) => folder.prepare().map(|()| Vec::new()),
        }
    }

    /// Namespaces, settings and registrations as the exercise begins.
    ///
    /// # Errors
    /// What was refused.
    pub(crate) async fn set_up(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let entries: BTreeMap<&str, String> = workspace.exercise.settings.entries();
        match self {
            Self::Cluster(cluster) => {
                cluster.make(&workspace.exercise.namespaces).await?;
                cluster.configure(&entries).await?;
            }
            Self::Folder(folder) => {
                folder.configure(&entries)?;
                folder.register().await?;
            }
        }
        Ok(())
    }

    /// Puts a policy's file where the student finds it, and in force.
    ///
    /// # Errors
    /// What was refused.
    pub(crate) async fn put(
        &self,
        workspace: &Workspace,
        name: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        match self {
            Self::Cluster(cluster) => {
                workspace.write(&format!("policies/{name}"), text)?;
                cluster.apply(text).await
            }
            Self::Folder(folder) => folder.put(name, text),
        }
    }

    /// Takes a policy's file away, and its policies.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) async fn remove(&self, workspace: &Workspace, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Cluster(cluster) => {
                let path = workspace.folder().join("policies").join(name);
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                cluster.delete(&text).await?;
                std::fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))
            }
            Self::Folder(folder) => folder.remove(name),
        }
    }

    /// Changes registrations, unless it is to be done elsewhere.
    ///
    /// # Errors
    /// What was refused.
    pub(crate) async fn patch(&self, patch: &Patch, values: &Values) -> anyhow::Result<()> {
        let elsewhere = match self {
            Self::Cluster(_) => Where::Folder,
            Self::Folder(_) => Where::Cluster,
        };
        if patch.only == elsewhere {
            return Ok(());
        }
        let change = |object: &mut Value| -> anyhow::Result<()> {
            for (pointer, value) in &patch.set {
                let value = serde_json::from_str(&values.fill(&value.to_string())?)?;
                labs::patch(object, pointer, Some(&value))?;
            }
            for pointer in &patch.unset {
                labs::patch(object, pointer, None)?;
            }
            Ok(())
        };
        let all = match patch.registration {
            Registered::Both => vec![Registered::Mutating, Registered::Validating],
            one => vec![one],
        };
        for registered in all {
            match self {
                Self::Cluster(cluster) => cluster.change(registered, change).await?,
                Self::Folder(folder) => folder.change(registered, change)?,
            }
        }
        Ok(())
    }

    /// Waits until what is written is in force; says why it is not, when that is the student's to put right.
    ///
    /// # Errors
    /// When the webhook does not follow.
    pub(crate) async fn settle(&self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Cluster(cluster) => cluster.settle().await.map(|()| None),
            Self::Folder(folder) => folder.settle().await,
        }
    }

    /// The controller's settings as they are written now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) async fn settings(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let map = match self {
            Self::Cluster(cluster) => cluster.settings().await?,
            Self::Folder(folder) => folder.settings()?,
        };
        Ok(serde_json::from_value(map["data"].clone()).unwrap_or_default())
    }

    /// What becomes of a Pod.
    ///
    /// # Errors
    /// When nobody can say.
    pub(crate) async fn create(&self, pod: &Value, reachable: bool) -> anyhow::Result<Observation> {
        match self {
            Self::Cluster(cluster) => cluster.create(pod, reachable).await,
            Self::Folder(folder) => folder.create(pod, reachable).await,
        }
    }

    /// How many objects of a cluster there are.
    ///
    /// # Errors
    /// When there is no cluster to ask.
    pub(crate) async fn count(&self, arguments: &[String]) -> anyhow::Result<usize> {
        match self {
            Self::Cluster(cluster) => cluster.count(arguments).await,
            Self::Folder(_) => anyhow::bail!("only a cluster has such objects"),
        }
    }

    /// Takes the exercise out of the cluster, and leaves its files.
    ///
    /// # Errors
    /// What was refused.
    pub(crate) async fn take_down(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let Self::Cluster(cluster) = self else {
            return Ok(());
        };
        // What the student wrote may be nowhere else.
        workspace.write("policies/in-the-cluster.yaml", &cluster.policies().await?)?;
        cluster.take_down(&workspace.state.before).await?;
        for folder in ["objects", "pods", ""] {
            let found = files(&workspace.folder().join(folder))?;
            let manifests = found
                .iter()
                .filter(|file| file.extension() == Some("yaml".as_ref()));
            for file in manifests {
                cluster.delete(&std::fs::read_to_string(file)?).await?;
            }
        }
        Ok(())
    }
}

/// The policies in force: objects with `name` and `spec`.
///
/// # Errors
/// When the webhook does not answer.
pub(crate) async fn in_force(lab: &Lab) -> anyhow::Result<Vec<Value>> {
    let url = format!("{}/admission/policies", lab.admin);
    let answer = expect("the webhook", lab.http.get(url).send().await, &[200]).await?;
    Ok(answer.json().await?)
}

/// The controller's settings as an object.
pub(crate) fn configuration(entries: &BTreeMap<&str, String>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": SETTINGS, "namespace": SYSTEM_NAMESPACE},
        "data": entries,
    })
}

/// A policy about nothing.
pub(crate) fn canary() -> Value {
    json!({
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": CANARY},
        "spec": {
            "images": [{"glob": "canary.invalid/*"}],
            "authorities": [{"static": {"action": "fail"}}],
        },
    })
}

/// An object as the student reads it.
///
/// # Errors
/// Never for objects of this module.
pub(crate) fn yaml(object: &Value) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(object)?;
    Ok(format!("{}\n", text.trim_end()))
}
