//! Which manifest goes into which repository under which tag, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, RepositoryName, Tag, fallback_subject};

use crate::{
    Error, ImportOptions, ImportedImage, Nameless, Warning,
    graph::{Graph, Node, Role},
    layout::{self, Kind, Name, Root},
};

/// What one repository gets.
#[derive(Debug, Default)]
pub(crate) struct RepositoryPlan {
    pub(crate) tags: BTreeMap<Tag, Digest>,
    pub(crate) manifests: BTreeSet<Digest>,
}

/// Everything that is to be pushed, and what the report says of it.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) repositories: BTreeMap<RepositoryName, RepositoryPlan>,
    pub(crate) images: Vec<ImportedImage>,
    pub(crate) nameless: Vec<Nameless>,
    pub(crate) warnings: Vec<Warning>,
}

/// A tag that belongs to the repositories that hold a digest.
type Legacy = BTreeMap<Digest, Vec<(Tag, Digest)>>;

struct Planner<'a> {
    graph: &'a Graph,
    options: &'a ImportOptions,
    referrers: BTreeMap<&'a Digest, Vec<&'a Digest>>,
    /// Referrers that have a repository of their own and do not follow their subject.
    placed: BTreeSet<Digest>,
    legacy: Legacy,
    wanted: Vec<(RepositoryName, Option<Tag>, Digest)>,
    nameless: Vec<(Option<Tag>, Digest)>,
    images: Vec<(RepositoryName, Option<Tag>, Digest)>,
}

/// Decides for every listed manifest where it goes.
pub(crate) fn plan(graph: &Graph, roots: &[Root], options: &ImportOptions) -> Result<Plan, Error> {
    if roots.is_empty() {
        return Err(Error::NoImages);
    }
    let mut planner = Planner {
        graph,
        options,
        referrers: graph.referrers(),
        placed: BTreeSet::new(),
        legacy: Legacy::new(),
        wanted: Vec::new(),
        nameless: Vec::new(),
        images: Vec::new(),
    };
    for root in roots {
        planner.place(root, roots);
    }
    planner.place_nameless();
    planner.finish()
}

impl Planner<'_> {
    fn place(&mut self, root: &Root, roots: &[Root]) {
        let digest = &root.descriptor.digest;
        let Some(node) = self.graph.nodes.get(digest) else {
            return;
        };
        let is_fallback = |tag: &Tag| node.is_index && fallback_subject(tag).is_some();
        match (&root.kind, &root.name) {
            (Kind::Referrer, _) => {}
            (Kind::Legacy(suffix), _) => {
                let image = signed_image(root, roots);
                let subject = image.map(|image| &image.descriptor.digest);
                let tag = subject.and_then(|subject| layout::legacy_tag(subject, suffix));
                match (subject, tag) {
                    (Some(subject), Some(tag)) => self.follow(subject.clone(), tag, digest),
                    _ => self.nameless.push((None, digest.clone())),
                }
            }
            // An index of referrers is made anew where the registry needs one.
            (Kind::Image, Name::Full { tag: Some(tag), .. } | Name::Tag(tag))
                if is_fallback(tag) => {}
            (Kind::Image, Name::Full { repository, tag }) => {
                let repository = self.renamed(repository);
                if node.subject.is_some() {
                    self.placed.insert(digest.clone());
                } else if !tag.as_ref().is_some_and(is_legacy) {
                    self.images
                        .push((repository.clone(), tag.clone(), digest.clone()));
                }
                self.wanted.push((repository, tag.clone(), digest.clone()));
            }
            (Kind::Image, Name::Tag(tag)) => match layout::legacy_subject(tag) {
                Some(subject) if self.options.repository.is_none() => {
                    self.follow(subject, tag.clone(), digest);
                }
                _ => self.nameless.push((Some(tag.clone()), digest.clone())),
            },
            (Kind::Image, Name::Nothing) => self.nameless.push((None, digest.clone())),
        }
    }

    fn follow(&mut self, subject: Digest, tag: Tag, digest: &Digest) {
        self.legacy
            .entry(subject)
            .or_default()
            .push((tag, digest.clone()));
    }

    fn renamed(&self, repository: &RepositoryName) -> RepositoryName {
        let rule = self
            .options
            .rename
            .iter()
            .find(|rule| rule.from == *repository);
        rule.map_or(repository, |rule| &rule.to).clone()
    }

    /// Gives the repository of the options to what has none. What follows something else needs none.
    fn place_nameless(&mut self) {
        let graph = self.graph;
        let followers = followers(graph);
        let is_image = |digest: &Digest| !followers.contains(digest);
        self.nameless
            .retain(|(tag, digest)| tag.is_some() || is_image(digest));
        let Some(repository) = &self.options.repository else {
            return;
        };
        let lone = self
            .nameless
            .iter()
            .filter(|(_, digest)| is_image(digest))
            .count()
            == 1;
        for (tag, digest) in std::mem::take(&mut self.nameless) {
            let given = self
                .options
                .tag
                .clone()
                .filter(|_| lone && is_image(&digest));
            let tag = tag.or(given);
            if !tag.as_ref().is_some_and(is_legacy) && is_image(&digest) {
                self.images
                    .push((repository.clone(), tag.clone(), digest.clone()));
            }
            self.wanted.push((repository.clone(), tag, digest));
        }
    }

    fn finish(mut self) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        while let Some((repository, tag, digest)) = self.wanted.pop() {
            let place = plan.repositories.entry(repository.clone()).or_default();
            if let Some(tag) = tag {
                place.tags.insert(tag, digest.clone());
            }
            let Some(node) = self.graph.nodes.get(&digest) else {
                continue;
            };
            if !place.manifests.insert(digest.clone()) {
                continue;
            }
            let mut add = |tag, digest: &Digest| {
                self.wanted.push((repository.clone(), tag, digest.clone()));
            };
            node.children.iter().for_each(|child| add(None, child));
            let referrers = self.referrers.get(&digest).into_iter().flatten();
            referrers
                .filter(|it| !self.placed.contains(**it))
                .for_each(|it| add(None, it));
            let legacy = self.legacy.get(&digest).into_iter().flatten();
            legacy.for_each(|(tag, manifest)| add(Some(tag.clone()), manifest));
        }
        self.report(&mut plan);
        if plan.repositories.is_empty() {
            return Err(Error::NoNames {
                count: plan.nameless.len(),
            });
        }
        Ok(plan)
    }

    fn report(&self, plan: &mut Plan) {
        let everywhere: BTreeSet<&Digest> = plan
            .repositories
            .values()
            .flat_map(|place| &place.manifests)
            .collect();
        for (tag, digest) in &self.nameless {
            if !everywhere.contains(digest) {
                plan.nameless.push(Nameless {
                    digest: digest.clone(),
                    tag: tag.clone(),
                });
            }
        }
        let unlisted: BTreeSet<&Digest> = plan.nameless.iter().map(|it| &it.digest).collect();
        for (digest, node) in &self.graph.nodes {
            if let Some(subject) = &node.subject
                && !self.graph.nodes.contains_key(subject)
                && !everywhere.contains(digest)
                && !unlisted.contains(digest)
            {
                let (digest, subject) = (digest.clone(), subject.clone());
                plan.warnings.push(Warning::Orphan { digest, subject });
            }
        }
        for (repository, tag, digest) in &self.images {
            let count = |role| self.count(plan, digest, role);
            plan.images.push(ImportedImage {
                repository: repository.to_string(),
                tag: tag.clone(),
                digest: digest.clone(),
                signatures: count(Role::Signature),
                attestations: count(Role::Attestation),
            });
        }
        plan.images
            .sort_by(|a, b| (&a.repository, &a.tag).cmp(&(&b.repository, &b.tag)));
        plan.images.dedup();
    }

    /// Referrers of that role, and layers under the tag of that role, wherever they go.
    fn count(&self, plan: &Plan, subject: &Digest, role: Role) -> u64 {
        let nodes = &self.graph.nodes;
        let referrers = self.referrers.get(subject).into_iter().flatten();
        let direct = referrers
            .filter(|it| nodes.get(**it).is_some_and(|n| n.role == role))
            .count();
        let suffix = if role == Role::Signature {
            "sig"
        } else {
            "att"
        };
        let tag = layout::legacy_tag(subject, suffix);
        let tagged: BTreeSet<&Digest> = plan
            .repositories
            .values()
            .filter_map(|place| tag.as_ref().and_then(|tag| place.tags.get(tag)))
            .collect();
        let layers: usize = tagged
            .into_iter()
            .filter_map(|it| nodes.get(it))
            .map(|node| node.layers)
            .sum();
        (direct + layers) as u64
    }
}

/// What goes where something else goes: children of indexes, and what is about something in the
/// archive.
fn followers(graph: &Graph) -> BTreeSet<&Digest> {
    let nodes = &graph.nodes;
    let children = nodes.values().flat_map(|node| &node.children);
    let is_led = |node: &Node| {
        node.subject
            .as_ref()
            .is_some_and(|it| nodes.contains_key(it))
    };
    let referrers = nodes
        .iter()
        .filter(|(_, node)| is_led(node))
        .map(|(digest, _)| digest);
    children.chain(referrers).collect()
}

fn is_legacy(tag: &Tag) -> bool {
    layout::legacy_subject(tag).is_some()
}

/// The image that an entry of signatures belongs to: that of the same name, else the only one.
fn signed_image<'a>(root: &Root, roots: &'a [Root]) -> Option<&'a Root> {
    let mut images = roots.iter().filter(|other| other.kind == Kind::Image);
    if root.name == Name::Nothing {
        images.next().filter(|_| images.next().is_none())
    } else {
        images.find(|other| other.name == root.name)
    }
}

/// The manifests of a repository so that everything comes after what it names: children and blobs
/// before indexes, subjects before referrers. All that is not a referrer comes first.
pub(crate) fn order<'a>(graph: &Graph, place: &'a RepositoryPlan) -> Vec<&'a Digest> {
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    let is_referrer = |digest: &Digest| graph.nodes[digest].subject.is_some();
    let (referrers, others): (Vec<&Digest>, Vec<&Digest>) = place
        .manifests
        .iter()
        .partition(|digest| is_referrer(digest));
    for start in others.into_iter().chain(referrers) {
        // A stack of its own: a hostile archive may chain a hundred thousand subjects.
        let mut stack = vec![(start, false)];
        while let Some((digest, is_done)) = stack.pop() {
            if is_done {
                ordered.push(digest);
                continue;
            }
            if !seen.insert(digest) {
                continue;
            }
            stack.push((digest, true));
            let node = &graph.nodes[digest];
            let before = node.children.iter().chain(&node.subject);
            stack.extend(
                before
                    .filter_map(|it| place.manifests.get(it))
                    .map(|it| (it, false)),
            );
        }
    }
    ordered
}
