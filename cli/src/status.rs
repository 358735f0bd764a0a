//! `siglab status`: what runs and how it is.

use serde_json::json;

use crate::{arguments::Common, client::Lab, output};

pub(crate) async fn run(common: &Common) -> anyhow::Result<()> {
    let lab = Lab::open(common).await?;
    if common.json {
        let mut fields = json!(lab.status);
        fields["admin_url"] = lab.admin.as_str().into();
        output::object(true, fields);
        return Ok(());
    }
    output::heading(format!(
        "LAB-{} up {} s, {:.1} MiB resident",
        lab.status.instance,
        lab.status.uptime_secs,
        lab.status.resident_bytes as f64 / f64::from(1 << 20)
    ));
    if lab.status.public_names {
        output::bad(
            "PLAYS THE PUBLIC SIGSTORE",
            "for testing only, on a sealed network",
        );
    }
    for row in &lab.status.services {
        let urls: Vec<&str> = row
            .urls
            .values()
            .map(|url| url.trim_end_matches('/'))
            .collect();
        let figures: Vec<String> = row
            .figures
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let text = format!("{:<50} {}", urls.join(" "), figures.join("  "));
        match &row.reason {
            None if row.ready => output::good(&row.name, text),
            reason => output::bad(&row.name, reason.as_deref().unwrap_or("not ready")),
        }
    }
    Ok(())
}
