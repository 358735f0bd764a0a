//! The file that is carried into a room without a network.

use std::{fs, path::Path};

use tests::{
    Outcome, Sandbox,
    documents::{links, repository},
    siglab, tool,
};

/// Packs the program under test into each of `outs`.
pub(crate) fn pack(outs: &[&Path]) {
    let mut home = Sandbox::new();
    home.set("SOURCE_DATE_EPOCH", "1767225600");
    fs::create_dir(home.dir().join("programs")).unwrap();
    fs::copy(siglab().program, home.dir().join("programs/siglab")).unwrap();
    let script = repository().join("scripts/release").display().to_string();
    for out in outs {
        let out = out.display().to_string();
        let flags = [&script, "--from", "programs", "--out", &out];
        let _ = home.run(&tool("bash"), &flags).succeeds();
    }
}

fn sh(home: &Sandbox, line: &str) -> Outcome {
    home.run(&tool("bash"), &["-euo", "pipefail", "-c", line])
}

#[test]
fn what_is_carried_is_whole_and_works_in_an_empty_folder() {
    let home = Sandbox::new();
    pack(&[home.dir()]);
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
    // What its pages lead to was carried too.
    let room = fs::read_dir(home.dir()).unwrap();
    let room = room.map(|entry| entry.unwrap().path());
    let room = room.filter(|path| path.is_dir() && path.join("SHA256SUMS").exists());
    let room = room.last().expect("it is unpacked");
    for page in [
        "README.md",
        "docs/getting-started.md",
        "docs/instructor.md",
        "docs/differences.md",
    ] {
        let page = room.join(page);
        for (line, target) in links(&fs::read_to_string(&page).unwrap()) {
            let file = target.split('#').next().unwrap_or_default();
            let is_there = page.parent().unwrap().join(file).exists();
            assert!(
                is_there || target.contains("://"),
                "{}:{line}: {target}",
                page.display()
            );
        }
    }
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
    pack(&homes.each_ref().map(Sandbox::dir));
    let sums = homes
        .each_ref()
        .map(|home| sh(home, "cat siglab-*.tar.gz.sha256").succeeds().text());
    assert_eq!(sums[0], sums[1]);
    assert!(sums[0].contains("siglab-"), "{}", sums[0]);
}
