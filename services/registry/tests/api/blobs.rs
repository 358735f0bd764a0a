//! Blob pull, mount and delete.

use crate::lab::{Lab, NOTHING, sha256, sha512};

#[tokio::test]
async fn a_blob_is_served_with_the_headers_that_clients_need() {
    let lab = Lab::new().await;
    let digest = lab.blob("a/b", b"0123456789").await;
    for (method, body) in [("GET", &b"0123456789"[..]), ("HEAD", &b""[..])] {
        let reply = lab
            .ask(method, &format!("/v2/a/b/blobs/{digest}"), NOTHING, "")
            .await;
        assert_eq!(reply.is(200).header("content-length"), "10");
        assert_eq!(reply.header("content-type"), "application/octet-stream");
        assert_eq!(reply.header("docker-content-digest"), digest);
        assert_eq!(reply.header("accept-ranges"), "bytes");
        assert_eq!(reply.header("etag"), format!("\"{digest}\""));
        assert_eq!(
            reply.header("docker-distribution-api-version"),
            "registry/2.0"
        );
        assert_eq!(reply.body, body);
    }
}

#[tokio::test]
async fn ranges_are_answered_as_rfc_9110_says() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"0123456789").await;
    let uri = format!("/v2/a/blobs/{digest}");
    for (range, part, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
    ] {
        let reply = lab.ask("GET", &uri, &[("range", range)], "").await;
        assert_eq!(reply.is(206).header("content-range"), content_range);
        assert_eq!(reply.header("content-length"), part.len().to_string());
        assert_eq!(reply.body, part.as_bytes());
    }
    for range in ["bytes=10-", "bytes=5-0"] {
        let reply = lab.ask("GET", &uri, &[("range", range)], "").await;
        assert_eq!(reply.is(416).header("content-range"), "bytes */10");
    }
    for headers in [
        &[("range", "lines=1-2")][..],
        &[("range", "bytes=0-1,4-5")],
        &[("range", "bytes=0-1"), ("if-range", "\"sha256:other\"")],
    ] {
        lab.ask("GET", &uri, headers, "").await.is(200);
    }
    lab.ask("HEAD", &uri, &[("range", "bytes=0-1")], "")
        .await
        .is(200);
    let etag = format!("\"{digest}\"");
    lab.ask(
        "GET",
        &uri,
        &[("range", "bytes=0-1"), ("if-range", &etag)],
        "",
    )
    .await
    .is(206);
}

#[tokio::test]
async fn large_blobs_and_their_ranges_arrive_whole() {
    let lab = Lab::new().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let digest = lab.blob("a", &content).await;
    let uri = format!("/v2/a/blobs/{digest}");
    assert!(lab.get(&uri).await.is(200).body == content);
    let reply = lab
        .ask("GET", &uri, &[("range", "bytes=1000000-2999998")], "")
        .await;
    assert!(reply.is(206).body == content[1_000_000..2_999_999]);
}

#[tokio::test]
async fn a_known_etag_is_answered_304() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"x").await;
    let uri = format!("/v2/a/blobs/{digest}");
    for tag in [
        format!("\"{digest}\""),
        "*".to_owned(),
        format!("\"y\", W/\"{digest}\""),
    ] {
        let reply = lab.ask("GET", &uri, &[("if-none-match", &tag)], "").await;
        assert!(reply.is(304).body.is_empty());
    }
    lab.ask("GET", &uri, &[("if-none-match", "\"y\"")], "")
        .await
        .is(200);
}

#[tokio::test]
async fn the_empty_blob_is_legal() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"").await;
    let uri = format!("/v2/a/blobs/{digest}");
    assert_eq!(lab.get(&uri).await.is(200).header("content-length"), "0");
    lab.ask("GET", &uri, &[("range", "bytes=0-")], "")
        .await
        .is(416);
}

#[tokio::test]
async fn a_blob_is_visible_only_where_it_was_pushed() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"x").await;
    lab.head(&format!("/v2/b/blobs/{digest}")).await.is(404);
    lab.get(&format!("/v2/b/blobs/{digest}"))
        .await
        .is_error(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn unusable_digests_are_told_from_unknown_blobs() {
    let lab = Lab::new().await;
    let upper = sha256(b"x").to_uppercase().replace("SHA256", "sha256");
    for digest in [
        "sha256:baddigeststring",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "x",
        &upper,
    ] {
        lab.get(&format!("/v2/a/blobs/{digest}"))
            .await
            .is_error(400, "DIGEST_INVALID");
        lab.delete(&format!("/v2/a/blobs/{digest}"))
            .await
            .is_error(400, "DIGEST_INVALID");
    }
    lab.get(&format!("/v2/a/blobs/{}", sha256(b"x")))
        .await
        .is_error(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn percent_encoded_digests_are_decoded_once() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"x").await;
    lab.get(&format!("/v2/a/blobs/{}", digest.replace(':', "%3A")))
        .await
        .is(200);
    lab.get(&format!("/v2/a/blobs/{}", digest.replace(':', "%253A")))
        .await
        .is(400);
}

#[tokio::test]
async fn deleting_a_blob_leaves_other_repositories_alone() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"x").await;
    lab.blob("b", b"x").await;
    lab.delete(&format!("/v2/a/blobs/{digest}")).await.is(202);
    lab.head(&format!("/v2/a/blobs/{digest}")).await.is(404);
    lab.delete(&format!("/v2/a/blobs/{digest}"))
        .await
        .is_error(404, "BLOB_UNKNOWN");
    lab.head(&format!("/v2/b/blobs/{digest}")).await.is(200);
}

#[tokio::test]
async fn mounting_makes_a_blob_visible_without_its_bytes() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"x").await;
    for (uri, name) in [
        (format!("/v2/b/blobs/uploads/?mount={digest}&from=a"), "b"),
        (format!("/v2/c/blobs/uploads/?mount={digest}"), "c"),
        (
            format!("/v2/d/blobs/uploads/?mount={digest}&from=a&origin=x"),
            "d",
        ),
    ] {
        let reply = lab.post(&uri).await;
        let location = format!("/v2/{name}/blobs/{digest}");
        assert_eq!(reply.is(201).header("location"), location);
        assert_eq!(reply.header("docker-content-digest"), digest);
        lab.get(&location).await.is(200);
    }
}

#[tokio::test]
async fn a_mount_that_cannot_be_is_a_session() {
    let lab = Lab::new().await;
    lab.blob("a", b"x").await;
    let missing = sha256(b"y");
    for query in [
        format!("mount={missing}&from=a"),
        format!("mount={}&from=zz", sha256(b"x")),
        format!("mount={missing}"),
        "mount=sha256:bad&from=a".to_owned(),
        format!("mount={}&from=../a", sha256(b"x")),
        "from=a".to_owned(),
    ] {
        let reply = lab.post(&format!("/v2/b/blobs/uploads/?{query}")).await;
        let location = reply.is(202).header("location").to_owned();
        let put = format!("{location}?digest={missing}");
        lab.ask("PUT", &put, NOTHING, "y").await.is(201);
        lab.delete(&format!("/v2/b/blobs/{missing}")).await.is(202);
    }
}

#[tokio::test]
async fn a_digest_keeps_the_algorithm_that_the_client_used() {
    let lab = Lab::new().await;
    let digest = sha512(b"x");
    let uri = format!("/v2/a/blobs/uploads/?digest={digest}");
    let reply = lab.ask("POST", &uri, NOTHING, "x").await;
    assert_eq!(reply.is(201).header("docker-content-digest"), digest);
    assert_eq!(reply.header("location"), format!("/v2/a/blobs/{digest}"));
    assert_eq!(
        lab.get(&format!("/v2/a/blobs/{digest}")).await.is(200).body,
        b"x"
    );
}
