//! JSON as Go's protojson reads it: with the position of everything, since errors name it.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// Why a request body is no message, in the words that upstream's clients see.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// The text ends inside a value.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A character that can not stand where it does.
    #[error("invalid character {} {context}", quoted(*.character))]
    InvalidCharacter {
        /// The character.
        character: char,
        /// Where it was found.
        context: Place,
    },
    /// Nested deeper than is read.
    #[error("exceeded max depth")]
    TooDeep,
    /// The message is not an object.
    #[error("proto: syntax error ({position}): unexpected token {token}")]
    UnexpectedToken {
        /// Line and column.
        position: Position,
        /// The token as written.
        token: String,
    },
    /// A value that a field cannot hold.
    #[error("proto: ({position}): invalid value for {kind} field {field}: {token}")]
    InvalidValue {
        /// Line and column.
        position: Position,
        /// Kind of the field.
        kind: &'static str,
        /// Name of the field.
        field: &'static str,
        /// The token as written.
        token: String,
    },
    /// Two members of one alternative.
    #[error("proto: ({position}): error parsing {token}, oneof {oneof} is already set")]
    OneofSet {
        /// Line and column.
        position: Position,
        /// The second member as written.
        token: String,
        /// Full name of the alternative.
        oneof: &'static str,
    },
    /// The same field twice.
    #[error("proto: ({position}): duplicate field {token}")]
    Duplicate {
        /// Line and column.
        position: Position,
        /// The second member as written.
        token: String,
    },
}

/// Where a character can not stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// After an element of an array.
    ArrayElement,
    /// Where a value starts.
    BeginningOfValue,
    /// Behind a backslash.
    Escape,
    /// Inside of `true`, `false` or `null`.
    Literal {
        /// The word.
        word: &'static str,
        /// The character that should follow.
        expected: char,
    },
    /// After a member of an object.
    Member,
    /// After the name of a member.
    Name,
    /// Where a name starts.
    NameStart,
    /// Inside of a number.
    Number,
    /// Inside of a text.
    Text,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ArrayElement => "after array element",
            Self::BeginningOfValue => "looking for beginning of value",
            Self::Escape => "in string escape code",
            Self::Literal { word, expected } => {
                return write!(f, "in literal {word} (expecting '{expected}')");
            }
            Self::Member => "after object key:value pair",
            Self::Name => "after object key",
            Self::NameStart => "looking for beginning of object key string",
            Self::Number => "in numeric literal",
            Self::Text => "in string literal",
        })
    }
}

/// A place in the body, both counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    line: usize,
    column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}:{}", self.line, self.column)
    }
}

fn quoted(character: char) -> String {
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\t' | '\n' | '\r' => format!("'{}'", character.escape_default()),
        control if control < ' ' || control == '\x7f' => format!("'\\x{:02x}'", control as u32),
        // Go's scanner sees bytes.
        other => {
            let mut bytes = [0; 4];
            let first = other.encode_utf8(&mut bytes).as_bytes()[0];
            format!("'{}'", char::from(first))
        }
    }
}

/// A value and where it starts.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    at: usize,
    /// The value as written; of objects and arrays the first character.
    raw: &'a str,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Array,
    Literal,
    Null,
    Number,
    Object(Vec<Member<'a>>),
    String(String),
}

#[derive(Debug)]
struct Member<'a> {
    name: String,
    raw: &'a str,
    at: usize,
    value: Value<'a>,
}

/// A body that was parsed.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    root: Option<Value<'a>>,
}

impl<'a> Document<'a> {
    /// Parses the first value of `text`; what comes after it is not looked at. No value is no error.
    /// Positions count from where the value starts.
    pub(crate) fn parse(text: &'a str) -> Result<Self, JsonError> {
        let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return Ok(Self { text, root: None });
        }
        let root = Some(Parser { text, at: 0 }.value(0)?);
        Ok(Self { text, root })
    }

    /// The fields of the message.
    pub(crate) fn message(&self) -> Result<Message<'_>, JsonError> {
        match &self.root {
            None => Ok(Message {
                text: self.text,
                members: &[],
            }),
            Some(value) => Message::of(self.text, value),
        }
    }
}

/// The fields of one message. Unknown ones are never asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    text: &'a str,
    members: &'a [Member<'a>],
}

/// A field by its two spellings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldName {
    pub(crate) camel: &'static str,
    pub(crate) snake: &'static str,
}

impl FieldName {
    pub(crate) const fn new(camel: &'static str, snake: &'static str) -> Self {
        Self { camel, snake }
    }
}

impl<'a> Message<'a> {
    fn of(text: &'a str, value: &'a Value<'a>) -> Result<Self, JsonError> {
        match &value.kind {
            Kind::Object(members) => Ok(Self { text, members }),
            _ => Err(JsonError::UnexpectedToken {
                position: position(text, value.at),
                token: value.raw.to_owned(),
            }),
        }
    }

    fn member(&self, field: FieldName) -> Result<Option<&'a Member<'a>>, JsonError> {
        let mut all = self.members.iter().filter(|member| {
            (member.name == field.camel || member.name == field.snake)
                && !matches!(member.value.kind, Kind::Null)
        });
        let first = all.next();
        match all.next() {
            None => Ok(first),
            Some(second) => Err(JsonError::Duplicate {
                position: position(self.text, second.at),
                token: second.raw.to_owned(),
            }),
        }
    }

    /// Refuses more than one of `fields`, which are alternatives.
    pub(crate) fn one_of(
        &self,
        oneof: &'static str,
        fields: &[FieldName],
    ) -> Result<(), JsonError> {
        let mut set = Vec::new();
        for field in fields {
            set.extend(self.member(*field)?);
        }
        set.sort_by_key(|member| member.at);
        match set.get(1) {
            None => Ok(()),
            Some(second) => Err(JsonError::OneofSet {
                position: position(self.text, second.at),
                token: second.raw.to_owned(),
                oneof,
            }),
        }
    }

    /// A message inside this one.
    pub(crate) fn child(&self, field: FieldName) -> Result<Option<Self>, JsonError> {
        self.member(field)?
            .map(|member| Self::of(self.text, &member.value))
            .transpose()
    }

    /// A text; empty when it is not set.
    pub(crate) fn string(&self, field: FieldName) -> Result<String, JsonError> {
        match self.member(field)? {
            None => Ok(String::new()),
            Some(member) => match &member.value.kind {
                Kind::String(text) => Ok(text.clone()),
                _ => Err(self.invalid("string", field, &member.value)),
            },
        }
    }

    /// Bytes as base64: either alphabet, padded or not. `None` when it is not set.
    pub(crate) fn bytes(&self, field: FieldName) -> Result<Option<Vec<u8>>, JsonError> {
        match self.member(field)? {
            None => Ok(None),
            Some(member) => {
                let decoded = match &member.value.kind {
                    Kind::String(text) => from_base64(text),
                    _ => None,
                };
                decoded
                    .map(Some)
                    .ok_or_else(|| self.invalid("bytes", field, &member.value))
            }
        }
    }

    /// A name or a whole number; what it says is not looked at.
    pub(crate) fn check_enum(&self, field: FieldName) -> Result<(), JsonError> {
        match self.member(field)? {
            None => Ok(()),
            Some(Member { value, .. }) => match value.kind {
                Kind::String(_) => Ok(()),
                Kind::Number if value.raw.parse::<i32>().is_ok() => Ok(()),
                _ => Err(self.invalid("enum", field, value)),
            },
        }
    }

    fn invalid(&self, kind: &'static str, field: FieldName, value: &Value<'_>) -> JsonError {
        JsonError::InvalidValue {
            position: position(self.text, value.at),
            kind,
            field: field.camel,
            token: value.raw.to_owned(),
        }
    }
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    let engine = if text.contains(['-', '_']) {
        URL_SAFE
    } else {
        STANDARD
    };
    // Go's decoder passes over line ends.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    engine.decode(text).ok()
}

fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let line = 1 + before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line,
        column: 1 + before[start..].chars().count(),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn peek(&self) -> Result<char, JsonError> {
        self.text[self.at..]
            .chars()
            .next()
            .ok_or(JsonError::UnexpectedEof)
    }

    fn unexpected(&self, context: Place) -> JsonError {
        match self.peek() {
            Ok(character) => JsonError::InvalidCharacter { character, context },
            Err(end) => end,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.skip_space();
        let at = self.at;
        let kind = match self.peek()? {
            '{' => Kind::Object(self.object(depth)?),
            '[' => {
                self.array(depth)?;
                Kind::Array
            }
            '"' => Kind::String(self.string()?),
            '-' | '0'..='9' => {
                self.number()?;
                Kind::Number
            }
            't' => self.literal("true", Kind::Literal)?,
            'f' => self.literal("false", Kind::Literal)?,
            'n' => self.literal("null", Kind::Null)?,
            _ => return Err(self.unexpected(Place::BeginningOfValue)),
        };
        let raw = match kind {
            Kind::Object(_) | Kind::Array => &self.text[at..=at],
            _ => &self.text[at..self.at],
        };
        Ok(Value { at, raw, kind })
    }

    fn literal(&mut self, word: &'static str, kind: Kind<'a>) -> Result<Kind<'a>, JsonError> {
        for expected in word.chars() {
            if self.peek()? != expected {
                return Err(self.unexpected(Place::Literal { word, expected }));
            }
            self.at += 1;
        }
        Ok(kind)
    }

    /// A number by the grammar of RFC 8259 §6, of any size.
    fn number(&mut self) -> Result<(), JsonError> {
        self.skip('-');
        if !self.skip('0') {
            self.digits()?;
        }
        if self.skip('.') {
            self.digits()?;
        }
        if self.skip('e') || self.skip('E') {
            if !self.skip('+') {
                self.skip('-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn skip(&mut self, wanted: char) -> bool {
        let found = self.peek().is_ok_and(|next| next == wanted);
        self.at += usize::from(found);
        found
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.unexpected(Place::Number));
        }
        let rest = &self.text[self.at..];
        self.at += rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        self.skip_space();
        if self.peek()? == ']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.skip_space();
            match self.peek()? {
                ',' => self.at += 1,
                ']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.unexpected(Place::ArrayElement)),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member<'a>>, JsonError> {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek()? == '}' {
            self.at += 1;
            return Ok(members);
        }
        loop {
            self.skip_space();
            let at = self.at;
            if self.peek()? != '"' {
                return Err(self.unexpected(Place::NameStart));
            }
            let name = self.string()?;
            let raw = &self.text[at..self.at];
            self.skip_space();
            if self.peek()? != ':' {
                return Err(self.unexpected(Place::Name));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            members.push(Member {
                name,
                raw,
                at,
                value,
            });
            self.skip_space();
            match self.peek()? {
                ',' => self.at += 1,
                '}' => {
                    self.at += 1;
                    return Ok(members);
                }
                _ => return Err(self.unexpected(Place::Member)),
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(next) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                return Err(JsonError::UnexpectedEof);
            };
            self.at += next;
            match self.peek()? {
                '"' => {
                    self.at += 1;
                    break;
                }
                '\\' => {
                    self.at += 1;
                    if !"\"\\/bfnrtu".contains(self.peek()?) {
                        return Err(self.unexpected(Place::Escape));
                    }
                    self.at += 1;
                }
                _ => return Err(self.unexpected(Place::Text)),
            }
        }
        serde_json::from_str(&self.text[start..self.at]).map_err(|_| JsonError::InvalidCharacter {
            character: '\\',
            context: Place::Escape,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: FieldName = FieldName::new("someText", "some_text");
    const DATA: FieldName = FieldName::new("someData", "some_data");

    #[test]
    fn both_spellings_are_read_and_unknown_fields_dropped() {
        for text in [
            r#"{"someText":"a","x":[1,{"y":null}],"someData":"_-8"} trailing"#,
            "{\"some_text\":\"a\",\n\"some_data\":\"/+8=\"}",
        ] {
            let document = Document::parse(text).unwrap();
            let message = document.message().unwrap();
            assert_eq!(message.string(TEXT).unwrap(), "a");
            assert_eq!(message.bytes(DATA).unwrap().unwrap(), [0xff, 0xef]);
        }
    }

    #[test]
    fn errors_name_the_place_in_upstream_words() {
        let document = Document::parse("\n\n{\"x\":1,\n \"someData\": \"!!\"}").unwrap();
        assert_eq!(
            document
                .message()
                .unwrap()
                .bytes(DATA)
                .unwrap_err()
                .to_string(),
            r#"proto: (line 2:14): invalid value for bytes field someData: "!!""#
        );
        let document = Document::parse(r#"{"someText":"a","some_data":""}"#).unwrap();
        assert_eq!(
            document
                .message()
                .unwrap()
                .one_of("a.B.c", &[TEXT, DATA])
                .unwrap_err()
                .to_string(),
            r#"proto: (line 1:17): error parsing "some_data", oneof a.B.c is already set"#
        );
        let error = |text: &str| Document::parse(text).unwrap_err().to_string();
        assert_eq!(error("{\"a\":"), "unexpected EOF");
        assert_eq!(error("{\"a\":\"b"), "unexpected EOF");
        assert_eq!(
            error("x"),
            "invalid character 'x' looking for beginning of value"
        );
        assert_eq!(error("{\"a\" 1}"), "invalid character '1' after object key");
        assert_eq!(
            error("{\"a\":tru}"),
            "invalid character '}' in literal true (expecting 'e')"
        );
        assert_eq!(
            error("{\"a\":01}"),
            "invalid character '1' after object key:value pair"
        );
        assert_eq!(
            error("{\"a\":-}"),
            "invalid character '}' in numeric literal"
        );
        assert_eq!(
            error("{\"a\":\"\x01\"}"),
            r"invalid character '\x01' in string literal"
        );
        assert_eq!(
            error(r#"{"a":"\q"}"#),
            "invalid character 'q' in string escape code"
        );
        assert_eq!(
            error("\u{feff}{}"),
            "invalid character 'ï' looking for beginning of value"
        );
        assert!(Document::parse("{\"a\":1e999}").is_ok());
        assert_eq!(error(&"[".repeat(10_000)), "exceeded max depth");
        let document = Document::parse("5").unwrap();
        assert_eq!(
            document.message().unwrap_err().to_string(),
            "proto: syntax error (line 1:1): unexpected token 5"
        );
    }

    #[test]
    fn an_empty_body_is_an_empty_message() {
        let document = Document::parse(" \n").unwrap();
        assert_eq!(document.message().unwrap().string(TEXT).unwrap(), "");
    }
}
