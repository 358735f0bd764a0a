//! Registries that ask who is there.

use airgap::{Credentials, Error, ExportOptions, ImportOptions, export, import};
use registry::{Access, Scheme};

use crate::fixture::{Lab, Signed, file, scratch, silent};

/// `htpasswd -nbB -C 4 user secret`
const HTPASSWD: &str = "user:$2y$04$SBtPinXXLMMCMCs8XjFUn.gSd94pcKWSq9UdgPzCHsQhdkYnXHeLW\n";

fn credentials(password: &str) -> Credentials {
    Credentials {
        username: "user".to_owned(),
        password: password.to_owned(),
    }
}

async fn guarded(scheme: Scheme, htpasswd: &std::path::Path) -> Lab {
    let mut config = registry::Config::default();
    config.auth.access = Access::Authenticated;
    config.auth.scheme = scheme;
    config.auth.htpasswd = Some(htpasswd.to_owned());
    Lab::start_with(config).await
}

#[tokio::test]
async fn credentials_are_given_when_asked_for() {
    let (_dir, htpasswd) = file(HTPASSWD.as_bytes());
    let open = Lab::start().await;
    let (image, index) = Signed::sample();
    open.put("app", &image).await;
    let (_dir, path) = scratch("lab.tar");
    let (images, options) = ([open.image("app:v1")], ExportOptions::default());
    export(&open.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    for scheme in [Scheme::Basic, Scheme::Bearer] {
        let to = guarded(scheme, &htpasswd).await;
        let options = ImportOptions::default();
        for (endpoints, given) in [
            (to.endpoints(), false),
            (
                to.endpoints()
                    .with_credentials(&to.registry, credentials("wrong")),
                true,
            ),
            (
                to.endpoints()
                    .with_credentials("other.test", credentials("secret")),
                false,
            ),
        ] {
            let refused = import(&path, &endpoints, &to.registry, &options, silent()).await;
            let Err(Error::Unauthorized { given: said, .. }) = refused else {
                panic!("{scheme:?}: {refused:?}")
            };
            assert_eq!(said, given);
        }
        let endpoints = to
            .endpoints()
            .with_credentials(&to.registry, credentials("secret"));
        import(&path, &endpoints, &to.registry, &options, silent())
            .await
            .unwrap();
        let (_dir, back) = scratch("back.tar");
        let images = [to.image("app:v1")];
        let options = ExportOptions::default();
        let report = export(&endpoints, &images, &options, &back, silent())
            .await
            .unwrap();
        assert_eq!(report.images[0].digest, index.digest);
        assert_eq!(report.manifests, image.manifests.len() as u64);
    }
}

#[tokio::test]
async fn passwords_are_not_shown() {
    assert!(!format!("{:?}", credentials("hidden")).contains("hidden"));
}
