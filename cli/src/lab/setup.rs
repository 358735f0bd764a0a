//! `siglab lab start`, and the steps that solutions are made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use labs::{Change, Exercise, Image, Registered, Signer, Values};
use runtime::settings::{Settings, Sources};
use serde_json::json;

use super::{
    arguments::Start,
    folder,
    place::{Place, yaml},
    workspace::{Placed, State, Workspace, absolute},
};
use crate::{
    arguments::{self, Common},
    client::Lab,
    image, output,
    output::Advise as _,
    progress::{Bar, Unit},
    sign::{self, Claim, Who},
};

pub(crate) async fn start(common: &Common, options: &Start) -> anyhow::Result<ExitCode> {
    let lab = Lab::open(common).await?;
    let kubeconfig = options.kubeconfig.as_deref();
    let kubeconfig = kubeconfig.filter(|file| !file.is_empty());
    let dir = absolute(&options.place.dir)?;
    let state = State {
        instance: lab.status.instance.clone(),
        policies: PathBuf::new(),
        kubeconfig: kubeconfig.map(kubeconfigs).transpose()?,
        images: BTreeMap::default(),
        remembered: BTreeSet::default(),
        before: Vec::new(),
    };
    let mut workspace = Workspace::new(options.number, dir.clone(), state)?;
    workspace.state.policies = match &workspace.state.kubeconfig {
        Some(_) => workspace.folder().join("policies"),
        None => folder::watched(&lab, &candidates(options, &dir)?).await?,
    };
    let place = Place::of(&workspace, lab);
    workspace.state.before = place.prepare().await?;
    workspace.save()?;
    if let Err(error) = set_up(&mut workspace, &place, common.json).await {
        // What is there by half would be in the way of the next try.
        let _ = place.take_down(&workspace).await;
        let _ = workspace.set_aside();
        return Err(error);
    }
    show(&workspace, &place, common.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Folders that the webhook may read: the one that is named, or else the student's and that of a lab that
/// was started without a word.
fn candidates(options: &Start, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if let Some(policies) = &options.policies {
        return Ok(vec![absolute(policies)?]);
    }
    let mut candidates = vec![dir.join("policies")];
    let sources = Sources {
        environment: runtime::settings::environment(),
        ..Sources::default()
    };
    let usual =
        Settings::load(&sources).map(|settings| settings.data_dir.join("admission/policies"));
    candidates.extend(usual.ok().filter(|dir| dir.is_dir()));
    Ok(candidates)
}

/// A kubeconfig, or a list of them as kubectl reads it.
fn kubeconfigs(list: &str) -> anyhow::Result<PathBuf> {
    let mut files = Vec::new();
    for file in list.split(':').filter(|file| !file.is_empty()) {
        let path = absolute(file.as_ref())?;
        path.exists().then_some(()).advise(
            format!("there is no kubeconfig {}", path.display()),
            "siglab lab start N --kubeconfig FILE    (without a cluster: --kubeconfig '')",
        )?;
        files.push(path.display().to_string());
    }
    Ok(files.join(":").into())
}

async fn set_up(workspace: &mut Workspace, place: &Place, quiet: bool) -> anyhow::Result<()> {
    let exercise = workspace.exercise.clone();
    let bar = Bar::new();
    let total = exercise.images.len() as u64;
    for (done, image) in exercise.images.iter().enumerate() {
        if !quiet {
            bar.show("signing", done as u64, total, Unit::Items);
        }
        let placed = push(place.lab(), image).await?;
        workspace.state.images.insert(image.name.clone(), placed);
    }
    bar.finish();
    workspace.save()?;
    let values = workspace.values(place.lab())?;
    place.set_up(workspace).await?;
    for (name, text) in exercise.files("policies") {
        place.put(workspace, name, &values.fill(text)?).await?;
    }
    for (name, text) in exercise.files("files") {
        workspace.write(name, &values.fill(text)?)?;
    }
    for pod in exercise.pods.iter().filter(|pod| !pod.hidden) {
        let text = yaml(&workspace.pod(pod))?;
        workspace.write(&format!("pods/{}.yaml", pod.name), &text)?;
    }
    for patch in &exercise.patches {
        place.patch(patch, &values).await?;
    }
    workspace.write("exercise.md", &text(&exercise, &values)?)?;
    if let Some(reason) = place.settle().await? {
        anyhow::bail!(
            "the start of exercise {} is wrong: {reason}",
            exercise.number
        );
    }
    Ok(())
}

/// Pushes an image of a content that no other has, and signs it.
async fn push(lab: &Lab, image: &Image) -> anyhow::Result<Placed> {
    let registry = lab.registry_name()?;
    let tag = format!("{registry}/{}:{}", image.repository, image.tag);
    let unique = hex::encode(crypto::random_bytes::<8>()?);
    let message = format!("{} {unique}\n", image.name);
    let made = image::with_message(&message, "2026-01-01T00:00:00Z")?;
    let pushed = lab
        .push_image(&arguments::image(&tag)?, made.layer, &made.config)
        .await
        .with_context(|| format!("cannot push {tag}"))?;
    for signer in &image.signed {
        sign(lab, &pushed.name, signer).await?;
    }
    Ok(Placed {
        tag,
        digest: pushed.name,
    })
}

/// Signs an image, and says who did.
async fn sign(lab: &Lab, image: &str, signer: &Signer) -> anyhow::Result<String> {
    let claims: Vec<String> = signer
        .claims
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let who = Who {
        token: None,
        preset: &signer.preset,
        claims: &claims,
    };
    let signed = sign::attach(lab, image, &who, &Claim::signature())
        .await
        .with_context(|| format!("cannot sign {image}"))?;
    signed.identity()
}

/// The exercise as one text.
fn text(exercise: &Exercise, values: &Values) -> anyhow::Result<String> {
    let Exercise { number, title, .. } = exercise;
    let mut text = format!(
        "# {number}. {title}\n\n{}\n",
        values.fill(exercise.text)?.trim()
    );
    for (index, task) in exercise.tasks.iter().enumerate() {
        let body = values.fill(&task.text)?;
        text.push_str(&format!(
            "\n## Task {}: {}\n\n{}\n",
            index + 1,
            task.title,
            body.trim()
        ));
    }
    text.push_str(&format!(
        "\n## When you are done\n\n`siglab lab check {number}`\n\nAll over again: `siglab lab reset {number}`, \
         then `siglab lab start {number}`.\n"
    ));
    Ok(text)
}

fn show(workspace: &Workspace, place: &Place, as_json: bool) -> anyhow::Result<()> {
    let exercise = &workspace.exercise;
    let folder = workspace.folder();
    let next = format!("siglab lab check {}", exercise.number);
    if as_json {
        output::object(
            true,
            json!({
                "exercise": exercise.number, "title": exercise.title,
                "folder": folder.display().to_string(),
                "policies": workspace.state.policies.display().to_string(),
                "cluster": place.is_cluster(), "images": workspace.state.images, "next": next,
            }),
        );
        return Ok(());
    }
    output::line(text(exercise, &workspace.values(place.lab())?)?);
    let text = folder.join("exercise.md");
    output::heading(format!("exercise {} is set up", exercise.number));
    output::detail("text", text.display());
    output::detail("policies", workspace.state.policies.display());
    if let Some(kubeconfig) = &workspace.state.kubeconfig {
        output::detail("cluster", kubeconfig.display());
    }
    Ok(())
}

/// Does a step of a solution, or of one that is none, and says what it did.
///
/// # Errors
/// What was refused.
pub(crate) async fn change(
    workspace: &Workspace,
    place: &Place,
    step: &Change,
) -> anyhow::Result<Vec<String>> {
    let values = workspace.values(place.lab())?;
    let mut done = Vec::new();
    for name in &step.remove {
        let policy = name
            .strip_prefix("policies/")
            .context("only policies are removed")?;
        place.remove(workspace, policy).await?;
        done.push(format!("removed {name}"));
    }
    for (name, text) in workspace
        .exercise
        .files(step.files.as_deref().unwrap_or_default())
    {
        let text = values.fill(text)?;
        if let Some(policy) = name.strip_prefix("policies/") {
            place.put(workspace, policy, &text).await?;
        } else {
            workspace.write(name, &text)?;
        }
        if let (Place::Cluster(cluster), true) = (place, name.starts_with("objects/")) {
            cluster.apply(&text).await?;
        }
        done.push(format!("wrote {name}"));
    }
    for patch in &step.patches {
        place.patch(patch, &values).await?;
        for (pointer, value) in &patch.set {
            let value = values.fill(&value.to_string())?;
            let which = match patch.registration {
                Registered::Both => "both registrations",
                Registered::Mutating => "mutating registration",
                Registered::Validating => "validating registration",
            };
            done.push(format!("{which}: {pointer} is {value}"));
        }
    }
    for signing in &step.sign {
        let image = workspace.state.images.get(&signing.image);
        let image = image.advise("the exercise has no such image", "siglab lab list")?;
        let identity = sign(place.lab(), &image.digest, &signing.by).await?;
        done.push(format!("signed {} as {identity}", image.tag));
    }
    Ok(done)
}
