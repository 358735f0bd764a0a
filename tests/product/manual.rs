//! Completions and man pages: every command and option is in them, and shells and readers take them.

use std::collections::BTreeSet;

use tests::{Outcome, Sandbox, client, siglab, tool};

fn bash(home: &Sandbox, script: &str) -> Outcome {
    let bash = tool("bash");
    home.run(&bash, &["-c", script])
}

/// Every command by its words, with its long options, as `--help` lists them.
fn commands(home: &Sandbox) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let mut found = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(words) = open.pop() {
        let mut arguments = words.clone();
        arguments.push("--help".to_owned());
        let help = home.run(&siglab(), &arguments).succeeds().text();
        let options = help
            .lines()
            .filter(|line| line.trim_start().starts_with('-'))
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
            .map(|word| word.trim_end_matches([',', '.']).to_owned())
            .collect();
        if let Some((_, list)) = help.split_once("Commands:\n") {
            let names = list
                .lines()
                .take_while(|line| line.starts_with("  "))
                .filter(|line| !line.starts_with("   "))
                .filter_map(|line| line.split_whitespace().next())
                .filter(|name| *name != "help");
            open.extend(names.map(|name| {
                let mut deeper = words.clone();
                deeper.push(name.to_owned());
                deeper
            }));
        }
        found.push((words, options));
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

#[test]
fn bash_completes_every_command_and_option() {
    let home = Sandbox::new();
    let script = home.run(&siglab(), &["completions", "bash"]).succeeds();
    home.write("siglab.bash", script.bytes());
    let _ = bash(&home, "bash -n siglab.bash").succeeds();
    for (words, options) in commands(&home) {
        let typed = format!("siglab {} --", words.join(" ")).replace("  ", " ");
        let complete = format!(
            "source ./siglab.bash; COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _siglab siglab -- '' ; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let offered = bash(&home, &complete).succeeds().text();
        let offered: BTreeSet<String> = offered.lines().map(str::to_owned).collect();
        let missing: Vec<_> = options.difference(&offered).collect();
        assert!(
            missing.is_empty(),
            "{typed}: {missing:?} not in {offered:?}"
        );
    }
    let complete = "source ./siglab.bash; COMP_WORDS=(siglab stat); COMP_CWORD=1; \
                    _siglab siglab stat siglab; echo \"${COMPREPLY[@]}\"";
    let offered = bash(&home, complete).succeeds().text();
    assert_eq!(offered.trim(), "status");
}

#[test]
fn zsh_and_fish_take_their_completions() {
    let home = Sandbox::new();
    for (shell, flag) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = home.run(&siglab(), &["completions", shell]).succeeds();
        let file = home.write(shell, script.bytes()).display().to_string();
        let _ = home.run(&client(shell), &[flag, &file]).succeeds();
        for (words, _) in commands(&home) {
            for word in words {
                assert!(script.text().contains(&word), "{shell}: no {word}");
            }
        }
    }
}

#[test]
fn every_command_has_a_man_page_that_says_every_option() {
    let home = Sandbox::new();
    let _ = home.run(&siglab(), &["man", "man"]).succeeds();
    for (words, options) in commands(&home) {
        let name = [&["siglab".to_owned()][..], &words].concat().join("-");
        let file = format!("man/{name}.1");
        let page = home
            .run(&client("mandoc"), &["-T", "utf8", &file])
            .succeeds()
            .text();
        // Bold is a letter, a backspace and the letter again.
        let mut plain = String::new();
        for c in page.chars() {
            if c == '\u{8}' {
                plain.pop();
            } else {
                plain.push(c);
            }
        }
        for option in options {
            assert!(plain.contains(&option), "{name}.1 lacks {option}\n{plain}");
        }
        // Errors, not matters of style.
        let _ = home
            .run(&client("mandoc"), &["-T", "lint", "-W", "error", &file])
            .succeeds();
    }
}
