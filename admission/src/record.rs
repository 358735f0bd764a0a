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

impl Attempt {
    /// Bytes in memory, more or less.
    pub(crate) fn weight(&self) -> usize {
        let step = |step: &Step| {
            let texts = [&step.what, &step.expected, &step.observed, &step.hint];
            texts.iter().map(|text| text.len()).sum::<usize>() + size_of::<Step>()
        };
        self.source.len() + self.steps.iter().map(step).sum::<usize>() + size_of::<Self>()
    }
}

impl Decision {
    /// Bytes in memory, more or less.
    fn weight(&self) -> usize {
        let authority = |one: &AuthorityDecision| {
            let attempts: usize = one.attempts.iter().map(Attempt::weight).sum();
            attempts + one.error.len() + one.authority.len() + size_of::<AuthorityDecision>()
        };
        let policy = |one: &PolicyDecision| {
            let authorities: usize = one.authorities.iter().map(authority).sum();
            authorities + one.error.len() + one.policy.len() + size_of::<PolicyDecision>()
        };
        let image = |one: &ImageDecision| {
            let paths: usize = one.paths.iter().map(String::len).sum();
            let policies: usize = one.policies.iter().map(policy).sum();
            policies + paths + one.image.len() + one.note.len() + size_of::<ImageDecision>()
        };
        let images: usize = self.images.iter().map(image).sum();
        let warnings: usize = self.warnings.iter().map(String::len).sum();
        images + warnings + self.message.len() + size_of::<Self>()
    }
}

/// Bytes of all decisions that are kept; the oldest go first.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Decisions that a follower may be behind.
const FOLLOWED_MAX: usize = 64;

/// The latest decisions, a bounded number.
#[derive(Debug)]
pub(crate) struct Ring {
    max: usize,
    followers: tokio::sync::broadcast::Sender<Decision>,
    kept: Mutex<Kept>,
}

/// Newest first, each with its weight.
#[derive(Debug, Default)]
struct Kept {
    decisions: VecDeque<(usize, Decision)>,
    weight: usize,
}

impl Ring {
    pub(crate) fn new(max: usize) -> Self {
        let (followers, _) = tokio::sync::broadcast::channel(FOLLOWED_MAX);
        Self {
            max,
            followers,
            kept: Mutex::default(),
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
        let weight = decision.weight();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.decisions.push_front((weight, decision));
        kept.weight += weight;
        while kept.decisions.len() > self.max || kept.weight > KEPT_BYTES_MAX {
            let Some((gone, _)) = kept.decisions.pop_back() else {
                return;
            };
            kept.weight -= gone;
        }
    }

    /// Newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Decision> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = kept.decisions.iter().take(count);
        newest.map(|(_, decision)| decision.clone()).collect()
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Decision, KEPT_BYTES_MAX, Ring};

    fn decision(name: &str, message: usize) -> Decision {
        Decision {
            time: Timestamp::UNIX_EPOCH,
            uid: String::new(),
            operation: "CREATE".to_owned(),
            kind: "Pod".to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
            allowed: false,
            message: "x".repeat(message),
            warnings: Vec::new(),
            images: Vec::new(),
        }
    }

    #[test]
    fn decisions_are_bounded_in_number_and_in_bytes() {
        let ring = Ring::new(3);
        let names = |ring: &Ring| {
            let newest = ring.newest(usize::MAX);
            newest.into_iter().map(|one| one.name).collect::<Vec<_>>()
        };
        for name in ["a", "b", "c", "d"] {
            ring.push(decision(name, 1));
        }
        assert_eq!(names(&ring), ["d", "c", "b"]);
        ring.push(decision("half", KEPT_BYTES_MAX / 2));
        ring.push(decision("other", KEPT_BYTES_MAX / 2));
        assert_eq!(names(&ring), ["other"]);
        ring.push(decision("whole", KEPT_BYTES_MAX));
        assert!(names(&ring).is_empty());
        ring.push(decision("small", 1));
        assert_eq!(names(&ring), ["small"]);
    }
}
