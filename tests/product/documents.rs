//! The commands of README.md and docs/, typed one after another, page by page: each page in a home of its
//! own, in a network of its own that has nothing but loopback. So they run with the ports and names that
//! the pages say, several pages at once, and none of them can need a network.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt as _};

use tests::{
    Sandbox, client,
    documents::{Block, blocks, code, manual, repository},
    siglab, tool,
};

/// Stands between the output of one block and the next.
const MARK: char = '\u{1}';

/// Pages with commands that are run here, each by the test of its name.
const PAGES: [&str; 4] = [
    "README.md",
    "docs/getting-started.md",
    "docs/instructor.md",
    "docs/troubleshooting.md",
];

/// `cargo` for pages that build a release, which is not what their test is about: the program under test
/// is there already. Anything else than what it knows is refused.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
    "run --release -- "*) shift 3; exec SIGLAB "$@" ;;
    "install --path cli") mkdir -p ~/.cargo/bin; exec ln -s SIGLAB ~/.cargo/bin/siglab ;;
    *) echo "not known to the suite of the documents: cargo $*" >&2; exit 2 ;;
esac
"#;

fn read(page: &str) -> String {
    fs::read_to_string(repository().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Blocks of a page that are run here.
fn commands(page: &str) -> Vec<Block> {
    let mut blocks = blocks(&read(page));
    blocks.retain(|block| block.is_commands() && block.run_by().is_none());
    blocks
}

/// A home with the clients that pages name.
fn home(clients: &[&str]) -> Sandbox {
    let mut home = Sandbox::new();
    let found: Vec<_> = clients
        .iter()
        .map(|name| match *name {
            "siglab" => siglab(),
            name => client(name),
        })
        .collect();
    home.provide(&found);
    home
}

/// Runs a page's blocks in one shell and compares what they print with what the page says.
fn run(page: &str, home: &Sandbox) {
    run_after("", page, home);
}

/// The same after other commands.
fn run_after(before: &str, page: &str, home: &Sandbox) {
    let blocks = commands(page);
    assert!(!blocks.is_empty(), "{page} has no commands");
    let mut script = format!("exec 2>&1\nset -euo pipefail\n{before}\n");
    for block in &blocks {
        let _ = write!(script, "printf '\\n{MARK}'\n{}", block.commands());
    }
    script.push_str("printf '\\n\u{1}the end\\n'\n");
    home.write("page.sh", script);
    let room = tool("unshare");
    let outcome = home.run(
        &room,
        &[
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            "ip link set lo up && exec timeout 300 bash page.sh",
        ],
    );
    let all = outcome.all();
    let sections: Vec<_> = all.split(MARK).skip(1).collect();
    let reached = sections.len().clamp(1, blocks.len());
    assert!(
        outcome.is_success() && all.ends_with("the end\n"),
        "{page}:{}: these commands fail\n{}\n{all}",
        blocks[reached - 1].line,
        blocks[reached - 1].commands()
    );
    for (block, section) in blocks.iter().zip(&sections) {
        prints(page, block, section);
    }
}

/// Every line that the page shows is printed, in this order.
fn prints(page: &str, block: &Block, section: &str) {
    let mut lines = section.lines();
    for wanted in block.output() {
        assert!(
            lines.any(|line| matches(wanted, line)),
            "{page}:{}: nothing printed is like\n{wanted}\nin\n{section}",
            block.line
        );
    }
}

/// Whether a line is like the page's, in which `…` stands for anything.
fn matches(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.trim_end().is_empty()
}

#[test]
fn each_page_with_commands_has_its_test() {
    let with_commands: Vec<_> = manual()
        .iter()
        .map(|path| {
            let path = path.strip_prefix(repository()).expect("a page of ours");
            path.display().to_string()
        })
        .filter(|page| !commands(page).is_empty())
        .collect();
    assert_eq!(with_commands, PAGES);
}

/// What a text only mentions is not run, but it is there.
#[test]
fn commands_and_options_in_texts_exist() {
    let home = Sandbox::new();
    let mut seen = 0;
    for page in manual() {
        let text = fs::read_to_string(&page).unwrap();
        for (line, span) in code(&text) {
            let Some(typed) = span.strip_prefix("siglab ") else {
                continue;
            };
            seen += 1;
            let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
            let mut words: Vec<_> = typed.split(' ').take_while(is_name).collect();
            words.push("--help");
            let help = home.run(&siglab(), &words).succeeds().text();
            let options = typed
                .split([' ', '='])
                .filter(|word| word.starts_with("--"));
            for option in options {
                let place = page.display();
                assert!(help.contains(option), "{place}:{line}: {span}\n{help}");
            }
        }
    }
    assert!(seen > 10);
}

#[test]
fn the_readme_does_what_it_says() {
    let mut home = home(&["cosign", "crane"]);
    let program = siglab().program.display().to_string();
    let cargo = home.write("bin/cargo", CARGO.replace("SIGLAB", &program));
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let dir = home.dir().display().to_string();
    home.set(
        "PATH",
        format!("{dir}/.cargo/bin:{dir}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    );
    run("README.md", &home);
}

#[test]
fn getting_started_does_what_it_says() {
    // What was carried in: the file that scripts/release makes, of the programs under test.
    let home = home(&["cosign", "crane"]);
    crate::release::pack(&[home.dir()]);
    run("docs/getting-started.md", &home);
}

#[test]
fn the_instructors_guide_does_what_it_says() {
    let home = home(&["siglab", "cosign", "crane"]);
    run("docs/instructor.md", &home);
}

#[test]
fn troubleshooting_does_what_it_says() {
    let home = home(&["siglab", "cosign", "crane"]);
    run("docs/troubleshooting.md", &home);
}

#[test]
fn the_services_readmes_do_what_they_say() {
    let before = "siglab up --data-dir lab > log 2>&1 &\n\
                  siglab env --wait 60 > env\n\
                  echo hello > file";
    for page in ["services/oidc/README.md", "services/tsa/README.md"] {
        let home = home(&["siglab"]);
        // An answer that says no is a failure.
        home.write(".curlrc", "fail\n");
        run_after(before, page, &home);
    }
}

#[test]
fn lines_are_compared_as_pages_show_them() {
    assert!(matches("a…c", "abc") && matches("a…", "abc") && matches("…c", "abc"));
    assert!(matches("abc", "abc  ") && !matches("ab", "abc") && !matches("a…d", "abc"));
}
