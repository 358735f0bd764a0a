//! What a request says beside its path: headers, query, origin, body length.

use axum::{
    body::Body,
    http::{HeaderName, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::{Error, Service, auth::Origin};

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) parts: Parts,
    pub(crate) origin: Origin,
    query: Vec<(String, String)>,
}

impl Incoming {
    pub(crate) fn new(service: &Service, parts: Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let origin = origin(service, &parts);
        Self {
            parts,
            origin,
            query,
        }
    }

    /// A header that is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The first query parameter of that name.
    pub(crate) fn query<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.queries(name).next()
    }

    /// All query parameters of that name.
    pub(crate) fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Content-Length. `None` for bodies of unknown length.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header(&header::CONTENT_LENGTH)?.parse().ok()
    }

    /// Whether there is certainly no body.
    pub(crate) fn has_no_body(&self, body: &Body) -> bool {
        self.content_length() == Some(0) || axum::body::HttpBody::is_end_stream(body)
    }
}

/// Where the client sent the request. What it says is only told back to itself.
fn origin(service: &Service, parts: &Parts) -> Origin {
    let harmless = |text: &&str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".:-[]_".contains(&b))
    };
    let header = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let forwarded = header(HeaderName::from_static("x-forwarded-proto"));
    let scheme = match (service.scheme(), forwarded) {
        ("https", _) | (_, Some("https")) => "https",
        _ => "http",
    };
    let authority = parts
        .uri
        .authority()
        .map(axum::http::uri::Authority::as_str);
    let authority = header(header::HOST).or(authority).filter(harmless);
    Origin {
        scheme,
        authority: authority.unwrap_or_else(|| service.authority()).to_owned(),
    }
}

/// Reads a body of at most `bytes_max` bytes.
///
/// # Errors
/// `None` when it is longer, [`Error::BodyBroken`] when it does not arrive.
pub(crate) async fn read_whole(body: &mut Body, bytes_max: usize) -> Result<Option<Bytes>, Error> {
    let read = async {
        let mut whole = BytesMut::new();
        while let Some(piece) = next_piece(body).await? {
            if whole.len() + piece.len() > bytes_max {
                return Ok(None);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Some(whole.freeze()))
    };
    let read = tokio::time::timeout(runtime::http::BODY_WHOLE, read).await;
    read.unwrap_or(Err(Error::BodyBroken))
}

/// The next bytes of a body, `None` at its end.
///
/// # Errors
/// [`Error::BodyBroken`] when the connection broke or stood still.
pub(crate) async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, Error> {
    loop {
        let frame = tokio::time::timeout(runtime::http::BODY_IDLE, body.frame()).await;
        match frame.map_err(|_| Error::BodyBroken)? {
            None => return Ok(None),
            Some(Err(_)) => return Err(Error::BodyBroken),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
