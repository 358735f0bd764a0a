//! Platforms that an export is limited to.

use std::{fmt, str::FromStr};

use oci::Descriptor;

/// `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`, as image-spec names them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// A text that names no platform.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not a platform: OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT is accepted")]
pub struct PlatformError {
    text: String,
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_word = |part: &&str| !part.is_empty() && part.chars().all(word);
        match parts[..] {
            [os, architecture, ref rest @ ..] if rest.len() < 2 && parts.iter().all(is_word) => {
                Ok(Self {
                    os: os.to_owned(),
                    architecture: architecture.to_owned(),
                    variant: rest.first().map(|&variant| variant.to_owned()),
                })
            }
            _ => Err(PlatformError {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl Platform {
    /// Whether `descriptor` is for this platform; `None` when it is for no platform at all, as what build
    /// tools attach to an image, or does not say.
    fn fits(&self, descriptor: &Descriptor) -> Option<bool> {
        let given = descriptor.platform()?;
        if given.os().to_string() == "unknown" {
            return None;
        }
        let fits = given.os().to_string() == self.os
            && given.architecture().to_string() == self.architecture
            && self
                .variant
                .as_ref()
                .is_none_or(|variant| given.variant().as_ref() == Some(variant));
        Some(fits)
    }
}

/// Whether a child of an index is carried: one for a wanted platform, or for none in particular. Every
/// child when nothing is wanted.
pub(crate) fn is_wanted(wanted: &[Platform], child: &Descriptor) -> bool {
    wanted.is_empty()
        || wanted
            .iter()
            .any(|platform| platform.fits(child) != Some(false))
}

/// Whether a child of an index is an image for a wanted platform.
pub(crate) fn is_image_for(wanted: &[Platform], child: &Descriptor) -> bool {
    wanted
        .iter()
        .any(|platform| platform.fits(child) == Some(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn platforms_are_written_as_docker_writes_them() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/amd 64",
            "linux//v7",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_for_no_platform_is_carried_with_any() {
        let child = |platform: serde_json::Value| -> Descriptor {
            let mut descriptor = json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            });
            descriptor["platform"] = platform;
            serde_json::from_value(descriptor).unwrap()
        };
        let arm = child(json!({"os": "linux", "architecture": "arm", "variant": "v7"}));
        let attached = child(json!({"os": "unknown", "architecture": "unknown"}));
        for (text, wanted) in [
            ("linux/arm", true),
            ("linux/arm/v7", true),
            ("linux/arm/v6", false),
        ] {
            let platforms = [text.parse().unwrap()];
            assert_eq!(is_wanted(&platforms, &arm), wanted, "{text}");
            assert_eq!(is_image_for(&platforms, &arm), wanted, "{text}");
            assert!(is_wanted(&platforms, &attached) && !is_image_for(&platforms, &attached));
        }
        assert!(is_wanted(&[], &arm));
    }
}
