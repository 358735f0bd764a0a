//! The registry: pushes and pulls, beside distribution on the same disk. Both acknowledge what is durable.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Client, Method};
use serde_json::json;

use super::{
    load::{Figures, Shot, client, drive},
    process::{Lab, Running, Work, answers, free_port, peer},
    row,
};

/// Bytes of a layer and how many images of one are pushed.
const SIZES: [(&str, usize, usize); 3] = [
    ("1 KB", 1 << 10, 1000),
    ("1 MB", 1 << 20, 200),
    ("100 MB", 100 << 20, 6),
];

const CONNECTIONS: [usize; 2] = [2, 10];

/// Referrers of one subject for which a listing is timed.
const REFERRERS: [usize; 2] = [100, 2000];

/// Bytes of each of the blobs that are pushed for the sake of memory, and how many at once.
const LARGE: (usize, usize) = (1 << 30, 10);

/// How long they may take.
const LARGE_MAX: Duration = Duration::from_secs(900);

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Measures ours, then distribution if it is on the PATH as `registry`.
pub(crate) async fn run(root: &Path) -> anyhow::Result<()> {
    let work = Work::new("registry")?;
    let lab = Lab::start(root, &work, &[])?;
    let target = Target::new("siglab", &lab.url("registry", "http")?)?;
    let ours = target.measure().await?;
    target.referrers().await?;
    row(
        "resident after pushes",
        lab.process.resident_mebibytes()?,
        64.0,
        "MiB",
    );
    drop(lab);
    // A process of its own: what the pushes before it left in memory is not counted.
    let lab = Lab::start(root, &work, &[])?;
    let target = Target::new("siglab", &lab.url("registry", "http")?)?;
    let resident = target.large(&lab.process).await?;
    row(
        "most resident while 10 clients push 1 GB",
        resident,
        64.0,
        "MiB",
    );
    drop(lab);
    drop(work);
    let Some(program) = peer("registry") else {
        return Ok(());
    };
    let theirs = distribution(&program).await?;
    for ((name, our), (_, their)) in ours.iter().zip(&theirs) {
        println!(
            "{:<44} {:>9.2}x",
            format!("ours to distribution: {name}"),
            our.per_second / their.per_second
        );
    }
    Ok(())
}

async fn distribution(program: &Path) -> anyhow::Result<Vec<(String, Figures)>> {
    let work = Work::new("distribution")?;
    let port = free_port()?;
    let config = work.0.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"127.0.0.1:{port}\", secret: bench}}\n",
        work.0.join("storage").display()
    );
    runtime::files::replace(&config, text.as_bytes())?;
    let server = Running::start(Command::new(program).arg("serve").arg(&config))?;
    let base = format!("http://127.0.0.1:{port}");
    answers(&client()?, &format!("{base}/v2/")).await?;
    let target = Target::new("distribution", &base)?;
    let figures = target.measure().await?;
    let resident = target.large(&server).await?;
    println!(
        "{:<44} {resident:>9.1} MiB",
        "distribution: most resident for the same"
    );
    Ok(figures)
}

/// A registry under measurement.
#[derive(Clone)]
struct Target {
    who: &'static str,
    base: String,
    client: Client,
}

/// An image of one layer, and the tag that it gets.
#[derive(Clone)]
struct Image {
    layer: (String, Bytes),
    manifest: Bytes,
    tag: String,
}

/// The configuration that all images share, as many real ones do.
const CONFIG: &[u8] = b"{}";

impl Target {
    fn new(who: &'static str, base: &str) -> anyhow::Result<Self> {
        Ok(Self {
            who,
            base: base.to_owned(),
            client: client()?,
        })
    }

    /// Every size, number of connections and mix.
    async fn measure(&self) -> anyhow::Result<Vec<(String, Figures)>> {
        self.push_blob(&digest(CONFIG), Bytes::from_static(CONFIG))
            .await?;
        let mut all = Vec::new();
        for (size, bytes, count) in SIZES {
            for connections in CONNECTIONS {
                let first = images(bytes, count, &format!("{connections}-first"));
                let second = images(bytes, count, &format!("{connections}-second"));
                let (pushed, mixed) = (first.clone(), [first.clone(), second].concat());
                for (name, figures) in [
                    ("push", self.each(connections, pushed, Self::push).await?),
                    ("pull", self.each(connections, first, Self::pull).await?),
                    // Of two neighbours one is pulled, which was pushed above, and one pushed.
                    ("mixed", self.mixed(connections, mixed).await?),
                ] {
                    let name = format!("{name} {size}, {connections} connections");
                    println!("{}", figures.line(&format!("{}: {name}", self.who)));
                    all.push((name, figures));
                }
            }
        }
        Ok(all)
    }

    async fn each<F>(
        &self,
        connections: usize,
        images: Vec<Image>,
        act: fn(Self, Image) -> F,
    ) -> anyhow::Result<Figures>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (target, images) = (self.clone(), Arc::new(images));
        drive(connections, images.len(), move |number| {
            act(target.clone(), images[number].clone())
        })
        .await
    }

    async fn mixed(&self, connections: usize, images: Vec<Image>) -> anyhow::Result<Figures> {
        let (target, images) = (self.clone(), Arc::new(images));
        let half = images.len() / 2;
        drive(connections, images.len(), move |number| {
            let (target, images) = (target.clone(), images.clone());
            async move {
                match number % 2 {
                    0 => target.pull(images[number / 2].clone()).await,
                    _ => target.push(images[half + number / 2].clone()).await,
                }
            }
        })
        .await
    }

    /// As most clients push: a session and one PUT for the layer, a look for the configuration, the
    /// manifest under a tag.
    async fn push(self, image: Image) -> anyhow::Result<()> {
        let (layer, bytes) = image.layer;
        self.push_blob(&layer, bytes).await?;
        let head = Shot {
            method: Method::HEAD,
            ..Shot::get(self.blob(&digest(CONFIG)))
        };
        head.send(&self.client).await?;
        let put = Shot {
            method: Method::PUT,
            body: image.manifest,
            status: 201,
            ..Shot::get(self.manifest(&image.tag))
        };
        put.header("content-type", MANIFEST)
            .send(&self.client)
            .await?;
        Ok(())
    }

    /// The manifest by its tag, then the layer.
    async fn pull(self, image: Image) -> anyhow::Result<()> {
        let get = Shot::get(self.manifest(&image.tag)).header("accept", MANIFEST);
        let manifest = get.send(&self.client).await?.body;
        anyhow::ensure!(manifest == image.manifest, "another manifest came back");
        let layer = Shot::get(self.blob(&image.layer.0))
            .send(&self.client)
            .await?
            .body;
        anyhow::ensure!(
            layer.len() == image.layer.1.len(),
            "another layer came back"
        );
        Ok(())
    }

    async fn push_blob(&self, digest: &str, bytes: Bytes) -> anyhow::Result<()> {
        let put = Shot {
            method: Method::PUT,
            body: bytes,
            status: 201,
            ..Shot::get(self.session(digest).await?)
        };
        put.send(&self.client).await.map(drop)
    }

    /// Where a blob is to be put.
    async fn session(&self, digest: &str) -> anyhow::Result<String> {
        let start = Shot {
            method: Method::POST,
            status: 202,
            ..Shot::get(format!("{}/v2/bench/blobs/uploads/", self.base))
        };
        let answer = start.send(&self.client).await?;
        let location = answer
            .headers
            .get("location")
            .context("no location")?
            .to_str()?;
        let base = if location.starts_with('/') {
            self.base.as_str()
        } else {
            ""
        };
        let mark = if location.contains('?') { '&' } else { '?' };
        Ok(format!("{base}{location}{mark}digest={digest}"))
    }

    fn blob(&self, digest: &str) -> String {
        format!("{}/v2/bench/blobs/{digest}", self.base)
    }

    fn manifest(&self, reference: &str) -> String {
        format!("{}/v2/bench/manifests/{reference}", self.base)
    }

    /// How long a listing takes with so many referrers of one subject, and as many of others.
    async fn referrers(&self) -> anyhow::Result<()> {
        let mut pushed = 0;
        for count in REFERRERS {
            while pushed < count {
                for subject in ["subject", &format!("other {pushed}")] {
                    let manifest = referrer(subject, pushed);
                    let put = Shot {
                        method: Method::PUT,
                        body: manifest.clone(),
                        status: 201,
                        ..Shot::get(self.manifest(&digest(&manifest)))
                    };
                    put.header("content-type", MANIFEST)
                        .send(&self.client)
                        .await?;
                }
                pushed += 1;
            }
            let subject = digest(b"subject");
            let list = Shot::get(format!("{}/v2/bench/referrers/{subject}", self.base));
            let (client, list) = (self.client.clone(), Arc::new(list));
            let figures = drive(1, 50, move |_| {
                let (client, list) = (client.clone(), list.clone());
                async move { list.send(&client).await.map(drop) }
            })
            .await?;
            row(
                &format!("referrers listing of {count}, p50"),
                figures.p50_ms,
                5.0,
                "ms",
            );
        }
        Ok(())
    }

    /// The most that `server` had in memory while clients push large blobs at once.
    async fn large(&self, server: &Running) -> anyhow::Result<f64> {
        let (bytes, clients) = LARGE;
        let piece = Bytes::from(noise(1 << 20));
        let pieces = bytes / piece.len();
        let whole = crypto::Hasher::new(crypto::HashAlgorithm::Sha256);
        let whole = (0..pieces).fold(whole, |mut hasher, _| {
            hasher.update(&piece);
            hasher
        });
        let digest = format!("sha256:{}", hex::encode(whole.finish()));
        let done = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let uploads: Vec<_> = (0..clients)
            .map(|_| {
                let (target, digest) = (self.clone(), digest.clone());
                let (piece, done) = (piece.clone(), done.clone());
                tokio::spawn(async move {
                    let url = target.session(&digest).await?;
                    let body = reqwest::Body::wrap(Repeated {
                        piece,
                        left: pieces,
                    });
                    let put = target.client.put(url).timeout(LARGE_MAX).body(body);
                    let answer = put.send().await?;
                    done.fetch_add(1, Ordering::SeqCst);
                    anyhow::ensure!(answer.status() == 201, "{}", answer.status());
                    anyhow::Ok(())
                })
            })
            .collect();
        while done.load(Ordering::SeqCst) < clients && !uploads.iter().any(|it| it.is_finished()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for upload in uploads {
            upload.await??;
        }
        let mebibytes = (bytes >> 20) * clients;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = mebibytes as f64 / started.elapsed().as_secs_f64();
        println!(
            "{:<44} {rate:>9.0} MiB/s",
            format!("{}: 10 pushes of 1 GB", self.who)
        );
        server.peak_mebibytes()
    }
}

/// A body of one piece again and again.
struct Repeated {
    piece: Bytes,
    left: usize,
}

impl http_body::Body for Repeated {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        self.left -= 1;
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(self.piece.clone()))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact((self.left * self.piece.len()) as u64)
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(crypto::sha256(bytes)))
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes + 32);
    while noise.len() < bytes {
        noise.extend(crypto::sha256(&noise.len().to_be_bytes()));
    }
    noise.truncate(bytes);
    noise
}

/// Images of different layers: one buffer of noise, each with its own first bytes.
fn images(bytes: usize, count: usize, salt: &str) -> Vec<Image> {
    let noise = noise(bytes);
    (0..count)
        .map(|number| {
            let tag = format!("{bytes}-{salt}-{number}");
            let mut layer = noise.clone();
            layer[..32].copy_from_slice(&crypto::sha256(tag.as_bytes()));
            let layer_digest = digest(&layer);
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": digest(CONFIG), "size": CONFIG.len(),
                },
                "layers": [{
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": layer_digest, "size": layer.len(),
                }],
            });
            Image {
                layer: (layer_digest, Bytes::from(layer)),
                manifest: manifest.to_string().into(),
                tag,
            }
        })
        .collect()
}

/// A manifest about `subject`, with the shared configuration for its only layer.
fn referrer(subject: &str, number: usize) -> Bytes {
    let config = json!({
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(CONFIG), "size": CONFIG.len(),
    });
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example",
        "config": config, "layers": [config], "annotations": {"number": number.to_string()},
        "subject": {"mediaType": MANIFEST, "digest": digest(subject.as_bytes()), "size": 2},
    })
    .to_string()
    .into()
}
