//! Every exercise by the real program: set up, not passed, solved, passed, reset; every wrong solution fails
//! where it must, with the hint that helps; and what is exported works.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use labs::Exercise;
use serde_json::Value;
use tests::{Sandbox, Siglab};

/// A lab whose webhook reads the student's folder, and the student's shell.
struct Room {
    siglab: Siglab,
    home: Sandbox,
}

impl Room {
    fn new() -> Self {
        let home = Sandbox::new();
        let policies = home.dir().join("siglab-lab/policies");
        let set = format!("admission.policies={}", policies.display());
        let siglab = Siglab::start_with(&["--set", &set]);
        Self { siglab, home }
    }

    /// `siglab lab` with these arguments.
    fn lab(&self, arguments: &[&str]) -> Output {
        let mut command = program(self.home.dir());
        command
            .env("SIGLAB_ADMIN", self.siglab.admin())
            .arg("lab")
            .args(arguments)
            .output()
            .expect("the program can be started")
    }

    /// The same, which must succeed.
    fn must(&self, arguments: &[&str]) -> Output {
        let output = self.lab(arguments);
        assert!(output.status.success(), "{arguments:?}\n{}", all(&output));
        output
    }

    /// What `siglab lab check --json` says, and its exit code.
    fn check(&self, number: &str) -> (i32, Value) {
        let output = self.lab(&["check", number, "--json"]);
        let code = output.status.code().expect("it ended by itself");
        let said = serde_json::from_slice(&output.stdout);
        (
            code,
            said.unwrap_or_else(|error| panic!("{error}: {}", all(&output))),
        )
    }

    /// `siglab admit`.
    fn admit(&self, file: &Path) -> Output {
        program(self.home.dir())
            .env("SIGLAB_ADMIN", self.siglab.admin())
            .args(["admit", "--filename"])
            .arg(file)
            .output()
            .expect("the program can be started")
    }

    /// Types the text's own commands; those of other people are for suites that have them.
    fn follow_the_text(&self, exercise: &Exercise) {
        let text = fs::read_to_string(self.folder(exercise).join("exercise.md"));
        let text = text.expect("it is there");
        for block in text.split("```sh\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            for line in block.lines().filter(|line| line.starts_with("siglab ")) {
                let output = bash(
                    &self.home,
                    &[("SIGLAB_ADMIN", &self.siglab.admin())],
                    &["-c", line],
                );
                // 2 is for what is typed wrong.
                let code = output.status.code();
                assert!(matches!(code, Some(0 | 1)), "{line}\n{}", all(&output));
            }
        }
    }

    fn folder(&self, exercise: &Exercise) -> PathBuf {
        self.home.dir().join("siglab-lab").join(&exercise.slug)
    }
}

/// The program with an environment that leads nowhere else.
fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siglab"));
    command
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

fn all(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn failed(said: &Value) -> Vec<&str> {
    let rows = said["checks"].as_array().expect("checks").iter();
    rows.filter(|row| row["passed"] == false && row["waitsFor"].is_null())
        .filter_map(|row| row["check"].as_str())
        .collect()
}

fn hints(said: &Value) -> String {
    let rows = said["checks"].as_array().expect("checks").iter();
    let hints: Vec<&str> = rows.filter_map(|row| row["hint"].as_str()).collect();
    hints.join("\n")
}

/// An exercise from its start to its end, then each way that does not lead there.
fn works(number: usize) {
    let exercise = labs::find(number).expect("it is there");
    let (room, name) = (Room::new(), number.to_string());
    let started = room.must(&["start", &name]);
    assert!(all(&started).contains(&exercise.title), "{}", all(&started));
    room.follow_the_text(&exercise);
    let (code, said) = room.check(&name);
    assert_eq!(code, 1, "{said:#}");
    assert_eq!(said["points"], 0, "nothing was done: {said:#}");
    assert!(!hints(&said).is_empty(), "{said:#}");

    room.must(&["solve", &name]);
    let (code, said) = room.check(&name);
    assert_eq!(code, 0, "{said:#}");
    assert_eq!(said["points"], said["of"]);
    let shown = all(&room.must(&["check", &name]));
    let after = exercise.after.lines().next().expect("a text");
    assert!(shown.contains(after), "{shown}");
    room.must(&["reset", &name]);
    assert!(!room.folder(&exercise).exists());

    for wrong in &exercise.wrong {
        room.must(&["start", &name]);
        room.must(&["solve", &name, "--wrong", &wrong.name]);
        let (code, said) = room.check(&name);
        let what = format!("{}: {said:#}", wrong.name);
        assert_eq!(code, 1, "{what}");
        assert_eq!(failed(&said), wrong.fails, "{what}");
        assert!(hints(&said).contains(&wrong.hint), "{what}");
        room.must(&["reset", &name]);
    }
}

#[test]
fn a_second_policy_lets_the_second_team_in() {
    works(1);
}

#[test]
fn where_all_policies_must_pass_the_first_one_is_narrowed() {
    works(2);
}

#[test]
fn the_identity_that_signs_is_found_and_trusted() {
    works(3);
}

#[test]
fn one_policy_takes_three_organisations() {
    works(4);
}

#[test]
fn the_door_is_opened_and_closed_again() {
    works(5);
}

#[test]
fn a_paragraph_is_graded_by_its_facts() {
    works(6);
}

#[test]
fn system_namespaces_are_left_out_and_no_others() {
    works(7);
}

#[test]
fn three_tiers_keep_their_boundaries() {
    works(8);
}

#[test]
fn release_tags_are_taken_and_signed_for() {
    works(9);
}

#[test]
fn a_cluster_comes_up_before_it_enforces() {
    works(10);
}

#[test]
fn the_log_of_the_scenario_names_expected_and_observed() {
    let room = Room::new();
    room.must(&["start", "1"]);
    let exercise = labs::find(1).expect("it is there");
    let pod = room.folder(&exercise).join("pods/audit-collector.yaml");
    let denied = room.admit(&pod);
    assert_eq!(denied.status.code(), Some(1), "{}", all(&denied));
    let text = "denied the request: validation failed: failed policy: fleet-org-must-be-signed";
    assert!(all(&denied).contains(text), "{}", all(&denied));
    let subject = |repository: &str| {
        format!("https://github.com/{repository}/.github/workflows/release.yml@refs/heads/main")
    };
    let (expected, observed) = (
        subject("fleet-org/agent-router"),
        subject("fleet-org/audit-collector"),
    );
    let log = room.siglab.log();
    let mut lines = log.lines();
    assert!(
        lines.any(|line| line.contains(&expected) && line.contains(&observed)),
        "{log}"
    );
    room.must(&["solve", "1"]);
    room.must(&["check", "1"]);
    let admitted = room.admit(&pod);
    assert!(admitted.status.success(), "{}", all(&admitted));
}

#[test]
fn what_cannot_be_graded_says_so_and_what_to_type() {
    let mut room = Room::new();
    let refused = |output: Output, code: i32, parts: &[&str]| {
        let said = all(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for part in parts {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    };
    let unstarted = room.lab(&["check", "1"]);
    refused(
        unstarted,
        2,
        &["exercise 1 is not started", "siglab lab start 1"],
    );
    let unknown = room.lab(&["start", "11"]);
    refused(
        unknown,
        1,
        &["no exercise 11, only 1 to 10", "siglab lab list"],
    );
    let elsewhere = room.lab(&["start", "1", "--policies", "elsewhere"]);
    refused(
        elsewhere,
        1,
        &["does not read", "--set admission.policies="],
    );
    assert!(
        !room
            .home
            .dir()
            .join("elsewhere/siglab-lab-canary.yaml")
            .exists()
    );
    let reset = room.lab(&["reset", "1"]);
    refused(reset, 1, &["exercise 1 is not started"]);

    room.must(&["start", "3"]);
    let another = room.lab(&["start", "4"]);
    refused(another, 1, &["exercise 3 is started", "siglab lab reset 3"]);
    let no_task = room.lab(&["check", "3", "--task", "2"]);
    refused(no_task, 2, &["no task 2, only 1 to 1"]);
    let no_check = room.lab(&["check", "3", "--check", "nothing"]);
    refused(no_check, 2, &["no check nothing, only shop-in"]);
    room.siglab.restart();
    // The lab that answers now reads its own folder.
    let other_folder = room.lab(&["check", "3"]);
    refused(
        other_folder,
        2,
        &["the webhook does not read", "siglab up --set"],
    );
    room.siglab.stop();
    let nobody = room.lab(&["check"]);
    refused(nobody, 2, &["no lab answers", "siglab up"]);
    room.must(&["reset", "3"]);
}

#[test]
fn a_lab_that_was_started_without_a_word_is_used_with_its_own_folder() {
    let (siglab, home) = (Siglab::start(), Sandbox::new());
    let start = |variables: &[(&str, &str)]| {
        program(home.dir())
            .envs(variables.iter().copied())
            .args(["lab", "start", "4"])
            .output()
            .expect("the program can be started")
    };
    let (admin, data) = (siglab.admin(), siglab.data_dir().display().to_string());
    let output = start(&[("SIGLAB_ADMIN", &admin)]);
    assert!(all(&output).contains("does not read"), "{}", all(&output));
    let output = start(&[("SIGLAB_ADMIN", &admin), ("SIGLAB__DATA_DIR", &data)]);
    assert!(output.status.success(), "{}", all(&output));
    let policies = siglab.data_dir().join("admission/policies");
    assert!(policies.join("00-settings.yaml").exists());
    assert!(
        all(&output).contains(&policies.display().to_string()),
        "{}",
        all(&output)
    );
}

#[test]
fn a_folder_that_the_webhook_refuses_is_the_students_to_put_right() {
    let room = Room::new();
    room.must(&["start", "2"]);
    let policies = room.home.dir().join("siglab-lab/policies");
    room.must(&["solve", "2"]);
    let broken = "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {name: p}\n\
                  spec: {images: [{glob: \"**\"}], authorties: []}\n";
    room.home.write("siglab-lab/policies/broken.yaml", broken);
    let (code, said) = room.check("2");
    assert_eq!(code, 1, "{said:#}");
    let observed = said["checks"][0]["observed"].as_str().expect("text");
    assert!(
        observed.contains("broken.yaml") && observed.contains("authorties"),
        "{observed}"
    );
    fs::remove_file(policies.join("broken.yaml")).expect("it is there");
    room.must(&["check", "2"]);

    room.must(&["reset", "2"]);
    room.must(&["start", "7"]);
    let exercise = labs::find(7).expect("it is there");
    let registration = room.folder(&exercise).join("cluster/validating.yaml");
    let text = fs::read_to_string(&registration).expect("it is there");
    let text = text.replace("failurePolicy: Fail", "failurePolicy: Never");
    room.home
        .write("siglab-lab/07-kube-system/cluster/validating.yaml", text);
    let (code, said) = room.check("7");
    assert_eq!(code, 1, "{said:#}");
    assert!(
        said.to_string().contains("it can be Fail or Ignore"),
        "{said:#}"
    );
}

/// The folder of this build's program, for scripts that look it up.
fn path_with_program() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_siglab"));
    let folder = program.parent().expect("a folder").display();
    format!("{folder}:/usr/local/bin:/usr/bin:/bin")
}

fn bash(home: &Sandbox, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new("bash")
        .args(arguments)
        .current_dir(home.dir())
        .env_clear()
        .env("HOME", home.dir())
        .env("PATH", path_with_program())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("bash can be started")
}

/// The same for exported scripts, which keep to a folder of their own.
fn script(home: &Sandbox, arguments: &[&str]) -> Output {
    let dir = home.dir().join("lab").display().to_string();
    let variables = [
        ("SIGLAB_LAB_DIR", dir.as_str()),
        ("SIGLAB_UP_FLAGS", "--port 0"),
    ];
    bash(home, &variables, arguments)
}

/// A lab that an exported script started; it ends with the value.
struct Started<'a>(&'a Sandbox);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        let process = fs::read_to_string(self.0.dir().join("lab/process")).unwrap_or_default();
        if let Ok(process) = process.trim().parse::<u32>() {
            let _ = Command::new("kill").arg(process.to_string()).status();
        }
    }
}

/// Scripts below a folder.
fn scripts(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "sh") {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Exports to another form, and has bash read every script.
fn exported(format: &str, count: usize) -> Sandbox {
    let home = Sandbox::new();
    let arguments = ["lab", "export", "--format", format, "--output", "out"];
    let output = program(home.dir()).args(arguments).output();
    let output = output.expect("the program can be started");
    assert!(output.status.success(), "{}", all(&output));
    let scripts = scripts(&home.dir().join("out"));
    assert_eq!(scripts.len(), count, "{scripts:?}");
    for file in scripts {
        let read = script(&home, &["-n", &file]);
        assert!(read.status.success(), "{file}: {}", all(&read));
    }
    home
}

#[test]
fn a_killercoda_scenario_verifies_what_was_done_and_nothing_else() {
    let tasks: usize = labs::exercises()
        .expect("exercises")
        .iter()
        .map(|one| one.tasks.len())
        .sum();
    let home = exported("killercoda", tasks + 2 * 10);
    let scenario = "out/siglab-09-branch-or-tag";
    let _lab = Started(&home);
    let _ = script(&home, &[&format!("{scenario}/setup.sh")]);
    // Once more, as environments do that are restarted.
    let setup = script(&home, &[&format!("{scenario}/setup.sh")]);
    let log = fs::read_to_string(home.dir().join("lab/setup.log")).unwrap_or_default();
    assert!(setup.status.success(), "{log}");
    let wait = script(&home, &[&format!("{scenario}/wait.sh")]);
    assert!(
        all(&wait).contains("exercise 9 is set up"),
        "{}",
        all(&wait)
    );
    let verify = |step: usize| script(&home, &[&format!("{scenario}/step{step}/verify.sh")]);
    for step in [1, 2] {
        let output = verify(step);
        assert_eq!(output.status.code(), Some(1), "{}", all(&output));
        assert!(all(&output).contains("hint"), "{}", all(&output));
    }
    let solve = script(&home, &["-c", ". lab/env && siglab lab solve 9"]);
    assert!(solve.status.success(), "{}", all(&solve));
    for step in [1, 2] {
        let output = verify(step);
        assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    }
}

#[test]
fn a_ck_x_assessment_gives_its_marks_one_by_one() {
    let exercises = labs::exercises().expect("exercises");
    let checks: usize = exercises.iter().map(|one| one.checks(false).count()).sum();
    let home = exported("ck-x", checks + exercises.len());
    let _lab = Started(&home);
    let setup = script(&home, &["out/scripts/setup/q6_setup.sh"]);
    let log = fs::read_to_string(home.dir().join("lab/setup.log")).unwrap_or_default();
    assert!(setup.status.success(), "{log}");
    let half = script(
        &home,
        &[
            "-c",
            ". lab/env && siglab lab solve 6 --wrong half-of-the-facts",
        ],
    );
    assert!(half.status.success(), "{}", all(&half));
    let text = fs::read_to_string(home.dir().join("out/assessment.json")).expect("it is there");
    let assessment: Value = serde_json::from_str(&text).expect("JSON");
    let mut marks = 0;
    for step in assessment["questions"][5]["verification"]
        .as_array()
        .expect("steps")
    {
        let file = step["verificationScriptFile"].as_str().expect("a script");
        let output = script(&home, &[&format!("out/scripts/validation/{file}")]);
        if output.status.success() {
            marks += step["weightage"].as_u64().expect("a number");
        }
    }
    assert_eq!(marks, 6, "of 11 for half of the facts");
}

#[test]
fn every_command_prints_one_object_when_asked_to() {
    let room = Room::new();
    let object = |arguments: &[&str], code: i32| -> Value {
        let output = room.lab(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", all(&output));
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", all(&output)));
        assert_eq!(said["ok"], code == 0, "{said}");
        said
    };
    let list = object(&["list"], 0);
    assert_eq!(list["exercises"].as_array().map(Vec::len), Some(10));
    let unknown = object(&["check"], 2);
    assert!(
        unknown["next"]
            .as_str()
            .is_some_and(|next| next.starts_with("siglab lab start"))
    );
    let started = object(&["start", "2"], 0);
    assert!(started["images"]["collector"]["digest"].is_string());
    object(&["check"], 1);
    assert_eq!(object(&["list"], 0)["exercises"][1]["best"]["points"], 0);
    let solved = object(&["solve"], 0);
    assert_eq!(solved["next"], "siglab lab check 2");
    object(&["check"], 0);
    let best = &object(&["list"], 0)["exercises"][1]["best"];
    assert!(
        best["points"].as_u64() > Some(0) && best["points"] == best["of"],
        "{best}"
    );
    let reset = object(&["reset"], 0);
    assert!(Path::new(reset["kept"].as_str().expect("a path")).exists());
    object(&["start", "2"], 0);
    object(&["check"], 1);
    let shown = all(&room.must(&["list"]));
    assert!(
        shown.contains("passed") && shown.contains("next: siglab lab start 1"),
        "{shown}"
    );
    let exported = object(&["export", "2", "--format", "killercoda", "-o", "out"], 0);
    assert_eq!(exported["folders"][0], "out/siglab-02-all-must-pass");
}

#[test]
fn the_list_names_every_exercise() {
    let home = Sandbox::new();
    let output = program(home.dir()).args(["lab", "list"]).output();
    let said = all(&output.expect("the program can be started"));
    for exercise in labs::exercises().expect("exercises") {
        assert!(said.contains(&exercise.title), "{said}");
    }
}
