//! An exercise as it is written: one TOML file, its texts, and files for the working folder.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Every file of every exercise: its name below this crate's folder, and its text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Why an exercise cannot be used. Exercises are part of the program, so this is a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum ExerciseError {
    /// The folder has no file of this name.
    #[error("exercise {slug} has no {file}")]
    Missing {
        /// Folder.
        slug: String,
        /// File in it.
        file: String,
    },
    /// The TOML does not parse.
    #[error("exercise {slug} is not as it must be")]
    Toml {
        /// Folder.
        slug: String,
        /// What and where.
        #[source]
        source: toml::de::Error,
    },
    /// A check asks for nothing, or for more than one thing.
    #[error("check {check} of exercise {slug} must ask for one thing")]
    Ambiguous {
        /// Folder.
        slug: String,
        /// Its check.
        check: String,
    },
    /// There is no exercise of this number.
    #[error("there is no exercise {number}, only 1 to {last}")]
    Unknown {
        /// Asked for.
        number: usize,
        /// The last one.
        last: usize,
    },
}

/// An exercise.
#[derive(Clone, Debug)]
pub struct Exercise {
    /// From 1.
    pub number: usize,
    /// Name of its folder: `01-slug`.
    pub slug: String,
    /// What the TOML says about it as a whole.
    pub title: String,
    /// One line for the list.
    pub summary: String,
    /// How long it takes, about.
    pub minutes: u32,
    /// Parts of the examinations that it is about.
    pub domain: String,
    /// Settings of the controller.
    pub settings: Settings,
    /// Namespaces beside `default` and those of every cluster.
    pub namespaces: Vec<Namespace>,
    /// Images to push and sign.
    pub images: Vec<Image>,
    /// Pods of checks and for the student.
    pub pods: Vec<Pod>,
    /// What is done to the webhook's registrations.
    pub patches: Vec<Patch>,
    /// What there is to do.
    pub tasks: Vec<Task>,
    /// One way to do it, in order.
    pub solution: Vec<Change>,
    /// Ways that do not.
    pub wrong: Vec<Wrong>,
    /// The text before the tasks, Markdown with `${names}`.
    pub text: &'static str,
    /// The text when everything is done, Markdown with `${names}`.
    pub after: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Source {
    title: String,
    summary: String,
    minutes: u32,
    domain: String,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    namespaces: Vec<Namespace>,
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    pods: Vec<Pod>,
    #[serde(default)]
    patches: Vec<Patch>,
    tasks: Vec<TaskSource>,
    solution: Vec<Change>,
    wrong: Vec<Wrong>,
}

/// Entries of the ConfigMap `config-policy-controller`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// `all` or `any`.
    pub policy_combination: Option<String>,
    /// `deny`, `allow` or `warn`.
    pub no_match_policy: Option<String>,
}

impl Settings {
    /// Both entries, the ones that are not written with their defaults.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<&'static str, String> {
        let or = |value: &Option<String>, default: &str| {
            value.clone().unwrap_or_else(|| default.to_owned())
        };
        BTreeMap::from([
            ("policy-combination", or(&self.policy_combination, "all")),
            ("no-match-policy", or(&self.no_match_policy, "deny")),
        ])
    }
}

/// A namespace.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// An image and who signed it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What other parts of the exercise call it: `${image:NAME}` is its reference by digest.
    pub name: String,
    /// Repository in the lab's registry.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Each makes one signature.
    #[serde(default)]
    pub signed: Vec<Signer>,
}

/// A token that signs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// Shape of the token, as the issuer's presets.
    #[serde(default = "github_actions")]
    pub preset: String,
    /// Claims and inputs of it.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
}

fn github_actions() -> String {
    "github-actions".to_owned()
}

/// A Pod of one container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Pod {
    /// Its name, and that of its file.
    pub name: String,
    /// Name of an image of this exercise, or a reference.
    pub image: String,
    /// By tag, which the webhook resolves, instead of by digest.
    #[serde(default)]
    pub tagged: bool,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Only the checks know it.
    #[serde(default)]
    pub hidden: bool,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// Which of the two registrations about workloads.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Registered {
    /// Tags become digests.
    Mutating,
    /// Images are checked.
    Validating,
    /// Both of them.
    Both,
}

/// Where something is done.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// With and without a cluster.
    #[default]
    Everywhere,
    /// Only in a cluster.
    Cluster,
    /// Only without one.
    Folder,
}

/// A change to a registration.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Which one.
    pub registration: Registered,
    /// JSON pointers and what is put there; texts may have `${names}`.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// JSON pointers of what is taken away.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Where it is done.
    #[serde(default)]
    pub only: Where,
}

/// Something to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it is called.
    pub title: String,
    /// Markdown with `${names}`.
    pub text: String,
    /// How it is graded.
    pub checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskSource {
    title: String,
    text: String,
    checks: Vec<CheckSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckSource {
    id: String,
    title: String,
    points: u32,
    #[serde(default)]
    pod: Option<String>,
    #[serde(default)]
    expect: Option<Expected>,
    #[serde(default)]
    unreachable: bool,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    policies: Option<PolicyRule>,
    #[serde(default)]
    answer: Option<AnswerRule>,
    #[serde(default)]
    resources: Option<Vec<String>>,
    #[serde(default)]
    remembered: bool,
    #[serde(default)]
    only: Where,
    hints: Vec<Hint>,
}

/// One thing that is graded.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name within the exercise.
    pub id: String,
    /// What is right when it passes.
    pub title: String,
    /// What it is worth.
    pub points: u32,
    /// What is looked at.
    pub what: What,
    /// It counts only when the check of this name has passed: what is right before anything was done is
    /// worth nothing.
    pub after: Option<String>,
    /// Once it has passed it stays passed.
    pub remembered: bool,
    /// Where it is graded.
    pub only: Where,
    /// What helps when it fails; the first that fits.
    pub hints: Vec<Hint>,
}

/// What a check looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// What happens to a Pod.
    Pod {
        /// Its name.
        name: String,
        /// What must happen.
        expect: Expected,
        /// As if the webhook did not answer.
        unreachable: bool,
    },
    /// The policies that are in force.
    Policies(PolicyRule),
    /// What the student wrote.
    Answer(AnswerRule),
    /// That `kubectl get` with these arguments finds something.
    Resources(Vec<String>),
}

/// What must happen to a Pod.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// It is created.
    Admitted,
    /// It is not.
    Denied,
}

/// What the policies in force must be.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyRule {
    /// How many there are.
    pub count: Option<usize>,
    /// One of this name is among them, and enforced.
    pub named: Option<String>,
}

/// What a written answer must have. Patterns are regular expressions, upper and lower case alike.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// Its file in the exercise's folder.
    pub file: String,
    /// One of these must be there.
    #[serde(default)]
    pub any: Vec<String>,
    /// None of these may be there.
    #[serde(default)]
    pub never: Vec<String>,
    /// Fewest and most words.
    #[serde(default)]
    pub words: Option<(usize, usize)>,
}

/// Help for a check that failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// Regular expression over what was observed; without, it always fits.
    #[serde(default)]
    pub when: Option<String>,
    /// The help.
    pub text: String,
}

/// A step towards a solution, or away from it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// What it does.
    pub title: String,
    /// Folder whose files are put over the working folder's.
    pub files: Option<String>,
    /// Files of the working folder that are taken away.
    pub remove: Vec<String>,
    /// Changes to the registrations.
    pub patches: Vec<Patch>,
    /// Signatures to make.
    pub sign: Vec<Signing>,
}

/// A signature to make.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Name of an image of this exercise.
    pub image: String,
    /// Who signs.
    pub by: Signer,
}

/// A solution that is none.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// Its name within the exercise.
    pub name: String,
    /// What is done.
    pub changes: Vec<Change>,
    /// The checks that fail, and no others.
    pub fails: Vec<String>,
    /// Part of a hint that is given.
    pub hint: String,
}

/// All exercises in order.
///
/// # Errors
/// The first one that is not as it must be.
pub fn exercises() -> Result<Vec<Exercise>, ExerciseError> {
    let sources = FILES
        .iter()
        .filter_map(|(name, text)| Some((name.strip_suffix("/exercise.toml")?, *text)));
    sources
        .enumerate()
        .map(|(index, (slug, text))| Exercise::read(index + 1, slug, text))
        .collect()
}

/// The exercise of this number.
///
/// # Errors
/// That there is none.
pub fn find(number: usize) -> Result<Exercise, ExerciseError> {
    let mut all = exercises()?;
    if number == 0 || number > all.len() {
        let last = all.len();
        return Err(ExerciseError::Unknown { number, last });
    }
    Ok(all.swap_remove(number - 1))
}

impl Exercise {
    fn read(number: usize, slug: &str, text: &str) -> Result<Self, ExerciseError> {
        let source: Source = toml::from_str(text).map_err(|source| ExerciseError::Toml {
            slug: slug.to_owned(),
            source,
        })?;
        let tasks = source.tasks.into_iter().map(|task| {
            let checks = task.checks.into_iter().map(|check| check.read(slug));
            Ok(Task {
                title: task.title,
                text: task.text,
                checks: checks.collect::<Result<_, _>>()?,
            })
        });
        let read = |name: &str| {
            let path = format!("{slug}/{name}");
            let found = FILES.iter().find(|(file, _)| *file == path);
            found
                .map(|(_, text)| *text)
                .ok_or_else(|| ExerciseError::Missing {
                    slug: slug.to_owned(),
                    file: name.to_owned(),
                })
        };
        Ok(Self {
            number,
            slug: slug.to_owned(),
            title: source.title,
            summary: source.summary,
            minutes: source.minutes,
            domain: source.domain,
            settings: source.settings,
            namespaces: source.namespaces,
            images: source.images,
            pods: source.pods,
            patches: source.patches,
            tasks: tasks.collect::<Result<_, ExerciseError>>()?,
            solution: source.solution,
            wrong: source.wrong,
            text: read("exercise.md")?,
            after: read("after.md")?,
        })
    }

    /// The files of one of its folders, by their names in it.
    #[must_use]
    pub fn files(&self, folder: &str) -> Vec<(&'static str, &'static str)> {
        let prefix = format!("{}/{folder}/", self.slug);
        let below = FILES
            .iter()
            .filter_map(|(name, text)| Some((name.strip_prefix(prefix.as_str())?, *text)));
        below.collect()
    }

    /// All checks that are graded here.
    pub fn checks(&self, in_cluster: bool) -> impl Iterator<Item = (usize, &Check)> {
        let elsewhere = if in_cluster {
            Where::Folder
        } else {
            Where::Cluster
        };
        let tasks = self.tasks.iter().enumerate();
        tasks
            .flat_map(|(index, task)| task.checks.iter().map(move |check| (index + 1, check)))
            .filter(move |(_, check)| check.only != elsewhere)
    }

    /// The Pod of this name.
    #[must_use]
    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// Whether the student works on the webhook's registrations.
    #[must_use]
    pub fn is_about_registrations(&self) -> bool {
        self.patches
            .iter()
            .any(|patch| patch.only != Where::Cluster)
    }
}

impl CheckSource {
    fn read(self, slug: &str) -> Result<Check, ExerciseError> {
        let ambiguous = || ExerciseError::Ambiguous {
            slug: slug.to_owned(),
            check: self.id.clone(),
        };
        let what = match (&self.pod, &self.policies, &self.answer, &self.resources) {
            (Some(name), None, None, None) => What::Pod {
                name: name.clone(),
                expect: self.expect.ok_or_else(ambiguous)?,
                unreachable: self.unreachable,
            },
            (None, Some(rule), None, None) => What::Policies(rule.clone()),
            (None, None, Some(rule), None) => What::Answer(rule.clone()),
            (None, None, None, Some(arguments)) => What::Resources(arguments.clone()),
            _ => return Err(ambiguous()),
        };
        Ok(Check {
            id: self.id,
            title: self.title,
            points: self.points,
            what,
            after: self.after,
            remembered: self.remembered,
            only: self.only,
            hints: self.hints,
        })
    }
}
