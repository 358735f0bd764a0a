//! What README.md and docs/ hold that can be wrong: fenced blocks with commands, and links.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A fenced block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// Line of its opening fence, from 1.
    pub line: usize,
    /// First word after the fence.
    pub language: String,
    /// The other words.
    pub marks: Vec<String>,
    /// Its lines.
    pub text: String,
}

impl Block {
    /// Whether it is to be typed into a shell.
    #[must_use]
    pub fn is_commands(&self) -> bool {
        matches!(self.language.as_str(), "sh" | "console")
    }

    /// Who runs it, unless the suite of the documents does: the mark `run-by=FILE` or
    /// `run-by=FILE:FUNCTION`.
    #[must_use]
    pub fn run_by(&self) -> Option<&str> {
        self.marks
            .iter()
            .find_map(|mark| mark.strip_prefix("run-by="))
    }

    /// The commands without prompts, output and comments.
    #[must_use]
    pub fn commands(&self) -> String {
        if self.language != "console" {
            return self.text.clone();
        }
        let commands = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("$ ").or_else(|| line.strip_prefix("> ")));
        commands.map(|line| format!("{line}\n")).collect()
    }

    /// Lines that the commands of a `console` block print, in their order. `…` stands for anything.
    #[must_use]
    pub fn output(&self) -> Vec<&str> {
        let lines = self.text.lines();
        let is_output = |line: &&str| !line.starts_with("$ ") && !line.starts_with("> ");
        match self.language.as_str() {
            "console" => lines.filter(is_output).collect(),
            _ => Vec::new(),
        }
    }
}

/// The fenced blocks of a page.
///
/// # Panics
/// When a fence is not closed.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut words = info.split_whitespace().map(str::to_owned);
        let language = words.next().unwrap_or_default();
        let mut text = String::new();
        loop {
            let (_, line) = lines
                .next()
                .unwrap_or_else(|| panic!("the fence of line {} is not closed", number + 1));
            if line == "```" {
                break;
            }
            text += line;
            text.push('\n');
        }
        blocks.push(Block {
            line: number + 1,
            language,
            marks: words.collect(),
            text,
        });
    }
    blocks
}

/// Lines outside of fenced blocks, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    page.lines().enumerate().filter_map(move |(number, line)| {
        if line.starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((number + 1, line))
    })
}

/// Targets of a page's links, with their lines.
#[must_use]
pub fn links(page: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in prose(page) {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap_or((after, ""));
            links.push((number, target));
            rest = after;
        }
    }
    links
}

/// What stands between backticks in a page's text, with its line.
#[must_use]
pub fn code(page: &str) -> Vec<(usize, &str)> {
    prose(page)
        .flat_map(|(number, line)| {
            let odd = line.split('`').skip(1).step_by(2);
            odd.map(move |span| (number, span))
        })
        .collect()
}

/// What `#…` after a page's name may be: its headings, in lower case, with dashes.
#[must_use]
pub fn anchors(page: &str) -> BTreeSet<String> {
    prose(page)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

/// The repository: the folder above this package.
///
/// # Panics
/// Never: the package is in a folder.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
}

/// Pages whose commands are run: README.md and those of docs/, decisions left out.
///
/// # Panics
/// When docs/ cannot be read.
#[must_use]
pub fn manual() -> Vec<PathBuf> {
    let root = repository();
    let mut pages: Vec<_> = fs::read_dir(root.join("docs"))
        .expect("docs/ can be read")
        .map(|entry| entry.expect("docs/ can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages.insert(0, root.join("README.md"));
    pages
}

/// Every page of the repository, vectors of other projects left out.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![repository().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("a folder can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_ours = !name.starts_with('.')
                && !["target", "vectors", "dist", "results", "node_modules"].contains(&&*name);
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if is_ours && name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}
