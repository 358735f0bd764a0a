//! Without a cluster: policies in the folder that the webhook reads, registrations in the exercise's own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use labs::{Namespace, Observation, Registered, read_registration};
use serde_json::{Value, json};
use stack::manifests::Installation;

use super::{
    place::{CANARY, POLICIES, SETTINGS, canary, configuration, in_force, yaml},
    server::{self, Hooks},
    workspace::{files, write},
};
use crate::{
    client::{Lab, expect},
    documents,
    output::Advise as _,
};

/// The label that an API server puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The file of the controller's settings.
const SETTINGS_FILE: &str = "00-settings.yaml";

/// A lab, and the folders of an exercise in it.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) lab: Lab,
    /// What the webhook reads.
    pub(crate) policies: PathBuf,
    /// Where the registrations are, when the exercise is about them.
    pub(crate) registrations: Option<PathBuf>,
    pub(crate) namespaces: Vec<Namespace>,
}

/// Has the webhook read its folder now, and says why it does not like what is there.
///
/// # Errors
/// When the webhook does not answer.
pub(crate) async fn reload(lab: &Lab) -> anyhow::Result<Option<String>> {
    let url = format!("{}/admission/policies/reload", lab.admin);
    let answer = expect("the webhook", lab.http.post(url).send().await, &[200, 422]).await?;
    if answer.status() == 200 {
        return Ok(None);
    }
    Ok(Some(answer.text().await?.trim().to_owned()))
}

/// The first of these folders that the lab's webhook reads, found out by a policy about nothing.
///
/// # Errors
/// That it reads none of them, or likes nothing that is there.
pub(crate) async fn watched(lab: &Lab, candidates: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let mut refused = None;
    for dir in candidates {
        let path = dir.join(format!("{CANARY}.yaml"));
        let is_there = dir.exists();
        if write(&path, &yaml(&canary())?).is_err() {
            continue;
        }
        let problem = reload(lab).await;
        let seen = in_force(lab).await;
        let _ = fs::remove_file(&path);
        reload(lab).await?;
        refused = problem?.or(refused);
        if seen?.iter().any(|policy| policy["name"] == CANARY) {
            return Ok(dir.clone());
        }
        if !is_there {
            let _ = fs::remove_dir(dir);
        }
    }
    if let Some(reason) = refused {
        return None.advise(
            format!("the webhook refuses what is in its folder already: {reason}"),
            "put that right, or move it away, and start again",
        );
    }
    let shown = candidates.first().context("no folder to try")?.display();
    None.advise(
        format!("the webhook of the lab at {} does not read {shown}", lab.admin),
        format!(
            "siglab up --set admission.policies={shown}    (in place of the lab that runs; or name the \
             folder that it reads: --policies DIR; or, when it follows a cluster: --kubeconfig FILE)"
        ),
    )
}

impl Folder {
    /// Makes sure that the folder has nothing that would take part.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        match files(&self.policies)?.first() {
            None => Ok(()),
            Some(first) => None.advise(
                format!(
                    "{} is there already, and no exercise wrote it",
                    first.display()
                ),
                format!(
                    "mv {}/*.yaml SOMEWHERE    (exercises begin without any policy)",
                    self.policies.display()
                ),
            ),
        }
    }

    pub(crate) fn put(&self, name: &str, text: &str) -> anyhow::Result<()> {
        write(&self.policies.join(name), text)
    }

    pub(crate) fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.policies.join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    pub(crate) fn configure(&self, entries: &BTreeMap<&str, String>) -> anyhow::Result<()> {
        self.put(SETTINGS_FILE, &yaml(&configuration(entries))?)
    }

    /// Why the policies of the folder are not in force, if they are not.
    ///
    /// # Errors
    /// When the webhook reads another folder, or does not answer.
    pub(crate) async fn settle(&self) -> anyhow::Result<Option<String>> {
        if let Some(reason) = reload(&self.lab).await? {
            return Ok(Some(format!(
                "the webhook refuses the policies, and goes on with the last good ones: {reason}"
            )));
        }
        let known = in_force(&self.lab).await?;
        for path in files(&self.policies)? {
            for object in documents::objects(&path).unwrap_or_default() {
                let is_policy = object["kind"] == "ClusterImagePolicy";
                let name = &object["metadata"]["name"];
                if is_policy && !known.iter().any(|policy| policy["name"] == *name) {
                    return None.advise(
                        format!("the webhook does not read {}", path.display()),
                        format!(
                            "siglab up --set admission.policies={}    (in place of the lab that runs)",
                            self.policies.display()
                        ),
                    );
                }
            }
        }
        Ok(None)
    }

    /// The object of the controller's settings; of several the last counts.
    pub(crate) fn settings(&self) -> anyhow::Result<Value> {
        let mut settings = Value::Null;
        for path in files(&self.policies)? {
            let objects = documents::objects(&path).unwrap_or_default();
            let found = objects.into_iter().rfind(|object| {
                object["kind"] == "ConfigMap" && object["metadata"]["name"] == SETTINGS
            });
            settings = found.unwrap_or(settings);
        }
        Ok(settings)
    }

    /// Writes the registrations as they are installed, when the exercise is about them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) async fn register(&self) -> anyhow::Result<()> {
        let Some(dir) = &self.registrations else {
            return Ok(());
        };
        for (registered, object) in self.installed().await? {
            write(&dir.join(file_name(registered)), &yaml(&object)?)?;
        }
        Ok(())
    }

    /// The registrations of `siglab manifests admission`.
    async fn installed(&self) -> anyhow::Result<Vec<(Registered, Value)>> {
        let url = format!("{}/admission/ca.pem", self.lab.admin);
        let answer = expect(
            "the admin door",
            self.lab.http.get(url).send().await,
            &[200],
        )
        .await?;
        let installation = Installation {
            url: Some(self.lab.url("admission", "https")?),
            authority_pem: Some(answer.text().await?),
            ..Installation::default()
        };
        let registrations = installation.objects().into_iter().filter_map(|object| {
            let registered = match object["kind"].as_str()? {
                "MutatingWebhookConfiguration" => Registered::Mutating,
                "ValidatingWebhookConfiguration" => Registered::Validating,
                _ => return None,
            };
            (object["metadata"]["name"] == POLICIES).then_some((registered, object))
        });
        Ok(registrations.collect())
    }

    /// Changes a registration of the exercise's folder.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn change(
        &self,
        registered: Registered,
        change: impl Fn(&mut Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let dir = self
            .registrations
            .as_deref()
            .unwrap_or_else(|| Path::new("."));
        let path = dir.join(file_name(registered));
        let mut object = documents::objects(&path)?.swap_remove(0);
        change(&mut object)?;
        write(&path, &yaml(&object)?)
    }

    /// The registered webhooks, or why the student's files are none.
    async fn hooks(&self) -> anyhow::Result<Result<Hooks, String>> {
        let mut hooks = Hooks::default();
        let mut add = |registered, object: &Value| -> Result<(), String> {
            let read = read_registration(object).map_err(|error| error.to_string())?;
            match registered {
                Registered::Mutating => hooks.mutating.extend(read),
                _ => hooks.validating.extend(read),
            }
            Ok(())
        };
        let Some(dir) = &self.registrations else {
            for (registered, object) in self.installed().await? {
                if let Err(reason) = add(registered, &object) {
                    anyhow::bail!("the lab's own registration cannot be used: {reason}");
                }
            }
            return Ok(Ok(hooks));
        };
        for registered in [Registered::Mutating, Registered::Validating] {
            let path = dir.join(file_name(registered));
            // A registration that was deleted asks nobody.
            if !path.exists() {
                continue;
            }
            let read = documents::objects(&path).map_err(|error| format!("{error:#}"));
            let added = read.and_then(|objects| {
                let mut objects = objects.iter();
                objects.try_for_each(|object| add(registered, object))
            });
            if let Err(reason) = added {
                return Ok(Err(format!("{}: {reason}", path.display())));
            }
        }
        Ok(Ok(hooks))
    }

    /// What becomes of a Pod.
    ///
    /// # Errors
    /// When the lab does not answer, and that is not part of the exercise.
    pub(crate) async fn create(&self, pod: &Value, reachable: bool) -> anyhow::Result<Observation> {
        let hooks = match self.hooks().await? {
            Ok(hooks) => hooks,
            Err(reason) => return Ok(Observation::Unusable(reason)),
        };
        let name = pod["metadata"]["namespace"].as_str().unwrap_or("default");
        let known = self
            .namespaces
            .iter()
            .find(|namespace| namespace.name == name);
        let mut labels = known.map(|known| known.labels.clone()).unwrap_or_default();
        labels.insert(NAME_LABEL.to_owned(), name.to_owned());
        let seen = server::create(&self.lab, &hooks, pod, &labels, reachable).await;
        match &seen {
            Observation::Denied(message)
                if self.registrations.is_none() && message.contains("failed calling webhook") =>
            {
                anyhow::bail!("the lab's webhook cannot be asked: {message}")
            }
            _ => Ok(seen),
        }
    }
}

const fn file_name(registered: Registered) -> &'static str {
    match registered {
        Registered::Mutating => "mutating.yaml",
        Registered::Validating | Registered::Both => "validating.yaml",
    }
}

/// Labels of a namespace that nobody labelled.
pub(crate) fn own_label(name: &str) -> Value {
    json!({ NAME_LABEL: name })
}
