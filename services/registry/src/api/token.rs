//! The token endpoint, on the host and port of the registry itself, because some clients refuse to
//! send credentials anywhere else.

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
    response::Response,
};
use serde_json::json;
use url::form_urlencoded;

use super::{Incoming, request::read_whole, with_headers};
use crate::{
    Error, Service,
    auth::{Scope, Use, basic},
};

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 64 << 10;

/// GET with Basic credentials or none, POST with an OAuth 2.0 form.
pub(super) async fn token(
    service: &Service,
    incoming: &Incoming,
    body: &mut Body,
) -> Result<Response, Error> {
    match incoming.parts.method {
        Method::GET | Method::HEAD => by_query(service, incoming).await,
        Method::POST => by_form(service, body).await,
        _ => Err(Error::MethodNotAllowed { allow: "GET, POST" }),
    }
}

/// Anonymous callers get a token too, for what is open to everybody: a client whose ping was answered
/// 401 cannot pull without one.
async fn by_query(service: &Service, incoming: &Incoming) -> Result<Response, Error> {
    let refused = || Error::Unauthorized {
        challenge: r#"Basic realm="siglab registry""#.to_owned(),
    };
    let user = match incoming.header(&header::AUTHORIZATION) {
        None => None,
        Some(value) => {
            let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
            let (user, password) = basic(scheme, rest).ok_or_else(refused)?;
            if !service
                .auth
                .password_fits(&user, &password, service.now())
                .await?
            {
                return Err(refused());
            }
            Some(user)
        }
    };
    let scopes = Scope::read_all(incoming.queries("scope"));
    let offline = incoming.query("offline_token") == Some("true");
    issue(service, user.as_deref(), &scopes, offline)
}

async fn by_form(service: &Service, body: &mut Body) -> Result<Response, Error> {
    let Some(form) = read_whole(body, FORM_BYTES_MAX).await? else {
        return Ok(oauth_error("invalid_request"));
    };
    let form: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
    let field = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    let scopes = form
        .iter()
        .filter(|(key, _)| key == "scope")
        .map(|(_, value)| value.as_str());
    let scopes = Scope::read_all(scopes);
    match field("grant_type") {
        "password" => {
            let (user, password) = (field("username"), field("password"));
            if !service
                .auth
                .password_fits(user, password, service.now())
                .await?
            {
                return Ok(oauth_error("invalid_grant"));
            }
            issue(
                service,
                Some(user),
                &scopes,
                field("access_type") == "offline",
            )
        }
        "refresh_token" => match service.auth.refresh(field("refresh_token"), service.now()) {
            Some(user) => issue(service, Some(&user), &scopes, true),
            None => Ok(oauth_error("invalid_grant")),
        },
        "" => Ok(oauth_error("invalid_request")),
        _ => Ok(oauth_error("unsupported_grant_type")),
    }
}

/// No `issued_at`: clients then count from when they got the token, so that a lab whose clock was
/// moved does not hand out tokens that look expired.
fn issue(
    service: &Service,
    user: Option<&str>,
    wanted: &[Scope],
    offline: bool,
) -> Result<Response, Error> {
    let now = service.now();
    let scopes = service.auth.grant(user, wanted);
    let (token, expires_in) = service.auth.issue(Use::Access, user, scopes, now)?;
    let mut answer = json!({"token": token, "access_token": token, "expires_in": expires_in});
    if offline && user.is_some() {
        let (refresh, _) = service.auth.issue(Use::Refresh, user, Vec::new(), now)?;
        answer["refresh_token"] = refresh.into();
    }
    Ok(respond(StatusCode::OK, &answer))
}

/// RFC 6749 §5.2.
fn oauth_error(error: &str) -> Response {
    respond(StatusCode::BAD_REQUEST, &json!({"error": error}))
}

fn respond(status: StatusCode, answer: &serde_json::Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    with_headers(status, &headers, Body::from(answer.to_string()))
}
