//! The configuration format and its refusals.

use super::*;

fn refusal(text: &str) -> String {
    format!("{:#}", Issuers::from_text(text).unwrap_err())
}

fn one(fields: &str) -> String {
    format!(
        "oidc-issuers:\n  https://a.example:\n    issuer-url: https://a.example\n    client-id: sigstore\n{fields}"
    )
}

#[test]
fn yaml_and_json_files_are_read() {
    let yaml = one(
        "    type: email\n    description: someone\nmeta-issuers:\n  https://oidc.*.example/id/*:\n    client-id: sigstore\n    type: kubernetes\n",
    );
    let json = r#"{"OIDCIssuers":{"https://a.example":{"IssuerURL":"https://a.example","ClientID":"sigstore","Type":"email"}},
        "MetaIssuers":{"https://oidc.*.example/id/*":{"ClientID":"sigstore","Type":"kubernetes"}}}"#;
    for text in [yaml.as_str(), json] {
        let issuers = Issuers::from_text(text).unwrap();
        assert_eq!(
            issuers.find("https://a.example").unwrap().challenge_claim,
            "email"
        );
        assert!(issuers.find("https://a.example/").is_none());
        let meta = issuers.find("https://oidc.eu-1.example/id/A_b").unwrap();
        assert_eq!(
            (meta.kind, meta.challenge_claim.as_str()),
            (IssuerType::Kubernetes, "sub")
        );
        for other in [
            "https://oidc.eu.west.example/id/1",
            "https://oidc.eu.example/id/1/2",
            "https://oidc.eu.example/id/",
            "https://evil.example/?https://oidc.eu.example/id/1",
            "https://oidc.eu.example/id/1?x",
            "https://oidcxeu.example/id/1",
        ] {
            assert!(issuers.find(other).is_none(), "{other}");
        }
    }
}

#[test]
fn a_key_that_is_not_the_url_finds_the_issuer_too() {
    let text = "oidc-issuers: {name: {issuer-url: 'https://a.example', client-id: x, type: email}}";
    let issuers = Issuers::from_text(text).unwrap();
    assert!(issuers.find("name").is_some() && issuers.find("https://a.example").is_some());
    assert_eq!(issuers.exact().count(), 1);
}

#[test]
fn contradictory_issuers_stop_the_start_in_upstream_words() {
    let cases = [
        (
            "    type: uri\n    issuer-claim: $.a\n",
            "only email issuers can use issuer claim mapping",
        ),
        (
            "    type: spiffe\n",
            "spiffe issuer must have SPIFFETrustDomain set",
        ),
        (
            "    type: spiffe\n    spiffe-trust-domain: 'A b'\n",
            "spiffe trust domain is invalid",
        ),
        ("    type: uri\n", "uri issuer must have SubjectDomain set"),
        (
            "    type: uri\n    subject-domain: a.example\n",
            "SubjectDomain for uri must contain scheme",
        ),
        (
            "    type: uri\n    subject-domain: http://a.example\n",
            "subject (http) and issuer (https) URI schemes do not match",
        ),
        (
            "    type: uri\n    subject-domain: https://a.other\n",
            "hostname top-level and second-level domains do not match: a.other, a.example",
        ),
        (
            "    type: uri\n    subject-domain: https://b\n",
            "URI hostname too short: b",
        ),
        (
            "    type: username\n",
            "username issuer must have SubjectDomain set",
        ),
        (
            "    type: username\n    subject-domain: https://a.example\n",
            "SubjectDomain for username should not contain scheme",
        ),
        (
            "    type: email\n    ca-cert: nonsense\n",
            "failed to parse CA certificate for issuer",
        ),
        (
            "    type: ci-provider\n    ci-provider: x\n",
            "no ci-issuer-metadata for ci-provider \"x\"",
        ),
        ("    type: nonsense\n", "neither JSON nor YAML"),
    ];
    for (fields, want) in cases {
        let got = refusal(&one(fields));
        assert!(got.contains(want), "{fields}: {got}");
    }
    let meta =
        "meta-issuers: {'https://*.example': {client-id: x, type: spiffe, spiffe-trust-domain: a}}";
    assert!(refusal(meta).contains("SPIFFE meta issuers not supported"));
    let username =
        "oidc-issuers: {a.example: {client-id: x, type: username, subject-domain: a.example}}";
    assert!(refusal(username).contains("issuer for username must contain scheme"));
    let template = "oidc-issuers: {'https://a.example': {client-id: x, type: ci-provider, ci-provider: p}}\nci-issuer-metadata: {p: {extension-templates: {build-signer-uri: '{{ .a'}}}";
    assert!(refusal(template).contains("unclosed action"));
}

#[test]
fn the_lab_issuer_has_one_url_for_each_kind_of_token() {
    let issuers = Issuers::for_lab("http://localhost:8080", &[]).unwrap();
    let at = |path: &str| {
        issuers
            .find(&format!("http://localhost:8080{path}"))
            .unwrap()
    };
    assert_eq!(at("").kind, IssuerType::Email);
    assert_eq!(at("/github-actions").kind, IssuerType::CiProvider);
    assert_eq!(at("/spiffe").kind, IssuerType::Spiffe);
    assert_eq!(at("/uri").subject_domain, "http://localhost:8080");
    assert_eq!(at("/username").subject_domain, "localhost");
    assert_eq!(issuers.exact().count(), LAB_ISSUERS.len());
    for base in [
        "http://[::1]:8080",
        "http://127.0.0.1:8080",
        "https://oidc.lab.example",
    ] {
        Issuers::for_lab(base, &[]).unwrap();
    }
}

#[test]
fn a_played_issuer_has_the_kind_of_its_host() {
    let played = [
        (
            "https://token.actions.githubusercontent.com",
            IssuerType::CiProvider,
        ),
        ("https://gitlab.com", IssuerType::CiProvider),
        ("https://agent.buildkite.com", IssuerType::CiProvider),
        ("https://oidc.circleci.com/org/a", IssuerType::CiProvider),
        ("https://oidc.codefresh.io", IssuerType::CiProvider),
        ("https://issuer.enforce.dev", IssuerType::ChainguardIdentity),
        ("https://accounts.google.com", IssuerType::Email),
    ];
    let urls = played.map(|(url, _)| url.to_owned());
    let issuers = Issuers::for_lab("http://localhost:8080", &urls).unwrap();
    for (url, kind) in played {
        assert_eq!(issuers.find(url).unwrap().kind, kind, "{url}");
    }
}

#[test]
fn extension_keys_are_the_names_in_kebab_case() {
    let keys: Vec<String> = FulcioField::ALL
        .iter()
        .map(|field| kebab(field.name()))
        .collect();
    for key in [
        "github-workflow-sha",
        "build-signer-uri",
        "source-repository-owner-identifier",
        "run-invocation-uri",
        "source-repository-visibility-at-signing",
    ] {
        assert!(keys.iter().any(|known| known == key), "{key}");
    }
}
