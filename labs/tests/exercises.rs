//! What an exercise names is there: Pods, images, checks, files, and what stands in its texts.

use std::collections::BTreeSet;

use labs::{Change, Exercise, Values, What, exercises};

fn values(exercise: &Exercise) -> Values {
    let mut values = Values::of_default_lab();
    for image in &exercise.images {
        for kind in ["image", "tag"] {
            values.set(&format!("{kind}:{}", image.name), "localhost:5000/a/b:c");
        }
    }
    values
}

fn changes(exercise: &Exercise) -> impl Iterator<Item = &Change> {
    let wrong = exercise.wrong.iter().flat_map(|wrong| &wrong.changes);
    exercise.solution.iter().chain(wrong)
}

#[test]
fn they_are_numbered_as_their_folders() {
    let all = exercises().expect("they are as they must be");
    assert_eq!(all.len(), 10);
    for exercise in &all {
        let number = format!("{:02}-", exercise.number);
        assert!(exercise.slug.starts_with(&number), "{}", exercise.slug);
    }
}

#[test]
fn pods_images_and_checks_that_are_named_are_there() {
    for exercise in exercises().expect("they are as they must be") {
        let slug = &exercise.slug;
        let images: BTreeSet<&str> = exercise
            .images
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(images.len(), exercise.images.len(), "{slug}");
        for pod in &exercise.pods {
            assert!(images.contains(pod.image.as_str()), "{slug}: {}", pod.image);
        }
        let checks: Vec<_> = exercise
            .tasks
            .iter()
            .flat_map(|task| &task.checks)
            .collect();
        let names: BTreeSet<&str> = checks.iter().map(|check| check.id.as_str()).collect();
        assert_eq!(names.len(), checks.len(), "{slug}");
        for check in checks {
            if let What::Pod { name, .. } = &check.what {
                assert!(exercise.pod(name).is_some(), "{slug}: {name}");
            }
        }
        assert!(exercise.wrong.len() > 1, "{slug}");
        for wrong in &exercise.wrong {
            let known = wrong.fails.iter().all(|name| names.contains(name.as_str()));
            assert!(known && !wrong.fails.is_empty(), "{slug}: {}", wrong.name);
        }
        for signing in changes(&exercise).flat_map(|change| &change.sign) {
            assert!(images.contains(signing.image.as_str()), "{slug}");
        }
    }
}

#[test]
fn every_text_and_file_can_be_filled_in() {
    for exercise in exercises().expect("they are as they must be") {
        let values = values(&exercise);
        let fill = |text: &str| {
            let filled = values.fill(text);
            filled.unwrap_or_else(|error| panic!("{}: {error}\n{text}", exercise.slug))
        };
        let (_, _) = (fill(exercise.text), fill(exercise.after));
        for task in &exercise.tasks {
            let _ = fill(&task.text);
            let checks = task.checks.iter();
            for hint in checks.flat_map(|check| &check.hints) {
                let _ = fill(&hint.text);
            }
        }
        let folders = changes(&exercise).filter_map(|change| change.files.as_deref());
        for folder in folders {
            assert!(
                !exercise.files(folder).is_empty(),
                "{}: {folder}",
                exercise.slug
            );
        }
        for folder in ["policies", "files"]
            .into_iter()
            .chain(changes(&exercise).filter_map(|change| change.files.as_deref()))
        {
            for (_, text) in exercise.files(folder) {
                let _ = fill(text);
            }
        }
    }
}
