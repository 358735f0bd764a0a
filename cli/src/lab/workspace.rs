//! The working folder of an exercise, and what is remembered about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use labs::{Exercise, Pod, Values};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arguments::Work;
use crate::{client::Lab, output::Advise as _};

/// In the exercise's folder.
const STATE: &str = ".state.json";

/// In the working folder: the best result of each exercise.
const RESULTS: &str = ".results.json";

/// Folder of what was set aside.
const OLD: &str = "old";

/// What `siglab lab start` did, and what checks have seen since.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct State {
    /// The lab that it was done in.
    pub(crate) instance: String,
    /// Folder that the webhook reads.
    pub(crate) policies: PathBuf,
    /// The cluster that it was done in.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Images by name.
    pub(crate) images: BTreeMap<String, Placed>,
    /// Checks that stay passed.
    pub(crate) remembered: BTreeSet<String>,
    /// Objects of the cluster as they were.
    pub(crate) before: Vec<Value>,
}

/// What a check of a whole exercise came to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Grade {
    pub(crate) points: u32,
    pub(crate) of: u32,
}

/// The best result of each exercise, by the names of their folders.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn results(dir: &Path) -> anyhow::Result<BTreeMap<String, Grade>> {
    let path = absolute(dir)?.join(RESULTS);
    let bytes = runtime::files::read_optional(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let results = bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose();
    Ok(results
        .advise(
            format!("{} is not what check wrote", path.display()),
            format!("rm {}", path.display()),
        )?
        .unwrap_or_default())
}

/// An image in the registry.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Placed {
    /// `registry/repository:tag`.
    pub(crate) tag: String,
    /// `registry/repository@digest`.
    pub(crate) digest: String,
}

/// An exercise and its folder.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) exercise: Exercise,
    pub(crate) state: State,
    /// The working folder of all exercises.
    dir: PathBuf,
}

impl Workspace {
    /// The exercise that was started in this folder.
    ///
    /// # Errors
    /// That there is none, or not of this number.
    pub(crate) fn open(work: &Work) -> anyhow::Result<Self> {
        let dir = absolute(&work.place.dir)?;
        let (shown, elsewhere) = (dir.display(), "(or name its folder: --dir DIR)");
        let exercise = match work.number {
            Some(number) => find(number)?,
            None => started(&dir)?.advise(
                format!("no exercise is started in {shown}"),
                format!("siglab lab start 1    {elsewhere}"),
            )?,
        };
        let path = dir.join(&exercise.slug).join(STATE);
        let bytes = runtime::files::read_optional(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let number = exercise.number;
        let bytes = bytes.advise(
            format!("exercise {number} is not started in {shown}"),
            format!("siglab lab start {number}    {elsewhere}"),
        )?;
        let state = serde_json::from_slice(&bytes).advise(
            format!("{} is not what start wrote", path.display()),
            format!("rm -r {}", dir.join(&exercise.slug).display()),
        )?;
        Ok(Self {
            exercise,
            state,
            dir,
        })
    }

    /// A place for an exercise that is about to be started.
    ///
    /// # Errors
    /// When one is started already.
    pub(crate) fn new(number: usize, dir: PathBuf, state: State) -> anyhow::Result<Self> {
        let exercise = find(number)?;
        if let Some(other) = started(&dir)? {
            return None.advise(
                format!("exercise {} is started in {}", other.number, dir.display()),
                format!("siglab lab reset {}", other.number),
            );
        }
        Ok(Self {
            exercise,
            state,
            dir,
        })
    }

    /// The exercise's own folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.join(&self.exercise.slug)
    }

    /// Writes a file into the exercise's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        write(&self.folder().join(name), text)
    }

    /// Keeps what is remembered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        self.write(STATE, &serde_json::to_string_pretty(&self.state)?)
    }

    /// Keeps a result, unless there is a better one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn record(&self, grade: Grade) -> anyhow::Result<()> {
        let mut results = results(&self.dir)?;
        let best = results.get(&self.exercise.slug).map(|grade| grade.points);
        if best.is_none_or(|best| best < grade.points) {
            results.insert(self.exercise.slug.clone(), grade);
            write(
                &self.dir.join(RESULTS),
                &serde_json::to_string_pretty(&results)?,
            )?;
        }
        Ok(())
    }

    /// What the names in texts stand for.
    ///
    /// # Errors
    /// When the lab does not serve everything.
    pub(crate) fn values(&self, lab: &Lab) -> anyhow::Result<Values> {
        let mut values = Values::default();
        let oidc = lab.url("oidc", "http")?;
        values.set("registry", lab.registry_name()?);
        values.set("fulcio", lab.url("fulcio", "http")?);
        values.set("rekor", lab.url("rekor", "v1")?);
        values.set("issuer", format!("{oidc}/github-actions"));
        values.set("oidc", oidc);
        values.set("webhook", lab.url("admission", "https")?);
        values.set("dir", self.folder().display().to_string());
        values.set("policies", self.state.policies.display().to_string());
        for (name, image) in &self.state.images {
            values.set(&format!("image:{name}"), &image.digest);
            values.set(&format!("tag:{name}"), &image.tag);
        }
        Ok(values)
    }

    /// A Pod of the exercise as an object.
    pub(crate) fn pod(&self, pod: &Pod) -> Value {
        let image = match self.state.images.get(&pod.image) {
            Some(image) if pod.tagged => &image.tag,
            Some(image) => &image.digest,
            None => &pod.image,
        };
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "spec": {"containers": [{"name": "app", "image": image}]},
        });
        if !pod.labels.is_empty() {
            object["metadata"]["labels"] = json!(pod.labels);
        }
        object
    }

    /// Moves the exercise's files and its policies aside, and says where they are.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn set_aside(&self) -> anyhow::Result<PathBuf> {
        let old = self.dir.join(OLD);
        fs::create_dir_all(&old).with_context(|| format!("cannot make {}", old.display()))?;
        let names = (1..).map(|count| old.join(format!("{}.{count}", self.exercise.slug)));
        let kept = names
            .take(10_000)
            .find(|path| !path.exists())
            .context("too many attempts are kept already")?;
        move_folder(&self.folder(), &kept)?;
        for file in files(&self.state.policies)? {
            let name = file.file_name().context("a file without a name")?;
            let to = kept.join("policies");
            fs::create_dir_all(&to)?;
            fs::copy(&file, to.join(name))
                .and_then(|_| fs::remove_file(&file))
                .with_context(|| format!("cannot move {}", file.display()))?;
        }
        let _ = fs::remove_file(kept.join(STATE));
        Ok(kept)
    }
}

/// The exercise that is started in a folder.
fn started(dir: &Path) -> anyhow::Result<Option<Exercise>> {
    let mut all = labs::exercises()?.into_iter();
    Ok(all.find(|exercise| dir.join(&exercise.slug).join(STATE).exists()))
}

fn find(number: usize) -> anyhow::Result<Exercise> {
    labs::find(number).advise("no such exercise", "siglab lab list")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a folder of exercises need not survive a power cut"
)]
fn move_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot move {}", from.display()))
}

/// A path that means the same to the webhook.
///
/// # Errors
/// When there is no current folder.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no folder's name", path.display()))
}

/// Writes a file that others may read, the webhook among them.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().with_context(cannot)?).with_context(cannot)?;
    runtime::files::replace_with_mode(path, text.as_bytes(), 0o644).with_context(cannot)
}

/// The files that the webhook reads in a folder; none, if there is no folder.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(cannot)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(cannot)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
