//! Passing requests on: to the services' admin doors by path, and as a proxy to their listeners.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use url::Url;

use crate::{Shared, peers};

/// Longest time for a request that is passed on, its bodies included, and for a tunnel.
const WHOLE: Duration = Duration::from_secs(3600);

/// Longest time for a connection to a service.
const CONNECT: Duration = Duration::from_secs(5);

/// Fields of one connection (RFC 9110 §7.6.1), and what the client to the service sets itself.
const OWN_FIELDS: [HeaderName; 9] = [
    header::CONNECTION,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Answers what is asked of the door as a proxy: a tunnel (RFC 9110 §9.3.6) or a request for an absolute
/// URL (RFC 9112 §3.2.2), to a listener of the lab and to nothing else.
pub(crate) async fn proxied(
    State(door): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::CONNECT {
        return tunnel(door, request).await;
    }
    // HTTP/2 has an authority in every request.
    if request.uri().authority().is_none() || request.version() >= Version::HTTP_2 {
        return next.run(request).await;
    }
    let Ok(url) = Url::parse(&request.uri().to_string()) else {
        return (StatusCode::BAD_REQUEST, "this is not a URL\n").into_response();
    };
    let target = peers::authority(&url).unwrap_or_default();
    if url.scheme() != "http" || !door.peers.is_target(&target) {
        return refused(&target);
    }
    forward(&door, url, request).await
}

fn refused(target: &str) -> Response {
    let text = format!("this door leads to the lab's own services, and {target} is none of them\n");
    (StatusCode::FORBIDDEN, text).into_response()
}

fn failed(text: String) -> Response {
    (StatusCode::BAD_GATEWAY, text + "\n").into_response()
}

fn full() -> Response {
    let text = "too many requests are open\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn tunnel(door: Arc<Shared>, request: Request) -> Response {
    let target = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    if !door.peers.is_target(&target) {
        return refused(&target);
    }
    let Ok(slot) = door.slots.clone().try_acquire_owned() else {
        return full();
    };
    let mut service = match timeout(CONNECT, TcpStream::connect(&target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return failed(format!("{target} does not answer: {error}")),
        Err(_) => return failed(format!("{target} does not answer")),
    };
    let stop = door.stop.clone();
    door.tunnels.spawn(async move {
        let Ok(client) = hyper::upgrade::on(request).await else {
            return;
        };
        let mut client = TokioIo::new(client);
        let copied = tokio::io::copy_bidirectional(&mut client, &mut service);
        tokio::select! {
            () = stop.cancelled() => {}
            // Either side may break off when it likes.
            _ = timeout(WHOLE, copied) => {}
        }
        drop(slot);
    });
    StatusCode::OK.into_response()
}

/// Sends a request to `url` in the place of its client, bodies as streams.
pub(crate) async fn forward(door: &Shared, url: Url, request: Request) -> Response {
    let Ok(slot) = door.slots.clone().try_acquire_owned() else {
        return full();
    };
    let (parts, body) = request.into_parts();
    let mut to_service = door
        .http
        .request(parts.method, url.clone())
        .headers(without_own(parts.headers))
        .timeout(WHOLE);
    if !body.is_end_stream() {
        to_service = to_service.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let answer = match to_service.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let error = anyhow::Error::new(error.without_url());
            return failed(format!("{} does not answer: {error:#}", url.authority()));
        }
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = without_own(answer.headers().clone());
    let bytes = answer.bytes_stream().map(move |part| {
        // Open until the last byte is through.
        let _ = &slot;
        part
    });
    *response.body_mut() = Body::from_stream(bytes);
    response
}

fn without_own(mut fields: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OWN_FIELDS.iter().chain(&named) {
        fields.remove(name);
    }
    fields
}
