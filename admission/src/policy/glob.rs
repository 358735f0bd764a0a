//! Image globs: how a policy names the images it is about.

use regex::Regex;

/// A compiled glob. `*` stops at a slash, `**` does not; the whole string must match.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    program: Regex,
    /// For the registry alone; `None` when it may be any.
    registry: Option<Regex>,
}

impl Glob {
    /// Compiles `glob`.
    ///
    /// # Errors
    /// The text that a policy's author is shown.
    pub(crate) fn new(glob: &str) -> Result<Self, String> {
        if !is_shell_pattern(glob) {
            return Err("syntax error in pattern".to_owned());
        }
        let allowed = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'/' | b'*' | b'.' | b'@')
        };
        if glob.is_empty() || !glob.bytes().all(allowed) {
            return Err(format!("invalid glob \"{glob}\""));
        }
        let completed = match glob {
            "*/*" => "index.docker.io/*/*",
            "*" => "index.docker.io/library/*",
            _ => glob,
        };
        let compile = |part: &str| {
            let expression = part
                .replace('.', "\\.")
                .replace("**", "\u{1}")
                .replace('*', "[^/]*")
                .replace('\u{1}', ".*");
            Regex::new(&format!("^{expression}$")).map_err(|_| format!("invalid glob \"{glob}\""))
        };
        let registry = completed.split('/').next().unwrap_or_default();
        let is_any = registry.contains("**");
        Ok(Self {
            program: compile(completed)?,
            registry: (!is_any).then(|| compile(registry)).transpose()?,
        })
    }

    /// Matches every image: what stands in for a glob that cannot be read.
    pub(crate) fn everything() -> Self {
        Self {
            program: Regex::new("").expect("the empty expression is valid"),
            registry: None,
        }
    }

    /// Whether images of this registry may be meant.
    pub(crate) fn names_registry(&self, registry: &str) -> bool {
        let named = |one: &Regex| one.is_match(registry);
        self.registry.as_ref().is_none_or(named)
    }

    /// Whether `image`, fully qualified, is meant.
    pub(crate) fn matches(&self, image: &str) -> bool {
        self.program.is_match(image)
    }
}

/// Whether Go's `filepath.Match` finds no fault in the pattern: every class closed, no trailing
/// backslash.
fn is_shell_pattern(pattern: &str) -> bool {
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => return false,
            '[' => {
                if rest.peek() == Some(&'^') {
                    rest.next();
                }
                let mut ranges = 0;
                loop {
                    if rest.peek() == Some(&']') && ranges > 0 {
                        rest.next();
                        break;
                    }
                    if !class_character(&mut rest) {
                        return false;
                    }
                    if rest.peek() == Some(&'-') {
                        rest.next();
                        if !class_character(&mut rest) {
                            return false;
                        }
                    }
                    ranges += 1;
                }
            }
            _ => {}
        }
    }
    true
}

fn class_character(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    match rest.next() {
        None | Some('-' | ']') => return false,
        Some('\\') if rest.next().is_none() => return false,
        Some(_) => {}
    }
    rest.peek().is_some()
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn globs_match_as_upstream_documents() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        let image = |name: &str| format!("{name}{digest}");
        for (glob, image, matches) in [
            ("ghcr.io/fleet-org/*", image("ghcr.io/fleet-org/app"), true),
            (
                "ghcr.io/fleet-org/*",
                image("ghcr.io/fleet-org/app/sub"),
                false,
            ),
            (
                "ghcr.io/fleet-org/**",
                image("ghcr.io/fleet-org/app/sub"),
                true,
            ),
            ("ghcr.io/foo/bar", image("ghcr.io/foo/bar"), false),
            ("ghcr.io/foo/bar*", image("ghcr.io/foo/bar"), true),
            ("ghcr.io/foo/bar@*", image("ghcr.io/foo/bar"), true),
            ("ghcr.io/foo**", image("ghcr.io/foo-evil/x"), true),
            ("ghcrXio/**", image("ghcr.io/x"), false),
            ("ghcr.io/**", image("ghcrXio/x"), false),
            ("nginx*", image("index.docker.io/library/nginx"), false),
            ("*", image("index.docker.io/library/nginx"), true),
            ("*", image("index.docker.io/a/nginx"), false),
            ("*/*", image("index.docker.io/a/nginx"), true),
            ("**", image("anything:5000/a/b"), true),
            ("*/**", image("anything:5000/a/b"), true),
            ("docker.io/**", image("index.docker.io/a/b"), false),
            ("repo:v1*", image("index.docker.io/library/repo"), false),
            ("ghcr.io/a***", image("ghcr.io/a/b/c"), true),
            ("GHCR.io/**", image("ghcr.io/a"), false),
        ] {
            let compiled = Glob::new(glob).expect(glob);
            assert_eq!(compiled.matches(&image), matches, "{glob} {image}");
        }
    }

    #[test]
    fn a_broken_glob_says_which_rule_it_breaks() {
        let error = |glob: &str| Glob::new(glob).expect_err(glob);
        assert_eq!(error("["), "syntax error in pattern");
        assert_eq!(error("a[]"), "syntax error in pattern");
        assert_eq!(error("a\\"), "syntax error in pattern");
        assert_eq!(error("a[b]"), "invalid glob \"a[b]\"");
        assert_eq!(error("a b"), "invalid glob \"a b\"");
        assert_eq!(error("$$"), "invalid glob \"$$\"");
    }
}
