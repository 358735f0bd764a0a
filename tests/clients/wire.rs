//! Bad input on public paths, sent by curl: what upstream answers, and nothing stored.

mod fulcio;
mod issuers;
mod logs;
mod others;

use crate::scene::Scene;

/// One request and what must come back.
pub(crate) struct Bad {
    what: String,
    arguments: Vec<String>,
    status: u16,
    body: String,
}

/// A request by curl's arguments, the URL last.
pub(crate) fn bad(what: &str, arguments: &[&str], status: u16, body: &str) -> Bad {
    Bad {
        what: what.to_owned(),
        arguments: arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect(),
        status,
        body: body.to_owned(),
    }
}

/// A POST of `body`, which goes through a file so that it can have any size.
pub(crate) fn post(
    scene: &Scene,
    what: &str,
    (url, kind): (&str, &str),
    body: impl AsRef<[u8]>,
    (status, answer): (u16, &str),
) -> Bad {
    let name = format!("{}.body", what.replace([' ', '/'], "-"));
    scene.home.write(&name, body);
    let kind = format!("Content-Type: {kind}");
    let data = format!("@{name}");
    bad(
        what,
        &["--header", &kind, "--data-binary", &data, url],
        status,
        answer,
    )
}

/// Sends all, then reports every answer that is another than upstream's.
pub(crate) fn check(scene: &Scene, requests: &[Bad]) {
    let mut wrong = Vec::new();
    for request in requests {
        let (status, body) = send(scene, &request.arguments);
        if status != request.status || !body.contains(&request.body) {
            let Bad {
                what,
                status: want,
                body: text,
                ..
            } = request;
            let shown: String = body.chars().take(300).collect();
            wrong.push(format!(
                "{what}: {want} {text:?} expected, got {status} {shown:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        requests.len(),
        wrong.join("\n")
    );
}

/// Status and body.
pub(crate) fn send<A: AsRef<std::ffi::OsStr>>(scene: &Scene, arguments: &[A]) -> (u16, String) {
    let mut all: Vec<&std::ffi::OsStr> = [
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        "--write-out",
        "\n%{http_code}",
    ]
    .map(std::ffi::OsStr::new)
    .to_vec();
    all.extend(arguments.iter().map(AsRef::as_ref));
    let outcome = scene.home.run(&tests::client("curl"), &all);
    let text = outcome.text();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    match status.parse() {
        Ok(0) | Err(_) => (0, outcome.all()),
        Ok(status) => (status, body.to_owned()),
    }
}
