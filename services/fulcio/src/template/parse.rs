//! From a template's text to its nodes.

use super::{Expression, Function, MAX_DEPTH, Node, Problem, TemplateError};

/// Parses the whole of `text`.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut pieces = split(text)?.into_iter().peekable();
    block(text, &mut pieces, 0, &mut None)
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
