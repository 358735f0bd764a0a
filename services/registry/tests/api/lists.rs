//! The base path, tag lists, the catalog, methods, and limits of requests.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use registry::Config;
use serde_json::json;

use crate::lab::{Lab, NOTHING, sha256};

#[tokio::test]
async fn the_base_path_answers_with_and_without_a_slash() {
    let lab = Lab::new().await;
    for uri in ["/v2", "/v2/"] {
        assert_eq!(lab.get(uri).await.is(200).body, b"{}");
        assert!(lab.head(uri).await.is(200).body.is_empty());
        let reply = lab.post(uri).await;
        reply.is_error(405, "UNSUPPORTED");
        assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
    }
    assert_eq!(
        lab.get("/v2/_oci/ext/discover").await.json(),
        json!({"extensions": []})
    );
    lab.get("/").await.is(404);
    lab.get("/v1/a").await.is(404);
}

#[tokio::test]
async fn options_and_unknown_methods_name_the_allowed_ones() {
    let lab = Lab::new().await;
    for (uri, allow) in [
        ("/v2/a/tags/list", "GET, HEAD, OPTIONS"),
        ("/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/v2/a/blobs/uploads/", "POST, OPTIONS"),
        (
            "/v2/a/blobs/uploads/x",
            "GET, HEAD, PATCH, PUT, DELETE, OPTIONS",
        ),
    ] {
        assert_eq!(
            lab.ask("OPTIONS", uri, NOTHING, "")
                .await
                .is(204)
                .header("allow"),
            allow
        );
        let reply = lab.ask("TRACE", uri, NOTHING, "").await;
        reply.is_error(405, "UNSUPPORTED");
        assert_eq!(reply.header("allow"), allow);
    }
}

#[tokio::test]
async fn tags_are_listed_in_byte_order_and_in_pages() {
    let lab = Lab::new().await;
    for tag in ["b", "a", "B", "1.10", "1.9", "_x"] {
        lab.image("a", tag, "layer").await;
    }
    let tags = async |query: &str| lab.get(&format!("/v2/a/tags/list{query}")).await;
    let all = tags("").await.is(200).json();
    assert_eq!(
        all,
        json!({"name": "a", "tags": ["1.10", "1.9", "B", "_x", "a", "b"]})
    );
    let page = tags("?n=2").await;
    assert_eq!(page.json()["tags"], json!(["1.10", "1.9"]));
    assert_eq!(
        page.header("link"),
        "</v2/a/tags/list?n=2&last=1.9>; rel=\"next\""
    );
    let page = tags("?n=4&last=1.9").await;
    assert_eq!(page.json()["tags"], json!(["B", "_x", "a", "b"]));
    assert_eq!(page.header("link"), "");
    // A tag that was deleted between two pages.
    assert_eq!(
        tags("?last=1.95").await.json()["tags"],
        json!(["B", "_x", "a", "b"])
    );
    let none = tags("?n=0").await;
    assert_eq!(
        (none.json()["tags"].clone(), none.header("link")),
        (json!([]), "")
    );
    assert_eq!(
        tags("?n=99999999999999999999999").await.json()["tags"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    for n in ["-1", "abc", "", "1.5"] {
        assert_eq!(tags(&format!("?n={n}")).await.is(400).error().0, 400);
    }
}

#[tokio::test]
async fn a_repository_without_tags_has_an_empty_list() {
    let lab = Lab::new().await;
    lab.get("/v2/a/tags/list")
        .await
        .is_error(404, "NAME_UNKNOWN");
    lab.blob("a", b"x").await;
    assert_eq!(
        lab.get("/v2/a/tags/list").await.is(200).json()["tags"],
        json!([])
    );
}

#[tokio::test]
async fn the_catalog_shows_repositories_with_manifests() {
    let lab = Lab::new().await;
    for name in ["b", "a/b", "a", "a-c"] {
        lab.image(name, "v1", "layer").await;
    }
    lab.blob("ghost", b"x").await;
    lab.session("aborted").await;
    let catalog = async |query: &str| lab.get(&format!("/v2/_catalog{query}")).await;
    assert_eq!(
        catalog("").await.json(),
        json!({"repositories": ["a", "a-c", "a/b", "b"]})
    );
    let page = catalog("?n=3").await;
    assert_eq!(page.json()["repositories"], json!(["a", "a-c", "a/b"]));
    assert_eq!(
        page.header("link"),
        "</v2/_catalog?n=3&last=a%2Fb>; rel=\"next\""
    );
    assert_eq!(
        catalog("?n=3&last=a%2Fb").await.json()["repositories"],
        json!(["b"])
    );
    catalog("?n=-1").await.is(400);
}

#[tokio::test]
async fn lists_have_a_largest_page() {
    let lab = Lab::with(Config {
        list_max: 2,
        ..Config::default()
    })
    .await;
    for tag in ["a", "b", "c"] {
        lab.image("a", tag, "layer").await;
    }
    let reply = lab.get("/v2/a/tags/list").await;
    assert_eq!(reply.json()["tags"], json!(["a", "b"]));
    assert_eq!(
        reply.header("link"),
        "</v2/a/tags/list?n=2&last=b>; rel=\"next\""
    );
}

#[tokio::test]
async fn overlong_requests_are_refused() {
    let lab = Lab::new().await;
    let long = "x".repeat(17 << 10);
    lab.get(&format!("/v2/a/tags/list?last={long}"))
        .await
        .is_error(414, "UNSUPPORTED");
    let headers = [("x-a", long.as_str()), ("x-b", long.as_str())];
    lab.ask("GET", "/v2/", &headers, "")
        .await
        .is_error(431, "UNSUPPORTED");
}

#[tokio::test]
async fn a_refused_body_is_read_so_that_the_client_sees_the_answer() {
    let lab = Lab::new().await;
    let body = |mebibytes| {
        let pieces = (0..mebibytes).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20])));
        Body::from_stream(stream::iter(pieces))
    };
    let uri = format!("/v2/a/manifests/{}", sha256(b"x"));
    let reply = lab.ask("PUT", &uri, NOTHING, body(6)).await;
    assert_eq!(
        (reply.is(413).header("connection"), reply.error().0),
        ("", 413)
    );
    let reply = lab.ask("PUT", &uri, NOTHING, body(32)).await;
    assert_eq!(reply.is(413).header("connection"), "close");
}

#[tokio::test]
async fn warnings_are_off_until_asked_for() {
    let lab = Lab::new().await;
    assert_eq!(lab.get("/v2/").await.header("warning"), "");
    let warning = Some("for \"testing\" only".to_owned());
    let lab = Lab::with(Config {
        warning,
        ..Config::default()
    })
    .await;
    assert_eq!(
        lab.get("/v2/").await.header("warning"),
        "299 - \"for 'testing' only\""
    );
}
