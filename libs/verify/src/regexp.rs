//! Go's regular expressions (RE2 syntax, unanchored search) on top of the `regex` crate.
//!
//! Policies are written for Go. The two dialects differ where it matters for trust: `\d`, `\w`, `\s` and
//! `\b` are ASCII in Go and Unicode in Rust, `[a&&b]` is a set operation in Rust only, and each refuses
//! syntax that the other takes. An expression is read as Go reads it, with Go's error texts, and
//! rewritten for Rust.

use std::fmt;

/// Longest expression that is read, in bytes.
const EXPRESSION_MAX: usize = 4096;
/// Largest compiled program, in bytes.
const PROGRAM_MAX: usize = 1 << 20;
/// Go's limit on the count in `{n,m}`.
const REPEAT_MAX: u32 = 1000;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct GoRegexp {
    expression: String,
    program: regex::Regex,
}

impl GoRegexp {
    /// Compiles `expression` as Go's `regexp.Compile` would.
    ///
    /// # Errors
    /// [`RegexpError`] with Go's text.
    pub fn new(expression: &str) -> Result<Self, RegexpError> {
        if expression.len() > EXPRESSION_MAX {
            return Err(RegexpError::too_large());
        }
        let rust = Translator::new(expression).translate()?;
        let program = regex::RegexBuilder::new(&rust)
            .size_limit(PROGRAM_MAX)
            .build()
            .map_err(|_| RegexpError::too_large())?;
        Ok(Self {
            expression: expression.to_owned(),
            program,
        })
    }

    /// Whether the expression matches anywhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.program.is_match(text)
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.expression
    }
}

/// Why an expression was refused; displays as Go's error does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegexpError {
    rule: &'static str,
    part: String,
}

impl RegexpError {
    fn new(rule: &'static str, part: impl Into<String>) -> Self {
        Self {
            rule,
            part: part.into(),
        }
    }

    fn too_large() -> Self {
        Self::new("expression too large", "")
    }
}

impl fmt::Display for RegexpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}", self.rule)?;
        if self.part.is_empty() {
            Ok(())
        } else {
            write!(f, ": `{}`", self.part)
        }
    }
}

impl std::error::Error for RegexpError {}

/// What stands before a repetition operator.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Atom,
    /// A repetition that starts at this byte.
    Repetition(usize),
}

struct Translator<'a> {
    text: &'a str,
    at: usize,
    out: String,
    groups: usize,
}

impl<'a> Translator<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            out: String::with_capacity(text.len() + 16),
            groups: 0,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn translate(mut self) -> Result<String, RegexpError> {
        let mut before = Before::Nothing;
        while let Some(c) = self.rest().chars().next() {
            before = match c {
                '(' => self.open_group()?,
                ')' => {
                    if self.groups == 0 {
                        return Err(RegexpError::new("unexpected )", self.text));
                    }
                    self.groups -= 1;
                    self.at += 1;
                    self.out.push(')');
                    Before::Atom
                }
                '|' => {
                    self.at += 1;
                    self.out.push('|');
                    Before::Nothing
                }
                '*' | '+' | '?' => self.repetition(before)?,
                '{' => self.counted(before)?,
                '[' => {
                    self.class()?;
                    Before::Atom
                }
                '\\' => {
                    self.escape()?;
                    Before::Atom
                }
                '^' | '$' | '.' => {
                    self.at += 1;
                    self.out.push(c);
                    Before::Atom
                }
                _ => {
                    self.at += c.len_utf8();
                    push_literal(&mut self.out, c);
                    Before::Atom
                }
            };
        }
        if self.groups > 0 {
            return Err(RegexpError::new("missing closing )", self.text));
        }
        Ok(self.out)
    }

    fn open_group(&mut self) -> Result<Before, RegexpError> {
        let rest = self.rest();
        if !rest.starts_with("(?") {
            self.at += 1;
            self.groups += 1;
            self.out.push('(');
            return Ok(Before::Nothing);
        }
        if rest.starts_with("(?P<") || rest.starts_with("(?<") {
            let start = if rest.starts_with("(?P<") { 4 } else { 3 };
            let Some(end) = rest.find('>') else {
                return Err(RegexpError::new("invalid named capture", rest));
            };
            let name = &rest[start..end];
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_word) {
                // `(?<=` and `(?<!` are look-behinds, which Go reports by their first characters.
                return Err(if rest.starts_with("(?<=") || rest.starts_with("(?<!") {
                    RegexpError::new("invalid or unsupported Perl syntax", &rest[..3])
                } else {
                    RegexpError::new("invalid named capture", &rest[..=end])
                });
            }
            self.at += end + 1;
            self.groups += 1;
            // Nothing is captured here, so names may repeat and need not be Rust's.
            self.out.push_str("(?:");
            return Ok(Before::Nothing);
        }
        self.flags()
    }

    /// `(?flags)` and `(?flags:…)`.
    fn flags(&mut self) -> Result<Before, RegexpError> {
        let start = self.at;
        let rest = self.rest();
        let mut negative = false;
        let mut seen = false;
        for (offset, c) in rest.char_indices().skip(2) {
            let wrong = || {
                RegexpError::new(
                    "invalid or unsupported Perl syntax",
                    &rest[..offset + c.len_utf8()],
                )
            };
            match c {
                'i' | 'm' | 's' | 'U' => seen = true,
                '-' if !negative => {
                    negative = true;
                    seen = false;
                }
                ':' | ')' if !negative || seen => {
                    self.at = start + offset + 1;
                    self.out.push_str(&rest[..=offset]);
                    if c == ':' {
                        self.groups += 1;
                    } else if offset == 2 {
                        // Rust refuses the empty `(?)`, which changes nothing.
                        self.out.truncate(self.out.len() - 3);
                    }
                    return Ok(Before::Nothing);
                }
                _ => return Err(wrong()),
            }
        }
        Err(RegexpError::new("missing closing )", self.text))
    }

    fn repetition(&mut self, before: Before) -> Result<Before, RegexpError> {
        let start = self.at;
        self.at += 1;
        let operator = &self.text[start..self.at];
        if before == Before::Nothing {
            return Err(RegexpError::new(
                "missing argument to repetition operator",
                operator,
            ));
        }
        self.lazy();
        self.finish_repetition(start, before)
    }

    fn lazy(&mut self) {
        if self.rest().starts_with('?') {
            self.at += 1;
        }
    }

    fn finish_repetition(&mut self, start: usize, before: Before) -> Result<Before, RegexpError> {
        if let Before::Repetition(first) = before {
            let nested = &self.text[first..self.at];
            return Err(RegexpError::new(
                "invalid nested repetition operator",
                nested,
            ));
        }
        self.out.push_str(&self.text[start..self.at]);
        Ok(Before::Repetition(start))
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else is a literal brace.
    fn counted(&mut self, before: Before) -> Result<Before, RegexpError> {
        let rest = self.rest();
        let Some((low, high, length)) = counts(rest) else {
            self.at += 1;
            self.out.push_str("\\{");
            return Ok(Before::Atom);
        };
        let start = self.at;
        self.at += length;
        let operator = &rest[..length];
        if low > REPEAT_MAX || high.is_some_and(|high| high > REPEAT_MAX || high < low) {
            return Err(RegexpError::new("invalid repeat count", operator));
        }
        if before == Before::Nothing {
            return Err(RegexpError::new(
                "missing argument to repetition operator",
                operator,
            ));
        }
        self.lazy();
        self.finish_repetition(start, before)
    }

    fn class(&mut self) -> Result<(), RegexpError> {
        let start = self.at;
        self.at += 1;
        self.out.push('[');
        if self.rest().starts_with('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else {
                return Err(RegexpError::new("missing closing ]", &self.text[start..]));
            };
            if c == ']' && !first {
                self.at += 1;
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if rest.starts_with("[:")
                && let Some(end) = rest.find(":]")
            {
                let name = &rest[..end + 2];
                if !is_posix_class(&name[2..name.len() - 2]) {
                    return Err(RegexpError::new("invalid character class range", name));
                }
                self.at += name.len();
                self.out.push_str(name);
                continue;
            }
            if c == '\\' && self.class_escape()? {
                continue;
            }
            self.class_range(start)?;
        }
    }

    /// A whole set such as `\d` or `\pL` inside a class. False when it is a single character.
    fn class_escape(&mut self) -> Result<bool, RegexpError> {
        let Some(c) = self.rest().chars().nth(1) else {
            return Ok(false);
        };
        let set = match c {
            'd' => "0-9",
            'D' => "[^0-9]",
            's' => r"\t\n\x0C\r\x20",
            'S' => r"[^\t\n\x0C\r\x20]",
            'w' => "0-9A-Za-z_",
            'W' => "[^0-9A-Za-z_]",
            'p' | 'P' => {
                self.unicode_class()?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.at += 2;
        self.out.push_str(set);
        Ok(true)
    }

    fn class_range(&mut self, class: usize) -> Result<(), RegexpError> {
        let start = self.at;
        let low = self.class_character(class)?;
        let mut high = low;
        let rest = self.rest();
        if rest.len() > 1 && rest.starts_with('-') && !rest.starts_with("-]") {
            self.at += 1;
            high = self.class_character(class)?;
            if high < low {
                let range = &self.text[start..self.at];
                return Err(RegexpError::new("invalid character class range", range));
            }
        }
        push_class_literal(&mut self.out, low);
        if high != low {
            self.out.push('-');
            push_class_literal(&mut self.out, high);
        }
        Ok(())
    }

    fn class_character(&mut self, class: usize) -> Result<char, RegexpError> {
        if self.rest().starts_with('\\') {
            return self.character_escape();
        }
        self.take()
            .ok_or_else(|| RegexpError::new("missing closing ]", &self.text[class..]))
    }

    fn escape(&mut self) -> Result<(), RegexpError> {
        let rest = self.rest();
        let set = match rest.chars().nth(1) {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => r"[\t\n\x0C\r\x20]",
            Some('S') => r"[^\t\n\x0C\r\x20]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('A') => r"\A",
            Some('z') => r"\z",
            Some('b') => r"(?-u:\b)",
            Some('B') => r"(?-u:\B)",
            Some('Q') => return self.quoted(),
            Some('p' | 'P') => return self.unicode_class(),
            _ => {
                let c = self.character_escape()?;
                push_literal(&mut self.out, c);
                return Ok(());
            }
        };
        self.at += 2;
        self.out.push_str(set);
        Ok(())
    }

    /// `\Q…\E`, each character a literal.
    fn quoted(&mut self) -> Result<(), RegexpError> {
        let quoted = &self.rest()[2..];
        let (quoted, length) = match quoted.find("\\E") {
            Some(end) => (&quoted[..end], end + 4),
            None => (quoted, quoted.len() + 2),
        };
        for c in quoted.chars() {
            push_literal(&mut self.out, c);
        }
        self.at += length;
        Ok(())
    }

    fn unicode_class(&mut self) -> Result<(), RegexpError> {
        let rest = self.rest();
        let after = &rest[2..];
        let length = if after.starts_with('{') {
            after.find('}').map(|end| end + 3)
        } else {
            after.chars().next().map(|c| 2 + c.len_utf8())
        };
        let class = length.map_or(rest, |length| &rest[..length]);
        let invalid = || RegexpError::new("invalid character class range", class);
        if length.is_none() || regex::Regex::new(class).is_err() {
            return Err(invalid());
        }
        self.at += class.len();
        self.out.push_str(class);
        Ok(())
    }

    /// An escape that stands for one character.
    fn character_escape(&mut self) -> Result<char, RegexpError> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.take() else {
            return Err(RegexpError::new(
                "trailing backslash at end of expression",
                "",
            ));
        };
        let invalid = |translator: &Self| {
            RegexpError::new(
                "invalid escape sequence",
                &translator.text[start..translator.at],
            )
        };
        match c {
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            'x' => {
                let rest = self.rest();
                let (digits, length) = if let Some(braced) = rest.strip_prefix('{') {
                    let Some(end) = braced.find('}') else {
                        return Err(invalid(self));
                    };
                    (&braced[..end], end + 2)
                } else {
                    let end = rest
                        .char_indices()
                        .nth(2)
                        .map_or(rest.len(), |(end, _)| end);
                    (&rest[..end], end)
                };
                self.at += length;
                let short = digits.len() < 2 && !rest.starts_with('{');
                let value = u32::from_str_radix(digits, 16)
                    .ok()
                    .and_then(char::from_u32);
                value.filter(|_| !short).ok_or_else(|| invalid(self))
            }
            '0'..='7' => {
                let digits = self
                    .rest()
                    .bytes()
                    .take(2)
                    .take_while(|b| (b'0'..=b'7').contains(b));
                let extra = digits.count();
                if c != '0' && extra == 0 {
                    return Err(invalid(self));
                }
                self.at += extra;
                let digits = &self.text[start + 1..self.at];
                let value = u32::from_str_radix(digits, 8).ok().and_then(char::from_u32);
                value.ok_or_else(|| invalid(self))
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            _ => Err(invalid(self)),
        }
    }
}

/// The numbers of `{n}`, `{n,}` or `{n,m}` at the start of `text`, and its length.
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let end = text.find('}')?;
    let inner = &text[1..end];
    let number = |digits: &str| {
        let plain = !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        plain.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (low, high) = match inner.split_once(',') {
        None => {
            let low = number(inner)?;
            (low, Some(low))
        }
        Some((low, "")) => (number(low)?, None),
        Some((low, high)) => (number(low)?, Some(number(high)?)),
    };
    Some((low, high, end + 1))
}

fn is_posix_class(name: &str) -> bool {
    let name = name.strip_prefix('^').unwrap_or(name);
    matches!(
        name,
        "alnum"
            | "alpha"
            | "ascii"
            | "blank"
            | "cntrl"
            | "digit"
            | "graph"
            | "lower"
            | "print"
            | "punct"
            | "space"
            | "upper"
            | "word"
            | "xdigit"
    )
}

fn push_literal(out: &mut String, c: char) {
    if regex_syntax_character(c) {
        out.push('\\');
    }
    out.push(c);
}

fn push_class_literal(out: &mut String, c: char) {
    if regex_syntax_character(c) {
        out.push('\\');
    }
    out.push(c);
}

const fn regex_syntax_character(c: char) -> bool {
    matches!(
        c,
        '\\' | '.'
            | '+'
            | '*'
            | '?'
            | '('
            | ')'
            | '|'
            | '['
            | ']'
            | '{'
            | '}'
            | '^'
            | '$'
            | '#'
            | '&'
            | '-'
            | '~'
    )
}

#[cfg(test)]
mod tests {
    use super::GoRegexp;

    #[test]
    fn errors_have_gos_text() {
        let cases = [
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("****", "missing argument to repetition operator: `*`"),
            ("[", "missing closing ]: `[`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            (r"\", "trailing backslash at end of expression"),
            (r"\y", r"invalid escape sequence: `\y`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ];
        for (expression, text) in cases {
            let error = GoRegexp::new(expression).expect_err(expression);
            assert_eq!(
                error.to_string(),
                format!("error parsing regexp: {text}"),
                "{expression}"
            );
        }
    }

    #[test]
    fn matching_is_unanchored_and_case_sensitive() {
        let regexp = GoRegexp::new("fleet-org/.*@refs/heads/main").expect("valid");
        assert!(regexp.is_match("https://github.com/fleet-org/x@refs/heads/main-evil"));
        assert!(!regexp.is_match("https://github.com/Fleet-org/x@refs/heads/main"));
        assert!(GoRegexp::new(".*").expect("valid").is_match(""));
    }

    #[test]
    fn perl_classes_are_ascii() {
        for (expression, yes, no) in [
            (r"^\d$", "7", "٧"),
            (r"^\w+$", "a_1", "é"),
            (r"^[\w.]+$", "a.b", "é"),
            (r"^\S$", "é", " "),
            (r"^[^\d]$", "٧", "7"),
            (r"^\s$", " ", "\u{a0}"),
        ] {
            let regexp = GoRegexp::new(expression).expect(expression);
            assert!(regexp.is_match(yes), "{expression} {yes}");
            assert!(!regexp.is_match(no), "{expression} {no}");
        }
    }

    #[test]
    fn syntax_that_only_go_has_is_read() {
        for (expression, yes, no) in [
            (r"^\Qa.b\E$", "a.b", "axb"),
            ("^[a&&b]+$", "a&b", "c"),
            ("^[]a]$", "]", "b"),
            ("^a{,2}$", "a{,2}", "aa"),
            ("^a{2}$", "aa", "a"),
            (r"^\x{41}\x42\103$", "ABC", "abc"),
            ("^(?P<n>a)(?<m>b)$", "ab", "a"),
            ("^(?i:A)b$", "ab", "aB"),
            ("^[[:digit:]-]+$", "1-2", "a"),
            (r"^\pL$", "é", "1"),
            ("^a#b ~c$", "a#b ~c", "a"),
        ] {
            let regexp = GoRegexp::new(expression).expect(expression);
            assert!(regexp.is_match(yes), "{expression} {yes}");
            assert!(!regexp.is_match(no), "{expression} {no}");
        }
    }

    #[test]
    fn expressions_are_bounded() {
        assert!(GoRegexp::new(&"a".repeat(5000)).is_err());
        assert!(GoRegexp::new("(((a{1000}){1000}){1000})").is_err());
    }
}
