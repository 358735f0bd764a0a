//! The part of Go's `text/template` that issuer metadata uses: fields, `index`, comparisons, `if`.
//!
//! The data is always a map of texts, so every value is a text or a truth. What Go's engine can do
//! beyond that is refused when the configuration is read.

use std::{collections::BTreeMap, fmt};

/// Deepest nesting of `if` and parentheses.
const MAX_DEPTH: usize = 32;

/// Longest text that a template may make.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Why a template is refused, or failed: in Go's words where a client sees them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no template, or uses what is not supported.
    #[error("template: :{line}: {problem}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        problem: Problem,
    },
    /// A field that is neither a claim nor a default.
    #[error(
        "template: :{line}:{column}: executing \"\" at <{node}>: map has no entry for key \"{key}\""
    )]
    NoEntry {
        /// Line, from 1.
        line: usize,
        /// Column of the node in bytes, from 0.
        column: usize,
        /// The node as written.
        node: String,
        /// The missing key.
        key: String,
    },
    /// The result is longer than a certificate should hold.
    #[error("template: : result is longer than {max} bytes")]
    TooLong {
        /// Bytes allowed.
        max: usize,
    },
}

/// Kinds of syntax error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Problem {
    /// `{{` without `}}`.
    UnclosedAction,
    /// A quoted text without its end.
    UnterminatedString,
    /// A character that starts no operand.
    UnexpectedCharacter(char),
    /// A function that is not known.
    UnknownFunction(String),
    /// `if` without `end`.
    UnexpectedEof,
    /// `end` or `else` without `if`.
    Unexpected(String),
    /// Nothing where a value must be.
    MissingValue(String),
    /// A function with the wrong number of arguments.
    WrongArguments(String),
    /// A parenthesis without its partner.
    UnclosedParenthesis,
    /// Deeper than is allowed.
    TooDeep,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnclosedAction => f.write_str("unclosed action"),
            Self::UnterminatedString => f.write_str("unterminated quoted string"),
            Self::UnexpectedCharacter(c) => write!(f, "unexpected {c:?} in operand"),
            Self::UnknownFunction(name) => write!(f, "function {name:?} not defined"),
            Self::UnexpectedEof => f.write_str("unexpected EOF"),
            Self::Unexpected(what) => write!(f, "unexpected {{{{{what}}}}}"),
            Self::MissingValue(context) => write!(f, "missing value for {context}"),
            Self::WrongArguments(name) => write!(f, "wrong number of args for {name}"),
            Self::UnclosedParenthesis => f.write_str("unclosed left paren"),
            Self::TooDeep => write!(f, "nested deeper than {MAX_DEPTH}"),
        }
    }
}

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Text(String),
    Value(Expression),
    If {
        condition: Expression,
        then: Vec<Self>,
        otherwise: Vec<Self>,
    },
}

#[derive(Clone, Debug)]
enum Expression {
    /// `.`, which only `index` can use.
    Dot,
    Literal(String),
    Field {
        key: String,
        line: usize,
        column: usize,
    },
    Call {
        function: Function,
        arguments: Vec<Self>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Function {
    And,
    Eq,
    Index,
    Ne,
    Not,
    Or,
    Print,
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "eq" => Self::Eq,
            "index" => Self::Index,
            "ne" => Self::Ne,
            "not" => Self::Not,
            "or" => Self::Or,
            "print" => Self::Print,
            _ => return None,
        })
    }

    const fn takes(self, arguments: usize) -> bool {
        match self {
            Self::And | Self::Or => arguments >= 1,
            Self::Eq => arguments >= 2,
            Self::Index | Self::Ne => arguments == 2,
            Self::Not => arguments == 1,
            Self::Print => true,
        }
    }
}

/// A value: a text, or the outcome of a comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Value {
    Text(String),
    Truth(bool),
}

impl Value {
    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Truth(truth) => *truth,
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

impl Template {
    /// Parses `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let pieces = split(text)?;
        let mut pieces = pieces.into_iter().peekable();
        let nodes = block(text, &mut pieces, 0, &mut None)?;
        Ok(Self { nodes })
    }

    /// Fills in `data`. A field without an entry is an error; `index` gives an empty text for it.
    pub(crate) fn render(&self, data: &BTreeMap<String, String>) -> Result<String, TemplateError> {
        let mut out = String::new();
        render(&self.nodes, data, &mut out)?;
        Ok(out)
    }
}

fn render(
    nodes: &[Node],
    data: &BTreeMap<String, String>,
    out: &mut String,
) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Value(expression) => out.push_str(&expression.value(data)?.into_text()),
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let branch = if condition.value(data)?.is_true() {
                    then
                } else {
                    otherwise
                };
                render(branch, data, out)?;
            }
        }
        if out.len() > MAX_OUTPUT_BYTES {
            return Err(TemplateError::TooLong {
                max: MAX_OUTPUT_BYTES,
            });
        }
    }
    Ok(())
}

impl Expression {
    fn value(&self, data: &BTreeMap<String, String>) -> Result<Value, TemplateError> {
        match self {
            Self::Dot => Ok(Value::Text(String::new())),
            Self::Literal(text) => Ok(Value::Text(text.clone())),
            Self::Field { key, line, column } => match data.get(key) {
                Some(text) => Ok(Value::Text(text.clone())),
                None => Err(TemplateError::NoEntry {
                    line: *line,
                    column: *column,
                    node: format!(".{key}"),
                    key: key.clone(),
                }),
            },
            Self::Call {
                function,
                arguments,
            } => call(*function, arguments, data),
        }
    }
}

fn call(
    function: Function,
    arguments: &[Expression],
    data: &BTreeMap<String, String>,
) -> Result<Value, TemplateError> {
    // `and` and `or` stop at the first argument that decides.
    if matches!(function, Function::And | Function::Or) {
        let mut last = Value::Text(String::new());
        for argument in arguments {
            last = argument.value(data)?;
            if last.is_true() == (function == Function::Or) {
                break;
            }
        }
        return Ok(last);
    }
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(argument.value(data)?);
    }
    Ok(match function {
        Function::Eq => Value::Truth(values[1..].contains(&values[0])),
        Function::Ne => Value::Truth(values[0] != values[1]),
        Function::Not => Value::Truth(!values[0].is_true()),
        Function::Index => {
            let key = values.pop().map(Value::into_text).unwrap_or_default();
            Value::Text(data.get(&key).cloned().unwrap_or_default())
        }
        Function::And | Function::Or | Function::Print => {
            Value::Text(values.into_iter().map(Value::into_text).collect())
        }
    })
}

enum Piece<'a> {
    Text(&'a str),
    /// Inside of `{{ }}`, and where it starts.
    Action(&'a str, usize),
}

fn syntax(text: &str, at: usize, problem: Problem) -> TemplateError {
    TemplateError::Syntax {
        line: position(text, at).0,
        problem,
    }
}

/// Line from 1, column in bytes from 0.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = 1 + before.matches('\n').count();
    let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
    (line, column)
}

fn split(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while at < text.len() {
        let open = text[at..].find("{{").map_or(text.len(), |found| at + found);
        let mut literal = &text[at..open];
        if trim_next {
            literal = literal.trim_start();
        }
        let inside = open + 2;
        let trims = text
            .get(inside..)
            .is_some_and(|rest| rest.starts_with("- "));
        if trims {
            literal = literal.trim_end();
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        if open == text.len() {
            break;
        }
        let start = inside + usize::from(trims) * 2;
        let close = action_end(&text[start..])
            .map(|found| start + found)
            .ok_or_else(|| syntax(text, open, Problem::UnclosedAction))?;
        let action = &text[start..close];
        trim_next = action.ends_with(" -");
        let action = if trim_next {
            &action[..action.len() - 2]
        } else {
            action
        };
        if !action.trim_start().starts_with("/*") {
            pieces.push(Piece::Action(action, start));
        }
        at = close + 2;
    }
    Ok(pieces)
}

/// Where `}}` is, outside of quotes.
fn action_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut index = 0;
    while index < bytes.len() {
        match (quote, bytes[index]) {
            (None, b'}') if bytes.get(index + 1) == Some(&b'}') => return Some(index),
            (None, byte @ (b'"' | b'`')) => quote = Some(byte),
            (Some(b'"'), b'\\') => index += 1,
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        index += 1;
    }
    None
}

type Pieces<'a> = std::iter::Peekable<std::vec::IntoIter<Piece<'a>>>;

/// How a block ended: `end`, or `else` with the rest of its action.
enum Ended<'a> {
    End,
    Else { rest: &'a str, at: usize },
}

fn block<'a>(
    text: &str,
    pieces: &mut Pieces<'a>,
    depth: usize,
    ended: &mut Option<Ended<'a>>,
) -> Result<Vec<Node>, TemplateError> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let (action, at) = match piece {
            Piece::Text(literal) => {
                nodes.push(Node::Text(literal.to_owned()));
                continue;
            }
            Piece::Action(action, at) => (action, at),
        };
        let indent = action.len() - action.trim_start().len();
        let (word, rest) = split_word(action.trim_start());
        let rest_at = at + indent + word.len();
        match word {
            "if" => nodes.push(branch(text, pieces, rest, rest_at, depth + 1)?),
            "end" if depth > 0 && rest.trim().is_empty() => {
                *ended = Some(Ended::End);
                return Ok(nodes);
            }
            "else" if depth > 0 => {
                *ended = Some(Ended::Else { rest, at: rest_at });
                return Ok(nodes);
            }
            "end" | "else" => {
                return Err(syntax(text, at, Problem::Unexpected(word.to_owned())));
            }
            _ => nodes.push(Node::Value(Parser::new(text, action, at).whole("command")?)),
        }
    }
    if depth > 0 {
        return Err(syntax(text, text.len(), Problem::UnexpectedEof));
    }
    Ok(nodes)
}

fn branch(
    text: &str,
    pieces: &mut Pieces<'_>,
    condition: &str,
    at: usize,
    depth: usize,
) -> Result<Node, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(syntax(text, at, Problem::TooDeep));
    }
    let condition = Parser::new(text, condition, at).whole("if")?;
    let mut ended = None;
    let then = block(text, pieces, depth, &mut ended)?;
    let otherwise = match ended {
        Some(Ended::Else { rest, .. }) if rest.trim().is_empty() => {
            let mut ended = None;
            let nodes = block(text, pieces, depth, &mut ended)?;
            if let Some(Ended::Else { at, .. }) = ended {
                return Err(syntax(text, at, Problem::Unexpected("else".to_owned())));
            }
            nodes
        }
        Some(Ended::Else { rest, at }) => {
            let indent = rest.len() - rest.trim_start().len();
            let (word, condition) = split_word(rest.trim_start());
            if word != "if" {
                return Err(syntax(
                    text,
                    at,
                    Problem::Unexpected(format!("else {word}")),
                ));
            }
            vec![branch(text, pieces, condition, at + indent + 2, depth + 1)?]
        }
        Some(Ended::End) | None => Vec::new(),
    };
    Ok(Node::If {
        condition,
        then,
        otherwise,
    })
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Reads one pipeline without pipes.
struct Parser<'a> {
    text: &'a str,
    action: &'a str,
    start: usize,
    at: usize,
}

impl<'a> Parser<'a> {
    const fn new(text: &'a str, action: &'a str, start: usize) -> Self {
        Self {
            text,
            action,
            start,
            at: 0,
        }
    }

    fn fail(&self, problem: Problem) -> TemplateError {
        syntax(self.text, self.start + self.at, problem)
    }

    fn skip_space(&mut self) {
        let rest = &self.action[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.action[self.at..].chars().next()
    }

    fn whole(mut self, context: &str) -> Result<Expression, TemplateError> {
        let expression = self.pipeline(context, 0)?;
        match self.peek() {
            None => Ok(expression),
            Some(character) => Err(self.fail(Problem::UnexpectedCharacter(character))),
        }
    }

    /// A function with its arguments, or one operand; up to `)` or the end.
    fn pipeline(&mut self, context: &str, depth: usize) -> Result<Expression, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(self.fail(Problem::TooDeep));
        }
        self.skip_space();
        let Some(first) = self.peek().filter(|c| *c != ')') else {
            return Err(self.fail(Problem::MissingValue(context.to_owned())));
        };
        if !first.is_ascii_alphabetic() {
            let operand = self.operand(depth)?;
            self.skip_space();
            return Ok(operand);
        }
        let (name, _) = split_word(&self.action[self.at..]);
        let Some(function) = Function::named(name) else {
            return Err(self.fail(Problem::UnknownFunction(name.to_owned())));
        };
        let name_at = self.at;
        self.at += name.len();
        let mut arguments = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None | Some(')') => break,
                Some(_) => arguments.push(self.operand(depth)?),
            }
        }
        let dot_only_in_index = function == Function::Index
            && matches!(arguments.first(), Some(Expression::Dot))
            || !arguments
                .iter()
                .any(|argument| matches!(argument, Expression::Dot));
        let index_of_dot =
            function != Function::Index || matches!(arguments.first(), Some(Expression::Dot));
        if !function.takes(arguments.len()) || !dot_only_in_index || !index_of_dot {
            self.at = name_at;
            return Err(self.fail(Problem::WrongArguments(name.to_owned())));
        }
        Ok(Expression::Call {
            function,
            arguments,
        })
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, TemplateError> {
        let rest = &self.action[self.at..];
        match rest.chars().next() {
            Some('.') => {
                let is_name = |c: char| c.is_alphanumeric() || c == '_';
                let name = &rest[1..];
                let end = name.find(|c| !is_name(c)).unwrap_or(name.len());
                let (line, column) = position(self.text, self.start + self.at);
                self.at += 1 + end;
                if end == 0 {
                    return Ok(Expression::Dot);
                }
                let key = name[..end].to_owned();
                if self.peek() == Some('.') {
                    // A field of a text, which has none.
                    return Err(self.fail(Problem::UnexpectedCharacter('.')));
                }
                Ok(Expression::Field { key, line, column })
            }
            Some('"') => self.quoted(),
            Some('`') => {
                let end = rest[1..]
                    .find('`')
                    .ok_or_else(|| self.fail(Problem::UnterminatedString))?;
                self.at += end + 2;
                Ok(Expression::Literal(rest[1..=end].to_owned()))
            }
            Some('(') => {
                self.at += 1;
                let inner = self.pipeline("parenthesized pipeline", depth + 1)?;
                if self.peek() != Some(')') {
                    return Err(self.fail(Problem::UnclosedParenthesis));
                }
                self.at += 1;
                Ok(inner)
            }
            Some(character) => Err(self.fail(Problem::UnexpectedCharacter(character))),
            None => Err(self.fail(Problem::MissingValue("command".to_owned()))),
        }
    }

    fn quoted(&mut self) -> Result<Expression, TemplateError> {
        let mut literal = String::new();
        let mut characters = self.action[self.at + 1..].char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += index + 2;
                    return Ok(Expression::Literal(literal));
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => literal.push('\n'),
                    Some((_, 't')) => literal.push('\t'),
                    Some((_, escaped @ ('"' | '\\'))) => literal.push(escaped),
                    _ => return Err(self.fail(Problem::UnterminatedString)),
                },
                other => literal.push(other),
            }
        }
        Err(self.fail(Problem::UnterminatedString))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> BTreeMap<String, String> {
        [
            ("url", "https://github.com"),
            ("ref", "main"),
            ("ref_type", "branch"),
            ("a.b/c", "true"),
            ("empty", ""),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }

    fn render(text: &str) -> Result<String, TemplateError> {
        Template::parse(text)?.render(&data())
    }

    #[test]
    fn fields_and_text_are_joined() {
        assert_eq!(
            render("{{ .url }}/{{.ref}}").unwrap(),
            "https://github.com/main"
        );
        assert_eq!(render("a {{- .ref -}} b").unwrap(), "amainb");
        assert_eq!(render("a{{/* no */}}b").unwrap(), "ab");
    }

    #[test]
    fn branches_follow_comparisons() {
        let text = r#"{{if eq .ref_type "branch"}}refs/heads/{{else}}refs/tags/{{end}}{{ .ref }}"#;
        assert_eq!(render(text).unwrap(), "refs/heads/main");
        let text = r#"{{ if eq .ref "x" }}1{{ else if ne .ref "y" }}2{{ else }}3{{ end }}"#;
        assert_eq!(render(text).unwrap(), "2");
        assert_eq!(render("{{ if .empty }}1{{ else }}2{{ end }}").unwrap(), "2");
        assert_eq!(
            render("{{ if and .url (not .empty) }}1{{ end }}").unwrap(),
            "1"
        );
        assert_eq!(render(r#"{{ or .empty "d" }}"#).unwrap(), "d");
    }

    #[test]
    fn index_reads_names_with_dots_and_gives_nothing_for_missing_ones() {
        let text = r#"{{if eq (index . "a.b/c") "true"}}ssh-rerun{{ else }}""{{end}}"#;
        assert_eq!(render(text).unwrap(), "ssh-rerun");
        let text = r#"{{if eq (index . "x") "true"}}ssh-rerun{{ else }}""{{end}}"#;
        assert_eq!(render(text).unwrap(), "\"\"");
        assert_eq!(render("{{ index . `nope` }}").unwrap(), "");
    }

    #[test]
    fn a_missing_field_is_an_error_in_go_words() {
        assert_eq!(
            render("{{ .url }}/{{ .claim }}").unwrap_err().to_string(),
            r#"template: :1:14: executing "" at <.claim>: map has no entry for key "claim""#
        );
        assert_eq!(
            render("{{ .url }}\n{{.claim}}").unwrap_err().to_string(),
            r#"template: :2:2: executing "" at <.claim>: map has no entry for key "claim""#
        );
    }

    #[test]
    fn broken_templates_are_refused_when_parsed() {
        for text in [
            "{{ .a",
            "{{ if .a }}",
            "{{ end }}",
            "{{ else }}",
            "{{ nope .a }}",
            "{{ \"a }}",
            "{{}}",
            "{{ (eq .a .b }}",
            "{{ eq .a }}",
            "{{ .a.b }}",
            "{{ index .a `b` }}",
            "{{ eq . .a }}",
            "{{ .a | print }}",
            "{{ if .a }}1{{ else }}2{{ else }}3{{ end }}",
            "{{ range .a }}{{ end }}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        let deep = format!(
            "{}.a{}",
            "{{ ".to_owned() + &"(".repeat(100),
            ")".repeat(100) + " }}"
        );
        assert!(Template::parse(&deep).is_err());
        assert!(Template::parse(&"{{ if .a }}".repeat(100)).is_err());
    }
}
