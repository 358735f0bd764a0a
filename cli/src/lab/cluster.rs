//! With a cluster: everything through kubectl, as the student does it.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context as _;
use labs::{Namespace, Observation, Registered, read_registration};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    folder::own_label,
    place::{CANARY, POLICIES, SETTINGS, SYSTEM_NAMESPACE, canary, configuration, in_force, yaml},
    server::{self, Hooks},
};
use crate::{client::Lab, output::Advise as _};

/// How often, and how many times, is looked for what the cluster does in its own time.
const LOOKS: (Duration, u32) = (Duration::from_millis(100), 100);

/// What the webhook needs to hear of a change.
const HEARD: Duration = Duration::from_secs(1);

/// The kind of the policies, in full: short names are for people.
const POLICY_KIND: &str = "clusterimagepolicies.policy.sigstore.dev";

/// A cluster that asks the lab's webhook.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    pub(crate) kubeconfig: PathBuf,
}

/// How kubectl ended.
struct Ended {
    good: bool,
    output: String,
    errors: String,
}

impl Ended {
    /// What kubectl said in the end; before, it says the same again and again.
    fn reason(&self) -> &str {
        self.errors.lines().last().unwrap_or("it does not say why")
    }
}

impl Cluster {
    async fn kubectl(&self, arguments: &[&str], input: &str) -> anyhow::Result<Ended> {
        let mut child = Command::new("kubectl")
            .env("KUBECONFIG", &self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .advise("kubectl cannot be started", "kubectl version --client")?;
        let mut stdin = child.stdin.take().context("kubectl has no input")?;
        // Who ends without reading says why himself.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(Ended {
            good: output.status.success(),
            output: text(&output.stdout),
            errors: text(&output.stderr),
        })
    }

    /// What kubectl prints, when it succeeds.
    async fn must(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let ended = self.kubectl(arguments, input).await?;
        if ended.good {
            return Ok(ended.output);
        }
        let file = self.kubeconfig.display();
        let line = format!("KUBECONFIG={file} kubectl {}", arguments.join(" "));
        None.advise(
            format!("kubectl {}: {}", arguments.join(" "), ended.reason()),
            line,
        )
    }

    async fn get(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self
            .must(&[&["get", "--output=json"], arguments].concat(), "")
            .await?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    /// `kubectl apply`.
    ///
    /// # Errors
    /// What the cluster refused.
    pub(crate) async fn apply(&self, text: &str) -> anyhow::Result<()> {
        self.must(&["apply", "--filename=-"], text).await.map(drop)
    }

    /// `kubectl delete` of what is there.
    ///
    /// # Errors
    /// What the cluster refused.
    pub(crate) async fn delete(&self, text: &str) -> anyhow::Result<()> {
        let arguments = [
            "delete",
            "--ignore-not-found",
            "--wait=false",
            "--filename=-",
        ];
        self.must(&arguments, text).await.map(drop)
    }

    /// Makes sure that there are no policies, and that the lab's webhook hears of them; returns the objects
    /// that the exercise changes, as they are.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) async fn prepare(&self) -> anyhow::Result<Vec<Value>> {
        let install = "siglab manifests admission | kubectl apply -f -    (and siglab up --set \
                       admission.kubeconfig=FILE; without a cluster: --kubeconfig '')";
        let policies = self
            .get(&[POLICY_KIND])
            .await
            .advise("the cluster knows no ClusterImagePolicy", install)?;
        let items = policies["items"].as_array().into_iter().flatten();
        let mut names = items.filter_map(|item| item["metadata"]["name"].as_str());
        // One of ours that was left behind is taken away below.
        if let Some(name) = names.find(|name| *name != CANARY) {
            return None.advise(
                format!("the cluster has policies already, {name} among them"),
                "kubectl get cip    (exercises begin without any: save and delete them)",
            );
        }
        let mut before = Vec::new();
        for registered in [Registered::Mutating, Registered::Validating] {
            let missing = "the webhook is not registered in the cluster";
            before.push(
                self.registration(registered)
                    .await
                    .advise(missing, install)?,
            );
        }
        let settings = self.settings().await?;
        if !settings.is_null() {
            before.push(cleaned(settings));
        }
        self.apply(&yaml(&canary())?).await?;
        let seen = self
            .wait_for(|known| known.iter().any(|policy| policy["name"] == CANARY))
            .await;
        self.must(&["delete", POLICY_KIND, CANARY], "").await?;
        if seen? {
            return Ok(before);
        }
        let file = self.kubeconfig.display();
        None.advise(
            format!(
                "the webhook of the lab at {} does not follow this cluster",
                self.lab.admin
            ),
            format!(
                "siglab up --set admission.kubeconfig={file}    (in place of the lab that runs)"
            ),
        )
    }

    /// Whether the webhook's policies become as `wanted`.
    async fn wait_for(&self, wanted: impl Fn(&[Value]) -> bool) -> anyhow::Result<bool> {
        for _ in 0..LOOKS.1 {
            if wanted(&in_force(&self.lab).await?) {
                return Ok(true);
            }
            tokio::time::sleep(LOOKS.0).await;
        }
        Ok(false)
    }

    /// Waits until the webhook knows the cluster's policies.
    ///
    /// # Errors
    /// When it does not hear of them.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let list = self.get(&[POLICY_KIND]).await?;
        let items = list["items"].as_array().into_iter().flatten();
        let mut names: Vec<&Value> = items.map(|item| &item["metadata"]["name"]).collect();
        names.sort_by_key(|name| name.as_str());
        let same = |known: &[Value]| {
            let mut have: Vec<&Value> = known.iter().map(|policy| &policy["name"]).collect();
            have.sort_by_key(|name| name.as_str());
            have == names
        };
        anyhow::ensure!(
            self.wait_for(same).await?,
            "the webhook does not hear of the cluster's policies"
        );
        tokio::time::sleep(HEARD).await;
        Ok(())
    }

    pub(crate) async fn configure(&self, entries: &BTreeMap<&str, String>) -> anyhow::Result<()> {
        self.apply(&configuration(entries).to_string()).await
    }

    /// The object of the controller's settings, if there is one.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub(crate) async fn settings(&self) -> anyhow::Result<Value> {
        let found = ["get", "--output=json", "configmap", SETTINGS, "--namespace"];
        let found = self
            .kubectl(&[&found[..], &[SYSTEM_NAMESPACE]].concat(), "")
            .await?;
        Ok(serde_json::from_str(&found.output).unwrap_or_default())
    }

    /// Makes namespaces in which Pods can be created.
    ///
    /// # Errors
    /// When they do not get their account.
    pub(crate) async fn make(&self, namespaces: &[Namespace]) -> anyhow::Result<()> {
        for namespace in namespaces {
            let Namespace { name, labels } = namespace;
            let object = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
            });
            self.apply(&object.to_string()).await?;
            let account = ["get", "serviceaccount", "default", "--namespace", name];
            let mut looks = 0;
            while !self.kubectl(&account, "").await?.good {
                looks += 1;
                anyhow::ensure!(looks < LOOKS.1, "the namespace {name} gets no account");
                tokio::time::sleep(LOOKS.0).await;
            }
        }
        Ok(())
    }

    async fn registration(&self, registered: Registered) -> anyhow::Result<Value> {
        let kind = match registered {
            Registered::Mutating => "mutatingwebhookconfiguration",
            Registered::Validating | Registered::Both => "validatingwebhookconfiguration",
        };
        Ok(cleaned(self.get(&[kind, POLICIES]).await?))
    }

    /// Changes a registration.
    ///
    /// # Errors
    /// What the cluster refused.
    pub(crate) async fn change(
        &self,
        registered: Registered,
        change: impl Fn(&mut Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut object = self.registration(registered).await?;
        change(&mut object)?;
        self.must(&["replace", "--filename=-"], &object.to_string())
            .await
            .map(drop)
    }

    /// What the API server says to a Pod; nothing is stored.
    ///
    /// # Errors
    /// When it says neither yes nor no.
    pub(crate) async fn create(&self, pod: &Value, reachable: bool) -> anyhow::Result<Observation> {
        if !reachable {
            return self.suppose(pod).await;
        }
        let mut pod = pod.clone();
        let name = pod["metadata"]["name"].as_str().unwrap_or("pod").to_owned();
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            metadata.remove("name");
            metadata.insert("generateName".to_owned(), format!("{name}-").into());
        }
        let arguments = ["create", "--dry-run=server", "--filename=-"];
        let ended = self.kubectl(&arguments, &pod.to_string()).await?;
        if ended.good {
            return Ok(Observation::Admitted);
        }
        let said = ended.errors;
        let denials = [
            "denied the request",
            "denied request",
            "failed calling webhook",
        ];
        if denials.iter().any(|denial| said.contains(denial)) {
            let reason = said
                .split_once("\"STDIN\": ")
                .map_or(said.as_str(), |(_, reason)| reason);
            return Ok(Observation::Denied(reason.to_owned()));
        }
        None.advise(
            format!("the API server cannot say: {said}"),
            "kubectl get nodes,namespaces",
        )
    }

    /// What the API server would say if the webhook did not answer, by the registrations in the cluster.
    async fn suppose(&self, pod: &Value) -> anyhow::Result<Observation> {
        let mut hooks = Hooks::default();
        for registered in [Registered::Mutating, Registered::Validating] {
            // A registration that was deleted asks nobody.
            let Ok(object) = self.registration(registered).await else {
                continue;
            };
            let read = match read_registration(&object) {
                Ok(read) => read,
                Err(error) => return Ok(Observation::Unusable(error.to_string())),
            };
            match registered {
                Registered::Mutating => hooks.mutating.extend(read),
                _ => hooks.validating.extend(read),
            }
        }
        let name = pod["metadata"]["namespace"].as_str().unwrap_or("default");
        let labels = match self.get(&["namespace", name]).await {
            Ok(namespace) => namespace["metadata"]["labels"].clone(),
            Err(_) => own_label(name),
        };
        let labels = serde_json::from_value(labels).unwrap_or_default();
        Ok(server::create(&self.lab, &hooks, pod, &labels, false).await)
    }

    /// How many objects `kubectl get` finds.
    ///
    /// # Errors
    /// What kubectl does not understand.
    pub(crate) async fn count(&self, arguments: &[String]) -> anyhow::Result<usize> {
        let mut all = vec!["get", "--output=name", "--ignore-not-found"];
        all.extend(arguments.iter().map(String::as_str));
        Ok(self.must(&all, "").await?.lines().count())
    }

    /// The policies as YAML.
    ///
    /// # Errors
    /// What kubectl does not give.
    pub(crate) async fn policies(&self) -> anyhow::Result<String> {
        self.must(&["get", POLICY_KIND, "--output=yaml"], "").await
    }

    /// Puts back what was there before, without any policy.
    ///
    /// # Errors
    /// What the cluster refused.
    pub(crate) async fn take_down(&self, before: &[Value]) -> anyhow::Result<()> {
        for object in before {
            // What the student deleted is made again.
            let text = object.to_string();
            if !self
                .kubectl(&["replace", "--filename=-"], &text)
                .await?
                .good
            {
                self.must(&["create", "--filename=-"], &text).await?;
            }
        }
        self.must(&["delete", POLICY_KIND, "--all"], "").await?;
        if !before.iter().any(|object| object["kind"] == "ConfigMap") {
            let map = ["delete", "configmap", SETTINGS, "--ignore-not-found"];
            self.must(&[&map[..], &["--namespace", SYSTEM_NAMESPACE]].concat(), "")
                .await?;
        }
        Ok(())
    }
}

/// An object as it can be put back, whatever has happened to it since.
fn cleaned(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in [
            "resourceVersion",
            "uid",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            metadata.remove(field);
        }
    }
    object
}
