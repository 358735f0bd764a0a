//! The endpoints that a person's browser calls: authorization and device verification.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Redirect as SeeOther, Response},
};
use serde_json::{Map, Value};
use url::Url;

use super::{Door, read};
use crate::{
    Error,
    grant::{AUTHORIZE_PARAMS, AuthorizeRequest, Redirect},
    page,
    params::Params,
    preset::Preset,
    token::TokenRequest,
};

/// `GET /auth`, RFC 6749 §4.1.1: the sign-in page.
pub(super) async fn authorize(State(door): State<Door>, RawQuery(query): RawQuery) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let asked = match check_authorize(&door, &params) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    sign_in_page(&door, &params, &asked, None)
}

/// `POST /auth`: the person's answer.
pub(super) async fn answer_authorize(State(door): State<Door>, body: Body) -> Response {
    let mut params = match read(body).await {
        Ok(body) => Params::parse(&body),
        Err(error) => return refused_page(&door, &error),
    };
    let answer = Answer::take(&mut params);
    let asked = match check_authorize(&door, &params) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    if !answer.allowed {
        return answer_client(&asked, &Err(Error::AccessDenied));
    }
    let code = answer
        .request()
        .and_then(|request| door.service.authorize(&door.issuer, &asked, request));
    match (code, &asked.redirect) {
        // The person can mend what they typed.
        (Err(error @ (Error::Claims(_) | Error::Parameter { .. } | Error::Issuer { .. })), _) => {
            sign_in_page(&door, &params, &asked, Some(&error.to_string()))
        }
        (Ok(code), Redirect::OutOfBand) => page::code(&door.issuer.url, &code),
        (result, _) => answer_client(&asked, &result),
    }
}

/// Errors in the redirect URI are shown to the person; all others are sent to the client (RFC 6749
/// §4.1.2.1).
fn check_authorize(door: &Door, params: &Params) -> Result<AuthorizeRequest, Box<Response>> {
    let redirect = params
        .refuse_repeats(&["redirect_uri", "state"])
        .and_then(|()| params.require("redirect_uri"))
        .and_then(|uri| door.service.redirect(uri));
    let redirect = redirect.map_err(|error| Box::new(refused_page(door, &error)))?;
    door.service
        .authorize_request(params, redirect.clone())
        .map_err(|error| {
            Box::new(match redirect {
                Redirect::OutOfBand => refused_page(door, &error),
                Redirect::To(url) => send_to_client(url, params.get("state"), &Err(error)),
            })
        })
}

fn answer_client(asked: &AuthorizeRequest, result: &Result<String, Error>) -> Response {
    match &asked.redirect {
        Redirect::To(url) => send_to_client(url.clone(), asked.state.as_deref(), result),
        Redirect::OutOfBand => {
            let text = match result {
                Ok(code) => code.clone(),
                Err(error) => error.description(),
            };
            (StatusCode::BAD_REQUEST, text).into_response()
        }
    }
}

fn send_to_client(mut url: Url, state: Option<&str>, result: &Result<String, Error>) -> Response {
    {
        let mut query = url.query_pairs_mut();
        match result {
            Ok(code) => {
                query.append_pair("code", code);
            }
            Err(error) => {
                query.append_pair("error", error.code().1);
                query.append_pair("error_description", &error.description());
            }
        }
        if let Some(state) = state {
            query.append_pair("state", state);
        }
    }
    SeeOther::to(url.as_str()).into_response()
}

fn sign_in_page(
    door: &Door,
    params: &Params,
    asked: &AuthorizeRequest,
    problem: Option<&str>,
) -> Response {
    let carried: Vec<(&str, &str)> = params
        .iter()
        .filter(|(name, _)| AUTHORIZE_PARAMS.contains(name))
        .collect();
    let destination = match &asked.redirect {
        Redirect::OutOfBand => "this page".to_owned(),
        Redirect::To(url) => url.origin().ascii_serialization(),
    };
    page::sign_in(&page::SignIn {
        title: "Sign in",
        action: "auth",
        issuer: &door.issuer.url,
        client_id: &asked.client_id,
        destination: &destination,
        choices: &choices(door),
        typed: params.get("login_hint").unwrap_or_default(),
        carried: &carried,
        problem,
    })
}

/// `GET /device`, RFC 8628 §3.3: asks for the code, then who to be.
pub(super) async fn device(State(door): State<Door>, RawQuery(query): RawQuery) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match params.get("user_code") {
        None => page::user_code(&door.issuer.url, "", None),
        Some(typed) => device_page(&door, typed, None),
    }
}

fn device_page(door: &Door, typed: &str, problem: Option<&str>) -> Response {
    let url = &door.issuer.url;
    let device = match door.service.device(&door.issuer, typed) {
        Ok(device) => device,
        Err(error) => return page::user_code(url, typed, Some(&error.to_string())),
    };
    page::sign_in(&page::SignIn {
        title: "Connect a device",
        action: "device",
        issuer: url,
        client_id: &device.client_id,
        destination: &format!("the device that shows {typed}"),
        choices: &choices(door),
        typed: "",
        carried: &[("user_code", typed)],
        problem,
    })
}

/// `POST /device`: the person's answer.
pub(super) async fn answer_device(State(door): State<Door>, body: Body) -> Response {
    let mut params = match read(body).await {
        Ok(body) => Params::parse(&body),
        Err(error) => return refused_page(&door, &error),
    };
    let answer = Answer::take(&mut params);
    let url = &door.issuer.url;
    let Some(typed) = params.get("user_code") else {
        return page::user_code(url, "", Some("type the code that your device shows"));
    };
    let request = if answer.allowed {
        answer.request().map(Some)
    } else {
        Ok(None)
    };
    let answered =
        request.and_then(|request| door.service.answer_device(&door.issuer, typed, request));
    match answered {
        Ok(()) => page::device_done(url, answer.allowed),
        Err(error) => device_page(&door, typed, Some(&error.description())),
    }
}

/// What a person chose on the sign-in page.
#[derive(Debug)]
struct Answer {
    allowed: bool,
    identity: Option<String>,
    claims: Option<String>,
}

impl Answer {
    /// Takes the page's own fields out of the form, leaving those of the request.
    fn take(params: &mut Params) -> Self {
        let mut filled = |name| {
            params
                .remove(name)
                .map(|value| value.trim().to_owned())
                .filter(|v| !v.is_empty())
        };
        let picked = filled("identity");
        Self {
            allowed: filled("decision").as_deref() != Some("deny"),
            identity: filled("other").or(picked),
            claims: filled("claims"),
        }
    }

    fn request(&self) -> Result<TokenRequest, Error> {
        let mut request = TokenRequest::default();
        if let Some(claims) = &self.claims {
            let claims: Map<String, Value> = serde_json::from_str(claims).map_err(Error::Claims)?;
            request.claims = claims;
        }
        // Nothing picked or typed leaves the subject to the preset and the claims.
        request.subject.clone_from(&self.identity);
        Ok(request)
    }
}

/// Who can be picked. Issuers of workloads have one choice without a value: the subject that their claims
/// give.
fn choices(door: &Door) -> Vec<page::Choice> {
    let config = &door.service.config;
    if door.issuer.preset != Preset::Email {
        let label = door.service.default_subject(&door.issuer);
        return vec![page::Choice {
            value: String::new(),
            label,
        }];
    }
    let others = config
        .identities
        .iter()
        .filter(|identity| **identity != config.email);
    std::iter::once(&config.email)
        .chain(others)
        .map(|identity| page::Choice {
            value: identity.clone(),
            label: identity.clone(),
        })
        .collect()
}

fn refused_page(door: &Door, error: &Error) -> Response {
    let (status, code) = error.code();
    page::refused(status, &door.issuer.url, code, &error.description())
}
