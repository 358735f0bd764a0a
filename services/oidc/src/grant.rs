//! The OAuth grants: authorization code with PKCE, device code, client credentials.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use url::{Host, Url};

use crate::{
    Error, Service,
    params::Params,
    service::{Tokens, lock, random_id},
    token::{Issuer, TokenRequest},
};

/// Seconds that an authorization code stays valid: RFC 6749 §4.1.2 recommends ten minutes at most.
const CODE_SECS: u32 = 300;

/// Where Go clients without a local listener send the person: the page shows the code.
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// RFC 8628 §6.1: consonants only, so that no code reads as a word.
const USER_CODE_ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// OAuth parameters of an authorization request that a page carries on to its answer.
pub(crate) const AUTHORIZE_PARAMS: [&str; 9] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "connector_id",
    "nonce",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
];

/// A checked authorization request.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizeRequest {
    pub(crate) client_id: String,
    pub(crate) redirect: Redirect,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    challenge: String,
    nonce: Option<String>,
    connector_id: Option<String>,
}

/// Where the answer to an authorization request goes.
#[derive(Clone, Debug)]
pub(crate) enum Redirect {
    /// To the page itself: the person copies the code.
    OutOfBand,
    To(Url),
}

/// What an authorization code stands for.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    issuer: Issuer,
    request: TokenRequest,
}

/// A device that waits.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) client_id: String,
    challenge: Option<String>,
    user_code: String,
    issuer: Issuer,
    polled: Option<Timestamp>,
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
enum Answer {
    Allowed(Box<TokenRequest>),
    Denied,
}

/// What a device is told to show and to do.
#[derive(Debug)]
pub(crate) struct DeviceCodes {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

impl Service {
    /// Where a redirect URI leads, when it may be used at all: on loopback any port and path (RFC 8252
    /// §7.3), elsewhere only what the settings list.
    pub(crate) fn redirect(&self, uri: &str) -> Result<Redirect, Error> {
        let refused = || Error::RedirectUri {
            uri: uri.chars().take(200).collect(),
        };
        if uri == OUT_OF_BAND {
            return Ok(Redirect::OutOfBand);
        }
        let url = Url::parse(uri).map_err(|_| refused())?;
        if self
            .config
            .redirect_uris
            .iter()
            .any(|allowed| allowed == uri)
        {
            return Ok(Redirect::To(url));
        }
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if loopback && plain {
            Ok(Redirect::To(url))
        } else {
            Err(refused())
        }
    }

    /// Checks everything of an authorization request but its redirect URI, which must be checked first
    /// with [`Self::redirect`]: errors here may be sent to it.
    pub(crate) fn authorize_request(
        &self,
        params: &Params,
        redirect: Redirect,
    ) -> Result<AuthorizeRequest, Error> {
        params.refuse_repeats(&AUTHORIZE_PARAMS)?;
        let response_type = params.require("response_type")?;
        if response_type != "code" {
            return Err(Error::UnsupportedResponseType {
                response_type: response_type.to_owned(),
            });
        }
        let challenge = params.require("code_challenge")?;
        check_challenge(challenge, params.get("code_challenge_method"))?;
        if !params
            .get("scope")
            .is_some_and(|s| s.split(' ').any(|scope| scope == "openid"))
        {
            return Err(Error::Parameter {
                name: "scope",
                problem: "must contain openid",
            });
        }
        Ok(AuthorizeRequest {
            client_id: params.require("client_id")?.to_owned(),
            redirect,
            redirect_uri: params.require("redirect_uri")?.to_owned(),
            state: params.get("state").map(str::to_owned),
            challenge: challenge.to_owned(),
            nonce: params.get("nonce").map(str::to_owned),
            connector_id: params.get("connector_id").map(str::to_owned),
        })
    }

    /// A code for a person who signed in.
    pub(crate) fn authorize(
        &self,
        issuer: &Issuer,
        asked: &AuthorizeRequest,
        mut request: TokenRequest,
    ) -> Result<String, Error> {
        // What cannot become a token is refused while the person can still mend it.
        if let Some(connector) = &asked.connector_id {
            request
                .claims
                .entry("connector_id")
                .or_insert_with(|| connector.clone().into());
        }
        self.issuers()
            .claims(issuer, request.clone(), self.clock.now(), String::new())?;
        let code = random_id()?;
        let authorization = Authorization {
            client_id: asked.client_id.clone(),
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge.clone(),
            nonce: asked.nonce.clone(),
            issuer: issuer.clone(),
            request,
        };
        lock(&self.codes)
            .insert(code.clone(), authorization, self.clock.now(), CODE_SECS)
            .map_err(|_| Error::TooManyPending)?;
        Ok(code)
    }

    /// Tokens for an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.6).
    pub(crate) async fn redeem_code(
        &self,
        at: &Issuer,
        params: &Params,
        client_id: &str,
    ) -> Result<Tokens, Error> {
        let code = params.require("code")?;
        let verifier = params.require("code_verifier")?;
        let redirect_uri = params.require("redirect_uri")?;
        let authorization = lock(&self.codes)
            .take(code, self.clock.now())
            .ok_or(Error::Code)?;
        if authorization.client_id != client_id
            || authorization.redirect_uri != redirect_uri
            || authorization.issuer != *at
        {
            return Err(Error::Code);
        }
        check_verifier(verifier, &authorization.challenge)?;
        let nonce = authorization.nonce.as_deref();
        self.tokens(at, authorization.request, client_id, nonce)
            .await
    }

    /// Begins a device flow (RFC 8628 §3.1).
    pub(crate) fn device_codes(
        &self,
        issuer: &Issuer,
        client_id: &str,
        challenge: Option<&str>,
        method: Option<&str>,
    ) -> Result<DeviceCodes, Error> {
        if let Some(challenge) = challenge {
            check_challenge(challenge, method)?;
        }
        let codes = DeviceCodes {
            device_code: random_id()?,
            user_code: random_user_code()?,
        };
        let device = Device {
            client_id: client_id.to_owned(),
            challenge: challenge.map(str::to_owned),
            user_code: codes.user_code.clone(),
            issuer: issuer.clone(),
            polled: None,
            answer: None,
        };
        let (now, secs) = (self.clock.now(), self.config.device_code_secs);
        let mut devices = lock(&self.devices);
        let user_code = codes.user_code.clone();
        devices
            .by_code
            .insert(codes.device_code.clone(), device, now, secs)
            .and_then(|()| {
                devices
                    .by_user_code
                    .insert(user_code, codes.device_code.clone(), now, secs)
            })
            .map_err(|_| Error::TooManyPending)?;
        Ok(codes)
    }

    /// The device that waits with a user code at `issuer`.
    pub(crate) fn device(&self, issuer: &Issuer, user_code: &str) -> Result<Device, Error> {
        self.with_device(issuer, user_code, |device| device.clone())
    }

    /// Answers a device: `None` denies. A user code is good for one answer.
    pub(crate) fn answer_device(
        &self,
        issuer: &Issuer,
        user_code: &str,
        request: Option<TokenRequest>,
    ) -> Result<(), Error> {
        if let Some(request) = &request {
            self.issuers()
                .claims(issuer, request.clone(), self.clock.now(), String::new())?;
        }
        let answer = request.map_or(Answer::Denied, |request| Answer::Allowed(Box::new(request)));
        self.with_device(issuer, user_code, |device| device.answer = Some(answer))?;
        lock(&self.devices)
            .by_user_code
            .take(&normal_user_code(user_code), self.clock.now());
        Ok(())
    }

    fn with_device<T>(
        &self,
        issuer: &Issuer,
        user_code: &str,
        act: impl FnOnce(&mut Device) -> T,
    ) -> Result<T, Error> {
        let now = self.clock.now();
        let mut devices = lock(&self.devices);
        let code = devices
            .by_user_code
            .get_mut(&normal_user_code(user_code), now)
            .cloned()
            .ok_or(Error::UserCode)?;
        let device = devices.by_code.get_mut(&code, now).ok_or(Error::UserCode)?;
        if device.issuer != *issuer || device.answer.is_some() {
            return Err(Error::UserCode);
        }
        Ok(act(device))
    }

    /// Tokens for a device code, once somebody has answered (RFC 8628 §3.4).
    pub(crate) async fn redeem_device_code(
        &self,
        at: &Issuer,
        params: &Params,
        client_id: &str,
    ) -> Result<Tokens, Error> {
        let code = params.require("device_code")?;
        let request = self.poll_device(at, code, client_id, params.get("code_verifier"))?;
        self.tokens(at, request, client_id, None).await
    }

    fn poll_device(
        &self,
        at: &Issuer,
        code: &str,
        client_id: &str,
        verifier: Option<&str>,
    ) -> Result<TokenRequest, Error> {
        let now = self.clock.now();
        let mut devices = lock(&self.devices);
        if devices.by_code.has_ended(code, now) {
            return Err(Error::ExpiredDeviceCode);
        }
        let device = devices.by_code.get_mut(code, now).ok_or(Error::Code)?;
        if device.client_id != client_id || device.issuer != *at {
            return Err(Error::Code);
        }
        let polled = device.polled.replace(now);
        let Some(answer) = device.answer.clone() else {
            // Half the interval: timers and networks are not exact.
            let half_millis = i128::from(self.config.device_interval_secs) * 500;
            let hasty =
                polled.is_some_and(|last| now.duration_since(last).as_millis() < half_millis);
            return Err(if hasty {
                Error::SlowDown
            } else {
                Error::AuthorizationPending
            });
        };
        let (user_code, challenge) = (device.user_code.clone(), device.challenge.clone());
        devices.by_code.take(code, now);
        devices.by_user_code.take(&user_code, now);
        if let Some(challenge) = challenge {
            check_verifier(verifier.ok_or(Error::Verifier)?, &challenge)?;
        }
        match answer {
            Answer::Allowed(request) => Ok(*request),
            Answer::Denied => Err(Error::AccessDenied),
        }
    }
}

/// RFC 7636 §4.2: S256 only, 43 base64url characters.
fn check_challenge(challenge: &str, method: Option<&str>) -> Result<(), Error> {
    if method != Some("S256") {
        let problem = "must be S256";
        return Err(Error::Parameter {
            name: "code_challenge_method",
            problem,
        });
    }
    if URL_SAFE_NO_PAD
        .decode(challenge)
        .map_or(0, |bytes| bytes.len())
        != 32
    {
        let problem = "must be the base64url SHA-256 of the code_verifier";
        return Err(Error::Parameter {
            name: "code_challenge",
            problem,
        });
    }
    Ok(())
}

/// RFC 7636 §4.6.
fn check_verifier(verifier: &str, challenge: &str) -> Result<(), Error> {
    let computed = URL_SAFE_NO_PAD.encode(crypto::sha256(verifier.as_bytes()));
    if computed == challenge {
        Ok(())
    } else {
        Err(Error::Verifier)
    }
}

/// `BCDF-GHJK`.
fn random_user_code() -> Result<String, Error> {
    let mut code = String::with_capacity(9);
    while code.len() < 9 {
        for byte in crypto::random_bytes::<16>().map_err(anyhow::Error::from)? {
            if code.len() == 4 {
                code.push('-');
            }
            // 240 is the largest multiple of 20 below 256: no letter is likelier than another.
            if byte < 240 && code.len() < 9 {
                code.push(char::from(USER_CODE_ALPHABET[usize::from(byte % 20)]));
            }
        }
    }
    Ok(code)
}

/// As typed by a person: any case, with or without the dash.
fn normal_user_code(typed: &str) -> String {
    let letters: String = typed
        .chars()
        .filter(char::is_ascii_alphabetic)
        .take(8)
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    match letters.split_at_checked(4) {
        Some((head, tail)) => format!("{head}-{tail}"),
        None => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::{check_verifier, normal_user_code, random_user_code};

    #[test]
    fn challenge_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(check_verifier(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").is_ok());
        assert!(check_verifier(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN").is_err());
    }

    #[test]
    fn a_user_code_is_read_as_people_type_it() {
        let code = random_user_code().unwrap();
        assert_eq!(code.len(), 9);
        assert_eq!(normal_user_code(&code), code);
        assert_eq!(normal_user_code("bcdfghjk"), "BCDF-GHJK");
        assert_eq!(normal_user_code(" bcdf ghjk "), "BCDF-GHJK");
        assert_eq!(normal_user_code("bc"), "BC");
    }
}
