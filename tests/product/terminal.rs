//! What the program does on a terminal and nowhere else: colours, progress, and the end by Ctrl-C.

use tests::{Outcome, Sandbox, Siglab, Terminal, client, siglab, tool};

const ESCAPE: char = '\u{1b}';

/// A home with the program on its `PATH`.
fn home() -> Sandbox {
    let mut home = Sandbox::new();
    home.provide(&[siglab()]);
    home
}

fn sh(home: &Sandbox, line: &str) -> Outcome {
    let sh = tool("sh");
    home.run(&sh, &["-c", line])
}

#[test]
fn a_lab_on_a_terminal_ends_by_ctrl_c_and_can_start_again() {
    let home = home();
    let terminal = Terminal::new(&home);
    for round in ["first", "second"] {
        terminal.types(&format!(
            "clear; siglab up --port 0 --data-dir lab --ready-file {round}"
        ));
        // The screen alone may still be that of the round before.
        let screen = terminal.until("lab that is ready", |screen| {
            home.dir().join(round).exists() && screen.contains("stop with Ctrl-C")
        });
        for text in ["LAB-", "fulcio http", "admission https", "for testing only"] {
            assert!(screen.contains(text), "no {text:?} in\n{screen}");
        }
        let ready: serde_json::Value = serde_json::from_slice(&home.read(round)).unwrap();
        let admin = ready["admin_url"].as_str().unwrap();
        let _ = home.run(&siglab(), &["--lab", admin, "status"]).succeeds();
        terminal.presses("C-c");
        // The shell has the terminal again, and the code is that of success.
        terminal.types(&format!("echo {round} ended with $?"));
        let screen = terminal.shows(&format!("{round} ended with 0"));
        assert!(screen.contains("stopping"), "{screen}");
    }
    assert!(terminal.written().contains(ESCAPE));
}

#[test]
fn colours_are_for_terminals_and_not_for_those_who_want_none() {
    let home = home();
    let terminal = Terminal::new(&home);
    let green = "\u{1b}[1m\u{1b}[32m";
    terminal.types("siglab demo; echo one ended with $?");
    terminal.shows("one ended with 0");
    let with_colours = terminal.written();
    assert!(with_colours.contains(green), "{with_colours:?}");
    terminal.types("clear; NO_COLOR=1 siglab demo; echo two ended with $?");
    terminal.shows("two ended with 0");
    let without = terminal.written()[with_colours.len()..].to_owned();
    assert!(
        without.contains("allowed") && !without.contains(green),
        "{without:?}"
    );
    // A pipe, a file.
    let piped = sh(&home, "siglab demo | cat").succeeds();
    assert!(piped.text().contains("allowed") && !piped.all().contains(ESCAPE));
    let _ = sh(&home, "siglab demo > file").succeeds();
    assert!(!home.read("file").contains(&0x1b));
    let lab = Siglab::start();
    assert!(lab.log().contains("INFO") && !lab.log().contains(ESCAPE));
}

#[test]
fn errors_on_a_terminal_are_coloured_and_end_with_the_next_command() {
    let home = home();
    let terminal = Terminal::new(&home);
    terminal.types("siglab --lab http://localhost:1 status; echo ended with $?");
    let screen = terminal.shows("ended with 1");
    assert!(screen.contains("error: no lab answers"), "{screen}");
    assert!(screen.contains("siglab up"), "{screen}");
    assert!(terminal.written().contains("\u{1b}[31m"));
    let quiet = home.run(&siglab(), &["--lab", "http://localhost:1", "status"]);
    assert!(!quiet.is_success() && !quiet.all().contains(ESCAPE));
}

#[test]
fn long_work_shows_a_bar_on_a_terminal_only() {
    let lab = Siglab::start();
    let mut home = home();
    home.provide(&[client("crane")]);
    home.set("SIGLAB_ADMIN", lab.admin());
    let image = format!("{}/app:v1", lab.registry());
    let push = "head -c 3000000 /dev/urandom > noise && tar -czf layer.tar.gz noise && \
                crane append --oci-empty-base --new_layer layer.tar.gz --new_tag";
    let _ = sh(&home, &format!("{push} {image}")).succeeds();
    let export = format!("siglab export {image} --output image.tar");
    let terminal = Terminal::new(&home);
    terminal.types(&format!("{export}; echo ended with $?"));
    let screen = terminal.shows("ended with 0");
    let written = terminal.written();
    assert!(
        written.contains('█') || written.contains('░'),
        "{written:?}"
    );
    // The bar is taken away again.
    assert!(!screen.contains('█') && !screen.contains('░'), "{screen}");
    let piped = sh(&home, &export).succeeds();
    assert!(!piped.all().contains(ESCAPE) && !piped.all().contains('█'));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let lab = Siglab::start();
    let mut home = home();
    home.set("SIGLAB_ADMIN", lab.admin());
    let outcome = sh(&home, "siglab status | head -1");
    let _ = outcome.succeeds().says("LAB-");
}
