//! Rekor v2 over gRPC, with health and reflection, on the same port as HTTP.

use std::{fmt, sync::Arc};

use axum::Router;
use tonic::{Request, Response, Status, metadata::MetadataMap};
use tonic_health::{
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use super::messages::{
    self, google, rekor_v1, rekor_v2,
    rekor_v2::rekor_server::{Rekor, RekorServer},
};
use crate::{Service, error::V2Error};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Health that says it serves.
#[derive(Clone)]
pub(crate) struct Grpc(HealthReporter);

impl Grpc {
    pub(crate) async fn new() -> Self {
        let reporter = HealthReporter::new();
        reporter.set_serving::<RekorServer<Server>>().await;
        Self(reporter)
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grpc")
    }
}

/// Routes of all gRPC services.
pub(super) fn routes(service: &Arc<Service>) -> Router<Arc<Service>> {
    let bytes_max = service.config.v2.max_request_body_size;
    let rekor = RekorServer::new(Server(Arc::clone(service))).max_decoding_message_size(bytes_max);
    let mut router = Router::new().route_service("/dev.sigstore.rekor.v2.Rekor/{*method}", rekor);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    if let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        router = router
            .route_service("/grpc.reflection.v1.ServerReflection/{*method}", v1)
            .route_service(
                "/grpc.reflection.v1alpha.ServerReflection/{*method}",
                v1alpha,
            );
    }
    let health = HealthService::from_health_reporter(service.grpc.0.clone());
    router.route_service(
        "/grpc.health.v1.Health/{*method}",
        HealthServer::new(health),
    )
}

/// The service that upstream's clients call.
#[derive(Debug)]
pub(crate) struct Server(Arc<Service>);

#[tonic::async_trait]
impl Rekor for Server {
    async fn create_entry(
        &self,
        request: Request<rekor_v2::CreateEntryRequest>,
    ) -> Result<Response<rekor_v1::TransparencyLogEntry>, Status> {
        let request = request.into_inner();
        let bytes = prost::Message::encoded_len(&request);
        let request = messages::request(request);
        let (entry, leaf, appended) = self
            .0
            .create_entry(request, bytes)
            .await
            .map_err(|error| status(&error))?;
        let log_id = self.0.v2.log_id();
        let mut response = Response::new(messages::wire_answer(
            &log_id,
            entry.kind(),
            leaf,
            &appended,
        ));
        response
            .metadata_mut()
            .insert("x-http-code", "201".parse().expect("ASCII"));
        Ok(response)
    }

    async fn get_tile(
        &self,
        request: Request<rekor_v2::TileRequest>,
    ) -> Result<Response<google::HttpBody>, Status> {
        let rekor_v2::TileRequest { l, n } = request.into_inner();
        body(&self.0, &format!("tile/{l}/{n}")).await
    }

    async fn get_entry_bundle(
        &self,
        request: Request<rekor_v2::EntryBundleRequest>,
    ) -> Result<Response<google::HttpBody>, Status> {
        body(&self.0, &format!("tile/entries/{}", request.into_inner().n)).await
    }

    async fn get_checkpoint(&self, _: Request<()>) -> Result<Response<google::HttpBody>, Status> {
        let text = super::checkpoint(&self.0).map_err(|error| status(&error))?;
        Ok(Response::new(google::HttpBody {
            content_type: "text/plain; charset=utf-8".to_owned(),
            data: text.into_bytes(),
        }))
    }
}

async fn body(service: &Arc<Service>, path: &str) -> Result<Response<google::HttpBody>, Status> {
    let data = super::tile(service, path)
        .await
        .map_err(|error| status(&error))?;
    let content_type = "application/octet-stream".to_owned();
    Ok(Response::new(google::HttpBody { content_type, data }))
}

/// The status, with upstream's metadata for what its gateway would answer.
fn status(error: &V2Error) -> Status {
    let mut metadata = MetadataMap::new();
    let mut message = super::message(error);
    match error {
        V2Error::Duplicate { index } => {
            metadata.insert("x-log-index", (*index).into());
        }
        V2Error::Frozen => {
            metadata.insert("x-http-code", "405".parse().expect("ASCII"));
            metadata.insert("x-http-error-message", message.parse().expect("ASCII"));
            message = "log frozen".to_owned();
        }
        _ => {}
    }
    Status::with_metadata(error.status().1, message, metadata)
}
