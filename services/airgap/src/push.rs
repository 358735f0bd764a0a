//! Writes a plan to a registry in the order that every registry accepts, and skips what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use oci::{
    Descriptor, Digest, Manifest, Opaque, Reference, RepositoryName, fallback_tag, index_bytes,
    media_type, referrer_descriptor,
};

use crate::{
    Endpoints, Error, ImportReport, OnProgress, Phase, Warning,
    graph::{Graph, Node},
    plan::{self, Plan, RepositoryPlan},
    progress::Meter,
    remote::{Pushed, Referrers, Remote},
};

/// Blobs that are pushed at the same time.
const BLOBS_AT_ONCE: usize = 4;

struct Push<'a> {
    graph: &'a Graph,
    blobs: Meter,
    manifests: Meter,
    /// Blobs that an earlier repository has.
    elsewhere: BTreeMap<Digest, RepositoryName>,
}

/// Pushes everything in `plan`, and counts it in `report`.
pub(crate) async fn push(
    graph: &Graph,
    plan: &Plan,
    endpoints: &Endpoints,
    registry: &str,
    report: &mut ImportReport,
    progress: &OnProgress,
) -> Result<(), Error> {
    let places = plan.repositories.values();
    let bytes = places
        .clone()
        .flat_map(|place| blobs(graph, place))
        .map(|it| size(graph, it));
    let links = places
        .map(|place| place.manifests.len() + place.tags.len())
        .sum::<usize>();
    let mut push = Push {
        graph,
        blobs: Meter::new(progress, Phase::Push, bytes.sum()),
        manifests: Meter::new(progress, Phase::Link, links as u64),
        elsewhere: BTreeMap::new(),
    };
    for (repository, place) in &plan.repositories {
        let remote = endpoints.remote(registry, repository, true)?;
        push.blobs(&remote, place, report).await?;
        let replaced = push.manifests(&remote, place, report).await?;
        push.tags(&remote, place, &replaced, report).await?;
    }
    Ok(())
}

fn size(graph: &Graph, digest: &Digest) -> u64 {
    graph
        .contents
        .get(digest)
        .map_or(0, |(content, _)| content.size())
}

fn blobs<'a>(graph: &'a Graph, place: &RepositoryPlan) -> BTreeSet<&'a Digest> {
    let nodes = place
        .manifests
        .iter()
        .filter_map(|digest| graph.nodes.get(digest));
    nodes.flat_map(|node| &node.blobs).collect()
}

impl Push<'_> {
    async fn blobs(
        &mut self,
        remote: &Remote,
        place: &RepositoryPlan,
        report: &mut ImportReport,
    ) -> Result<(), Error> {
        let done = Mutex::new(Vec::new());
        let wanted = blobs(self.graph, place);
        stream::iter(&wanted)
            .map(Ok::<_, Error>)
            .try_for_each_concurrent(BLOBS_AT_ONCE, |digest| {
                let (graph, meter, done) = (self.graph, &self.blobs, &done);
                let from = self.elsewhere.get(*digest);
                async move {
                    let (content, _) = graph.contents.get(*digest).expect("the graph is checked");
                    meter.item(digest.to_string());
                    let pushed = remote.push_blob(digest, content, from, meter).await?;
                    let mut done = done.lock().expect("nothing panics with the lock");
                    done.push((pushed, content.size()));
                    Ok(())
                }
            })
            .await?;
        for (pushed, size) in done.into_inner().expect("nothing panics with the lock") {
            match pushed {
                Pushed::Present => report.blobs_present += 1,
                Pushed::Mounted => report.blobs_pushed += 1,
                Pushed::Uploaded => {
                    report.blobs_pushed += 1;
                    report.bytes_pushed += size;
                }
            }
        }
        for digest in wanted {
            let repository = remote.repository().clone();
            self.elsewhere.entry(digest.clone()).or_insert(repository);
        }
        Ok(())
    }

    /// Pushes manifests by digest. Returns what stands in for incomplete indexes that the registry
    /// refuses.
    async fn manifests(
        &self,
        remote: &Remote,
        place: &RepositoryPlan,
        report: &mut ImportReport,
    ) -> Result<BTreeMap<Digest, Digest>, Error> {
        let mut replaced = BTreeMap::new();
        let mut unlisted: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for digest in plan::order(self.graph, place) {
            let node = &self.graph.nodes[digest];
            self.manifests.item(digest.to_string());
            let reference = Reference::Digest(digest.clone());
            let mut is_listed = false;
            if remote.has_manifest(digest).await? {
                report.manifests_present += 1;
            } else {
                let bytes = read(digest, node)?;
                match remote
                    .push_manifest(&reference, &node.media_type, &bytes)
                    .await
                {
                    Ok(knows_subject) => {
                        is_listed = knows_subject;
                        report.manifests_pushed += 1;
                    }
                    Err(error) => {
                        let image = only_image(node).filter(|_| is_refusal(&error));
                        let Some(image) = image else {
                            return Err(error);
                        };
                        let (index, image) = (digest.clone(), image.clone());
                        replaced.insert(index.clone(), image.clone());
                        report
                            .warnings
                            .push(Warning::SparseIndexReplaced { index, image });
                    }
                }
            }
            if let Some(subject) = node.subject.as_ref().filter(|_| !is_listed) {
                unlisted.entry(subject).or_default().push(digest);
            }
            self.manifests.add(1);
        }
        self.fallbacks(remote, &unlisted).await?;
        Ok(replaced)
    }

    /// Keeps the index of referrers under a tag where the registry does not keep one itself,
    /// distribution-spec "Pushing Manifests with Subject".
    async fn fallbacks(
        &self,
        remote: &Remote,
        unlisted: &BTreeMap<&Digest, Vec<&Digest>>,
    ) -> Result<(), Error> {
        for (subject, referrers) in unlisted {
            if matches!(remote.referrers(subject).await?, Referrers::Listed(_)) {
                // One answer is enough: a registry has the API or has it not.
                return Ok(());
            }
            let mut listed = remote.fallback(subject).await?;
            let known: BTreeSet<Digest> = listed.iter().map(|it| it.digest.clone()).collect();
            let before = listed.len();
            for digest in referrers.iter().filter(|it| !known.contains(**it)) {
                listed.push(descriptor(digest, &self.graph.nodes[*digest])?);
            }
            if listed.len() == before {
                continue;
            }
            listed.sort_by(|a, b| a.digest.cmp(&b.digest));
            let bytes = index_bytes(&listed).expect("descriptors are JSON").into();
            let tag = Reference::Tag(fallback_tag(subject));
            remote
                .push_manifest(&tag, media_type::IMAGE_INDEX, &bytes)
                .await?;
        }
        Ok(())
    }

    async fn tags(
        &self,
        remote: &Remote,
        place: &RepositoryPlan,
        replaced: &BTreeMap<Digest, Digest>,
        report: &mut ImportReport,
    ) -> Result<(), Error> {
        for (tag, digest) in &place.tags {
            self.manifests.item(tag.to_string());
            let digest = replaced.get(digest).unwrap_or(digest);
            let before = remote.tagged(tag).await?.flatten();
            if before.as_ref() != Some(digest) {
                let node = &self.graph.nodes[digest];
                remote
                    .tag(tag, digest, &node.media_type, &read(digest, node)?)
                    .await?;
                report
                    .warnings
                    .extend(before.map(|before| Warning::TagMoved {
                        repository: remote.repository().clone(),
                        tag: tag.clone(),
                        before,
                    }));
            }
            self.manifests.add(1);
        }
        Ok(())
    }
}

fn read(digest: &Digest, node: &Node) -> Result<bytes::Bytes, Error> {
    node.content
        .read()
        .map_err(Error::file("read", digest.to_string()))
}

fn descriptor(digest: &Digest, node: &Node) -> Result<Descriptor, Error> {
    let bytes = read(digest, node)?;
    let manifest =
        Manifest::parse(&bytes, Some(&node.media_type), Opaque::Refuse).map_err(|source| {
            Error::Manifest {
                item: digest.to_string(),
                source,
            }
        })?;
    Ok(referrer_descriptor(
        &manifest,
        digest.clone(),
        node.content.size(),
    ))
}

/// The one image of an incomplete index; what build tools attach to it does not count.
fn only_image(node: &Node) -> Option<&Digest> {
    let mut images = node
        .children
        .iter()
        .filter(|child| !node.attached.contains(*child));
    let first = images.next().filter(|_| node.missing > 0)?;
    images.next().is_none().then_some(first)
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused {
            status: 400..=499,
            ..
        }
    )
}
