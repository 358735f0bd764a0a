//! Timestamp authority, registry, TUF repository, admission.

use serde_json::json;

use super::{bad, check, post};
use crate::scene::Scene;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
fn the_timestamp_authority_refuses_as_upstream_does() {
    let scene = Scene::new();
    let base = scene.siglab.url("tsa", "http");
    let url = format!("{base}/api/v1/timestamp");
    let query = "application/timestamp-query";
    scene.home.write("file.txt", "hello\n");
    let sha1 = [
        "ts", "-query", "-data", "file.txt", "-sha1", "-out", "sha1.tsq",
    ];
    let _ = scene.run("openssl", &sha1).succeeds();
    let sha1 = scene.home.read("sha1.tsq");
    let policy = [
        "ts",
        "-query",
        "-data",
        "file.txt",
        "-sha256",
        "-tspolicy",
        "1.2.3.4",
    ];
    let _ = scene
        .run("openssl", &[&policy[..], &["-out", "policy.tsq"]].concat())
        .succeeds();
    let policy = scene.home.read("policy.tsq");
    let right = [
        "ts",
        "-query",
        "-data",
        "file.txt",
        "-sha256",
        "-out",
        "right.tsq",
    ];
    let _ = scene.run("openssl", &right).succeeds();
    let mut trailing = scene.home.read("right.tsq");
    trailing.push(0);
    let short = json!({"artifactHash": "AAAA", "hashAlgorithm": "sha256"}).to_string();
    let junk = (400, "Error generating timestamp response");
    check(
        &scene,
        &[
            post(
                &scene,
                "SHA-1",
                (&url, query),
                sha1,
                (400, "Weak hash algorithm"),
            ),
            post(
                &scene,
                "policy",
                (&url, query),
                policy,
                (400, "unaccepted policy"),
            ),
            post(&scene, "junk", (&url, query), b"junk", junk),
            post(&scene, "trailing", (&url, query), trailing, junk),
            post(
                &scene,
                "short digest",
                (&url, "application/json"),
                short,
                (400, "incorrect length"),
            ),
            post(&scene, "no JSON", (&url, "application/json"), "{", junk),
            post(
                &scene,
                "large JSON",
                (&url, "application/json"),
                " ".repeat(2000),
                (400, "timestamp request is too large"),
            ),
            post(&scene, "oversize", (&url, query), vec![b'0'; 2 << 20], junk),
            post(
                &scene,
                "empty",
                (&url, query),
                "",
                (422, "request in body is required"),
            ),
            post(
                &scene,
                "text",
                (&url, "text/plain"),
                "x",
                (415, "unsupported media type"),
            ),
            bad("GET", &[&url], 405, "method GET is not allowed"),
            bad(
                "unknown path",
                &[&format!("{base}/nope")],
                404,
                "path /nope was not found",
            ),
            bad(
                "chain",
                &[&format!("{url}/certchain")],
                200,
                "BEGIN CERTIFICATE",
            ),
            bad("ping", &[&format!("{base}/ping")], 200, "."),
        ],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
fn the_registry_refuses_with_its_own_codes() {
    let scene = Scene::new();
    let base = scene.siglab.url("registry", "http");
    let at = |path: &str| format!("{base}/v2/{path}");
    let zeros = format!("sha256:{}", "0".repeat(64));
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let put = |what: &str, path: &str, body: &str, status, code| {
        let kind = format!("Content-Type: {manifest}");
        let flags = [
            "--request",
            "PUT",
            "--header",
            &kind,
            "--data-binary",
            body,
            &at(path),
        ];
        bad(what, &flags, status, code)
    };
    let layer = json!({
        "schemaVersion": 2, "mediaType": manifest,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": zeros, "size": 2},
        "layers": [],
    });
    let large = "x".repeat(5 << 20);
    scene.home.write("large", large);
    check(
        &scene,
        &[
            bad(
                "no blob",
                &[&at(&format!("app/blobs/{zeros}"))],
                404,
                "BLOB_UNKNOWN",
            ),
            bad(
                "no manifest",
                &[&at("app/manifests/none")],
                404,
                "MANIFEST_UNKNOWN",
            ),
            bad(
                "no repository",
                &[&at("app/tags/list")],
                404,
                "NAME_UNKNOWN",
            ),
            bad("bad name", &[&at("App/manifests/x")], 400, "NAME_INVALID"),
            bad(
                "dots",
                &["--path-as-is", &at("a/../../etc/manifests/x")],
                400,
                "NAME_INVALID",
            ),
            bad(
                "bad digest",
                &[&at("app/blobs/sha256:zz")],
                400,
                "DIGEST_INVALID",
            ),
            bad(
                "md5",
                &[
                    "--request",
                    "POST",
                    &at("app/blobs/uploads/?digest-algorithm=md5"),
                ],
                400,
                "DIGEST_INVALID",
            ),
            bad(
                "no upload",
                &["--request", "PATCH", &at("app/blobs/uploads/none")],
                404,
                "BLOB_UPLOAD_UNKNOWN",
            ),
            put("no JSON", "app/manifests/v1", "{", 400, "MANIFEST_INVALID"),
            put(
                "missing blob",
                "app/manifests/v1",
                &layer.to_string(),
                400,
                "MANIFEST_BLOB_UNKNOWN",
            ),
            put(
                "another digest",
                &format!("app/manifests/{zeros}"),
                "{}",
                400,
                "_INVALID",
            ),
            put(
                "oversize",
                "app/manifests/v1",
                "@large",
                413,
                "MANIFEST_INVALID",
            ),
            bad(
                "referrers of a bad digest",
                &[&at("app/referrers/zz")],
                400,
                "DIGEST_INVALID",
            ),
            bad(
                "referrers of nothing",
                &[&at(&format!("app/referrers/{zeros}"))],
                200,
                "\"manifests\":[]",
            ),
            bad("no number", &[&at("app/tags/list?n=abc")], 400, ""),
            bad("admin path", &[&format!("{base}/readyz")], 404, ""),
        ],
    );
    let catalog = scene.json(&at("_catalog"));
    assert_eq!(catalog["repositories"], json!([]), "nothing was stored");
}

#[test]
fn the_tuf_repository_has_nothing_else() {
    let scene = Scene::new();
    let base = scene.siglab.url("tuf", "http");
    let missing = "404 page not found";
    check(
        &scene,
        &[
            bad("next root", &[&format!("{base}/2.root.json")], 404, missing),
            bad(
                "dots",
                &["--path-as-is", &format!("{base}/../keys/root.pem")],
                404,
                missing,
            ),
            bad(
                "encoded dots",
                &[&format!("{base}/%2e%2e/keys/root.pem")],
                404,
                missing,
            ),
            bad("admin path", &[&format!("{base}/readyz")], 404, missing),
            bad(
                "POST",
                &["--data", "x", &format!("{base}/timestamp.json")],
                405,
                "",
            ),
        ],
    );
}

#[test]
fn the_admission_webhook_refuses_what_is_no_review() {
    let scene = Scene::new();
    let base = scene.siglab.url("admission", "https");
    let url = format!("{base}/validations?failurePolicy=fail");
    let send = |what: &str, kind: &str, body: &str, status| {
        let mut request = post(&scene, what, (&url, kind), body, (status, ""));
        request.arguments.insert(0, "--insecure".to_owned());
        request
    };
    check(
        &scene,
        &[
            send("no JSON", "application/json", "{", 400),
            send("no review", "application/json", "{}", 400),
            send("text", "text/plain", "x", 415),
        ],
    );
}

#[test]
fn the_issuer_refuses_as_oauth_does() {
    let scene = Scene::new();
    let base = scene.issuer();
    let form = "application/x-www-form-urlencoded";
    let token = format!("{base}/token");
    check(
        &scene,
        &[
            post(
                &scene,
                "no grant",
                (&token, form),
                "x=y",
                (400, "\"error\""),
            ),
            post(
                &scene,
                "unknown grant",
                (&token, form),
                "grant_type=magic&client_id=sigstore",
                (400, "unsupported_grant_type"),
            ),
            post(
                &scene,
                "unknown code",
                (&token, form),
                "grant_type=authorization_code&code=x&code_verifier=0123456789012345678901234567890123456789012&client_id=sigstore&redirect_uri=http://localhost/x",
                (400, "invalid_grant"),
            ),
            post(
                &scene,
                "oversize",
                (&token, form),
                vec![b'x'; 5 << 20],
                (413, ""),
            ),
            bad("unknown path", &[&format!("{base}/nothing")], 404, ""),
        ],
    );
}
