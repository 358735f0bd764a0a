//! JSON with positions, because protobuf's decoder names line and column of what it refuses.

use std::collections::HashSet;

use crate::go::{decode_base64, decode_base64_url};

/// Levels of objects and arrays that are read; a request has five.
const DEPTH_MAX: usize = 32;

/// What Go's JSON decoders say of a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// The text ends inside a value.
    #[error("unexpected EOF")]
    Eof,
    /// A character where it may not be.
    #[error("invalid character {0:?} looking for beginning of value")]
    Character(char),
    /// More values or levels than are read.
    #[error("exceeded max depth")]
    Depth,
    /// A message is no object.
    #[error("proto: syntax error (line {line}:{column}): unexpected token {token}")]
    Token {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The token's text.
        token: String,
    },
    /// A name that the message does not have.
    #[error("proto: (line {line}:{column}): unknown field {name:?}")]
    UnknownField {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The name.
        name: String,
    },
    /// A name twice.
    #[error("proto: (line {line}:{column}): duplicate field {name:?}")]
    DuplicateField {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The name.
        name: String,
    },
    /// Two choices of one oneof.
    #[error("proto: (line {line}:{column}): error parsing {name:?}, oneof {oneof} is already set")]
    Oneof {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The second name.
        name: String,
        /// The choice.
        oneof: &'static str,
    },
    /// A value of the wrong type.
    #[error("proto: (line {line}:{column}): invalid value for {kind} field {field}: {token}")]
    Value {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// Protobuf's name of the type.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// The token's text.
        token: String,
    },
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool,
    Number(String),
    Text(String),
    Array(Vec<Value>),
    Object(Vec<(Name, Value)>),
}

/// A value and where it is in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    at: usize,
    end: usize,
    node: Node,
}

/// A member's name and where it is in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    at: usize,
    name: String,
}

impl Node {
    /// The first value in `text`; what follows it is not looked at. `None` when there is none.
    pub(super) fn parse(text: &[u8]) -> Result<Option<Value>, JsonError> {
        if !crate::json_is_bounded(text) {
            return Err(JsonError::Depth);
        }
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
        };
        parser.skip_space();
        if parser.at == text.len() {
            Ok(None)
        } else {
            parser.value().map(Some)
        }
    }
}

impl Name {
    pub(super) fn text(&self) -> &str {
        &self.name
    }

    pub(super) fn unknown(&self, text: &[u8]) -> JsonError {
        let (line, column) = position(text, self.at);
        JsonError::UnknownField {
            line,
            column,
            name: self.name.clone(),
        }
    }

    pub(super) fn oneof(&self, text: &[u8], oneof: &'static str) -> JsonError {
        let (line, column) = position(text, self.at);
        JsonError::Oneof {
            line,
            column,
            name: self.name.clone(),
            oneof,
        }
    }
}

/// Members of a message, one after the other.
pub(super) struct Members<'a> {
    text: &'a [u8],
    rest: std::slice::Iter<'a, (Name, Value)>,
    seen: HashSet<&'a str>,
}

impl<'a> Members<'a> {
    /// The next member; a name may come once.
    pub(super) fn next(&mut self) -> Result<Option<(&'a Name, &'a Value)>, JsonError> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        if !self.seen.insert(&name.name) {
            let (line, column) = position(self.text, name.at);
            return Err(JsonError::DuplicateField {
                line,
                column,
                name: name.name.clone(),
            });
        }
        Ok(Some((name, value)))
    }
}

impl Value {
    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// The value unless it is null.
    pub(super) fn set(&self) -> Option<&Self> {
        (self.node != Node::Null).then_some(self)
    }

    pub(super) fn message<'a>(&'a self, text: &'a [u8]) -> Result<Members<'a>, JsonError> {
        let Node::Object(members) = &self.node else {
            return Err(self.unexpected(text));
        };
        Ok(Members {
            text,
            rest: members.iter(),
            seen: HashSet::new(),
        })
    }

    pub(super) fn list(&self, text: &[u8]) -> Result<&[Self], JsonError> {
        match &self.node {
            Node::Null => Ok(&[]),
            Node::Array(items) => Ok(items),
            _ => Err(self.unexpected(text)),
        }
    }

    pub(super) fn text(&self, text: &[u8], field: &'static str) -> Result<String, JsonError> {
        match &self.node {
            Node::Null => Ok(String::new()),
            Node::Text(value) => Ok(value.clone()),
            _ => Err(self.invalid(text, "string", field)),
        }
    }

    pub(super) fn bytes(&self, text: &[u8], field: &'static str) -> Result<Vec<u8>, JsonError> {
        let digits = match &self.node {
            Node::Null => return Ok(Vec::new()),
            Node::Text(digits) => digits,
            _ => return Err(self.invalid(text, "bytes", field)),
        };
        let mut padded = digits.clone();
        while !padded.len().is_multiple_of(4) && !padded.ends_with("==") {
            padded.push('=');
        }
        let decoded = if digits.contains(['-', '_']) {
            decode_base64_url(&padded)
        } else {
            decode_base64(&padded)
        };
        decoded.map_err(|_| self.invalid(text, "bytes", field))
    }

    pub(super) fn invalid(
        &self,
        text: &[u8],
        kind: &'static str,
        field: &'static str,
    ) -> JsonError {
        let (line, column) = position(text, self.at);
        JsonError::Value {
            line,
            column,
            kind,
            field,
            token: self.token(text),
        }
    }

    fn unexpected(&self, text: &[u8]) -> JsonError {
        let (line, column) = position(text, self.at);
        JsonError::Token {
            line,
            column,
            token: self.token(text),
        }
    }

    fn token(&self, text: &[u8]) -> String {
        let end = if matches!(self.node, Node::Array(_) | Node::Object(_)) {
            self.at + 1
        } else {
            // A request may hold megabytes in one string: an error message does not.
            self.end.min(self.at + 64)
        };
        String::from_utf8_lossy(&text[self.at..end]).into_owned()
    }
}

fn position(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    (
        line,
        String::from_utf8_lossy(&before[start..]).chars().count() + 1,
    )
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, JsonError> {
        self.text.get(self.at).copied().ok_or(JsonError::Eof)
    }

    fn wrong(&self) -> JsonError {
        let rest = &self.text[self.at..self.text.len().min(self.at + 4)];
        String::from_utf8_lossy(rest)
            .chars()
            .next()
            .map_or(JsonError::Eof, JsonError::Character)
    }

    fn value(&mut self) -> Result<Value, JsonError> {
        self.skip_space();
        let at = self.at;
        let node = match self.peek()? {
            b'{' => self.nested(Self::object)?,
            b'[' => self.nested(Self::array)?,
            b'"' => Node::Text(self.string()?),
            b'-' | b'0'..=b'9' => self.scalar(|text| Node::Number(text.to_owned()))?,
            b't' | b'f' | b'n' => self.scalar(|text| match text {
                "null" => Node::Null,
                _ => Node::Bool,
            })?,
            _ => return Err(self.wrong()),
        };
        Ok(Value {
            at,
            end: self.at,
            node,
        })
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Node, JsonError>,
    ) -> Result<Node, JsonError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(JsonError::Depth);
        }
        self.at += 1;
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn object(&mut self) -> Result<Node, JsonError> {
        let mut members = Vec::new();
        while !self.closes(b'}', members.is_empty())? {
            let at = self.at;
            if self.peek()? != b'"' {
                return Err(self.wrong());
            }
            let name = self.string()?;
            self.skip_space();
            if self.peek()? != b':' {
                return Err(self.wrong());
            }
            self.at += 1;
            members.push((Name { at, name }, self.value()?));
        }
        Ok(Node::Object(members))
    }

    fn array(&mut self) -> Result<Node, JsonError> {
        let mut items = Vec::new();
        while !self.closes(b']', items.is_empty())? {
            items.push(self.value()?);
        }
        Ok(Node::Array(items))
    }

    /// Whether the closing bracket is next; else the comma before another item is read.
    fn closes(&mut self, bracket: u8, first: bool) -> Result<bool, JsonError> {
        self.skip_space();
        let next = self.peek()?;
        if next == bracket {
            self.at += 1;
            return Ok(true);
        }
        if !first {
            if next != b',' {
                return Err(self.wrong());
            }
            self.at += 1;
            self.skip_space();
        }
        Ok(false)
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                byte if byte < 0x20 => return Err(self.wrong()),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).ok_or(JsonError::Eof)?;
        serde_json::from_slice(quoted).map_err(|_| JsonError::Character('\\'))
    }

    fn scalar(&mut self, node: fn(&str) -> Node) -> Result<Node, JsonError> {
        let start = self.at;
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        self.at += self.text[start..]
            .iter()
            .take_while(|byte| part(byte))
            .count();
        let text = std::str::from_utf8(&self.text[start..self.at]).map_err(|_| JsonError::Eof)?;
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(_) => Ok(node(text)),
            Err(error) if error.is_eof() && self.at == self.text.len() => Err(JsonError::Eof),
            Err(_) => {
                self.at = start;
                Err(self.wrong())
            }
        }
    }
}
