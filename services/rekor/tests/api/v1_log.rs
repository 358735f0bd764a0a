//! Rekor v1: what is logged can be read, proved and found.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use crypto::{KeyKind, SigningKey};
use rekor::{Algorithm, Config, V1Config};
use runtime::Service as _;
use serde_json::{Value, json};

use crate::lab::{Lab, dsse, hashedrekord, proposals, v1_key, vectors, verify_v1};

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).unwrap()
}

#[tokio::test]
async fn every_captured_proposal_gets_the_same_body_and_leaf_hash() {
    let lab = Lab::start().await;
    let log_key = v1_key(&lab).await;
    let vectors = vectors();
    for (number, case) in vectors["rekor_v1"]["cases"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let answer = lab.create(&case["request"]).await;
        assert_eq!(answer.status, 201, "{}: {}", case["name"], answer.text());
        let (id, entry) = answer.entry();
        let (upstream_id, upstream) = case["response"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(id[16..], upstream_id[16..]);
        assert_eq!(entry["body"], upstream["body"]);
        assert_eq!(entry["logIndex"], number);
        assert_eq!(
            entry["verification"]["inclusionProof"]["hashes"],
            upstream["verification"]["inclusionProof"]["hashes"],
        );
        verify_v1(&id, &entry, &log_key);
    }
    let proof = lab
        .get("v1", "/api/v1/log/proof?firstSize=2&lastSize=5")
        .await;
    assert_eq!(proof.json(), vectors["rekor_v1"]["proof_2_5"]);
    let log = lab.get("v1", "/api/v1/log").await.json();
    assert_eq!(log["rootHash"], vectors["rekor_v1"]["log"]["rootHash"]);
    assert_eq!(log["treeSize"], 6);
}

#[tokio::test]
async fn a_created_entry_is_named_by_bare_etag_and_a_path() {
    let lab = Lab::start().await;
    let proposal = hashedrekord(&key(), b"a");
    let answer = lab
        .post(
            "v1",
            "/api/v1/log/entries?apiKey=secret&x=1",
            &proposal.to_string(),
        )
        .await;
    let (id, _) = answer.entry();
    assert_eq!(id.len(), 80);
    assert_eq!(answer.header("etag"), Some(id.as_str()));
    let location = format!("/api/v1/log/entries/{id}?x=1");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert!(answer.text().ends_with("}\n"));
}

#[tokio::test]
async fn a_one_leaf_tree_has_an_empty_list_of_hashes() {
    let lab = Lab::start().await;
    let (_, entry) = lab.create(&hashedrekord(&key(), b"a")).await.entry();
    let proof = &entry["verification"]["inclusionProof"];
    assert_eq!(proof["hashes"], json!([]));
    assert_eq!(proof["treeSize"], 1);
    assert_eq!(entry.get("attestation"), None);
}

#[tokio::test]
async fn a_duplicate_gets_409_and_the_location_of_the_first() {
    let lab = Lab::start().await;
    let proposal = hashedrekord(&key(), b"a");
    let (id, _) = lab.create(&proposal).await.entry();
    let answer = lab.create(&proposal).await;
    let message =
        format!("an equivalent entry already exists in the transparency log with UUID {id}");
    answer.assert_problem(409, 409, &message);
    let location = format!("/api/v1/log/entries/{id}");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(answer.header("etag"), None);
    assert_eq!(lab.get("v1", "/api/v1/log").await.json()["treeSize"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_identical_entries_is_created() {
    let lab = Arc::new(Lab::start().await);
    let proposal = Arc::new(hashedrekord(&key(), b"a"));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (lab, proposal) = (Arc::clone(&lab), Arc::clone(&proposal));
        tasks.spawn(async move { lab.create(&proposal).await.status.as_u16() });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert_eq!(statuses[1..], [409; 19]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_and_checkpoint_are_of_one_tree_while_others_write() {
    let lab = Arc::new(Lab::start().await);
    let log_key = Arc::new(v1_key(&lab).await);
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8_u8 {
        let (lab, log_key) = (Arc::clone(&lab), Arc::clone(&log_key));
        tasks.spawn(async move {
            let key = key();
            for number in 0..8_u8 {
                let answer = lab.create(&hashedrekord(&key, &[writer, number])).await;
                let (id, entry) = answer.entry();
                verify_v1(&id, &entry, &log_key);
                let read = lab.get("v1", &format!("/api/v1/log/entries/{id}")).await;
                let (id, again) = read.entry();
                verify_v1(&id, &again, &log_key);
                assert_eq!(again["logIndex"], entry["logIndex"]);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(lab.get("v1", "/api/v1/log").await.json()["treeSize"], 64);
}

#[tokio::test]
async fn an_entry_is_read_by_index_and_by_both_names() {
    let lab = Lab::start().await;
    lab.fill(3).await;
    let log_key = v1_key(&lab).await;
    let (id, entry) = lab
        .get("v1", "/api/v1/log/entries?logIndex=1")
        .await
        .entry();
    verify_v1(&id, &entry, &log_key);
    assert_eq!(entry["verification"]["inclusionProof"]["treeSize"], 3);
    for name in [
        id.clone(),
        id[16..].to_owned(),
        id.to_uppercase(),
        id[16..].to_uppercase(),
    ] {
        let answer = lab.get("v1", &format!("/api/v1/log/entries/{name}")).await;
        let (named, same) = answer.entry();
        assert_eq!(named, id, "answers are keyed by the long id");
        assert_eq!(same["body"], entry["body"]);
        assert_eq!(same["integratedTime"], entry["integratedTime"]);
        assert_eq!(same["logIndex"], 1);
        assert!(
            answer
                .header("cache-control")
                .unwrap()
                .starts_with("no-cache, no-store")
        );
        assert_eq!(answer.header("x-accel-expires"), Some("0"));
    }
}

#[tokio::test]
async fn entry_ids_name_their_tree() {
    let lab = Lab::start().await;
    lab.fill(1).await;
    let (id, _) = lab
        .get("v1", "/api/v1/log/entries?logIndex=0")
        .await
        .entry();
    let of_tree = |tree: &str| format!("/api/v1/log/entries/{tree}{}", &id[16..]);
    let other = lab.get("v1", &of_tree("0000000000000007")).await;
    assert_eq!((other.status.as_u16(), other.body.len()), (404, 0));
    for tree in ["0000000000000000", "ffffffffffffffff"] {
        let message = format!("validation error: {tree} is not a valid TreeID");
        lab.get("v1", &of_tree(tree))
            .await
            .assert_problem(400, 400, &message);
        let name = format!("{tree}{}", &id[16..]);
        let query = json!({ "entryUUIDs": [name] }).to_string();
        let answer = lab.post("v1", "/api/v1/log/entries/retrieve", &query).await;
        answer.assert_problem(400, 400, &format!("invalid entryID {name}"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_an_empty_404() {
    let lab = Lab::start().await;
    let paths = [
        "/api/v1/log/entries?logIndex=0".to_owned(),
        format!("/api/v1/log/entries/{}", "0".repeat(64)),
    ];
    for path in paths {
        let answer = lab.get("v1", &path).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body, b"");
        assert_eq!(answer.header("content-type"), None);
    }
}

#[tokio::test]
async fn retrieve_leaves_out_what_it_does_not_find_and_keeps_upstreams_order() {
    let lab = Lab::start().await;
    let nothing = json!({ "entryUUIDs": ["0".repeat(64)], "logIndexes": [7] }).to_string();
    let answer = lab
        .post("v1", "/api/v1/log/entries/retrieve/", &nothing)
        .await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!([])));

    lab.fill(3).await;
    let key = key();
    let proposal = hashedrekord(&key, b"x");
    lab.create(&proposal).await;
    let id = |index: u8| {
        let path = format!("/api/v1/log/entries?logIndex={index}");
        let lab = &lab;
        async move { lab.get("v1", &path).await.entry().0 }
    };
    let query = json!({
        "logIndexes": [0],
        "entries": [proposal],
        "entryUUIDs": [id(1).await[16..].to_owned(), id(2).await],
    });
    let answer = lab
        .post("v1", "/api/v1/log/entries/retrieve", &query.to_string())
        .await
        .json();
    let found: Vec<u64> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|map| {
            map.as_object().unwrap().values().next().unwrap()["logIndex"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(found, [2, 1, 3, 0]);
}

#[tokio::test]
async fn cosigns_look_up_posts_two_kinds_and_finds_the_one_that_is_there() {
    let lab = Lab::start().await;
    let proposals = proposals();
    lab.create(&proposals["intoto_0.0.1"]).await;
    let query = json!({ "entries": [
        proposals["dsse_two_signatures"], proposals["intoto_0.0.1"],
    ] });
    let answer = lab
        .post("v1", "/api/v1/log/entries/retrieve", &query.to_string())
        .await;
    assert_eq!(answer.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn retrieve_takes_canonical_entries() {
    let lab = Lab::start().await;
    let vectors = vectors();
    for case in vectors["rekor_v1"]["cases"].as_array().unwrap() {
        lab.create(&case["request"]).await;
        let body: Value = serde_json::from_str(case["canonical_body"].as_str().unwrap()).unwrap();
        let query = json!({ "entries": [body] }).to_string();
        let answer = lab.post("v1", "/api/v1/log/entries/retrieve", &query).await;
        if case["name"] == "rekord_x509" {
            assert_eq!(
                answer.status, 400,
                "a canonical rekord has no content to verify"
            );
        } else {
            assert_eq!(
                answer.json().as_array().unwrap().len(),
                1,
                "{}",
                case["name"]
            );
        }
    }
}

#[tokio::test]
async fn the_empty_log_has_a_signed_checkpoint() {
    let lab = Lab::start().await;
    let log = lab.get("v1", "/api/v1/log?stable=true").await.json();
    let upstream = &vectors()["rekor_v1"]["log_empty"];
    assert_eq!(log["rootHash"], upstream["rootHash"]);
    assert_eq!(log["treeSize"], 0);
    assert_eq!(log["inactiveShards"], Value::Null);
    let tree = log["treeID"].as_str().unwrap();
    let checkpoint = log["signedTreeHead"].as_str().unwrap();
    let text = format!(
        "localhost - {tree}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— localhost "
    );
    assert!(checkpoint.starts_with(&text), "{checkpoint}");
    let signature = checkpoint.trim_end().rsplit(' ').next().unwrap();
    let hint = &STANDARD.decode(signature).unwrap()[..4];
    assert_eq!(
        hint,
        &v1_key(&lab).await.key_id()[..4],
        "the hint is of the key, not of C2SP"
    );
}

#[tokio::test]
async fn consistency_proofs_lead_to_the_current_root() {
    let lab = Lab::start().await;
    lab.fill(7).await;
    let root = lab.get("v1", "/api/v1/log").await.json()["rootHash"].clone();
    let tree = lab.get("v1", "/api/v1/log").await.json()["treeID"]
        .as_str()
        .unwrap()
        .to_owned();
    for query in [
        "lastSize=5".to_owned(),
        format!("firstSize=4&lastSize=7&treeID={tree}"),
    ] {
        let answer = lab
            .get("v1", &format!("/api/v1/log/proof?{query}"))
            .await
            .json();
        assert_eq!(answer["rootHash"], root);
        assert!(!answer["hashes"].as_array().unwrap().is_empty());
    }
    let equal = lab
        .get("v1", "/api/v1/log/proof?firstSize=3&lastSize=3")
        .await;
    assert_eq!(equal.json()["hashes"], json!([]));
    let beyond = lab.get("v1", "/api/v1/log/proof?lastSize=8").await;
    let message = "the tree size requested(8) was greater than what is currently observable(7)";
    beyond.assert_problem(400, 400, message);
    let backwards = lab
        .get("v1", "/api/v1/log/proof?firstSize=3&lastSize=2")
        .await;
    backwards.assert_problem(400, 400, "firstSize(3) must be less than lastSize(2)");
    let other = lab.get("v1", "/api/v1/log/proof?lastSize=2&treeID=7").await;
    other.assert_problem(400, 400, "no log range found for tree ID 7");
    let huge = lab
        .get(
            "v1",
            "/api/v1/log/proof?lastSize=2&treeID=99999999999999999999",
        )
        .await;
    huge.assert_problem(400, 400, "invalid tree ID specified: 99999999999999999999");
}

#[tokio::test]
async fn the_public_key_is_pem_or_a_json_string() {
    let lab = Lab::start().await;
    let pem = lab.get("v1", "/api/v1/log/publicKey").await;
    assert_eq!(pem.header("content-type"), Some("application/x-pem-file"));
    assert!(pem.text().starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(pem.text().ends_with("-----END PUBLIC KEY-----\n"));
    let request = Request::get("/api/v1/log/publicKey")
        .header("accept", "application/json")
        .body(Body::empty())
        .unwrap();
    let answer = lab.send("v1", request).await;
    assert_eq!(answer.json(), Value::String(pem.text()));
    let other = lab.get("v1", "/api/v1/log/publicKey?treeID=7").await;
    assert_eq!(other.status, 400);
    assert_eq!(other.header("content-type"), Some("application/x-pem-file"));
    assert_eq!(
        other.json(),
        json!({ "code": 400, "message": "Bad Request" })
    );
}

#[tokio::test]
async fn search_finds_entries_by_key_subject_email_and_digest() {
    let lab = Lab::start().await;
    let vectors = vectors();
    let mut ids = Vec::new();
    for case in vectors["rekor_v1"]["cases"].as_array().unwrap() {
        ids.push((case.clone(), lab.create(&case["request"]).await.entry().0));
    }
    let search = |query: Value| {
        let lab = &lab;
        async move {
            let answer = lab
                .post("v1", "/api/v1/index/retrieve", &query.to_string())
                .await;
            let found: Vec<String> = serde_json::from_value(answer.json()).unwrap();
            found
        }
    };
    for (case, id) in &ids {
        for key in case["index_keys"].as_array().unwrap() {
            let found = search(json!({ "subject": key })).await;
            assert!(found.contains(id), "{}: {key}", case["name"]);
        }
    }
    assert_eq!(
        search(json!({ "email": "FOO@example.com" })).await,
        [ids[1].1.clone()]
    );
    let content = &ids[0].0["request"]["spec"]["signature"]["publicKey"]["content"];
    let by_key = search(json!({ "publicKey": { "format": "x509", "content": content } })).await;
    assert!(by_key.contains(&ids[0].1), "hashedrekord");
    assert!(by_key.contains(&ids[2].1), "dsse");
    assert!(by_key.contains(&ids[3].1), "intoto");
    let digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    assert_eq!(search(json!({ "hash": digest })).await.len(), 3);
    let both = json!({ "hash": format!("sha256:{digest}"), "email": "foo@example.com", "operator": "and" });
    assert_eq!(search(both).await, [ids[1].1.clone()]);
    let either = json!({ "hash": digest, "email": "foo@example.com", "operator": "or" });
    assert_eq!(search(either).await.len(), 3);
    assert_eq!(search(json!({})).await, Vec::<String>::new());
    assert_eq!(
        search(json!({ "email": "nobody@example.com" })).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn intoto_payloads_are_kept_and_served_on_reads() {
    let lab = Lab::start().await;
    let proposals = proposals();
    for name in ["intoto_0.0.1", "intoto_0.0.2"] {
        let (id, created) = lab.create(&proposals[name]).await.entry();
        assert_eq!(created.get("attestation"), None);
        let (_, read) = lab
            .get("v1", &format!("/api/v1/log/entries/{id}"))
            .await
            .entry();
        let upstream = &vectors()["rekor_v1"]["get_by_index_3_with_attestation"];
        let upstream = upstream
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .clone();
        assert_eq!(read["attestation"], upstream["attestation"], "{name}");
    }
    let (id, _) = lab.create(&proposals["dsse_two_signatures"]).await.entry();
    let (_, read) = lab
        .get("v1", &format!("/api/v1/log/entries/{id}"))
        .await
        .entry();
    assert_eq!(read.get("attestation"), None, "dsse payloads are not kept");
}

#[tokio::test]
async fn attestations_over_the_limit_are_not_kept() {
    let v1 = V1Config {
        max_attestation_size: 10,
        ..V1Config::default()
    };
    let lab = Lab::with(Config {
        v1,
        ..Config::default()
    })
    .await;
    let (id, _) = lab.create(&proposals()["intoto_0.0.1"]).await.entry();
    let (_, read) = lab
        .get("v1", &format!("/api/v1/log/entries/{id}"))
        .await
        .entry();
    assert_eq!(read.get("attestation"), None);
}

#[tokio::test]
async fn an_entry_with_url_safe_signature_is_served() {
    let lab = Lab::start().await;
    let proposal = dsse(&key(), b"{\"a\":\"\xc3\xbf\xc3\xbf?>\"}", |bytes| {
        URL_SAFE.encode(bytes)
    });
    let (id, created) = lab.create(&proposal).await.entry();
    let (_, read) = lab
        .get("v1", &format!("/api/v1/log/entries/{id}"))
        .await
        .entry();
    assert_eq!(read["body"], created["body"]);
}

#[tokio::test]
async fn certificates_are_logged_whatever_their_validity() {
    let lab = Lab::start().await;
    // The lab's clock stands a year before the certificate of this exchange begins.
    let proposal = &proposals()["hashedrekord_cert_with_SANs"];
    assert_eq!(lab.create(proposal).await.status, 201);
}

#[tokio::test]
async fn pem_is_written_anew_before_it_is_logged() {
    let lab = Lab::start().await;
    let key = key();
    let plain = hashedrekord(&key, b"a");
    let mut odd = plain.clone();
    let pem = format!(
        "  junk\n{}",
        key.public_key().to_pem().replace('\n', "\r\n")
    );
    odd["spec"]["signature"]["publicKey"]["content"] = STANDARD.encode(pem).into();
    assert_eq!(lab.create(&plain).await.status, 201);
    assert_eq!(
        lab.create(&odd).await.status,
        409,
        "the same key is the same entry"
    );
}

#[tokio::test]
async fn algorithms_can_be_narrowed() {
    let v1 = V1Config {
        client_signing_algorithms: vec![Algorithm::EcdsaP384],
        ..V1Config::default()
    };
    let lab = Lab::with(Config {
        v1,
        ..Config::default()
    })
    .await;
    let answer = lab.create(&hashedrekord(&key(), b"a")).await;
    let message = "error processing entry: entry algorithms are not allowed";
    answer.assert_problem(400, 400, message);
}

#[tokio::test]
async fn trust_names_both_logs_with_their_own_ids() {
    let lab = Lab::start().await;
    let trust = lab.service.trust();
    let [v1, v2] = trust.tlogs.as_slice() else {
        panic!("{trust:?}")
    };
    assert_eq!(v1.base_url, "http://localhost:3000");
    assert_eq!(v1.key_details, "PKIX_ECDSA_P256_SHA_256");
    assert_eq!(v1.log_id, crypto::sha256(&v1.public_key));
    assert_eq!(v2.base_url, "http://localhost:3003");
    assert_eq!(v2.key_details, "PKIX_ED25519");
    let raw = &v2.public_key[v2.public_key.len() - 32..];
    assert_eq!(
        v2.log_id,
        crypto::sha256(&[b"localhost\n\x01", raw].concat())
    );
    assert_ne!(v1.log_id, v2.log_id);
    let versions: Vec<u32> = trust.services.iter().map(|s| s.major_api_version).collect();
    assert_eq!(versions, [2, 1]);
}
