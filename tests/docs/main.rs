//! What can be said of the documents without running anything: links lead somewhere, every block says
//! what it is, and a block that somebody else runs is really run there.

use std::{fs, path::Path};

use tests::documents::{Block, anchors, blocks, code, links, manual, pages, repository};

/// Languages that nobody runs.
const QUIET: [&str; 8] = [
    "go",
    "json",
    "python",
    "rust",
    "text",
    "toml",
    "yaml",
    "dockerfile",
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name(path: &Path) -> String {
    let path = path.strip_prefix(repository()).unwrap_or(path);
    path.display().to_string()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let pages = pages();
    assert!(pages.len() > 20, "{pages:?}");
    let mut wrong = Vec::new();
    for page in &pages {
        let text = read(page);
        for (line, target) in links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                page.clone()
            } else {
                page.parent().expect("a folder").join(file)
            };
            let leads =
                path.exists() && (anchor.is_empty() || anchors(&read(&path)).contains(anchor));
            if !leads {
                wrong.push(format!("{}:{line}: {target}", name(page)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Folders at the top, as paths in texts begin.
const FOLDERS: [&str; 12] = [
    "admission",
    "cli",
    "compose",
    "docs",
    "examples",
    "labs",
    "libs",
    "scripts",
    "services",
    "testing",
    "tests",
    "xtask",
];

#[test]
fn every_path_in_a_text_exists() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in manual() {
        let text = read(&page);
        for (line, span) in code(&text) {
            let is_path = span
                .split_once('/')
                .is_some_and(|(folder, rest)| FOLDERS.contains(&folder) && !rest.is_empty());
            if !is_path {
                continue;
            }
            seen += 1;
            let path = span.split(' ').next().expect("a first word");
            if !repository().join(path).exists() {
                wrong.push(format!("{}:{line}: {span}", name(&page)));
            }
        }
    }
    assert!(wrong.is_empty() && seen > 5, "{}", wrong.join("\n"));
}

#[test]
fn every_block_says_what_it_is_and_who_runs_it() {
    let mut wrong = Vec::new();
    for page in manual() {
        for block in blocks(&read(&page)) {
            if let Err(reason) = check(&block) {
                wrong.push(format!("{}:{}: {reason}", name(&page), block.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(block: &Block) -> Result<(), String> {
    if !block.is_commands() {
        let known = QUIET.contains(&block.language.as_str()) && block.marks.is_empty();
        return known.then_some(()).ok_or_else(|| {
            format!(
                "a block of {:?}; commands are `sh` or `console`, the rest {}",
                block.language,
                QUIET.join(", ")
            )
        });
    }
    let Some(runner) = block.run_by() else {
        return match block.marks.first() {
            None => Ok(()),
            Some(mark) => Err(format!("an unknown mark {mark}, expected run-by=FILE")),
        };
    };
    let (file, function) = runner.split_once(':').unwrap_or((runner, ""));
    let path = repository().join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
    if function.is_empty() {
        // The same lines are in the script.
        let missing = block.text.lines().map(without_comment).find(|line| {
            !line.is_empty() && !text.lines().any(|other| without_comment(other) == *line)
        });
        return missing.map_or(Ok(()), |line| Err(format!("{file} does not run {line:?}")));
    }
    // The function takes the blocks with its mark out of the pages.
    let runs = text.contains(&format!("def {function}(")) && text.contains("run-by=");
    runs.then_some(())
        .ok_or_else(|| format!("{file} has no function {function} that looks for run-by="))
}

fn without_comment(line: &str) -> &str {
    line.split_once("  #").map_or(line, |(line, _)| line).trim()
}

#[test]
fn blocks_and_links_are_found() {
    let page = "# A b, c!\n[x](y#z)\n```sh run-by=f\na   # b\n```\n[in](a) [two](b)\n\
                ```console\n$ a\nb\n$ c\n```\n";
    assert_eq!(links(page), [(2, "y#z"), (6, "a"), (6, "b")]);
    assert!(anchors(page).contains("a-b-c"));
    assert_eq!(
        code("a `b c` d\n```sh\n`e`\n```\n`f`"),
        [(1, "b c"), (5, "f")]
    );
    let found = blocks(page);
    assert_eq!((found[0].line, found[0].run_by()), (3, Some("f")));
    assert_eq!(found[1].commands(), "a\nc\n");
    assert_eq!(found[1].output(), ["b"]);
}
