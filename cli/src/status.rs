//! `siglab status`: what runs and how it is.

use serde_json::json;

use crate::{arguments, client::Lab, output};

pub(crate) async fn run(admin: &str, options: &arguments::Status) -> anyhow::Result<()> {
    let lab = Lab::find(admin).await?;
    if options.json {
        let services: Vec<_> = lab
            .status
            .services
            .iter()
            .map(|row| {
                json!({
                    "name": row.name, "urls": row.urls, "ready": row.ready,
                    "reason": row.reason, "figures": row.figures,
                })
            })
            .collect();
        output::line(serde_json::to_string_pretty(&json!({
            "instance": lab.status.instance,
            "admin_url": lab.admin,
            "uptime_secs": lab.status.uptime_secs,
            "resident_bytes": lab.status.resident_bytes,
            "services": services,
        }))?);
        return Ok(());
    }
    output::heading(format!(
        "LAB-{} up {} s, {:.1} MiB resident",
        lab.status.instance,
        lab.status.uptime_secs,
        lab.status.resident_bytes as f64 / f64::from(1 << 20)
    ));
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
