//! The gRPC door: the v2 API, health, and reflection.

use std::sync::Arc;

use axum::Router;
use tonic::{Code, Request, Response, Status, service::Routes};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use crate::{
    error::{Error, REQUEST_BYTES_MAX},
    issuers::Issuer,
    proof::KeyRequest,
    service::{Issued, Service},
};

/// The API's messages, generated from `proto/fulcio.proto`.
#[allow(
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::too_many_lines,
    clippy::use_self,
    clippy::or_fun_call,
    clippy::wildcard_imports,
    reason = "generated"
)]
mod pb {
    tonic::include_proto!("dev.sigstore.fulcio.v2");
}

use pb::{
    CertificateChain, Configuration, CreateSigningCertificateRequest, GetConfigurationRequest,
    GetTrustBundleRequest, OidcIssuer, SigningCertificate, SigningCertificateDetachedSct,
    SigningCertificateEmbeddedSct, TrustBundle, ca_server::Ca, ca_server::CaServer,
    create_signing_certificate_request::Key, credentials::Credentials,
    oidc_issuer::Issuer as IssuerUrl, signing_certificate::Certificate,
};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Metadata key of the token when it is not in the message.
const TOKEN_KEY: &str = "oidcidentitytoken";

pub(crate) fn router(service: Arc<Service>) -> Router {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection()
        .build_v1()
        .expect("descriptors are compiled in");
    let v1alpha = reflection()
        .build_v1alpha()
        .expect("descriptors are compiled in");
    let ca = CaServer::new(Door(service)).max_decoding_message_size(REQUEST_BYTES_MAX);
    Routes::new(ca)
        .add_service(HealthServer::new(AlwaysServing))
        .add_service(v1)
        .add_service(v1alpha)
        .into_axum_router()
}

#[derive(Debug)]
struct Door(Arc<Service>);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(Code::from_i32(i32::from(error.wire().1)), error.to_string())
    }
}

#[tonic::async_trait]
impl Ca for Door {
    async fn create_signing_certificate(
        &self,
        request: Request<CreateSigningCertificateRequest>,
    ) -> Result<Response<SigningCertificate>, Status> {
        let metadata = request.metadata().get_all(TOKEN_KEY);
        let mut values = metadata
            .iter()
            .map(|value| value.to_str().unwrap_or_default().to_owned());
        // Exactly one value counts.
        let from_metadata = match (values.next(), values.next()) {
            (Some(token), None) => token,
            _ => String::new(),
        };
        let message = request.into_inner();
        let token = match message
            .credentials
            .and_then(|credentials| credentials.credentials)
        {
            Some(Credentials::OidcIdentityToken(token)) if !token.is_empty() => token,
            _ => from_metadata,
        };
        let key = match message.key {
            Some(Key::PublicKeyRequest(request)) => KeyRequest::PublicKey {
                content: request.public_key.unwrap_or_default().content.into_bytes(),
                proof_of_possession: request.proof_of_possession,
            },
            Some(Key::CertificateSigningRequest(pem)) if !pem.is_empty() => {
                KeyRequest::CertificateRequest(pem)
            }
            _ => KeyRequest::Nothing,
        };
        let issued = self.0.create_signing_certificate(&token, &key).await?;
        Ok(Response::new(signing_certificate(issued)))
    }

    async fn get_trust_bundle(
        &self,
        _: Request<GetTrustBundleRequest>,
    ) -> Result<Response<TrustBundle>, Status> {
        let chain = CertificateChain {
            certificates: self.0.trust_bundle(),
        };
        Ok(Response::new(TrustBundle {
            chains: vec![chain],
        }))
    }

    async fn get_configuration(
        &self,
        _: Request<GetConfigurationRequest>,
    ) -> Result<Response<Configuration>, Status> {
        let exact = self
            .0
            .issuers()
            .exact()
            .map(|i| issuer(i, IssuerUrl::IssuerUrl));
        let patterns = self
            .0
            .issuers()
            .patterns()
            .map(|i| issuer(i, IssuerUrl::WildcardIssuerUrl));
        Ok(Response::new(Configuration {
            issuers: exact.chain(patterns).collect(),
        }))
    }
}

fn signing_certificate(issued: Issued) -> SigningCertificate {
    let chain = Some(CertificateChain {
        certificates: issued.chain,
    });
    let certificate = if issued.embedded_sct {
        let embedded = SigningCertificateEmbeddedSct { chain };
        Certificate::SignedCertificateEmbeddedSct(embedded)
    } else {
        let signed_certificate_timestamp = Vec::new();
        let detached = SigningCertificateDetachedSct {
            chain,
            signed_certificate_timestamp,
        };
        Certificate::SignedCertificateDetachedSct(detached)
    };
    SigningCertificate {
        certificate: Some(certificate),
    }
}

fn issuer(issuer: &Issuer, url: fn(String) -> IssuerUrl) -> OidcIssuer {
    OidcIssuer {
        issuer: Some(url(issuer.url.clone())),
        audience: issuer.client_id.clone(),
        challenge_claim: issuer.challenge_claim.clone(),
        spiffe_trust_domain: issuer.spiffe_trust_domain.clone(),
        issuer_type: issuer.kind.name().to_owned(),
        subject_domain: issuer.subject_domain.clone(),
        skip_email_verification: issuer.skip_email_verification,
    }
}

/// Health as the real server has it: always serving, whatever the service asked about; no watching.
#[derive(Debug)]
struct AlwaysServing;

#[tonic::async_trait]
impl Health for AlwaysServing {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = ServingStatus::Serving.into();
        Ok(Response::new(HealthCheckResponse { status }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("unimplemented"))
    }
}
