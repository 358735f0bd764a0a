//! `WWW-Authenticate`, RFC 9110 §11.6.1, as registries send it: `Basic`, or `Bearer` with a realm.

/// How a registry wants to be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The first challenge that can be answered. Tokens are preferred: where both are offered, passwords
/// are the older way.
pub(crate) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        let scheme = header.split_whitespace().next()?;
        if scheme.eq_ignore_ascii_case("bearer") {
            let parameters = header[scheme.len()..].trim_start();
            let realm = parameter(parameters, "realm");
            if let Some(realm) = realm {
                let service = parameter(parameters, "service");
                return Some(Challenge::Bearer { realm, service });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

/// One parameter, quoted or not.
fn parameter(mut text: &str, wanted: &str) -> Option<String> {
    loop {
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = value(rest)?;
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        text = rest.trim_start().strip_prefix(',')?;
    }
}

fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Option<Challenge> {
        parse(std::iter::once(header))
    }

    #[test]
    fn challenges_of_registries_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            let (realm, service) = (realm.to_owned(), service.map(str::to_owned));
            Some(Challenge::Bearer { realm, service })
        };
        let header =
            r#"Bearer realm="http://h/token",service="a,b",scope="repository:a:pull,push""#;
        assert_eq!(read(header), bearer("http://h/token", Some("a,b")));
        assert_eq!(
            read(r#"bearer service=x, realm="u""#),
            bearer("u", Some("x"))
        );
        assert_eq!(read(r#"Bearer realm="a\"b""#), bearer("a\"b", None));
        assert_eq!(read(r#"Basic realm="x""#), Some(Challenge::Basic));
        for header in [
            "",
            "Bearer",
            r#"Bearer realm="open"#,
            "Negotiate abc",
            "Bearer scope=x",
        ] {
            assert_eq!(read(header), None, "{header}");
        }
    }
}
