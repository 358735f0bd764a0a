//! Rekor v1: how it refuses.

use axum::{
    body::Body,
    http::{Method, Request},
};
use crypto::{KeyKind, SigningKey};
use rekor::{Config, EntryType, Operation, V1Config};
use serde_json::{Value, json};

use crate::lab::{Answer, Lab, dsse, hashedrekord, proposals};

const ENTRIES: &str = "/api/v1/log/entries";
const RETRIEVE: &str = "/api/v1/log/entries/retrieve";
const INDEX: &str = "/api/v1/index/retrieve";

fn proposal() -> Value {
    proposals().remove("hashedrekord_pubkey").unwrap()
}

#[tokio::test]
async fn trailing_and_doubled_slashes_are_accepted() {
    let lab = Lab::start().await;
    let answer = lab
        .post("v1", "/api/v1/log/entries/", &proposal().to_string())
        .await;
    let (id, _) = answer.entry();
    let location = format!("/api/v1/log/entries/{id}");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    for path in [
        "/api/v1/log/",
        "//api/v1//log",
        "/api/v1/log/entries//?logIndex=0",
    ] {
        assert_eq!(lab.get("v1", path).await.status, 200, "{path}");
    }
    assert_eq!(
        lab.post("v1", "/api/v1/index/retrieve/", "{}").await.status,
        200
    );
}

#[tokio::test]
async fn unknown_paths_are_404_as_json() {
    let lab = Lab::start().await;
    let paths = [
        "/healthz",
        "/version",
        "/metrics",
        "/swagger.json",
        "/docs",
        "/api/v1",
        "/api/v1/timestamp",
    ];
    for path in paths {
        let message = format!("path {path} was not found");
        lab.get("v1", path).await.assert_problem(404, 404, &message);
    }
}

#[tokio::test]
async fn ping_and_home_page_answer() {
    let lab = Lab::start().await;
    let ping = lab.get("v1", "/ping").await;
    assert_eq!((ping.status.as_u16(), ping.text().as_str()), (200, "."));
    assert_eq!(ping.header("content-type"), Some("text/plain"));
    let home = lab.get("v1", "/").await;
    assert_eq!(home.header("content-type"), Some("text/html"));
    assert!(home.text().contains("not for production"));
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let lab = Lab::start().await;
    let uuid = format!("{ENTRIES}/{}", "0".repeat(64));
    let cases = [
        (Method::PUT, ENTRIES, "GET,POST"),
        (Method::HEAD, ENTRIES, "GET,POST"),
        (Method::DELETE, RETRIEVE, "GET,POST"),
        (Method::POST, uuid.as_str(), "GET"),
        (Method::GET, INDEX, "POST"),
        (Method::POST, "/api/v1/log", "GET"),
        (Method::POST, "/api/v1/log/proof", "GET"),
        (Method::POST, "/api/v1/log/publicKey", "GET"),
    ];
    for (method, path, allowed) in cases {
        let answer = lab.method("v1", method.clone(), path).await;
        let message = format!("method {method} is not allowed, but [{allowed}] are");
        assert_eq!(answer.status, 405);
        if method != Method::HEAD {
            answer.assert_problem(405, 405, &message);
        }
        assert_eq!(answer.header("allow"), Some(allowed));
    }
}

#[tokio::test]
async fn other_origins_may_ask() {
    let lab = Lab::start().await;
    let preflight = Request::options(ENTRIES)
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .body(Body::empty())
        .unwrap();
    let answer = lab.send("v1", preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("content-type")
    );
    let request = Request::get("/nowhere")
        .header("origin", "null")
        .body(Body::empty())
        .unwrap();
    let answer = lab.send("v1", request).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("vary"), Some("Origin"));
}

async fn with_header(lab: &Lab, name: &str, value: Option<&str>) -> Answer {
    let mut request = Request::post(ENTRIES);
    if name != "content-type" {
        request = request.header("content-type", "application/json");
    }
    if let Some(value) = value {
        request = request.header(name, value);
    }
    lab.send(
        "v1",
        request.body(Body::from(proposal().to_string())).unwrap(),
    )
    .await
}

#[tokio::test]
async fn media_types_are_checked() {
    let lab = Lab::start().await;
    for (value, named) in [
        (Some("text/plain"), "text/plain"),
        (None, "application/octet-stream"),
    ] {
        let message =
            format!("unsupported media type \"{named}\", only [application/json] are allowed");
        with_header(&lab, "content-type", value)
            .await
            .assert_problem(415, 415, &message);
    }
    let message = "unsupported media type requested, only [application/json] are available";
    with_header(&lab, "accept", Some("text/html"))
        .await
        .assert_problem(406, 406, message);
    let charset = with_header(
        &lab,
        "content-type",
        Some("application/json; charset=utf-8"),
    )
    .await;
    assert_eq!(charset.status, 201);
    let any = with_header(&lab, "accept", Some("text/html, application/*;q=0.5")).await;
    assert_eq!(any.status, 409);
}

#[tokio::test]
async fn malformed_json_is_the_clients_fault() {
    let lab = Lab::start().await;
    let cases = [
        ("{", "unexpected EOF"),
        (
            "nope",
            "invalid character 'o' looking for beginning of value",
        ),
        (
            "[]",
            "json: cannot unmarshal array into Go value of type models.targetedProposedEntry",
        ),
        (
            "{\"kind\":1}",
            "json: cannot unmarshal number into Go struct field targetedProposedEntry.kind of type string",
        ),
    ];
    for (body, message) in cases {
        lab.post("v1", ENTRIES, body)
            .await
            .assert_problem(400, 400, message);
    }
}

type Case = (&'static str, String, u16, &'static str);

async fn assert_broken_rules(cases: impl IntoIterator<Item = Case>) {
    let lab = Lab::start().await;
    for (path, body, code, message) in cases {
        lab.post("v1", path, &body)
            .await
            .assert_problem(422, code, message);
    }
}

#[tokio::test]
async fn a_proposals_schema_has_numbers_of_its_own() {
    let without = |name: &str| {
        let mut proposal = proposal();
        proposal.as_object_mut().unwrap().remove(name);
        proposal.to_string()
    };
    let unknown = json!({ "kind": "foo" }).to_string();
    assert_broken_rules([
        (
            ENTRIES,
            String::new(),
            602,
            "proposedEntry in body is required",
        ),
        (ENTRIES, "null".to_owned(), 602, "kind in body is required"),
        (ENTRIES, "{}".to_owned(), 602, "kind in body is required"),
        (
            ENTRIES,
            without("apiVersion"),
            602,
            "apiVersion in body is required",
        ),
        (ENTRIES, without("spec"), 602, "spec in body is required"),
        (ENTRIES, unknown, 422, "invalid kind value: \"foo\""),
    ])
    .await;
}

#[tokio::test]
async fn a_look_ups_schema_has_numbers_of_its_own() {
    let many = json!({ "logIndexes": vec![1; 6], "entryUUIDs": vec!["0".repeat(64); 5] });
    let (below, few) = (json!({ "logIndexes": [-1] }), json!({ "logIndexes": [] }));
    let (long, odd) = (
        json!({ "logIndexes": vec![1; 11] }),
        json!({ "entryUUIDs": ["x"] }),
    );
    assert_broken_rules([
        (RETRIEVE, String::new(), 602, "entry in body is required"),
        (
            RETRIEVE,
            below.to_string(),
            609,
            "logIndexes.0 in body should be greater than or equal to 0",
        ),
        (
            RETRIEVE,
            few.to_string(),
            612,
            "logIndexes in body should have at least 1 items",
        ),
        (
            RETRIEVE,
            long.to_string(),
            611,
            "logIndexes in body should have at most 10 items",
        ),
        (
            RETRIEVE,
            odd.to_string(),
            605,
            "entryUUIDs.0 in body should match '^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$'",
        ),
        (
            RETRIEVE,
            many.to_string(),
            422,
            "more than max allowed 10 entries in request",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_searchs_schema_has_numbers_of_its_own() {
    let hash = "hash in body should match '^(sha512:)?[0-9a-fA-F]{128}$|^(sha256:)?[0-9a-fA-F]{64}$|^(sha1:)?[0-9a-fA-F]{40}$'";
    let format = "publicKey.publicKey.format in body should be one of [pgp x509 minisign ssh tuf]";
    let key = json!({ "publicKey": { "format": "der" } });
    let operator = json!({ "operator": "xor" }).to_string();
    let email = json!({ "email": "x" }).to_string();
    assert_broken_rules([
        (INDEX, String::new(), 602, "query in body is required"),
        (
            INDEX,
            email,
            601,
            "email in body must be of type email: \"x\"",
        ),
        (INDEX, json!({ "hash": "xyz" }).to_string(), 605, hash),
        (
            INDEX,
            operator,
            606,
            "operator in body should be one of [and or]",
        ),
        (INDEX, key.to_string(), 606, format),
    ])
    .await;
}

#[tokio::test]
async fn parameters_are_checked() {
    let lab = Lab::start().await;
    let cases = [
        ("/api/v1/log/entries", 602, "logIndex in query is required"),
        (
            "/api/v1/log/entries?logIndex=abc",
            601,
            "logIndex in query must be of type int64: \"abc\"",
        ),
        (
            "/api/v1/log/entries?logIndex=-1",
            609,
            "logIndex in query should be greater than or equal to 0",
        ),
        (
            "/api/v1/log/entries/xyz",
            605,
            "entryUUID in path should match '^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$'",
        ),
        ("/api/v1/log/proof", 602, "lastSize in query is required"),
        (
            "/api/v1/log/proof?firstSize=0&lastSize=1",
            609,
            "firstSize in query should be greater than or equal to 1",
        ),
        (
            "/api/v1/log/proof?lastSize=1&treeID=x",
            605,
            "treeID in query should match '^[0-9]+$'",
        ),
        (
            "/api/v1/log/publicKey?treeID=x",
            605,
            "treeID in query should match '^[0-9]+$'",
        ),
    ];
    for (path, code, message) in cases {
        lab.get("v1", path).await.assert_problem(422, code, message);
    }
}

#[tokio::test]
async fn searches_that_do_not_parse_say_so() {
    let lab = Lab::start().await;
    let cases = [
        (
            INDEX,
            "{".to_owned(),
            "parsing query body from \"\" failed, because unexpected EOF",
        ),
        (
            RETRIEVE,
            json!({ "entries": [{ "kind": "foo" }] }).to_string(),
            "parsing entry body from \"\" failed, because invalid kind value: \"foo\"",
        ),
        (
            RETRIEVE,
            json!({ "entries": ["text"] }).to_string(),
            "parsing entry body from \"\" failed, because json: cannot unmarshal string into Go value of type models.targetedProposedEntry",
        ),
        (
            RETRIEVE,
            json!({ "entries": [
            { "kind": "hashedrekord", "apiVersion": "0.0.1", "spec": {} },
        ] })
            .to_string(),
            "validation failure list:\ndata in body is required\nsignature in body is required",
        ),
        (
            INDEX,
            json!({ "publicKey": { "format": "ssh" } }).to_string(),
            "the PKI format requested is not supported by this server",
        ),
        (
            INDEX,
            json!({ "publicKey": { "format": "x509", "content": "AAAA" } }).to_string(),
            "public key provided could not be parsed",
        ),
    ];
    for (path, body, message) in cases {
        lab.post("v1", path, &body)
            .await
            .assert_problem(400, 400, message);
    }
}

#[tokio::test]
async fn entries_that_do_not_verify_are_refused() {
    let lab = Lab::start().await;
    let changed = |change: fn(&mut Value)| {
        let mut proposal = proposal();
        change(&mut proposal["spec"]);
        proposal
    };
    let cases = [
        (
            changed(|spec| spec["data"]["hash"]["value"] = "a".repeat(64).into()),
            "verifying signature: invalid signature when validating ASN.1 encoded signature",
        ),
        (
            changed(|spec| spec["data"]["hash"]["value"] = "abc".into()),
            "invalid value for hash",
        ),
        (
            changed(|spec| spec["signature"]["content"] = "!".into()),
            "failed parsing base64 data for signature content: illegal base64 data at input byte 0",
        ),
        (
            changed(|spec| spec["signature"]["publicKey"]["content"] = "AAAA".into()),
            "invalid public key: failure decoding PEM",
        ),
    ];
    for (proposal, message) in cases {
        let message = format!("error processing entry: {message}");
        lab.create(&proposal)
            .await
            .assert_problem(400, 400, &message);
    }
    assert_eq!(lab.get("v1", "/api/v1/log").await.json()["treeSize"], 0);
}

#[tokio::test]
async fn pure_ed25519_is_refused_and_upper_case_hex_is_another_entry() {
    let lab = Lab::start().await;
    let ed25519 = SigningKey::generate(KeyKind::Ed25519).unwrap();
    let answer = lab.create(&hashedrekord(&ed25519, b"a")).await;
    let message = "error processing entry: verifying signature: unsupported hash algorithm: \"SHA-256\" not in [SHA-512]";
    answer.assert_problem(400, 400, message);
    let mut proposal = proposal();
    assert_eq!(lab.create(&proposal).await.status, 201);
    let value = &mut proposal["spec"]["data"]["hash"]["value"];
    *value = value.as_str().unwrap().to_uppercase().into();
    assert_eq!(lab.create(&proposal).await.status, 201);
}

#[tokio::test]
async fn unknown_members_are_ignored() {
    let lab = Lab::start().await;
    let mut proposal = proposal();
    proposal["more"] = json!({ "x": 1 });
    proposal["spec"]["more"] = json!(2);
    assert_eq!(lab.create(&proposal).await.status, 201);
}

#[tokio::test]
async fn kinds_and_formats_that_are_not_taken_are_refused() {
    let lab = Lab::start().await;
    for kind in ["alpine", "cose", "helm", "jar", "rfc3161", "rpm", "tuf"] {
        let proposal = json!({ "kind": kind, "apiVersion": "0.0.1", "spec": {} });
        let message = format!(
            "error processing entry: entry kind '{kind}' is not enabled for submission on this server"
        );
        lab.create(&proposal)
            .await
            .assert_problem(400, 400, &message);
    }
    for format in ["pgp", "minisign", "ssh"] {
        let mut proposal = proposals().remove("rekord_x509").unwrap();
        proposal["spec"]["signature"]["format"] = format.into();
        let message = format!(
            "error processing entry: the PKI format {format} is not supported by this server"
        );
        lab.create(&proposal)
            .await
            .assert_problem(400, 400, &message);
    }
    let mut proposal = proposal();
    proposal["apiVersion"] = "0.0.9".into();
    let message = "error processing entry: hashedrekord implementation for version '0.0.9' not found: unable to locate entry for version 0.0.9";
    lab.create(&proposal)
        .await
        .assert_problem(400, 400, message);
}

#[tokio::test]
async fn json_of_very_many_values_or_levels_is_refused() {
    let lab = Lab::start().await;
    let message = "json: more values or levels than are read";
    for body in [format!("[{}0]", "0,".repeat(200_000)), "[".repeat(100)] {
        lab.post("v1", ENTRIES, &body)
            .await
            .assert_problem(400, 400, message);
        let answer = lab.post("v2", "/api/v2/log/entries", &body).await;
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn kinds_can_be_switched_off() {
    let v1 = V1Config {
        enabled_entry_types: vec![EntryType::Dsse],
        ..V1Config::default()
    };
    let lab = Lab::with(Config {
        v1,
        ..Config::default()
    })
    .await;
    let message = "error processing entry: entry kind 'hashedrekord' is not enabled for submission on this server";
    lab.create(&proposal())
        .await
        .assert_problem(400, 400, message);
}

#[tokio::test]
async fn a_canonical_form_is_not_insertable() {
    let lab = Lab::start().await;
    let vectors = crate::lab::vectors();
    let cases = vectors["rekor_v1"]["cases"].as_array().unwrap();
    let dsse = cases
        .iter()
        .find(|case| case["name"] == "dsse_two_signatures")
        .unwrap();
    let body = dsse["canonical_body"].as_str().unwrap();
    let message = "error processing entry: entry not insertable into log: missing proposed content";
    lab.post("v1", ENTRIES, body)
        .await
        .assert_problem(400, 400, message);
}

#[tokio::test]
async fn an_intoto_entry_without_hash_cannot_be_canonicalized() {
    let lab = Lab::start().await;
    let mut proposal = proposals().remove("intoto_0.0.2").unwrap();
    proposal["spec"]["content"]
        .as_object_mut()
        .unwrap()
        .remove("hash");
    lab.create(&proposal)
        .await
        .assert_problem(500, 500, "error generating canonicalized entry");
}

#[tokio::test]
async fn switched_off_operations_answer_501() {
    let v1 = V1Config {
        enabled_api_endpoints: vec![Operation::GetLogInfo],
        ..V1Config::default()
    };
    let lab = Lab::with(Config {
        v1,
        ..Config::default()
    })
    .await;
    assert_eq!(lab.get("v1", "/api/v1/log").await.status, 200);
    let cases = [
        (lab.create(&proposal()).await, "Create Entry"),
        (
            lab.get("v1", "/api/v1/log/entries?logIndex=0").await,
            "Get Log Entry by Index",
        ),
        (
            lab.get("v1", "/api/v1/log/entries/x").await,
            "Get Log Entry by UUID",
        ),
        (lab.post("v1", RETRIEVE, "{}").await, "Search Log Query"),
        (lab.post("v1", INDEX, "{}").await, "Search Index"),
        (
            lab.get("v1", "/api/v1/log/publicKey").await,
            "Get Public Key",
        ),
        (lab.get("v1", "/api/v1/log/proof").await, "Get Log Proof"),
    ];
    for (answer, name) in cases {
        let message = format!("{name} API not enabled in this Rekor instance");
        answer.assert_problem(501, 501, &message);
    }
}

#[tokio::test]
async fn long_bodies_are_refused_with_the_limit() {
    let v1 = V1Config {
        max_request_body_size: 100,
        ..V1Config::default()
    };
    let lab = Lab::with(Config {
        v1,
        ..Config::default()
    })
    .await;
    let message = "Request Entity Too Large. Limit set to 100";
    lab.create(&proposal())
        .await
        .assert_problem(413, 413, message);
    lab.post("v1", RETRIEVE, &" ".repeat(101))
        .await
        .assert_problem(413, 413, message);
}

#[tokio::test]
async fn an_entry_too_long_for_a_bundle_is_refused() {
    let lab = Lab::start().await;
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let mut proposal = dsse(&key, b"{}", |bytes| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    });
    // One signature stays; its verifier comes with a chain of nine long certificates of its own.
    let long = "A".repeat(70_000);
    proposal["kind"] = "intoto".into();
    proposal["apiVersion"] = "0.0.2".into();
    let content = &proposal["spec"]["proposedContent"];
    let envelope: Value = serde_json::from_str(content["envelope"].as_str().unwrap()).unwrap();
    let twice = |value: &Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap())
    };
    proposal["spec"] = json!({ "content": {
        "hash": { "algorithm": "sha256", "value": long },
        "envelope": {
            "payloadType": envelope["payloadType"],
            "payload": twice(&envelope["payload"]),
            "signatures": [{
                "sig": twice(&envelope["signatures"][0]["sig"]),
                "publicKey": content["verifiers"][0],
            }],
        },
    } });
    let answer = lab.create(&proposal).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("at most 65535 can be logged"),
        "{}",
        answer.text()
    );
}
