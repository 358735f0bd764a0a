//! Rendering, Go's words for what fails, and what is refused when parsed.

use super::*;

fn data() -> BTreeMap<String, String> {
    [
        ("url", "https://github.com"),
        ("ref", "main"),
        ("ref_type", "branch"),
        ("a.b/c", "true"),
        ("empty", ""),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn render(text: &str) -> Result<String, TemplateError> {
    Template::parse(text)?.render(&data())
}

#[test]
fn fields_and_text_are_joined() {
    assert_eq!(
        render("{{ .url }}/{{.ref}}").unwrap(),
        "https://github.com/main"
    );
    assert_eq!(render("a {{- .ref -}} b").unwrap(), "amainb");
    assert_eq!(render("a{{/* no */}}b").unwrap(), "ab");
}

#[test]
fn branches_follow_comparisons() {
    let text = r#"{{if eq .ref_type "branch"}}refs/heads/{{else}}refs/tags/{{end}}{{ .ref }}"#;
    assert_eq!(render(text).unwrap(), "refs/heads/main");
    let text = r#"{{ if eq .ref "x" }}1{{ else if ne .ref "y" }}2{{ else }}3{{ end }}"#;
    assert_eq!(render(text).unwrap(), "2");
    assert_eq!(render("{{ if .empty }}1{{ else }}2{{ end }}").unwrap(), "2");
    assert_eq!(
        render("{{ if and .url (not .empty) }}1{{ end }}").unwrap(),
        "1"
    );
    assert_eq!(render(r#"{{ or .empty "d" }}"#).unwrap(), "d");
}

#[test]
fn index_reads_names_with_dots_and_gives_nothing_for_missing_ones() {
    let text = r#"{{if eq (index . "a.b/c") "true"}}ssh-rerun{{ else }}""{{end}}"#;
    assert_eq!(render(text).unwrap(), "ssh-rerun");
    let text = r#"{{if eq (index . "x") "true"}}ssh-rerun{{ else }}""{{end}}"#;
    assert_eq!(render(text).unwrap(), "\"\"");
    assert_eq!(render("{{ index . `nope` }}").unwrap(), "");
}

#[test]
fn a_missing_field_is_an_error_in_go_words() {
    assert_eq!(
        render("{{ .url }}/{{ .claim }}").unwrap_err().to_string(),
        r#"template: :1:14: executing "" at <.claim>: map has no entry for key "claim""#
    );
    assert_eq!(
        render("{{ .url }}\n{{.claim}}").unwrap_err().to_string(),
        r#"template: :2:2: executing "" at <.claim>: map has no entry for key "claim""#
    );
}

#[test]
fn broken_templates_are_refused_when_parsed() {
    for text in [
        "{{ .a",
        "{{ if .a }}",
        "{{ end }}",
        "{{ else }}",
        "{{ nope .a }}",
        "{{ \"a }}",
        "{{}}",
        "{{ (eq .a .b }}",
        "{{ eq .a }}",
        "{{ .a.b }}",
        "{{ index .a `b` }}",
        "{{ eq . .a }}",
        "{{ .a | print }}",
        "{{ if .a }}1{{ else }}2{{ else }}3{{ end }}",
        "{{ range .a }}{{ end }}",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
    let deep = format!(
        "{}.a{}",
        "{{ ".to_owned() + &"(".repeat(100),
        ")".repeat(100) + " }}"
    );
    assert!(Template::parse(&deep).is_err());
    assert!(Template::parse(&"{{ if .a }}".repeat(100)).is_err());
}
