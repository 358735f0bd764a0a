//! Decision records: what was decided, by which policy and authority, and why.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use verify::Step;

/// One answered request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When.
    pub time: Timestamp,
    /// Of the request.
    pub uid: String,
    /// `CREATE`, `UPDATE`.
    pub operation: String,
    /// Kind of the object.
    pub kind: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object, or the prefix of a generated one.
    pub name: String,
    /// Whether it was admitted.
    pub allowed: bool,
    /// What the API server was told.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Warnings to the user.
    pub warnings: Vec<String>,
    /// Each image once.
    pub images: Vec<ImageDecision>,
}

/// What was decided about an image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageDecision {
    /// As written.
    pub image: String,
    /// Where it is used.
    pub paths: Vec<String>,
    /// The matching policies, by name.
    pub policies: Vec<PolicyDecision>,
    /// Why no policy was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What a policy said.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDecision {
    /// Its name.
    pub policy: String,
    /// `enforce` or `warn`.
    pub mode: String,
    /// Whether it passed.
    pub passed: bool,
    /// All its authorities.
    pub authorities: Vec<AuthorityDecision>,
    /// What the policy's own expression said, when it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What an authority said.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityDecision {
    /// Its name.
    pub authority: String,
    /// Whether it passed.
    pub passed: bool,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Every signature or attestation that was looked at.
    pub attempts: Vec<Attempt>,
}

/// One signature or attestation that was looked at.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Where it was found.
    pub source: String,
    /// Whether it verified.
    pub verified: bool,
    /// Step by step; the last is the one that failed.
    pub steps: Vec<Step>,
}

/// Decisions that a follower may be behind.
const FOLLOWED_MAX: usize = 64;

/// The latest decisions, a bounded number.
#[derive(Debug)]
pub(crate) struct Ring {
    max: usize,
    followers: tokio::sync::broadcast::Sender<Decision>,
    kept: Mutex<VecDeque<Decision>>,
}

impl Ring {
    pub(crate) fn new(max: usize) -> Self {
        let (followers, _) = tokio::sync::broadcast::channel(FOLLOWED_MAX);
        Self {
            max,
            followers,
            kept: Mutex::new(VecDeque::new()),
        }
    }

    /// Decisions from now on; a follower that is too slow misses some.
    pub(crate) fn follow(&self) -> tokio::sync::broadcast::Receiver<Decision> {
        self.followers.subscribe()
    }

    pub(crate) fn push(&self, decision: Decision) {
        if self.followers.receiver_count() > 0 {
            // The last follower may have left meanwhile.
            let _ = self.followers.send(decision.clone());
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front(decision);
        kept.truncate(self.max);
    }

    /// Newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Decision> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().take(count).cloned().collect()
    }
}

/// One line for each denied image and authority, naming what was expected and what was there.
pub(crate) fn log(decision: &Decision) {
    for image in &decision.images {
        for policy in image.policies.iter().filter(|policy| !policy.passed) {
            let denied = policy.mode != "warn";
            for authority in policy
                .authorities
                .iter()
                .filter(|authority| !authority.passed)
            {
                log_authority(decision, image, policy, authority, denied);
            }
            if !policy.error.is_empty() {
                tracing::warn!(
                    image = image.image,
                    policy = policy.policy,
                    denied,
                    uid = decision.uid,
                    "policy expression not met: {}",
                    policy.error
                );
            }
        }
        if image.policies.is_empty() && !image.note.is_empty() {
            tracing::warn!(image = image.image, uid = decision.uid, "{}", image.note);
        }
    }
}

fn log_authority(
    decision: &Decision,
    image: &ImageDecision,
    policy: &PolicyDecision,
    authority: &AuthorityDecision,
    denied: bool,
) {
    let failed = authority.attempts.iter().filter_map(|attempt| {
        attempt
            .steps
            .iter()
            .rev()
            .find(|step| step.outcome == verify::Outcome::Failed)
    });
    let mut logged = false;
    for step in failed {
        logged = true;
        tracing::warn!(
            image = image.image,
            policy = policy.policy,
            authority = authority.authority,
            namespace = decision.namespace,
            name = decision.name,
            uid = decision.uid,
            denied,
            step = step.what,
            expected = step.expected,
            observed = step.observed,
            hint = step.hint,
            "{}",
            authority.error
        );
    }
    if !logged {
        tracing::warn!(
            image = image.image,
            policy = policy.policy,
            authority = authority.authority,
            namespace = decision.namespace,
            name = decision.name,
            uid = decision.uid,
            denied,
            "{}",
            authority.error
        );
    }
}
