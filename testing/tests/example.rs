//! What a test of another project looks like, and what it may rely on.

use std::net::TcpStream;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bundle::TrustedRoot;
use serde_json::Value;
use siglab_testing::{Clock, Lab, blocking};

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn a_lab_gives_tokens_for_anybody_and_its_trust() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let token = lab
        .token([("preset", "github-actions"), ("repository", "acme/app")])
        .await?;
    let claims = claims(&token);
    assert_eq!(claims["aud"], "sigstore");
    assert_eq!(claims["repository"], "acme/app");
    let issuer = format!("{}/github-actions", lab.url("oidc", "http"));
    assert_eq!(claims["iss"], issuer);

    let root = TrustedRoot::from_json(lab.trusted_root().await?.as_bytes())?;
    let logs: Vec<_> = root.tlogs.iter().map(|log| log.base_url.clone()).collect();
    assert_eq!(logs.len(), 2);
    assert!(logs.contains(&lab.url("rekor", "v1")) && logs.contains(&lab.url("rekor", "v2")));
    assert!(root.certificate_authorities[0].uri == lab.url("fulcio", "http"));
    Ok(())
}

#[test]
fn a_test_without_async_has_the_same_lab() -> anyhow::Result<()> {
    let lab = blocking::Lab::start()?;
    let token = lab.token([("email", "alice@lab.example")])?;
    assert_eq!(claims(&token)["email"], "alice@lab.example");
    assert!(lab.trusted_root()?.contains(&lab.url("fulcio", "http")));
    assert!(lab.file("root.json").is_absolute());
    Ok(())
}

#[tokio::test]
async fn a_blocking_lab_works_inside_of_an_executor() -> anyhow::Result<()> {
    let lab = blocking::Lab::start()?;
    let token = lab.token([("subject", "bob")])?;
    assert_eq!(claims(&token)["sub"], "bob");
    Ok(())
}

#[test]
fn an_async_lab_works_on_any_executor() -> anyhow::Result<()> {
    futures::executor::block_on(async {
        let lab = Lab::start().await?;
        let token = lab.token([("aud", "somebody-else")]).await?;
        assert_eq!(claims(&token)["aud"], "somebody-else");
        Ok(())
    })
}

#[tokio::test]
async fn several_labs_at_once_share_nothing() -> anyhow::Result<()> {
    let (one, two, three) = tokio::try_join!(Lab::start(), Lab::start(), Lab::start())?;
    let labs = [&one, &two, &three];
    for lab in labs {
        let others = labs
            .iter()
            .filter(|other| other.instance() != lab.instance());
        for other in others.clone() {
            assert_ne!(lab.registry(), other.registry());
            assert_ne!(lab.trusted_root().await?, other.trusted_root().await?);
        }
        assert_eq!(others.count(), 2);
    }
    Ok(())
}

/// Whether this lab, and not another one on the same port, answers at its admin door.
async fn answers(admin: &str, instance: &str) -> anyhow::Result<bool> {
    let http = runtime::http::client(None)?;
    Ok(match http.get(format!("{admin}/status")).send().await {
        Ok(answer) => answer.text().await?.contains(instance),
        Err(_) => false,
    })
}

#[tokio::test]
async fn a_dropped_lab_is_gone() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let token = lab.token([("email", "alice@lab.example")]).await?;
    assert!(token.starts_with("eyJ"));
    let (admin, instance) = (lab.admin_url(), lab.instance().to_owned());
    let root = lab.file("root.json");
    assert!(root.is_file() && answers(&admin, &instance).await?);
    drop(lab);
    assert!(!root.exists() && !answers(&admin, &instance).await?);
    Ok(())
}

#[tokio::test]
async fn a_kept_directory_is_the_same_lab_again() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let first = Lab::builder().data_dir(dir.path()).start().await?;
    let instance = first.instance().to_owned();
    first.stop();
    let second = Lab::builder().data_dir(dir.path()).start().await?;
    assert_eq!(second.instance(), instance);
    Ok(())
}

#[tokio::test]
async fn the_test_moves_the_clock() -> anyhow::Result<()> {
    let clock = Clock::manual("2030-01-01T00:00:00Z".parse()?);
    let lab = Lab::builder().clock(clock.clone()).start().await?;
    let before = claims(&lab.token([("lifetime", "60")]).await?);
    assert_eq!(before["exp"].as_i64(), Some(clock.now().as_second() + 60));
    clock.advance(3600);
    let after = claims(&lab.token([("lifetime", "60")]).await?);
    assert_eq!(
        after["iat"].as_i64(),
        before["iat"].as_i64().map(|iat| iat + 3600)
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_is_named() {
    let refused = Lab::builder().set("fulcio.nonsense=1").start().await;
    let refused = format!("{:#}", refused.map(drop).unwrap_err());
    assert!(
        refused.contains("fulcio") && refused.contains("nonsense"),
        "{refused}"
    );
}

#[tokio::test]
async fn variables_are_those_of_siglab_env() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let variables = lab.variables().await?;
    let value = |name: &str| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!(value("TUF_MIRROR"), lab.url("tuf", "http"));
    assert_eq!(value("CTLOG_URL"), lab.url("ctlog", "http"));
    assert_eq!(
        std::fs::read_to_string(value("OIDC_TOKEN"))?,
        value("SIGSTORE_ID_TOKEN")
    );
    // Each path is a file, and each URL is answered.
    for (name, text) in &variables {
        if text.starts_with('/') {
            assert!(std::path::Path::new(text).is_file(), "{name}={text}");
        } else if let Some((_, place)) = text.split_once("://") {
            assert!(TcpStream::connect(place).is_ok(), "{name}={text}");
        }
    }
    Ok(())
}
