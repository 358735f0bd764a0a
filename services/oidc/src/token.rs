//! What a token request asks for, read from parameters or JSON, and the claims it gives.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Config, Error,
    params::Params,
    preset::{Fields, Identity, Preset},
};

/// Ten years: far enough for any test, near enough that no date overflows.
const LIFETIME_SECS_MAX: i64 = 10 * 366 * 86_400;

/// A wish for a token. Everything is optional: the preset and the settings fill the rest in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenRequest {
    pub(crate) preset: Option<String>,
    pub(crate) issuer: Option<String>,
    #[serde(alias = "sub")]
    pub(crate) subject: Option<String>,
    pub(crate) email: Option<String>,
    #[serde(alias = "aud")]
    pub(crate) audience: Audience,
    /// Negative for a token that has expired.
    #[serde(alias = "lifetime_secs")]
    pub(crate) lifetime: Option<i64>,
    /// Claims to leave out of the finished token.
    pub(crate) omit: Vec<String>,
    /// Claims as they are to appear, and inputs of the preset.
    pub(crate) claims: Map<String, Value>,
}

/// One audience or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    #[default]
    Unset,
    One(String),
    Many(Vec<String>),
}

impl TokenRequest {
    /// From query or form parameters. A parameter that is not one of the fixed ones is a claim, its value
    /// a string; `NAME:json` gives a claim of any type.
    pub(crate) fn from_params(params: &Params) -> Result<Self, Error> {
        let mut request = Self::default();
        let mut audiences = Vec::new();
        for (name, value) in params.iter() {
            match name {
                "preset" => request.preset = Some(value.to_owned()),
                "issuer" => request.issuer = Some(value.to_owned()),
                "subject" | "sub" => request.subject = Some(value.to_owned()),
                "email" => request.email = Some(value.to_owned()),
                "audience" | "aud" => audiences.push(value.to_owned()),
                "lifetime" | "lifetime_secs" => {
                    let problem = "must be a number of seconds";
                    let secs = value.parse();
                    request.lifetime = Some(secs.map_err(|_| Error::Parameter {
                        name: "lifetime",
                        problem,
                    })?);
                }
                "omit" => request.omit.extend(value.split(',').map(str::to_owned)),
                "claims" => {
                    let claims: Map<String, Value> =
                        serde_json::from_str(value).map_err(Error::Claims)?;
                    request.claims.extend(claims);
                }
                // Strict readers want a JSON boolean (spec/fulcio.md §11.17).
                "email_verified" if matches!(value, "true" | "false") => {
                    request
                        .claims
                        .insert(name.to_owned(), json!(value == "true"));
                }
                "exp" | "iat" | "nbf" => {
                    let number: i64 = value.parse().map_err(|_| Error::Parameter {
                        name: "exp, iat or nbf",
                        problem: "must be seconds since 1970",
                    })?;
                    request.claims.insert(name.to_owned(), json!(number));
                }
                claim => match claim.strip_suffix(":json") {
                    Some(claim) => {
                        let value = serde_json::from_str(value).map_err(Error::Claims)?;
                        request.claims.insert(claim.to_owned(), value);
                    }
                    None => {
                        request.claims.insert(claim.to_owned(), json!(value));
                    }
                },
            }
        }
        request.audience = match audiences.len() {
            0 => Audience::Unset,
            1 => Audience::One(audiences.swap_remove(0)),
            _ => Audience::Many(audiences),
        };
        Ok(request)
    }

    /// From a JSON object.
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, Error> {
        // An object first: serde would also take the fields from an array.
        let object: Map<String, Value> = serde_json::from_slice(body).map_err(Error::Claims)?;
        serde_json::from_value(Value::Object(object)).map_err(Error::Claims)
    }

    /// Sets the audience unless the request names one.
    pub(crate) fn with_audience(mut self, audience: &str) -> Self {
        if matches!(self.audience, Audience::Unset) && !self.claims.contains_key("aud") {
            self.audience = Audience::One(audience.to_owned());
        }
        self
    }
}

/// One issuer: the shape of its tokens, and its URL as they carry it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Issuer {
    pub(crate) preset: Preset,
    pub(crate) url: String,
}

/// The issuers that a token may claim: this lab's own, and those that the settings list.
#[derive(Debug)]
pub(crate) struct Issuers<'a> {
    pub(crate) base: &'a str,
    pub(crate) config: &'a Config,
}

impl Issuers<'_> {
    /// The issuer URL of a preset.
    pub(crate) fn url(&self, preset: Preset) -> String {
        format!("{}{}", self.base, preset.path())
    }

    /// The shape that belongs to an issuer URL.
    fn preset_of(&self, issuer: &str) -> Result<Preset, Error> {
        if let Some(preset) = Preset::ALL
            .into_iter()
            .find(|preset| self.url(*preset) == issuer)
        {
            return Ok(preset);
        }
        self.config
            .impersonate_issuers
            .iter()
            .find(|played| played.issuer == issuer)
            .map(|played| played.preset)
            .ok_or_else(|| Error::Issuer {
                issuer: issuer.to_owned(),
            })
    }

    /// The claims of the token that `request` asks for at issuer `at`.
    pub(crate) fn claims(
        &self,
        at: &Issuer,
        mut request: TokenRequest,
        now: Timestamp,
        jti: String,
    ) -> Result<Map<String, Value>, Error> {
        // An `iss` among the claims is a wish like the parameter: it does not get past the check.
        if let Some(issuer) = request.claims.shift_remove("iss") {
            let Value::String(issuer) = issuer else {
                return Err(Error::Parameter {
                    name: "iss",
                    problem: "must be a string",
                });
            };
            request.issuer = Some(issuer);
        }
        let from_issuer = request
            .issuer
            .as_deref()
            .map(|iss| self.preset_of(iss))
            .transpose()?;
        let preset = match &request.preset {
            Some(name) => {
                Preset::from_name(name).ok_or_else(|| Error::Preset { name: name.clone() })?
            }
            None => from_issuer.unwrap_or(at.preset),
        };
        let issuer = request.issuer.take().unwrap_or_else(|| {
            if preset == at.preset {
                at.url.clone()
            } else {
                self.url(preset)
            }
        });
        let mut fields = self.configured(preset, &request);
        fields.extend(std::mem::take(&mut request.claims));
        let audience = self.audience(preset, &request.audience);
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(issuer));
        claims.insert("aud".to_owned(), audience);
        let lifetime = self.lifetime_secs(preset, request.lifetime)?;
        times(preset, &mut claims, now.as_second(), lifetime);
        claims.insert("jti".to_owned(), json!(jti));
        let identity = Identity {
            subject: request.subject,
            email: request.email,
            default_email: self.config.email.clone(),
            base: self.base.to_owned(),
        };
        claims.extend(preset.claims(&identity, Fields(fields)));
        for name in &request.omit {
            claims.shift_remove(name);
        }
        Ok(claims)
    }

    /// The settings' fields of a preset, without those that the request names: it wins over them. An
    /// `iss` there would evade the check.
    fn configured(&self, preset: Preset, request: &TokenRequest) -> Map<String, Value> {
        let mut fields = self
            .config
            .presets
            .get(&preset)
            .cloned()
            .unwrap_or_default();
        let named = [
            ("iss", true),
            ("sub", request.subject.is_some()),
            ("email", request.email.is_some()),
            ("aud", !matches!(request.audience, Audience::Unset)),
        ];
        for (name, _) in named.into_iter().filter(|(_, named)| *named) {
            fields.shift_remove(name);
        }
        fields
    }

    fn audience(&self, preset: Preset, wish: &Audience) -> Value {
        match wish {
            Audience::Many(many) => json!(many),
            Audience::One(one) if preset.audience_is_list() => json!([one]),
            Audience::One(one) => json!(one),
            Audience::Unset if preset.audience_is_list() => json!([self.config.audience]),
            Audience::Unset => json!(self.config.audience),
        }
    }

    fn lifetime_secs(&self, preset: Preset, wish: Option<i64>) -> Result<i64, Error> {
        let default = self
            .config
            .lifetime_secs
            .unwrap_or_else(|| preset.lifetime_secs());
        let secs = wish.unwrap_or_else(|| i64::from(default));
        if secs.abs() > LIFETIME_SECS_MAX {
            let problem = "must be within ten years";
            return Err(Error::Parameter {
                name: "lifetime",
                problem,
            });
        }
        Ok(secs)
    }
}

/// A token that is to be expired was issued before it expired: `iat` is never after `exp`.
fn times(preset: Preset, claims: &mut Map<String, Value>, now: i64, lifetime: i64) {
    let issued = if lifetime < 0 {
        now + 2 * lifetime
    } else {
        now
    };
    if let Some(before) = preset.not_before_secs() {
        claims.insert("nbf".to_owned(), json!(issued - before));
    }
    claims.insert("iat".to_owned(), json!(issued));
    claims.insert("exp".to_owned(), json!(now + lifetime));
}
