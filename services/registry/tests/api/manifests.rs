//! Manifests: pull, push with its order of checks, delete.

use registry::{Config, ReferencesMode};
use serde_json::json;

use crate::lab::{
    IMAGE, INDEX, Lab, NOTHING, descriptor, digests, image, sha256, sha512, signature,
};

#[tokio::test]
async fn a_manifest_is_served_as_it_was_pushed() {
    let lab = Lab::new().await;
    lab.image("a", "other", "layer").await;
    let text = image("layer").to_string().replace(":2,", " :  2,") + "\n";
    let digest = sha256(text.as_bytes());
    let content_type = &[(
        "content-type",
        "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
    )];
    let reply = lab
        .ask("PUT", "/v2/a/manifests/v1", content_type, text.clone())
        .await;
    assert_eq!(
        reply.is(201).header("location"),
        format!("/v2/a/manifests/{digest}")
    );
    assert_eq!(reply.header("docker-content-digest"), digest);
    for reference in ["v1", &digest] {
        let uri = format!("/v2/a/manifests/{reference}");
        for accept in ["", "*/*", "text/html", INDEX] {
            let reply = lab
                .ask(
                    "GET",
                    &uri,
                    &[("accept", accept), ("accept-encoding", "gzip")],
                    "",
                )
                .await;
            assert_eq!(reply.is(200).header("content-type"), IMAGE);
            assert_eq!(reply.header("docker-content-digest"), digest);
            assert_eq!(reply.header("content-encoding"), "");
            assert_eq!(reply.body, text.as_bytes());
        }
        let reply = lab.head(&uri).await;
        assert_eq!(
            reply.is(200).header("content-length"),
            text.len().to_string()
        );
        assert_eq!(reply.header("content-type"), IMAGE);
        assert!(reply.body.is_empty());
        let etag = format!("\"{digest}\"");
        lab.ask("GET", &uri, &[("if-none-match", &etag)], "")
            .await
            .is(304);
    }
    lab.get(&format!("/v2/a/manifests/{digest}?ns=docker.io"))
        .await
        .is(200);
    assert_eq!(
        lab.get(&format!("/v2/a/blobs/{digest}")).await.is(200).body,
        text.as_bytes()
    );
}

#[tokio::test]
async fn unknown_and_unusable_references_are_told_apart() {
    let lab = Lab::new().await;
    let unknown = sha256(b"x");
    for reference in ["v1", &unknown] {
        for method in ["GET", "DELETE"] {
            let uri = format!("/v2/a/manifests/{reference}");
            lab.ask(method, &uri, NOTHING, "")
                .await
                .is_error(404, "MANIFEST_UNKNOWN");
        }
    }
    for method in ["GET", "PUT", "DELETE"] {
        let ask = async |reference: &str| {
            lab.ask(method, &format!("/v2/a/manifests/{reference}"), NOTHING, "")
                .await
        };
        ask("sha256:baddigeststring")
            .await
            .is_error(400, "DIGEST_INVALID");
        ask("-bad").await.is_error(400, "MANIFEST_INVALID");
        ask(&"t".repeat(129))
            .await
            .is_error(400, "MANIFEST_INVALID");
        ask("..").await.is_error(400, "MANIFEST_INVALID");
    }
}

#[tokio::test]
async fn names_outside_the_grammar_are_refused() {
    let lab = Lab::new().await;
    let long = "a".repeat(256);
    for name in [
        "A",
        "a..b",
        "-a",
        "..",
        "a/../b",
        "a%2f..%2fb",
        "_blobs",
        "a//b",
        &long,
    ] {
        lab.get(&format!("/v2/{name}/manifests/v1"))
            .await
            .is_error(400, "NAME_INVALID");
        lab.post(&format!("/v2/{name}/blobs/uploads/"))
            .await
            .is_error(400, "NAME_INVALID");
    }
}

#[tokio::test]
async fn a_repository_may_be_named_like_a_part_of_the_api() {
    let lab = Lab::new().await;
    for name in [
        "manifests",
        "blobs/uploads",
        "tags/list",
        "a/referrers/b",
        "v2",
    ] {
        let digest = lab.image(name, "v1", name).await;
        lab.get(&format!("/v2/{name}/manifests/{digest}"))
            .await
            .is(200);
        let tags = lab
            .get(&format!("/v2/{name}/tags/list"))
            .await
            .is(200)
            .json();
        assert_eq!(tags, json!({"name": name, "tags": ["v1"]}));
    }
}

#[tokio::test]
async fn a_missing_content_type_is_inferred() {
    let lab = Lab::new().await;
    lab.image("a", "x", "layer").await;
    let mut manifest = image("layer");
    manifest.as_object_mut().unwrap().remove("mediaType");
    lab.ask("PUT", "/v2/a/manifests/v1", NOTHING, manifest.to_string())
        .await
        .is(201);
    assert_eq!(
        lab.get("/v2/a/manifests/v1").await.header("content-type"),
        IMAGE
    );
}

#[tokio::test]
async fn docker_types_are_accepted_and_others_only_when_told() {
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let thing = json!({"mediaType": "application/vnd.example.thing+json", "thing": true});
    let lab = Lab::new().await;
    lab.image("a", "x", "layer").await;
    let mut manifest = image("layer");
    manifest["mediaType"] = docker.into();
    lab.put("a", "v1", &manifest).await.is(201);
    assert_eq!(
        lab.get("/v2/a/manifests/v1").await.header("content-type"),
        docker
    );
    lab.put("a", "v2", &thing)
        .await
        .is_error(400, "MANIFEST_INVALID");
    let lab = Lab::with(Config {
        other_manifests: true,
        ..Config::default()
    })
    .await;
    lab.put("a", "v2", &thing).await.is(201);
}

#[tokio::test]
async fn malformed_manifests_are_refused() {
    let lab = Lab::new().await;
    lab.image("a", "x", "layer").await;
    let mut mismatch = image("layer");
    mismatch["mediaType"] = INDEX.into();
    let mut confused = image("layer");
    confused["manifests"] = json!([]);
    let mut schema1 = image("layer");
    schema1["schemaVersion"] = 1.into();
    let mut negative = image("layer");
    negative["layers"][0]["size"] = (-1).into();
    let deep = format!(
        r#"{{"schemaVersion":2,"x":{}{}}}"#,
        "[".repeat(9000),
        "]".repeat(9000)
    );
    let bodies = [mismatch, confused, schema1, negative].map(|manifest| manifest.to_string());
    let texts = ["", "{", "[]", "null", "\u{feff}{}", &deep].map(str::to_owned);
    for body in bodies.into_iter().chain(texts) {
        let content_type = &[("content-type", IMAGE)];
        let reply = lab
            .ask("PUT", "/v2/a/manifests/v1", content_type, body)
            .await;
        reply.is_error(400, "MANIFEST_INVALID");
    }
    lab.get("/v2/a/manifests/v1").await.is(404);
}

#[tokio::test]
async fn the_size_limit_is_inclusive() {
    let lab = Lab::new().await;
    lab.image("a", "x", "layer").await;
    let limit = 4 << 20;
    let mut text = image("layer").to_string();
    text.push_str(&" ".repeat(limit - text.len()));
    let content_type = &[("content-type", IMAGE)];
    lab.ask("PUT", "/v2/a/manifests/v1", content_type, text.clone())
        .await
        .is(201);
    text.push(' ');
    let reply = lab
        .ask("PUT", "/v2/a/manifests/v2", content_type, text.clone())
        .await;
    reply.is_error(413, "MANIFEST_INVALID");
    let length = text.len().to_string();
    let headers = &[("content-type", IMAGE), ("content-length", &*length)];
    lab.ask("PUT", "/v2/a/manifests/v2", headers, text)
        .await
        .is_error(413, "MANIFEST_INVALID");
}

#[tokio::test]
async fn the_digest_of_the_reference_must_be_that_of_the_content() {
    let lab = Lab::new().await;
    lab.image("a", "x", "layer").await;
    let reply = lab.put("a", &sha256(b"other"), &image("layer")).await;
    reply.is_error(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn each_missing_reference_is_named() {
    let lab = Lab::new().await;
    lab.blob("elsewhere", b"{}").await;
    lab.blob("elsewhere", b"layer").await;
    let reply = lab.put("a", "v1", &image("layer")).await;
    reply.is_error(400, "MANIFEST_BLOB_UNKNOWN");
    let errors = reply.json()["errors"].as_array().unwrap().clone();
    let mut missing: Vec<_> = errors
        .iter()
        .map(|error| error["detail"]["digest"].as_str().unwrap())
        .collect();
    missing.sort_unstable();
    let mut expected = [sha256(b"{}"), sha256(b"layer")];
    expected.sort_unstable();
    assert_eq!(missing, expected);
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(IMAGE, b"x")]});
    lab.put("a", "v1", &index)
        .await
        .is_error(400, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn sparse_indexes_and_lenient_references_are_settings() {
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(IMAGE, b"x")]});
    let lab = Lab::with(Config {
        sparse_indexes: true,
        ..Config::default()
    })
    .await;
    lab.put("a", "v1", &index).await.is(201);
    lab.put("a", "v2", &image("layer")).await.is(400);
    let lab = Lab::with(Config {
        references: ReferencesMode::Lenient,
        ..Config::default()
    })
    .await;
    lab.put("a", "v2", &image("layer")).await.is(201);
}

#[tokio::test]
async fn a_manifest_with_a_subject_may_come_before_its_blobs() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    lab.put("b", "v1", &signature(&subject, "one"))
        .await
        .is(201);
}

#[tokio::test]
async fn foreign_layers_need_not_exist() {
    let lab = Lab::new().await;
    lab.blob("a", b"{}").await;
    let mut manifest = image("layer");
    manifest["layers"][0]["mediaType"] =
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    lab.put("a", "v1", &manifest).await.is(201);
    let mut manifest = image("layer");
    manifest["layers"][0]["urls"] = json!(["https://example.test/layer"]);
    lab.put("a", "v2", &manifest).await.is(201);
}

#[tokio::test]
async fn one_push_can_set_many_tags() {
    let lab = Lab::new().await;
    lab.image("a", "x", "layer").await;
    let manifest = image("layer");
    let digest = sha512(manifest.to_string().as_bytes());
    let tags: Vec<String> = (0..12).map(|n| format!("t{n:02}")).collect();
    let query = tags
        .iter()
        .map(|tag| format!("tag={tag}"))
        .collect::<Vec<_>>()
        .join("&");
    let reply = lab.put("a", &format!("{digest}?{query}"), &manifest).await;
    assert_eq!(reply.is(201).all("oci-tag"), tags);
    for tag in &tags {
        let reply = lab.head(&format!("/v2/a/manifests/{tag}")).await;
        assert_eq!(reply.is(200).header("docker-content-digest"), digest);
    }
}

#[tokio::test]
async fn a_bad_tag_among_many_stores_nothing() {
    let lab = Lab::new().await;
    lab.image("a", "x", "layer").await;
    let manifest = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    let digest = sha256(manifest.to_string().as_bytes());
    let put = async |query: String| lab.put("a", &query, &manifest).await;
    put(format!("{digest}?tag=ok&tag=-bad"))
        .await
        .is_error(400, "MANIFEST_INVALID");
    put("v1?tag=ok".to_owned())
        .await
        .is_error(400, "MANIFEST_INVALID");
    let many = (0..65)
        .map(|n| format!("tag=t{n}"))
        .collect::<Vec<_>>()
        .join("&");
    put(format!("{digest}?{many}"))
        .await
        .is_error(414, "UNSUPPORTED");
    lab.get(&format!("/v2/a/manifests/{digest}")).await.is(404);
    lab.get("/v2/a/manifests/ok").await.is(404);
}

#[tokio::test]
async fn conditions_protect_a_tag() {
    let lab = Lab::new().await;
    let digest = lab.image("a", "v1", "one").await;
    lab.image("a", "x", "two").await;
    let two = image("two").to_string();
    let put = async |name, value: &str| {
        let headers = [("content-type", IMAGE), (name, value)];
        lab.ask("PUT", "/v2/a/manifests/v1", &headers, two.clone())
            .await
    };
    put("if-none-match", "*").await.is_error(412, "DENIED");
    put("if-match", &format!("\"{}\"", sha256(b"other")))
        .await
        .is_error(412, "DENIED");
    assert_eq!(
        lab.head("/v2/a/manifests/v1")
            .await
            .header("docker-content-digest"),
        digest
    );
    put("if-match", &format!("\"{digest}\"")).await.is(201);
    put("if-match", "*").await.is(201);
}

#[tokio::test]
async fn deleting_a_tag_keeps_the_manifest() {
    let lab = Lab::new().await;
    let digest = lab.image("a", "v1", "layer").await;
    lab.delete("/v2/a/manifests/v1").await.is(202);
    lab.delete("/v2/a/manifests/v1")
        .await
        .is_error(404, "MANIFEST_UNKNOWN");
    lab.get(&format!("/v2/a/manifests/{digest}")).await.is(200);
}

#[tokio::test]
async fn deleting_a_manifest_takes_its_tags_along() {
    let lab = Lab::new().await;
    let digest = lab.image("a", "v1", "layer").await;
    lab.image("a", "v2", "layer").await;
    lab.image("a", "other", "other").await;
    lab.delete(&format!("/v2/a/manifests/{digest}"))
        .await
        .is(202);
    for reference in ["v1", "v2", &digest] {
        lab.head(&format!("/v2/a/manifests/{reference}"))
            .await
            .is(404);
        lab.get(&format!("/v2/a/manifests/{reference}"))
            .await
            .is(404);
    }
    assert_eq!(
        lab.get("/v2/a/tags/list").await.json()["tags"],
        json!(["other"])
    );
}

#[tokio::test]
async fn a_blob_in_use_and_a_child_of_an_index_can_be_deleted() {
    let lab = Lab::new().await;
    let child = lab.image("a", "v1", "layer").await;
    let entry = json!({"mediaType": IMAGE, "digest": child, "size": 1});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    lab.put("a", "index", &index).await.is(201);
    lab.delete(&format!("/v2/a/blobs/{}", sha256(b"layer")))
        .await
        .is(202);
    lab.delete(&format!("/v2/a/manifests/{child}"))
        .await
        .is(202);
    assert_eq!(
        digests(&lab.get("/v2/a/manifests/index").await.is(200).json()),
        [child]
    );
}

#[tokio::test]
async fn deleting_can_be_switched_off() {
    let lab = Lab::with(Config {
        delete: false,
        ..Config::default()
    })
    .await;
    let digest = lab.image("a", "v1", "layer").await;
    for uri in [
        format!("/v2/a/manifests/{digest}"),
        format!("/v2/a/blobs/{}", sha256(b"layer")),
    ] {
        let reply = lab.delete(&uri).await;
        reply.is_error(405, "UNSUPPORTED");
        assert_eq!(reply.header("allow"), "GET, HEAD");
    }
}
