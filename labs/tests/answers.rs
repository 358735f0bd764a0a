//! Answers as people write them, good ones and others, judged by the checks of the written questions.

use labs::{Exercise, Observation, What};

/// The names of the checks that an answer does not pass.
fn missed(exercise: &Exercise, answer: &str) -> Vec<String> {
    let written = exercise
        .checks(false)
        .filter(|(_, check)| matches!(check.what, What::Answer(_)));
    let seen = Observation::Answer(Some(answer.to_owned()));
    let missed = written.filter(|(_, check)| !check.judge(&seen).passed);
    missed.map(|(_, check)| check.id.clone()).collect()
}

#[test]
fn good_answers_about_keyless_signing_pass_in_other_words() {
    let exercise = labs::find(6).expect("it is there");
    for answer in [
        "A signing key that lives for years is a secret that must be stored somewhere, and whoever copies \
         it can sign anything in our name without being noticed. Keyless signing removes the long-lived \
         key altogether. The build proves who it is with an OIDC token, Fulcio issues a certificate that \
         expires after 10 minutes, and the signing event is recorded in Rekor, where auditors can see it.",
        "The build job authenticates with its identity token and gets a short-lived certificate bound to \
         its workflow identity. The private key exists only in memory and is discarded after one use, so \
         there is nothing to leak. Everything is written to a public, append-only log; a signature that \
         we did not make would be detected. Key rotation and revocation lists are a thing of the past.",
        "There's no static secret in CI any more: an ephemeral key is created per build, used once and \
         destroyed. Its certificate is valid for ten minutes and names the repository and the workflow. \
         The transparency log makes each signature visible to monitors. If a developer leaves, no key has \
         to be revoked, since trust sits in the OpenID Connect identity and not in a file.",
        "Long-lived keys leak: they sit on build servers and in backups, and nobody sees a copy being \
         used. Keyless signing gives each build a certificate that dies after ten minutes and is tied to \
         the OIDC identity of the GitHub workflow. Rekor logs all of it publicly, so abuse is noticed, \
         and there is no rotation to forget.",
        "We replace the signing key in the HSM by identities. A pipeline run shows its OpenID Connect \
         token, gets a short-lived certificate that names the workflow, and signs. All certificates and \
         signatures go to an append-only log that we monitor. When someone leaves, we change access to \
         the repository instead of revoking and redistributing keys.",
    ] {
        assert_eq!(missed(&exercise, answer), [""; 0], "{answer}");
    }
}

#[test]
fn answers_that_miss_the_point_or_get_it_wrong_miss_points() {
    let exercise = labs::find(6).expect("it is there");
    for (answer, wanted) in [
        (
            "",
            vec![
                "length",
                "no-key",
                "short",
                "identity",
                "log",
                "consequence",
                "nothing-wrong",
            ],
        ),
        (
            "Keyless signing is the modern way and all big companies use it. It is easier for developers \
             because they do not have to think about signing at all, it is free, and the tools are open \
             source and well maintained. Hardware tokens are expensive and people forget them at home.",
            vec!["no-key", "short", "identity", "log", "consequence"],
        ),
        (
            "Keyless means that no private key is kept anywhere. An OIDC token is swapped for a \
             certificate of ten minutes; after that the signature expires, so old images cannot be \
             deployed any more. Every signature is in the Rekor transparency log, which makes misuse \
             visible, and keys do not have to be rotated.",
            vec!["nothing-wrong"],
        ),
        (
            "With keyless signing no long-lived key can be stolen. The certificate is short-lived, and \
             Rekor stores the private key safely, so that it never has to be rotated by us. The identity \
             token of the workflow is what the certificate is issued for, as the policy wants it.",
            vec!["nothing-wrong"],
        ),
    ] {
        assert_eq!(missed(&exercise, answer), wanted, "{answer}");
    }
}

#[test]
fn answers_about_system_namespaces_are_read_for_reason_field_and_price() {
    let exercise = labs::find(7).expect("it is there");
    for (answer, wanted) in [
        (
            "Otherwise we'd have a chicken-and-egg problem: CoreDNS and the CNI could not start. The \
             namespaceSelector of both webhook configurations excludes them. RBAC must limit who can \
             create pods there.",
            vec![],
        ),
        (
            "It would deadlock the bootstrap. It is set with a namespace selector; access to kube-system \
             must be restricted.",
            vec![],
        ),
        (
            "It would deadlock the bootstrap. The ClusterImagePolicy leaves kube-system out.",
            vec!["where", "price"],
        ),
        ("System images are trusted.", vec!["why", "where", "price"]),
    ] {
        assert_eq!(missed(&exercise, answer), wanted, "{answer}");
    }
}
