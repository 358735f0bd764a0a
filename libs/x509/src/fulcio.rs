//! Fulcio's extensions 1.3.6.1.4.1.57264.1.1 to .24: their numbers, names and two encodings.

use std::collections::BTreeMap;

use der::asn1::ObjectIdentifier;

use crate::{
    Error, Extension, oid,
    tlv::{self, Reader},
};

/// How the text of an extension stands in its OCTET STRING.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// The UTF-8 bytes and nothing else: `.1` to `.6`.
    Raw,
    /// A DER UTF8String: `.8` and later.
    Utf8String,
}

macro_rules! fields {
    ($($variant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// One of Fulcio's extensions. The discriminant is the last arc of its object identifier.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum FulcioField {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl FulcioField {
            /// All of them in the order of their numbers, which is the order in a certificate.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in upstream's error texts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    IssuerV1 = 1, "Issuer", "`.1` issuer of the token, deprecated.";
    GithubWorkflowTrigger = 2, "GithubWorkflowTrigger", "`.2` event that started a GitHub workflow.";
    GithubWorkflowSha = 3, "GithubWorkflowSHA", "`.3` commit of a GitHub workflow.";
    GithubWorkflowName = 4, "GithubWorkflowName", "`.4` name of a GitHub workflow.";
    GithubWorkflowRepository = 5, "GithubWorkflowRepository", "`.5` repository of a GitHub workflow.";
    GithubWorkflowRef = 6, "GithubWorkflowRef", "`.6` ref of a GitHub workflow.";
    Issuer = 8, "Issuer", "`.8` issuer of the token.";
    BuildSignerUri = 9, "BuildSignerURI", "`.9` build instructions that signed.";
    BuildSignerDigest = 10, "BuildSignerDigest", "`.10` immutable version of them.";
    RunnerEnvironment = 11, "RunnerEnvironment", "`.11` who runs the build machine.";
    SourceRepositoryUri = 12, "SourceRepositoryURI", "`.12` source repository.";
    SourceRepositoryDigest = 13, "SourceRepositoryDigest", "`.13` source commit.";
    SourceRepositoryRef = 14, "SourceRepositoryRef", "`.14` source ref.";
    SourceRepositoryIdentifier = 15, "SourceRepositoryIdentifier", "`.15` immutable repository id.";
    SourceRepositoryOwnerUri = 16, "SourceRepositoryOwnerURI", "`.16` owner of the repository.";
    SourceRepositoryOwnerIdentifier = 17, "SourceRepositoryOwnerIdentifier",
        "`.17` immutable owner id.";
    BuildConfigUri = 18, "BuildConfigURI", "`.18` top-level build instructions.";
    BuildConfigDigest = 19, "BuildConfigDigest", "`.19` immutable version of them.";
    BuildTrigger = 20, "BuildTrigger", "`.20` event that started the build.";
    RunInvocationUri = 21, "RunInvocationURI", "`.21` the run itself.";
    SourceRepositoryVisibilityAtSigning = 22, "SourceRepositoryVisibilityAtSigning",
        "`.22` who could see the source when it was signed.";
    DeploymentEnvironment = 23, "DeploymentEnvironment", "`.23` deployment target.";
    Subject = 24, "Subject", "`.24` subject of the token.";
}

impl FulcioField {
    /// The last arc of the object identifier.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The object identifier.
    #[must_use]
    pub fn oid(self) -> ObjectIdentifier {
        oid::FULCIO_ARC
            .push_arc(self.number())
            .expect("two more bytes fit")
    }

    /// The field of an object identifier.
    #[must_use]
    pub fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.oid() == oid)
    }

    /// How the text is encoded.
    #[must_use]
    pub const fn encoding(self) -> Encoding {
        if self.number() < 7 {
            Encoding::Raw
        } else {
            Encoding::Utf8String
        }
    }
}

/// The texts of Fulcio's extensions. An empty text is the same as none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FulcioExtensions(BTreeMap<FulcioField, String>);

impl FulcioExtensions {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets a field; an empty text removes it.
    pub fn set(&mut self, field: FulcioField, text: impl Into<String>) {
        let text = text.into();
        if text.is_empty() {
            self.0.remove(&field);
        } else {
            self.0.insert(field, text);
        }
    }

    /// A field's text.
    #[must_use]
    pub fn get(&self, field: FulcioField) -> Option<&str> {
        self.0.get(&field).map(String::as_str)
    }

    /// The token issuer: `.8`, or else `.1`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.get(FulcioField::Issuer)
            .or_else(|| self.get(FulcioField::IssuerV1))
    }

    /// All that are set, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (FulcioField, &str)> {
        self.0.iter().map(|(field, text)| (*field, text.as_str()))
    }

    pub(crate) fn from_extensions(extensions: &[Extension]) -> Result<Self, Error> {
        let mut all = Self::new();
        for extension in extensions {
            let Some(field) = FulcioField::from_oid(extension.oid) else {
                continue;
            };
            let malformed = Error::Malformed {
                part: "Fulcio extension",
            };
            let bytes = match field.encoding() {
                Encoding::Raw => extension.value.as_slice(),
                Encoding::Utf8String => {
                    let mut reader = Reader::new(&extension.value, "Fulcio extension");
                    let content = reader.expect(tlv::UTF8_STRING)?.content;
                    reader.finish()?;
                    content
                }
            };
            let text = std::str::from_utf8(bytes).map_err(|_| malformed)?;
            all.set(field, text);
        }
        Ok(all)
    }

    pub(crate) fn to_extensions(&self) -> Vec<Extension> {
        self.iter()
            .map(|(field, text)| Extension {
                oid: field.oid(),
                critical: false,
                value: match field.encoding() {
                    Encoding::Raw => text.as_bytes().to_vec(),
                    Encoding::Utf8String => tlv::write(tlv::UTF8_STRING, text.as_bytes()),
                },
            })
            .collect()
    }
}
