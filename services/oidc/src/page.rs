//! The pages that a person sees: plain HTML with one style sheet inside, no script, nothing fetched.

use std::fmt::Write as _;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

/// Nothing is loaded or run; the style is inline; no other page may frame this one. `form-action` is left
/// open because browsers apply it to the redirect that follows, which goes to the client.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = include_str!("page.css");

/// What the sign-in page asks.
#[derive(Debug)]
pub(crate) struct SignIn<'a> {
    /// `Sign in` or `Connect a device`.
    pub(crate) title: &'a str,
    /// Where the form goes, relative to the page.
    pub(crate) action: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// Where the answer goes, in words.
    pub(crate) destination: &'a str,
    /// Who can be picked; the first is picked already.
    pub(crate) choices: &'a [Choice],
    /// A name typed before, or suggested by `login_hint`.
    pub(crate) typed: &'a str,
    /// Form fields that are carried on.
    pub(crate) carried: &'a [(&'a str, &'a str)],
    /// What was wrong with the last answer.
    pub(crate) problem: Option<&'a str>,
}

/// One who can be picked.
#[derive(Debug)]
pub(crate) struct Choice {
    /// What the form sends.
    pub(crate) value: String,
    /// What the person reads.
    pub(crate) label: String,
}

/// The page on which a person picks who to be.
pub(crate) fn sign_in(view: &SignIn<'_>) -> Response {
    let mut form = String::new();
    if let Some(problem) = view.problem {
        let _ = write!(
            form,
            r#"<p id="problem" class="problem" role="alert">{}</p>"#,
            escape(problem)
        );
    }
    let _ = write!(
        form,
        r#"<form method="post" action="{}">"#,
        escape(view.action)
    );
    for (name, value) in view.carried {
        let _ = write!(
            form,
            r#"<input type="hidden" name="{}" value="{}">"#,
            escape(name),
            escape(value)
        );
    }
    form.push_str("<fieldset><legend>Who are you today?</legend>");
    for (number, choice) in view.choices.iter().enumerate() {
        let checked = if number == 0 && view.typed.is_empty() {
            " checked"
        } else {
            ""
        };
        let (value, label) = (escape(&choice.value), escape(&choice.label));
        let _ = write!(
            form,
            r#"<label class="choice" for="identity-{number}"><input type="radio" name="identity" id="identity-{number}" value="{value}"{checked}><span>{label}</span></label>"#
        );
    }
    let _ = write!(
        form,
        r#"</fieldset><label for="other">Somebody else</label><input type="text" name="other" id="other" value="{}" placeholder="an email address or a subject" autocomplete="off" spellcheck="false"><p class="hint">What is typed here wins over the choice above.</p>"#,
        escape(view.typed)
    );
    form.push_str(
        r#"<details><summary>More claims</summary><label for="claims">A JSON object, merged into the token</label><textarea name="claims" id="claims" rows="4" spellcheck="false" placeholder='{"groups": ["release"]}'></textarea></details><div class="buttons"><button type="submit" name="decision" value="allow" id="sign-in">Sign in</button><button type="submit" name="decision" value="deny" id="deny" class="quiet">Refuse</button></div></form>"#,
    );
    let lead = format!(
        r#"<p><strong id="client">{}</strong> asks who you are. The answer goes to <span id="destination">{}</span>.</p>"#,
        escape(view.client_id),
        escape(view.destination)
    );
    page(
        StatusCode::OK,
        view.title,
        view.issuer,
        &format!("{lead}{form}"),
    )
}

/// The page on which a person types a device's code.
pub(crate) fn user_code(issuer: &str, typed: &str, problem: Option<&str>) -> Response {
    let mut body = String::new();
    if let Some(problem) = problem {
        let _ = write!(
            body,
            r#"<p id="problem" class="problem" role="alert">{}</p>"#,
            escape(problem)
        );
    }
    let _ = write!(
        body,
        r#"<p>Type the code that your device shows.</p><form method="get" action="device"><label for="user-code">Code</label><input type="text" name="user_code" id="user-code" class="code" value="{}" placeholder="XXXX-XXXX" maxlength="20" autocomplete="off" autofocus><div class="buttons"><button type="submit" id="continue">Continue</button></div></form>"#,
        escape(typed)
    );
    let status = if problem.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    page(status, "Connect a device", issuer, &body)
}

/// The page that ends a device flow.
pub(crate) fn device_done(issuer: &str, allowed: bool) -> Response {
    let (title, text) = if allowed {
        (
            "Signed in",
            "The device goes on by itself. You can close this page.",
        )
    } else {
        (
            "Refused",
            "The device is told that you refused. You can close this page.",
        )
    };
    page(
        StatusCode::OK,
        title,
        issuer,
        &format!(r#"<p id="result">{text}</p>"#),
    )
}

/// The page of an out-of-band sign-in: the person carries the code.
pub(crate) fn code(issuer: &str, code: &str) -> Response {
    let body = format!(
        r#"<p>Copy this code into the program that sent you here.</p><p><code id="code" class="code">{}</code></p>"#,
        escape(code)
    );
    page(StatusCode::OK, "Signed in", issuer, &body)
}

/// A request that cannot even be sent back to its client.
pub(crate) fn refused(status: StatusCode, issuer: &str, code: &str, description: &str) -> Response {
    let body = format!(
        r#"<p id="problem" class="problem" role="alert">{}</p><p class="hint" id="error">{}</p>"#,
        escape(description),
        escape(code)
    );
    page(status, "This sign-in cannot go on", issuer, &body)
}

fn page(status: StatusCode, title: &str, issuer: &str, body: &str) -> Response {
    let html = format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title} · siglab</title><style>{STYLE}</style></head><body><main><p class="banner">Lab issuer: anybody can be anybody here</p><h1>{title}</h1>{body}<footer>Issuer <code id="issuer">{issuer}</code></footer></main></body></html>"#,
        title = escape(title),
        issuer = escape(issuer)
    );
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Text as HTML text or as a quoted attribute value.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_in_a_parameter_stays_text() {
        assert_eq!(
            super::escape(r#"<script src='x'>"&"#),
            "&lt;script src=&#39;x&#39;&gt;&quot;&amp;"
        );
    }
}
