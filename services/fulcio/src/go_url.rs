//! URIs as Go's `net/url` reads and writes them back, which is what ends up in a certificate's SAN.

use std::fmt::Write as _;

/// Why a text is no URL, in the words that upstream's clients see.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// A byte below 0x20, or 0x7f.
    #[error("parse {url:?}: net/url: invalid control character in URL")]
    ControlCharacter {
        /// The whole text.
        url: String,
    },
    /// A `%` without two hexadecimal digits.
    #[error("parse {url:?}: invalid URL escape {escape:?}")]
    Escape {
        /// The whole text.
        url: String,
        /// The escape, at most three bytes.
        escape: String,
    },
    /// A host with a character that none may have.
    #[error("parse {url:?}: invalid character {character:?} in host name")]
    Host {
        /// The whole text.
        url: String,
        /// The character.
        character: String,
    },
    /// A port that is no number.
    #[error("parse {url:?}: invalid port {port:?} after host")]
    Port {
        /// The whole text.
        url: String,
        /// The port with its colon.
        port: String,
    },
    /// A colon before the first slash of a text without a scheme.
    #[error("parse {url:?}: first path segment in URL cannot contain colon")]
    FirstSegment {
        /// The whole text.
        url: String,
    },
    /// A colon with nothing before it.
    #[error("parse {url:?}: missing protocol scheme")]
    MissingScheme {
        /// The whole text.
        url: String,
    },
}

/// The parts that Fulcio's checks look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct GoUrl {
    pub(crate) scheme: String,
    /// Host with its port.
    pub(crate) host: String,
    text: String,
}

impl GoUrl {
    /// Parses `url`; [`Self::as_str`] is how Go would write it.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let whole = || url.to_owned();
        if url.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(UrlError::ControlCharacter { url: whole() });
        }
        let (front, fragment) = match url.split_once('#') {
            Some((front, fragment)) => (front, Some(fragment)),
            None => (url, None),
        };
        let (scheme, rest) =
            split_scheme(front).ok_or_else(|| UrlError::MissingScheme { url: whole() })?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let mut text = String::new();
        let scheme = scheme.to_lowercase();
        if !scheme.is_empty() {
            let _ = write!(text, "{scheme}:");
        }
        let mut host = String::new();
        if !scheme.is_empty() && !rest.starts_with('/') {
            // An opaque part, such as an URN's, is kept as it is.
            text.push_str(rest);
        } else {
            let path = match rest.strip_prefix("//") {
                Some(after) if !rest.starts_with("///") || !scheme.is_empty() => {
                    let end = after.find('/').unwrap_or(after.len());
                    host = authority(url, &after[..end])?;
                    let _ = write!(text, "//{host}");
                    host = host.rsplit('@').next().unwrap_or_default().to_owned();
                    &after[end..]
                }
                _ => {
                    let first = rest.split('/').next().unwrap_or_default();
                    if scheme.is_empty() && first.contains(':') {
                        return Err(UrlError::FirstSegment { url: whole() });
                    }
                    rest
                }
            };
            text.push_str(&component(url, path, in_path)?);
        }
        if let Some(query) = query {
            let _ = write!(text, "?{query}");
        }
        if let Some(fragment) = fragment {
            let fragment = component(url, fragment, in_fragment)?;
            if !fragment.is_empty() {
                let _ = write!(text, "#{fragment}");
            }
        }
        Ok(Self { scheme, host, text })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Host without its port.
    pub(crate) fn hostname(&self) -> &str {
        if let Some(inner) = self.host.strip_prefix('[') {
            return inner.split(']').next().unwrap_or_default();
        }
        self.host.split(':').next().unwrap_or_default()
    }
}

/// `base` with `elements` below its path, as `JoinPath` does: cleaned of `//`, `.` and `..`, and without
/// them when they are not well-formed.
pub(crate) fn join_path(base: &str, elements: &[&str]) -> Result<String, UrlError> {
    let parsed = GoUrl::parse(base)?;
    let front = format!("{}://{}", parsed.scheme, parsed.host);
    let path = parsed.text.strip_prefix(&front).unwrap_or_default();
    let mut segments: Vec<&str> = Vec::new();
    for segment in std::iter::once(&path)
        .chain(elements)
        .flat_map(|element| element.split('/'))
    {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let slash = if elements.last().is_some_and(|last| last.ends_with('/')) {
        "/"
    } else {
        ""
    };
    let joined = format!("/{}{slash}", segments.join("/"));
    Ok(match component(base, &joined, in_path) {
        Ok(path) => format!("{front}{path}"),
        Err(_) => parsed.text,
    })
}

/// Scheme (may be empty) and the rest; `None` for a leading colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return None,
            b':' => return Some((&text[..index], &text[index + 1..])),
            _ => return Some(("", text)),
        }
    }
    Some(("", text))
}

/// User information and host, checked and written back.
fn authority(url: &str, text: &str) -> Result<String, UrlError> {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    if let Some(character) = host
        .chars()
        .find(|c| !(c.is_alphanumeric() || !c.is_ascii() || "-_.~!$&'()*+,;=:[]<>\"%".contains(*c)))
    {
        let character = character.to_string();
        return Err(UrlError::Host {
            url: url.to_owned(),
            character,
        });
    }
    let port = match host.rfind(']') {
        Some(end) => &host[end + 1..],
        None => host.find(':').map_or("", |colon| &host[colon..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let valid =
        port.is_empty() || port.starts_with(':') && digits.bytes().all(|b| b.is_ascii_digit());
    if !valid {
        return Err(UrlError::Port {
            url: url.to_owned(),
            port: port.to_owned(),
        });
    }
    // Only bytes outside ASCII may be escaped in a host, and are written back so.
    let host = component(url, host, |byte| byte.is_ascii())?;
    Ok(match user {
        Some(user) => format!("{user}@{host}"),
        None => host,
    })
}

/// The text as it is when all its characters may stand there, else decoded and encoded again.
fn component(url: &str, text: &str, allowed: fn(u8) -> bool) -> Result<String, UrlError> {
    let decoded = unescape(url, text)?;
    let valid = |byte: u8| {
        allowed(byte) || matches!(byte, b'%' | b'[' | b']' | b'!' | b'\'' | b'(' | b')' | b'*')
    };
    if text.bytes().all(valid) {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in decoded {
        if allowed(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Ok(out)
}

fn unescape(url: &str, text: &str) -> Result<Vec<u8>, UrlError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] != b'%' {
            out.push(bytes[index]);
            index += 1;
            continue;
        }
        let digits = bytes.get(index + 1..index + 3);
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(value) = value else {
            let end = (index + 3).min(bytes.len());
            let escape = String::from_utf8_lossy(&bytes[index..end]).into_owned();
            return Err(UrlError::Escape {
                url: url.to_owned(),
                escape,
            });
        };
        out.push(value);
        index += 3;
    }
    Ok(out)
}

fn in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

fn in_fragment(byte: u8) -> bool {
    in_path(byte) || b"?!()*".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        GoUrl::parse(text).unwrap().as_str().to_owned()
    }

    #[test]
    fn urls_that_need_no_escape_stay_as_they_are() {
        for text in [
            "https://github.com/o/r/.github/workflows/release.yml@refs/heads/main",
            "https://gitlab.com/g/p//.gitlab-ci.yml@refs/tags/v1.0",
            "spiffe://lab.invalid/ns/default/sa/x",
            "https://kubernetes.io/namespaces//serviceaccounts/",
            "https://h.example:8443/a?b=c d",
            "http://h.example/a%20b",
        ] {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn characters_that_no_path_has_are_escaped() {
        assert_eq!(
            written("https://g.example/a b@refs/heads/ü"),
            "https://g.example/a%20b@refs/heads/%C3%BC"
        );
        assert_eq!(
            written("https://g.example/a\"<>"),
            "https://g.example/a%22%3C%3E"
        );
    }

    #[test]
    fn malformed_urls_are_refused_in_go_words() {
        let error = |text: &str| GoUrl::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("https://g.example/%zz"),
            r#"parse "https://g.example/%zz": invalid URL escape "%zz""#
        );
        assert_eq!(
            error("https://g.example/%"),
            r#"parse "https://g.example/%": invalid URL escape "%""#
        );
        assert_eq!(
            error("https://g .example/"),
            r#"parse "https://g .example/": invalid character " " in host name"#
        );
        assert_eq!(
            error("https://g.example:x/"),
            r#"parse "https://g.example:x/": invalid port ":x" after host"#
        );
        assert_eq!(
            error("a\nb"),
            r#"parse "a\nb": net/url: invalid control character in URL"#
        );
        assert_eq!(
            error("1a:b"),
            r#"parse "1a:b": first path segment in URL cannot contain colon"#
        );
        assert_eq!(error(":b"), r#"parse ":b": missing protocol scheme"#);
    }

    #[test]
    fn joined_paths_are_clean_and_escaped() {
        let joined = |base, elements: &[&str]| join_path(base, elements).unwrap();
        assert_eq!(
            joined("https://g.example", &["a", "b/c"]),
            "https://g.example/a/b/c"
        );
        assert_eq!(
            joined("https://g.example/x/", &["", "a//b/../c"]),
            "https://g.example/x/a/c"
        );
        assert_eq!(
            joined("https://g.example/", &["a b?c#d"]),
            "https://g.example/a%20b%3Fc%23d"
        );
        assert_eq!(
            joined("https://g.example/", &["a/"]),
            "https://g.example/a/"
        );
        assert_eq!(joined("https://g.example/", &["%zz"]), "https://g.example/");
        assert_eq!(joined("http://g.example:1", &["%zz"]), "http://g.example:1");
    }

    #[test]
    fn host_and_scheme_are_found() {
        let url = GoUrl::parse("HTTPS://user@h.example:1/x").unwrap();
        assert_eq!(
            (url.scheme.as_str(), url.host.as_str(), url.hostname()),
            ("https", "h.example:1", "h.example")
        );
    }
}
