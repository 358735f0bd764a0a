//! The endpoints that programs call: token, device authorization, userinfo.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Door, bearer, content_type, read};
use crate::{Error, params::Params, service::Tokens, token::TokenRequest};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Claims of a token that say nothing of the person.
const PROTOCOL_CLAIMS: [&str; 8] = ["iss", "aud", "exp", "iat", "nbf", "jti", "nonce", "at_hash"];

/// `POST /token`, RFC 6749 §3.2.
pub(super) async fn token(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let params = form(&headers, body).await?;
    params.refuse_repeats(&[
        "grant_type",
        "code",
        "code_verifier",
        "redirect_uri",
        "device_code",
    ])?;
    let client_id = client_id(&headers, &params)?;
    let (service, issuer) = (&door.service, &door.issuer);
    let tokens = match params.require("grant_type")? {
        "authorization_code" => service.redeem_code(issuer, &params, &client_id).await?,
        DEVICE_CODE => {
            service
                .redeem_device_code(issuer, &params, &client_id)
                .await?
        }
        "client_credentials" => {
            // No person: the preset's default identity, for the client as audience.
            service
                .tokens(issuer, TokenRequest::default(), &client_id, None)
                .await?
        }
        other => {
            let grant_type = other.chars().take(100).collect();
            return Err(Error::UnsupportedGrantType { grant_type });
        }
    };
    Ok(token_response(&tokens, params.get("scope")))
}

fn token_response(tokens: &Tokens, scope: Option<&str>) -> Response {
    let mut body = json!({
        "access_token": tokens.access_token,
        "token_type": "bearer",
        "expires_in": tokens.expires_in,
        "id_token": tokens.id_token,
    });
    if let (Some(scope), Some(body)) = (scope, body.as_object_mut()) {
        body.insert("scope".to_owned(), json!(scope));
    }
    no_store(Json(body).into_response())
}

/// `POST /device/code`, RFC 8628 §3.1 and §3.2.
pub(super) async fn device_code(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let params = form(&headers, body).await?;
    params.refuse_repeats(&[
        "client_id",
        "scope",
        "code_challenge",
        "code_challenge_method",
    ])?;
    let client_id = client_id(&headers, &params)?;
    let service = &door.service;
    let codes = service.device_codes(
        &door.issuer,
        &client_id,
        params.get("code_challenge"),
        params.get("code_challenge_method"),
    )?;
    let page = format!("{}/device", door.issuer.url);
    let body = json!({
        "device_code": codes.device_code,
        "user_code": codes.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", codes.user_code),
        "expires_in": service.config.device_code_secs,
        "interval": service.config.device_interval_secs,
    });
    Ok(no_store(Json(body).into_response()))
}

/// OpenID Connect Core §5.3.
pub(super) async fn userinfo(
    State(door): State<Door>,
    headers: HeaderMap,
) -> Result<Json<Value>, Error> {
    let token = bearer(&headers).ok_or(Error::AccessToken)?;
    let mut claims = door.service.verified(token).await?;
    for name in PROTOCOL_CLAIMS {
        claims.shift_remove(name);
    }
    Ok(Json(Value::Object(claims)))
}

async fn form(headers: &HeaderMap, body: Body) -> Result<Params, Error> {
    let body = read(body).await?;
    if content_type(headers) != "application/x-www-form-urlencoded" {
        let problem = "must be application/x-www-form-urlencoded";
        return Err(Error::Parameter {
            name: "Content-Type",
            problem,
        });
    }
    Ok(Params::parse(&body))
}

/// The client by HTTP Basic or by parameter (RFC 6749 §2.3.1). All clients are public: a secret is
/// accepted and means nothing.
fn client_id(headers: &HeaderMap, params: &Params) -> Result<String, Error> {
    let basic = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, credentials)| STANDARD.decode(credentials.trim()).ok())
        .and_then(|credentials| String::from_utf8(credentials).ok())
        .and_then(|credentials| credentials.split_once(':').map(|(id, _)| decoded(id)))
        .filter(|id| !id.is_empty());
    match (basic, params.get("client_id")) {
        (Some(id), None) => Ok(id),
        (Some(id), Some(named)) if id == named => Ok(id),
        (Some(_), Some(_)) => {
            let problem = "differs between the Authorization header and the form";
            Err(Error::Parameter {
                name: "client_id",
                problem,
            })
        }
        (None, Some(named)) => Ok(named.to_owned()),
        (None, None) => Err(Error::ParameterMissing { name: "client_id" }),
    }
}

/// The id in a Basic header is form-encoded before it is joined (RFC 6749 §2.3.1).
fn decoded(id: &str) -> String {
    Params::parse(format!("id={id}").as_bytes())
        .get("id")
        .unwrap_or_default()
        .to_owned()
}

fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
