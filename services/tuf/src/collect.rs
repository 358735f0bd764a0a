//! Asks the peers' admin doors what a trusted root must say of them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use runtime::{Context, Trust};

use crate::Service;

/// Services that have something to say.
const PEERS: [&str; 5] = ["ctlog", "fulcio", "oidc", "rekor", "tsa"];

/// First pause before a peer that does not answer is asked again.
const RETRY_MIN: Duration = Duration::from_millis(20);

/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Largest answer, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// Keeps the repository current for as long as the service runs.
pub(crate) async fn run(service: Arc<Service>, context: Context, refresh: Duration) {
    let mut pause = RETRY_MIN;
    loop {
        let outcome = match collect(&context).await {
            Ok(trust) => publish(&service, Some(trust)).await,
            // What is published must not expire because a peer is away.
            Err(error) => publish(&service, None).await.and(Err(error)),
        };
        match outcome {
            Ok(()) => {
                service.set_waiting(None);
                pause = RETRY_MIN;
                tokio::time::sleep(refresh).await;
            }
            Err(error) => {
                tracing::debug!("trust is not collected: {error:#}");
                service.set_waiting(Some(format!("{error:#}")));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}

/// Publishes new trust, or signs again what is published. Files are fsynced, so it runs beside the reactor.
async fn publish(service: &Arc<Service>, trust: Option<Trust>) -> anyhow::Result<()> {
    let service = service.clone();
    let work = move || match trust {
        Some(trust) => service.publish(&trust),
        None => service.renew(),
    };
    tokio::task::spawn_blocking(work).await??;
    Ok(())
}

/// The trust of all peers in one.
async fn collect(context: &Context) -> anyhow::Result<Trust> {
    let answers = PEERS.map(|peer| ask(context, peer));
    let mut all = Trust::default();
    for answer in futures::future::join_all(answers).await {
        let Trust {
            tlogs,
            ctlogs,
            certificate_authorities,
            timestamp_authorities,
            services,
        } = answer?;
        all.tlogs.extend(tlogs);
        all.ctlogs.extend(ctlogs);
        all.certificate_authorities.extend(certificate_authorities);
        all.timestamp_authorities.extend(timestamp_authorities);
        all.services.extend(services);
    }
    Ok(all)
}

async fn ask(context: &Context, peer: &'static str) -> anyhow::Result<Trust> {
    let url = format!("{}/trust/{peer}", context.urls.admin(peer));
    let read = async {
        let mut response = context.http.get(&url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            ensure!(
                body.len() + chunk.len() <= ANSWER_MAX,
                "the answer is too long"
            );
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body)?)
    };
    read.await
        .with_context(|| format!("waiting for {peer} at {url}"))
}
