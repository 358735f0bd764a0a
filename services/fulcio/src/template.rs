//! The part of Go's `text/template` that issuer metadata uses: fields, `index`, comparisons, `if`.
//!
//! The data is always a map of texts, so every value is a text or a truth. What Go's engine can do
//! beyond that is refused when the configuration is read.

mod parse;

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
        Ok(Self {
            nodes: parse::nodes(text)?,
        })
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

#[cfg(test)]
mod tests;
