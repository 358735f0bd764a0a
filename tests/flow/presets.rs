//! Every kind of token that the issuer offers, and the certificate that Fulcio makes of it with both at
//! their defaults. The names and fields are those of the public instance, spec/fulcio.md §2.3 and §2.4.

use oidc::Preset;
use tests::Lab;
use x509::{Certificate, San};

const SHA: &str = "5eac0de05eac0de05eac0de05eac0de05eac0de0";

/// The name in a certificate, and its fields by the last arc of their identifiers, without those that
/// every certificate has: issuer (1 and 8) and subject (24).
type Expected = (San, Vec<(u32, String)>);

fn uri(text: &str) -> San {
    San::Uri(text.to_owned())
}

/// `BASE` stands for the issuer's URL.
fn expected(preset: Preset, base: &str) -> Expected {
    let host = base
        .trim_start_matches("http://")
        .split(':')
        .next()
        .unwrap();
    let (san, fields): (San, &[(u32, &str)]) = match preset {
        Preset::Email => (San::Email("foo@bar.com".to_owned()), &[]),
        Preset::GithubActions => (uri(&format!("https://github.com/{WORKFLOW}")), &GITHUB),
        Preset::Gitlab => (uri(&format!("https://{PIPELINE}")), &GITLAB),
        Preset::Buildkite => (uri("https://buildkite.com/lab-org/lab-app"), &BUILDKITE),
        Preset::Codefresh => (
            uri(
                "https://g.codefresh.io/lab-account/lab-project/lab-pipeline:\
                 628a80b693a15c0f9c13ab75/65e5a53e52853dc51a5b0cc1",
            ),
            &CODEFRESH,
        ),
        Preset::Circleci => (uri(CIRCLECI[0].1), &CIRCLECI),
        Preset::Chainguard => (
            uri(&format!(
                "{base}/chainguard/0badcafe0badcafe/1ab1ab1ab1ab1ab1"
            )),
            &[],
        ),
        Preset::Kubernetes => (
            uri("https://kubernetes.io/namespaces/default/serviceaccounts/builder"),
            &[],
        ),
        Preset::Spiffe => (uri("spiffe://lab.invalid/ns/default/sa/builder"), &[]),
        Preset::Uri => (uri(&format!("{base}/users/alice")), &[]),
        Preset::Username => (San::username(&format!("alice!{host}")), &[]),
    };
    let fields = fields
        .iter()
        .map(|(number, text)| (*number, (*text).to_owned()));
    (san, fields.collect())
}

const WORKFLOW: &str = "lab-org/lab-app/.github/workflows/release.yml@refs/heads/main";
const WORKFLOW_URI: &str =
    "https://github.com/lab-org/lab-app/.github/workflows/release.yml@refs/heads/main";

const GITHUB: [(u32, &str); 19] = [
    (2, "push"),
    (3, SHA),
    (4, "release"),
    (5, "lab-org/lab-app"),
    (6, "refs/heads/main"),
    (9, WORKFLOW_URI),
    (10, SHA),
    (11, "github-hosted"),
    (12, "https://github.com/lab-org/lab-app"),
    (13, SHA),
    (14, "refs/heads/main"),
    (15, "700000001"),
    (16, "https://github.com/lab-org"),
    (17, "600000001"),
    (18, WORKFLOW_URI),
    (19, SHA),
    (20, "push"),
    (
        21,
        "https://github.com/lab-org/lab-app/actions/runs/10000000001/attempts/1",
    ),
    (22, "public"),
];

const PIPELINE: &str = "gitlab.example.com/lab-group/lab-app//.gitlab-ci.yml@refs/heads/main";
const PIPELINE_URI: &str =
    "https://gitlab.example.com/lab-group/lab-app//.gitlab-ci.yml@refs/heads/main";

const GITLAB: [(u32, &str); 14] = [
    (9, PIPELINE_URI),
    (10, SHA),
    (11, "gitlab-hosted"),
    (12, "https://gitlab.com/lab-group/lab-app"),
    (13, SHA),
    (14, "refs/heads/main"),
    (15, "20"),
    (16, "https://gitlab.com/lab-group"),
    (17, "71"),
    (18, PIPELINE_URI),
    (19, SHA),
    (20, "push"),
    (21, "https://gitlab.com/lab-group/lab-app/-/jobs/302"),
    (22, "public"),
];

const BUILDKITE: [(u32, &str); 4] = [
    (11, "self-hosted"),
    (13, SHA),
    (20, "webhook"),
    (
        21,
        "https://buildkite.com/lab-org/lab-app/builds/1#01840000-0000-4000-8000-000000000003",
    ),
];

const CODEFRESH: [(u32, &str); 6] = [
    (9, "https://g.codefresh.io/build/65e6d5551e47e5bc243ca93f"),
    (11, "hybrid"),
    (12, "https://git.example.com/lab-org/lab-app"),
    (14, "main"),
    (
        18,
        "https://g.codefresh.io/api/pipelines/65e5a53e52853dc51a5b0cc1",
    ),
    (21, "https://g.codefresh.io/build/65e6d5551e47e5bc243ca93f"),
];

const CIRCLECI: [(u32, &str); 6] = [
    (
        9,
        "https://circleci.com/api/v2/projects/c1c10000-0000-4000-8000-000000000002/\
         pipeline-definitions/c1c10000-0000-4000-8000-000000000005",
    ),
    (11, "\"\""),
    (12, "git.example.com/lab-org/lab-app"),
    (14, "refs/heads/main"),
    (
        18,
        "https://circleci.com/api/v2/pipeline/c1c10000-0000-4000-8000-000000000006/config",
    ),
    (
        21,
        "https://app.circleci.com//workflow/c1c10000-0000-4000-8000-000000000007/job/\
         c1c10000-0000-4000-8000-000000000004",
    ),
];

#[tokio::test]
async fn a_token_of_every_preset_gets_the_name_and_fields_of_its_issuer() -> anyhow::Result<()> {
    Lab::run(async |lab| {
        let base = lab.url("oidc", "http");
        for preset in Preset::ALL {
            let issuer = format!("{base}{}", preset.path());
            let token = String::from_utf8(lab.get(&format!("{issuer}/token")).await?)?;
            let leaf = Certificate::from_pem(&lab.certificate(&token).await?)?;
            let (san, mut fields) = expected(preset, &base);
            assert_eq!(leaf.sans()?, [san], "{preset}");
            let found = leaf.fulcio_extensions()?;
            let found: Vec<_> = found
                .iter()
                .map(|(field, text)| (field.number(), text))
                .collect();
            let subject = found.iter().find(|(number, _)| *number == 24);
            let (_, subject) = *subject.expect("every certificate names the token's subject");
            fields.extend([(1, issuer.clone()), (8, issuer), (24, subject.to_owned())]);
            fields.sort();
            let found: Vec<_> = found
                .iter()
                .map(|(n, text)| (*n, (*text).to_owned()))
                .collect();
            assert_eq!(found, fields, "{preset}");
        }
        Ok(())
    })
    .await
}
