//! What the door says itself, put together from what the services' own doors say.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use crate::{
    Shared, forward,
    peers::{Peer, silent},
};

/// Ready when every service is.
pub(crate) async fn readyz(State(door): State<Arc<Shared>>) -> Response {
    let mut reasons = String::new();
    for (peer, answer) in door.ask_all("readyz").await {
        match answer {
            Ok((true, _)) => {}
            // It names itself.
            Ok((false, text)) => reasons += &text,
            Err(error) => {
                let _ = writeln!(reasons, "{}: {}", peer.name, silent(peer, &error));
            }
        }
    }
    if reasons.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons).into_response()
    }
}

/// One row for each service, as the door of a single process shows them.
pub(crate) async fn status(State(door): State<Arc<Shared>>) -> Response {
    let mut lab = Lab::default();
    for (peer, answer) in door.ask_all("status").await {
        let row = match answer {
            Ok((true, text)) => lab.row(peer, &text),
            Ok((false, text)) => Err(text.trim().to_owned()),
            Err(error) => Err(silent(peer, &error)),
        };
        lab.rows.push(row.unwrap_or_else(|reason| {
            json!({
                "name": peer.name, "urls": peer.urls, "ready": false, "reason": reason, "figures": {},
            })
        }));
    }
    Json(json!({
        "instance": lab.instance.unwrap_or_default(),
        "public_names": lab.public_names,
        "proxy": true,
        "services": lab.rows,
        "uptime_secs": lab.uptime_secs,
        "resident_bytes": lab.resident_bytes,
        "process": std::process::id(),
    }))
    .into_response()
}

/// What the services' doors say of the lab as a whole.
#[derive(Default)]
struct Lab {
    /// That of the first service that answers.
    instance: Option<String>,
    public_names: bool,
    rows: Vec<Value>,
    /// Of the process that runs longest.
    uptime_secs: i64,
    /// Of all processes.
    resident_bytes: u64,
}

impl Lab {
    fn row(&mut self, peer: &Peer, text: &str) -> Result<Value, String> {
        let status: Value = serde_json::from_str(text)
            .map_err(|_| format!("what answers at {} is not a lab's admin door", peer.admin))?;
        let instance = status["instance"].as_str().unwrap_or_default();
        let lab = self.instance.get_or_insert_with(|| instance.to_owned());
        if instance != lab {
            return Err(format!("it belongs to LAB-{instance}, not to LAB-{lab}"));
        }
        let mut rows = status["services"].as_array().into_iter().flatten();
        let row = rows.find(|row| row["name"] == peer.name);
        let Some(mut row) = row.cloned() else {
            return Err(format!("{} serves no {}", peer.admin, peer.name));
        };
        self.public_names |= status["public_names"] == true;
        let uptime = status["uptime_secs"].as_i64().unwrap_or_default();
        self.uptime_secs = self.uptime_secs.max(uptime);
        let resident = status["resident_bytes"].as_u64().unwrap_or_default();
        self.resident_bytes += resident;
        // A process of its own has memory of its own.
        row["resident_bytes"] = resident.into();
        Ok(row)
    }
}

/// The numbers of all services; what each process says of itself gets the label `service`.
pub(crate) async fn metrics(State(door): State<Arc<Shared>>) -> Response {
    let mut heads: BTreeMap<String, String> = BTreeMap::new();
    let mut samples: BTreeMap<String, String> = BTreeMap::new();
    for (peer, answer) in door.ask_all("metrics").await {
        let Ok((true, text)) = answer else {
            continue;
        };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let name = rest.split(' ').nth(1).unwrap_or_default();
                let head = heads.entry(name.to_owned()).or_default();
                if !head.lines().any(|known| known == line) {
                    let _ = writeln!(head, "{line}");
                }
            } else if let Some((name, value)) = line.split_once(' ') {
                let sample = samples.entry(name.to_owned()).or_default();
                let _ = if name.starts_with("process_") {
                    writeln!(sample, "{name}{{service=\"{}\"}} {value}", peer.name)
                } else {
                    writeln!(sample, "{line}")
                };
            }
        }
    }
    let mut text = String::new();
    for (name, lines) in samples {
        text += heads.get(&name).map_or("", String::as_str);
        text += &lines;
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// The authorities that TLS between the lab's containers is issued by, for clients.
pub(crate) async fn authorities(State(door): State<Arc<Shared>>) -> Response {
    match &door.peers_ca {
        Some(pem) => (
            [(header::CONTENT_TYPE, "application/x-pem-file")],
            pem.clone(),
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "[peers] ca is not set\n").into_response(),
    }
}

/// What a trusted root says of a service, from its own door.
pub(crate) async fn trust(
    State(door): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    at_door(&door, &name, request).await
}

/// What a service shows below `/NAME` of its own door.
pub(crate) async fn service(
    State(door): State<Arc<Shared>>,
    Path((name, _)): Path<(String, String)>,
    request: Request,
) -> Response {
    at_door(&door, &name, request).await
}

/// The clock of the lab: every service has the same, so that the first one's stands for all.
pub(crate) async fn clock(State(door): State<Arc<Shared>>, request: Request) -> Response {
    let name = door.peers.all()[0].name;
    at_door(&door, name, request).await
}

/// The same path and query at the door of the service `name`.
async fn at_door(door: &Arc<Shared>, name: &str, request: Request<Body>) -> Response {
    let Some(peer) = door.peers.named(name) else {
        return (StatusCode::NOT_FOUND, format!("no service {name} here\n")).into_response();
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", axum::http::uri::PathAndQuery::as_str);
    match format!("{}{path}", peer.admin).parse() {
        Ok(url) => forward::forward(door, url, request).await,
        Err(_) => (StatusCode::BAD_REQUEST, "the path is not one\n").into_response(),
    }
}
