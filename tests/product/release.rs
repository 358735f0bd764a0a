//! The file that is carried into a room without a network.

use std::{fs, path::Path};

use tests::{Client, Sandbox, documents::repository, siglab};

fn tool(name: &str) -> Client {
    Client {
        name: name.to_owned(),
        program: name.into(),
        variables: Vec::new(),
    }
}

/// Packs the program under test into `out`.
pub(crate) fn pack(out: &Path) {
    let home = Sandbox::new();
    fs::create_dir(home.dir().join("programs")).unwrap();
    fs::hard_link(siglab().program, home.dir().join("programs/siglab"))
        .or_else(|_| fs::copy(siglab().program, home.dir().join("programs/siglab")).map(drop))
        .unwrap();
    let script = repository().join("scripts/release").display().to_string();
    let out = out.display().to_string();
    let flags = [&script, "--from", "programs", "--out", &out];
    let _ = home.run(&tool("bash"), &flags).succeeds();
}

fn sh(home: &Sandbox, line: &str) -> tests::Outcome {
    home.run(&tool("bash"), &["-euo", "pipefail", "-c", line])
}

#[test]
fn what_is_carried_is_whole_and_works_in_an_empty_folder() {
    let home = Sandbox::new();
    pack(home.dir());
    let _ = sh(
        &home,
        "sha256sum --check siglab-*.tar.gz.sha256 && tar -xzf siglab-*.tar.gz",
    )
    .succeeds();
    let listed = sh(&home, "cd siglab-*/ && sha256sum --check SHA256SUMS").succeeds();
    for file in [
        "siglab: OK",
        "README.md: OK",
        "LICENSE: OK",
        "docker-compose.yml: OK",
        "docs/getting-started.md: OK",
        "completions/siglab.bash: OK",
        "man/man1/siglab-up.1: OK",
        "examples/go/signing_test.go: OK",
    ] {
        assert!(listed.text().contains(file), "{file}\n{}", listed.text());
    }
    // Every file has its sum.
    let counts = sh(
        &home,
        "cd siglab-*/ && find . -type f | wc -l && wc -l < SHA256SUMS",
    );
    let counts = counts.succeeds().text();
    let counts: Vec<usize> = counts
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert_eq!(counts[0], counts[1] + 1);
    let demo = sh(
        &home,
        "cd siglab-*/ && unshare --user --map-root-user --net \
                          sh -c 'ip link set lo up && exec ./siglab demo'",
    );
    let _ = demo.succeeds().says("everything came out right");
    let damaged = sh(
        &home,
        "cd siglab-*/ && echo >> README.md && sha256sum --check --quiet SHA256SUMS",
    );
    damaged.fails_with("README.md: FAILED");
}

#[test]
fn the_same_programs_make_the_same_file() {
    let homes = [Sandbox::new(), Sandbox::new()];
    let sums = homes.each_ref().map(|home| {
        pack(home.dir());
        sh(home, "cat siglab-*.tar.gz.sha256").succeeds().text()
    });
    assert_eq!(sums[0], sums[1]);
    assert!(sums[0].contains("siglab-"), "{}", sums[0]);
}
