//! The upload state machine.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use registry::Config;

use crate::lab::{Lab, NOTHING, sha256, sha512};

#[tokio::test]
async fn a_session_says_where_it_is() {
    let lab = Lab::new().await;
    for uri in ["/v2/a/blobs/uploads/", "/v2/a/blobs/uploads"] {
        let reply = lab.post(uri).await;
        let location = reply.is(202).header("location").to_owned();
        assert!(location.starts_with("/v2/a/blobs/uploads/"), "{location}");
        assert_eq!(reply.header("range"), "0-0");
        assert!(location.ends_with(reply.header("docker-upload-uuid")));
        assert_eq!(reply.header("content-length"), "0");
        let status = lab.get(&format!("{location}?digest=sha256:x")).await;
        assert_eq!(status.is(204).header("location"), location);
        assert_eq!(status.header("range"), "0-0");
    }
}

#[tokio::test]
async fn chunks_are_added_and_finished() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    let reply = lab
        .ask("PATCH", &session, &[("content-range", "0-4")], "01234")
        .await;
    assert_eq!(reply.is(202).header("range"), "0-4");
    assert_eq!(reply.header("location"), session);
    let reply = lab
        .ask("PATCH", &session, &[("content-range", "5-6")], "56")
        .await;
    assert_eq!(reply.is(202).header("range"), "0-6");
    let digest = sha256(b"0123456789");
    let last = &[("content-range", "7-9")];
    let reply = lab
        .ask("PUT", &format!("{session}?digest={digest}"), last, "789")
        .await;
    assert_eq!(
        reply.is(201).header("location"),
        format!("/v2/a/blobs/{digest}")
    );
    assert_eq!(reply.header("docker-content-digest"), digest);
    assert_eq!(
        lab.get(&format!("/v2/a/blobs/{digest}")).await.is(200).body,
        b"0123456789"
    );
    lab.get(&session).await.is_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn streams_add_up_whatever_their_content_type() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    for (content_type, range) in [("application/json", "0-2"), ("x", "0-5")] {
        let reply = lab
            .ask("PATCH", &session, &[("content-type", content_type)], "abc")
            .await;
        assert_eq!(reply.is(202).header("range"), range);
    }
    let digest = sha256(b"abcabc");
    lab.ask("PUT", &format!("{session}?digest={digest}"), NOTHING, "")
        .await
        .is(201);
}

#[tokio::test]
async fn an_out_of_order_chunk_changes_nothing() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    lab.ask("PATCH", &session, &[("content-range", "0-4")], "01234")
        .await
        .is(202);
    let put = format!("{session}?digest={}", sha256(b"0123456789"));
    for (method, uri) in [("PATCH", &session), ("PUT", &put)] {
        for range in ["0-4", "6-10", "4-8", "x", "9-5", "5"] {
            let reply = lab
                .ask(method, uri, &[("content-range", range)], "56789")
                .await;
            reply.is_error(416, "BLOB_UPLOAD_INVALID");
            assert_eq!(reply.header("range"), "0-4");
            assert_eq!(reply.header("location"), session);
            assert_eq!(lab.get(&session).await.is(204).header("range"), "0-4");
        }
    }
    lab.ask("PUT", &put, &[("content-range", "5-9")], "56789")
        .await
        .is(201);
}

#[tokio::test]
async fn a_content_range_with_a_unit_is_understood() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    let range = &[("content-range", "bytes 0-2/6")];
    assert_eq!(
        lab.ask("PATCH", &session, range, "abc")
            .await
            .is(202)
            .header("range"),
        "0-2"
    );
}

#[tokio::test]
async fn a_chunk_of_another_length_is_taken_back() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    lab.ask("PATCH", &session, NOTHING, "01").await.is(202);
    // With and without a Content-Length that shows it before the body is read.
    for headers in [
        &[("content-range", "2-9")][..],
        &[("content-range", "2-9"), ("content-length", "3")],
    ] {
        let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from("234"))]);
        let reply = lab
            .ask("PATCH", &session, headers, Body::from_stream(body))
            .await;
        reply.is_error(400, "SIZE_INVALID");
        assert_eq!(lab.get(&session).await.header("range"), "0-1");
    }
    let digest = sha256(b"01234");
    lab.ask("PUT", &format!("{session}?digest={digest}"), NOTHING, "234")
        .await
        .is(201);
}

#[tokio::test]
async fn a_digest_that_cannot_be_used_leaves_the_session() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    lab.ask("PATCH", &session, NOTHING, "x").await.is(202);
    for query in [
        "",
        "?digest=",
        "?digest=sha256:bad",
        "?digest=md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        let reply = lab
            .ask("PUT", &format!("{session}{query}"), NOTHING, "")
            .await;
        reply.is_error(400, "DIGEST_INVALID");
        lab.get(&session).await.is(204);
    }
    lab.ask(
        "PUT",
        &format!("{session}?digest={}", sha256(b"x")),
        NOTHING,
        "",
    )
    .await
    .is(201);
}

#[tokio::test]
async fn content_with_another_digest_is_never_visible() {
    let lab = Lab::new().await;
    let wrong = sha256(b"y");
    let session = lab.session("a").await;
    let reply = lab
        .ask("PUT", &format!("{session}?digest={wrong}"), NOTHING, "x")
        .await;
    reply.is_error(400, "DIGEST_INVALID");
    lab.get(&session).await.is(404);
    let reply = lab
        .ask(
            "POST",
            &format!("/v2/a/blobs/uploads/?digest={wrong}"),
            NOTHING,
            "x",
        )
        .await;
    reply.is_error(400, "DIGEST_INVALID");
    for digest in [wrong, sha256(b"x")] {
        lab.head(&format!("/v2/a/blobs/{digest}")).await.is(404);
    }
    assert_eq!(
        std::fs::read_dir(lab.path().join("uploads"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn an_announced_algorithm_must_be_supported() {
    let lab = Lab::new().await;
    let uri = "/v2/a/blobs/uploads/?digest-algorithm=";
    lab.post(&format!("{uri}md5"))
        .await
        .is_error(400, "DIGEST_INVALID");
    let session = lab
        .post(&format!("{uri}sha512"))
        .await
        .is(202)
        .header("location")
        .to_owned();
    lab.ask("PATCH", &session, NOTHING, "x").await.is(202);
    let digest = sha512(b"x");
    lab.ask("PUT", &format!("{session}?digest={digest}"), NOTHING, "")
        .await
        .is(201);
}

#[tokio::test]
async fn an_algorithm_that_was_not_announced_is_computed_at_the_end() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    lab.ask("PATCH", &session, NOTHING, "x").await.is(202);
    let digest = sha512(b"x");
    let reply = lab
        .ask("PUT", &format!("{session}?digest={digest}"), NOTHING, "")
        .await;
    assert_eq!(reply.is(201).header("docker-content-digest"), digest);
}

#[tokio::test]
async fn a_post_with_a_digest_and_no_body_is_an_announcement() {
    let lab = Lab::new().await;
    let uri = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x"));
    lab.post(&uri).await.is(202);
    let uri = format!("/v2/a/blobs/uploads/?digest={}", sha256(b""));
    lab.post(&uri).await.is(201);
    lab.post("/v2/a/blobs/uploads/?digest=garbage")
        .await
        .is_error(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_session_belongs_to_its_repository() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    let other = session.replace("/v2/a/", "/v2/b/");
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        lab.ask(method, &other, NOTHING, "x")
            .await
            .is_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    for id in [
        "x",
        "..",
        "%2e%2e",
        "6d8e4f1a-0000-4000-8000-000000000000",
        "..%2f..%2fkeys",
    ] {
        let reply = lab.get(&format!("/v2/a/blobs/uploads/{id}")).await;
        reply.is_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    lab.get(&session).await.is(204);
}

#[tokio::test]
async fn a_cancelled_session_is_gone() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    lab.ask("PATCH", &session, NOTHING, "x").await.is(202);
    lab.delete(&session).await.is(204);
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        lab.ask(method, &session, NOTHING, "")
            .await
            .is_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(
        std::fs::read_dir(lab.path().join("uploads"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn what_arrived_before_a_broken_connection_stays() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    let broken = stream::iter([
        Ok(Bytes::from("0123")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    let headers = &[("content-range", "0-9")];
    lab.ask("PATCH", &session, headers, Body::from_stream(broken))
        .await
        .is(400);
    assert_eq!(lab.get(&session).await.header("range"), "0-3");
    let digest = sha256(b"0123456789");
    let put = format!("{session}?digest={digest}");
    lab.ask("PUT", &put, &[("content-range", "4-9")], "456789")
        .await
        .is(201);
    assert_eq!(
        lab.get(&format!("/v2/a/blobs/{digest}")).await.is(200).body,
        b"0123456789"
    );
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let mut lab = Lab::new().await;
    let session = lab.session("a").await;
    lab.ask("PATCH", &session, NOTHING, "01234").await.is(202);
    lab.restart(|_| {}).await;
    assert_eq!(lab.get(&session).await.is(204).header("range"), "0-4");
    lab.ask("PATCH", &session, &[("content-range", "5-6")], "56")
        .await
        .is(202);
    let digest = sha256(b"0123456");
    lab.ask("PUT", &format!("{session}?digest={digest}"), NOTHING, "")
        .await
        .is(201);
}

#[tokio::test]
async fn files_of_uploads_that_nobody_owns_go_at_the_start() {
    let mut lab = Lab::new().await;
    let uploads = lab.path().join("uploads");
    lab.restart(|_| {
        std::fs::File::create(uploads.join("6d8e4f1a-0000-4000-8000-000000000000")).unwrap();
        std::fs::File::create(uploads.join("6d8e4f1a-0000-4000-8000-000000000001.json")).unwrap();
    })
    .await;
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
}

#[tokio::test]
async fn an_idle_session_expires() {
    let lab = Lab::with(Config {
        upload_idle_secs: 60,
        ..Config::default()
    })
    .await;
    let session = lab.session("a").await;
    lab.clock.advance(60);
    lab.get(&session).await.is(204);
    lab.clock.advance(61);
    lab.get(&session).await.is_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn sessions_are_bounded() {
    let lab = Lab::with(Config {
        uploads_max: 2,
        ..Config::default()
    })
    .await;
    let first = lab.session("a").await;
    lab.session("a").await;
    let reply = lab.post("/v2/a/blobs/uploads/").await;
    reply.is_error(429, "TOOMANYREQUESTS");
    assert_ne!(reply.header("retry-after"), "");
    lab.delete(&first).await.is(204);
    lab.session("a").await;
}

#[tokio::test]
async fn a_blob_that_is_too_large_is_refused_and_taken_back() {
    let lab = Lab::with(Config {
        blob_bytes_max: 8,
        ..Config::default()
    })
    .await;
    lab.blob("a", b"12345678").await;
    let uri = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"123456789"));
    lab.ask("POST", &uri, NOTHING, "123456789")
        .await
        .is_error(413, "SIZE_INVALID");
    let session = lab.session("a").await;
    lab.ask("PATCH", &session, NOTHING, "1234").await.is(202);
    lab.ask("PATCH", &session, NOTHING, "56789")
        .await
        .is_error(413, "SIZE_INVALID");
    assert_eq!(lab.get(&session).await.header("range"), "0-3");
}

#[tokio::test]
async fn pushing_a_known_blob_again_is_fine() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"x").await;
    assert_eq!(lab.blob("a", b"x").await, digest);
    lab.head(&format!("/v2/a/blobs/{digest}")).await.is(200);
}

#[tokio::test]
async fn chunks_sent_at_the_same_time_are_serialised() {
    let lab = Lab::new().await;
    let session = lab.session("a").await;
    let headers = &[("content-range", "0-3")];
    let (one, two) = tokio::join!(
        lab.ask("PATCH", &session, headers, "aaaa"),
        lab.ask("PATCH", &session, headers, "bbbb"),
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 416]);
    assert_eq!(lab.get(&session).await.header("range"), "0-3");
}
