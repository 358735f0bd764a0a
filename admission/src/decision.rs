//! The decision about a workload: every image against every matching policy, all authorities of each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use oci::ImageReference;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::authority::{self, Outcome};
use crate::cache;
use crate::config::{NoMatchPolicy, PolicyCombination};
use crate::discovery::Found;
use crate::field_error::{FieldErrors, Level};
use crate::policy::applies;
use crate::record::{Attempt, ImageDecision, PolicyDecision};
use crate::registry::{Keychain, Registry, Repository};
use crate::service::Service;
use crate::store::{CompiledPolicy, Objects};
use crate::trust::Trusted;
use crate::workload::Workload;

/// Images of one object that are decided at a time; each may ask its registry.
pub(crate) const IMAGES_PARALLEL: usize = 16;

/// Shortest name of a repository, as upstream reads references.
const REPOSITORY_MIN: usize = 2;

/// What was found in one place, or why nothing was.
type Looked = Result<Arc<Found>, String>;

/// What an evaluation rests on.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) service: &'a Service,
    pub(crate) objects: &'a Objects,
    pub(crate) workload: &'a Workload,
    /// Of the object, or of the request.
    pub(crate) namespace: &'a str,
    /// Read once, however many authorities ask.
    keychain: OnceCell<Result<Keychain, String>>,
    /// By place: looked at once, however many authorities ask. Held only to find the cell, never while
    /// looking.
    found: Mutex<HashMap<String, Arc<OnceCell<Looked>>>>,
}

/// One image, used in one or more places.
struct Image<'a> {
    written: &'a str,
    paths: Vec<&'a str>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(
        service: &'a Service,
        objects: &'a Objects,
        workload: &'a Workload,
        namespace: &'a str,
    ) -> Self {
        Self {
            service,
            objects,
            workload,
            namespace,
            keychain: OnceCell::new(),
            found: Mutex::default(),
        }
    }

    /// The repository of an image, if its registry may be contacted.
    ///
    /// # Errors
    /// That it may not.
    pub(crate) fn repository(
        &self,
        image: &ImageReference,
        keychain: &Keychain,
    ) -> Result<Repository, String> {
        let registry = image.registry();
        if !self.service.may_contact(registry, self.objects) {
            return Err(format!(
                "registry {registry} is not contacted: neither a policy nor the settings name it"
            ));
        }
        Repository::of(image, keychain).map_err(|error| error.to_string())
    }

    /// What `look` finds in `place`, which names all that the answer depends on.
    pub(crate) async fn find_once(
        &self,
        place: String,
        look: impl Future<Output = Result<Found, String>>,
    ) -> Looked {
        let cell = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(found.entry(place).or_default())
        };
        let looked = cell.get_or_init(|| async { look.await.map(Arc::new) });
        looked.await.clone()
    }

    pub(crate) const fn registry(&self) -> &Registry {
        self.service.registry()
    }

    pub(crate) const fn signatures_max(&self) -> usize {
        self.service.signatures_max()
    }

    /// What an authority said of an image a short while ago.
    pub(crate) fn cached(&self, place: &cache::Key) -> Option<cache::Known> {
        self.service.cache().get(place, self.service.now())
    }

    /// Keeps what an authority says of an image.
    pub(crate) fn keep(&self, place: cache::Key, attempts: &[Attempt], matched: &Value) {
        let known = cache::Known {
            attempts: attempts.to_vec(),
            matched: matched.clone(),
        };
        self.service.cache().put(place, known, self.service.now());
    }

    /// The trusted root of a TrustRoot, or the default for `""`.
    pub(crate) async fn trusted(&self, name: &str) -> anyhow::Result<Trusted> {
        self.service.trusted(name, self.objects).await
    }

    /// The logins of the Pod's `imagePullSecrets`; those that are missing are passed over.
    ///
    /// # Errors
    /// What the API server answered, when the secrets are in a cluster.
    pub(crate) async fn keychain(&self) -> Result<&Keychain, String> {
        let read = self.keychain.get_or_init(|| self.read_keychain()).await;
        read.as_ref().map_err(String::clone)
    }

    async fn read_keychain(&self) -> Result<Keychain, String> {
        let mut keychain = Keychain::default();
        let mut names = self.workload.pull_secrets.clone();
        if let Some(cluster) = self.service.cluster() {
            let account = &self.workload.service_account;
            names.extend(cluster.account_secrets(self.namespace, account).await?);
        }
        for name in &names {
            if let Some(config) = self.find_secret(name).await? {
                keychain.add(&config);
            }
        }
        if let Some(config) = self.service.registry_config() {
            keychain.add(config);
        }
        Ok(keychain)
    }

    async fn find_secret(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let entry = ".dockerconfigjson";
        if let Some(known) = self.objects.secret(self.namespace, name, entry) {
            return Ok(Some(known.to_vec()));
        }
        match self.service.cluster() {
            Some(cluster) => cluster.secret(self.namespace, name, entry).await,
            None => Ok(None),
        }
    }

    /// The Docker configuration of a secret in the workload's namespace.
    ///
    /// # Errors
    /// That it is not there.
    pub(crate) async fn pull_secret(&self, name: &str) -> Result<Vec<u8>, String> {
        let found = self.find_secret(name).await?;
        found.ok_or_else(|| {
            format!(
                "secret {name:?} not found in namespace {:?}",
                self.namespace
            )
        })
    }

    /// Decides all images; errors are merged over the places where the same image is used.
    pub(crate) async fn images(&self) -> (FieldErrors, Vec<ImageDecision>) {
        let mut images: BTreeMap<&str, Image<'_>> = BTreeMap::new();
        for used in &self.workload.images {
            let image = images.entry(&used.image).or_insert_with(|| Image {
                written: &used.image,
                paths: Vec::new(),
            });
            image.paths.push(&used.path);
        }
        let decided: Vec<_> = images.values().map(|image| self.image(image)).collect();
        let decided = futures::stream::iter(decided)
            .buffered(IMAGES_PARALLEL)
            .collect::<Vec<_>>();
        let mut errors = FieldErrors::default();
        let mut decisions = Vec::new();
        for (image_errors, decision) in decided.await {
            errors.extend(image_errors);
            decisions.push(decision);
        }
        (errors, decisions)
    }

    async fn image(&self, image: &Image<'_>) -> (FieldErrors, ImageDecision) {
        let mut errors = FieldErrors::default();
        let mut decision = ImageDecision {
            image: image.written.to_owned(),
            paths: image.paths.iter().map(|path| (*path).to_owned()).collect(),
            policies: Vec::new(),
            note: String::new(),
        };
        let mut refuse = |message: String, details: &str, level| {
            decision.note.clone_from(&message);
            errors.push(level, message, &image.paths, details);
        };
        let parsed = image.written.parse::<ImageReference>().ok();
        let fits = |parsed: &ImageReference| parsed.repository().as_str().len() >= REPOSITORY_MIN;
        let Some(reference) = parsed.filter(fits) else {
            refuse(
                format!("could not parse reference: {}", image.written),
                "",
                Level::Error,
            );
            return (errors, decision);
        };
        if reference.digest().is_none() {
            let message = format!("invalid value: {} must be an image digest", image.written);
            refuse(message, "", Level::Error);
            return (errors, decision);
        }
        let matching = match self.matching(&reference) {
            Ok(matching) => matching,
            Err(error) => {
                refuse(error.to_owned(), image.written, Level::Error);
                return (errors, decision);
            }
        };
        if matching.is_empty() {
            let level = match self.objects.no_match_policy {
                NoMatchPolicy::Allow => return (errors, decision),
                NoMatchPolicy::Deny => Level::Error,
                NoMatchPolicy::Warn => Level::Warning,
            };
            refuse("no matching policies".to_owned(), image.written, level);
            return (errors, decision);
        }
        let evaluated = futures::future::join_all(
            matching
                .iter()
                .map(|policy| self.policy(policy, &reference)),
        );
        decision.policies = evaluated.await;
        let any_passed = decision.policies.iter().any(|policy| policy.passed);
        let enough = any_passed && self.objects.policy_combination == PolicyCombination::Any;
        for policy in decision
            .policies
            .iter()
            .filter(|policy| !policy.passed && !enough)
        {
            let level = if policy.mode == "warn" {
                Level::Warning
            } else {
                Level::Error
            };
            let message = format!("failed policy: {}", policy.policy);
            let details = failure_text(image.written, policy);
            errors.push(level, message, &image.paths, &details);
        }
        (errors, decision)
    }

    fn matching(&self, reference: &ImageReference) -> Result<Vec<&CompiledPolicy>, &'static str> {
        let name = reference.to_string();
        let subject = self.workload.subject();
        let mut matching = Vec::new();
        for policy in self.objects.policies.values() {
            if policy.matches_image(&name) && applies(&policy.spec, &subject)? {
                matching.push(policy);
            }
        }
        Ok(matching)
    }

    async fn policy(&self, policy: &CompiledPolicy, reference: &ImageReference) -> PolicyDecision {
        let evaluated = futures::future::join_all(
            policy
                .authorities
                .iter()
                .map(|one| authority::evaluate(self, one, reference)),
        );
        let outcomes: Vec<Outcome> = evaluated.await;
        let mut decision = PolicyDecision {
            policy: policy.name.clone(),
            mode: if policy.warns() { "warn" } else { "enforce" }.to_owned(),
            passed: outcomes.iter().any(|outcome| outcome.decision.passed),
            authorities: Vec::new(),
            error: String::new(),
        };
        if let Some(broken) = &policy.broken {
            // Divergence: upstream drops such a policy, and what it matched is admitted or not by
            // no-match-policy.
            decision.error = format!("the policy cannot be evaluated: {broken}");
        } else if policy.authorities.is_empty() {
            // Divergence: upstream admits what a policy without authorities matches.
            "the policy has no authorities".clone_into(&mut decision.error);
        }
        if decision.passed
            && let Some(expression) = &policy.expression
        {
            let checked = match self.policy_input(policy, reference, &outcomes).await {
                Ok(input) => expression.evaluate(&input),
                Err(error) => Err(error),
            };
            if let Err(error) = checked {
                decision.passed = false;
                decision.error = error;
            }
        }
        decision.authorities = outcomes
            .into_iter()
            .map(|outcome| outcome.decision)
            .collect();
        decision
    }

    /// `PolicyResult` and what the policy asks for beside it.
    async fn policy_input(
        &self,
        policy: &CompiledPolicy,
        reference: &ImageReference,
        outcomes: &[Outcome],
    ) -> Result<Value, String> {
        let matches: serde_json::Map<String, Value> = outcomes
            .iter()
            .filter(|outcome| outcome.decision.passed)
            .map(|outcome| (outcome.decision.authority.clone(), outcome.matched.clone()))
            .collect();
        let mut input = json!({"authorityMatches": matches});
        let asked = policy.spec.policy.as_ref();
        let asks = |field: fn(&crate::policy::Policy) -> Option<bool>| {
            asked.and_then(field).unwrap_or(false)
        };
        if asks(|policy| policy.fetch_config_file) {
            input["config"] = self.service.configs(self, reference).await?;
        }
        if asks(|policy| policy.include_spec) {
            input["spec"] = self.workload.spec();
        }
        if asks(|policy| policy.include_object_meta) {
            input["metadata"] = self.workload.metadata();
        }
        if asks(|policy| policy.include_type_meta) {
            input["typemeta"] = self.workload.type_meta();
        }
        Ok(input)
    }
}

/// `IMAGE error1 error2…`, in the order of the authorities.
fn failure_text(image: &str, policy: &PolicyDecision) -> String {
    let mut text = image.to_owned();
    let authorities = policy
        .authorities
        .iter()
        .filter(|authority| !authority.passed);
    if policy.error.is_empty() {
        for authority in authorities {
            text.push(' ');
            text.push_str(&authority.error);
        }
    } else {
        text.push(' ');
        text.push_str(&policy.error);
    }
    text
}
