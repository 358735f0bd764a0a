//! `siglab env`: the same variables in every format, each read by what it is for.

use std::collections::BTreeMap;

use tests::{Sandbox, Siglab, siglab, tool};

/// What sigstore/scaffolding's actions `setup` and `setup-sigstore-env` export.
const SCAFFOLDING: [&str; 14] = [
    "CT_LOG_KEY",
    "CTLOG_URL",
    "FULCIO_GRPC_URL",
    "FULCIO_URL",
    "ISSUER_URL",
    "OIDC_TOKEN",
    "OIDC_URL",
    "REKOR_URL",
    "SIGNING_CONFIG",
    "SIGSTORE_ID_TOKEN",
    "TRUST_CONFIG",
    "TRUSTED_ROOT",
    "TSA_URL",
    "TUF_MIRROR",
];

type Variables = BTreeMap<String, String>;

fn env(lab: &Siglab, home: &Sandbox, format: &str) -> String {
    let admin = lab.admin();
    let flags = [
        "--lab",
        &admin,
        "env",
        "--dir",
        "it's here",
        "--format",
        format,
    ];
    home.run(&siglab(), &flags).succeeds().text()
}

/// What a shell exports after `script`, as far as it was not there before.
fn exported(home: &Sandbox, script: &str) -> Variables {
    let bash = tool("bash");
    let read = |script: &str| -> Variables {
        let script = format!("{script}\nexport -n BASHOPTS; env --null");
        let text = home.run(&bash, &["-euc", &script]).succeeds().text();
        let variables = text.split('\0').filter_map(|line| line.split_once('='));
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let before = read(":");
    let mut after = read(script);
    after.retain(|name, _| !before.contains_key(name));
    after
}

/// `$GITHUB_ENV` as a runner reads it, without values of several lines, of which there are none here.
fn github(text: &str) -> Variables {
    text.lines()
        .map(|line| line.split_once('=').expect("NAME=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Tokens differ, each was made for its caller.
fn without_token(mut variables: Variables) -> Variables {
    let token = variables.remove("SIGSTORE_ID_TOKEN");
    assert!(token.is_some_and(|token| token.starts_with("eyJ")));
    variables
}

#[test]
fn every_format_says_the_same_to_its_readers() {
    let lab = Siglab::start();
    let home = Sandbox::new();
    let json = env(&lab, &home, "json");
    let json: Variables = serde_json::from_str(&json).unwrap();
    for name in SCAFFOLDING {
        assert!(json.contains_key(name), "no {name}");
    }
    assert_eq!(json["TUF_MIRROR"], lab.url("tuf", "http"));
    assert!(json["TUF_ROOT_JSON"].ends_with("/it's here/root.json"));
    assert!(home.dir().join(&json["TUF_ROOT_JSON"]).is_file());
    let wanted = without_token(json);

    let shell = exported(&home, &env(&lab, &home, "shell"));
    assert_eq!(without_token(shell), wanted);
    home.write(".env", env(&lab, &home, "dotenv"));
    let dotenv = exported(&home, "set -a; source ./.env");
    assert_eq!(without_token(dotenv), wanted);
    let github = github(&env(&lab, &home, "github"));
    assert_eq!(without_token(github), wanted);
}

#[test]
fn it_waits_only_as_long_as_it_is_told_to() {
    let home = Sandbox::new();
    let nobody = ["--lab", "http://localhost:1", "env", "--wait", "1"];
    home.run(&siglab(), &nobody).fails_with("no lab answers");
}
