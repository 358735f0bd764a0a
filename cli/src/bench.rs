//! `siglab bench-sign`: many keyless signatures, timed, for `cargo xtask bench`.

use std::time::Instant;

use oci::ImageReference;
use serde_json::json;

use crate::{
    arguments::{self, Common},
    client::Lab,
    image, output, sign,
};

pub(crate) async fn run(common: &Common, options: &arguments::BenchSign) -> anyhow::Result<()> {
    let lab = Lab::open(common).await?;
    let parameters = crate::token::parameters("github-actions", &[])?;
    let mut millis = Vec::with_capacity(options.count);
    for number in 0..options.count {
        let name = format!("{}/bench/image:{number}", lab.registry_name()?);
        let image: ImageReference = name.parse()?;
        let made = image::with_message(&number.to_string(), "2026-01-01T00:00:00Z")?;
        let pushed = lab.push_image(&image, made.layer, &made.config).await?;
        let token = lab.token(&parameters).await?;
        let started = Instant::now();
        sign::image_by(&lab, &image, &pushed.descriptor, &token).await?;
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    let at = |share: usize| millis[(millis.len() * share / 100).min(millis.len() - 1)];
    output::line(json!({ "count": millis.len(), "p50_ms": at(50), "p99_ms": at(99) }));
    Ok(())
}
