//! Whole flows through the stack in this process, each ending with the whole-world check.

mod keys;
mod presets;

use std::{fs, path::Path};

use bundle::{Bundle, TrustedRoot};
use crypto::{KeyKind, SigningKey};
use tests::{Lab, Log};
use verify::{Artifact, Identity, Pattern, Report, Requirements, Signer, Trust, verify_bundle};

const EMAIL: &str = "alice@lab.example";

/// Verifies by identity and issuer, everything required.
fn verify(
    root: &TrustedRoot,
    bundle: &Bundle,
    message: &[u8],
    (email, issuer): (&str, &str),
) -> anyhow::Result<()> {
    let identities = [Identity {
        issuer: Pattern::new(Some(issuer), None)?.expect("an exact issuer"),
        subject: Pattern::new(Some(email), None)?.expect("an exact subject"),
    }];
    let requirements = Requirements {
        signer: Signer::Keyless {
            identities: &identities,
            authority_url: None,
        },
        sct: true,
        log: true,
        timestamp: true,
    };
    let trust = Trust::new(root)?;
    let mut report = Report::default();
    verify_bundle(
        bundle,
        Artifact::Message(message),
        &requirements,
        &trust,
        &mut report,
    )?;
    Ok(())
}

async fn signs_and_verifies(log: Log) -> anyhow::Result<()> {
    Lab::run(async |lab| {
        let issuer = lab.url("oidc", "http");
        let token = lab.token(EMAIL).await?;
        let first = lab.sign(&token, b"one", log).await?;
        lab.restart().await?;
        let root = lab.trusted_root().await?;
        verify(&root, &first, b"one", (EMAIL, &issuer))?;
        let issuer = lab.url("oidc", "http");
        let token = lab.token(EMAIL).await?;
        let second = lab.sign(&token, b"two", log).await?;
        lab.clock.advance(3600);
        verify(&root, &second, b"two", (EMAIL, &issuer))?;
        verify(&root, &second, b"three", (EMAIL, &issuer)).unwrap_err();
        verify(&root, &second, b"two", ("mallory@lab.example", &issuer)).unwrap_err();
        verify(&root, &second, b"two", (EMAIL, "http://localhost:1")).unwrap_err();
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_signature_in_rekor_v1_verifies_and_outlives_a_restart() -> anyhow::Result<()> {
    signs_and_verifies(Log::V1).await
}

#[tokio::test]
async fn a_signature_in_rekor_v2_verifies_and_outlives_a_restart() -> anyhow::Result<()> {
    signs_and_verifies(Log::V2).await
}

#[tokio::test]
async fn two_labs_in_one_process_share_nothing() -> anyhow::Result<()> {
    Lab::run(async |one| {
        Lab::run(async |other| {
            let issuer = one.url("oidc", "http");
            let token = one.token(EMAIL).await?;
            let bundle = one.sign(&token, b"one", Log::V2).await?;
            verify(
                &one.trusted_root().await?,
                &bundle,
                b"one",
                (EMAIL, &issuer),
            )?;
            verify(
                &other.trusted_root().await?,
                &bundle,
                b"one",
                (EMAIL, &issuer),
            )
            .unwrap_err();
            other.sign(&token, b"one", Log::V2).await.unwrap_err();
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn an_old_token_gets_no_certificate() -> anyhow::Result<()> {
    Lab::run(async |lab| {
        let token = lab.token(EMAIL).await?;
        lab.clock.advance(1801);
        let refused = lab
            .sign(&token, b"one", Log::V2)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("There was an error processing the identity token"),
            "{refused}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn many_signatures_at_once_are_all_kept() -> anyhow::Result<()> {
    Lab::run(async |lab| {
        let token = lab.token(EMAIL).await?;
        let messages: Vec<_> = (0..40).map(|number| format!("message {number}")).collect();
        let signing = messages.iter().enumerate().map(|(number, message)| {
            let log = if number % 2 == 0 { Log::V1 } else { Log::V2 };
            lab.sign(&token, message.as_bytes(), log)
        });
        let signed = futures::future::try_join_all(signing).await?;
        assert_eq!(signed.len(), 40);
        Ok(())
    })
    .await
}

/// Changes a file, looks, and heals it.
#[expect(clippy::disallowed_methods, reason = "a test damages a file")]
fn damaged(file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<String> {
    let good = fs::read(file)?;
    let mut bad = good.clone();
    change(&mut bad);
    fs::write(file, &bad)?;
    let dir = file.ancestors().find(|dir| dir.join("rekor").is_dir());
    let checked = tests::fsck(dir.expect("it is in a lab"));
    fs::write(file, good)?;
    Ok(format!("{:#}", checked.expect_err("it is damaged")))
}

#[tokio::test]
async fn fsck_reads_every_log_and_names_what_is_damaged() -> anyhow::Result<()> {
    Lab::run(async |lab| {
        let token = lab.token(EMAIL).await?;
        lab.sign(&token, b"one", Log::V1).await?;
        lab.sign(&token, b"one", Log::V2).await?;
        lab.look_at_files(|dir| {
            let checked = tests::fsck(dir)?;
            let (logs, others): (Vec<_>, Vec<_>) = checked
                .into_iter()
                .partition(|(_, text)| text.contains("signatures verified"));
            let folders: Vec<_> = logs.iter().map(|(folder, _)| folder.as_str()).collect();
            assert_eq!(folders, ["ctlog/log", "rekor/v1", "rekor/v2"]);
            assert_eq!(others.len(), 1, "the registry: {others:?}");

            let entries = "tree/tile/entries/000.p/1";
            let line = damaged(&dir.join("rekor/v2").join(entries), |bytes| bytes[40] ^= 1)?;
            assert!(line.ends_with(&format!(
                "{entries} has another hash than the tree commits to"
            )));
            let other = SigningKey::generate(KeyKind::EcdsaP256)?.to_pkcs8_pem();
            let line = damaged(&dir.join("rekor/keys/v1.pem"), |pem| {
                *pem = other.into_bytes();
            })?;
            assert!(
                line.ends_with("tree/checkpoint is not signed with the log's key"),
                "{line}"
            );
            let mut issuers = fs::read_dir(dir.join("ctlog/issuers"))?;
            let issuer = issuers.next().expect("one was kept")?.path();
            let line = damaged(&issuer, |der| der[9] ^= 1)?;
            assert!(
                line.ends_with("it does not have the digest of its name"),
                "{line}"
            );
            let line = damaged(&dir.join("ctlog/log/tree/checkpoint"), |note| {
                let end = note.len() - 3;
                note[end] = if note[end] == b'A' { b'B' } else { b'A' };
            })?;
            assert!(
                line.contains("ctlog/log is damaged: tree/checkpoint"),
                "{line}"
            );
            Ok(())
        })
        .await
    })
    .await
}
