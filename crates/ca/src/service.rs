//! Istio's CSR service over gRPC: who may have which certificate.
//!
//! Proof       a join token in `authorization`, for the identity that the CSR names; or the SVID of the connection, for
//!             that very identity
//! Errors      UNAUTHENTICATED without a good proof, INVALID_ARGUMENT for a bad CSR, INTERNAL when it is our fault

use leno_telemetry::Chain;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use leno_identity::{JoinToken, PeerExpiry};
use leno_names::SpiffeId;
use leno_proto::istio::{
    CERTIFICATE_SERVICE_NAME, CREATE_CERTIFICATE_PATH, IstioCertificateRequest, IstioCertificateResponse,
};
use rcgen::{CertificateSigningRequestParams, SanType};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::authority::{Ca, CaError};
use crate::issue::check_csr;

/// The gRPC service; add it to the server that speaks TLS with the workloads. The server puts the peer's verified
/// `SpiffeId` into the request's extensions when there is one.
#[derive(Clone, Debug)]
pub struct CsrService {
    ca: Arc<Ca>,
}

pub fn csr_service(ca: Arc<Ca>) -> CsrService {
    CsrService { ca }
}

impl NamedService for CsrService {
    const NAME: &'static str = CERTIFICATE_SERVICE_NAME;
}

impl Service<http::Request<Body>> for CsrService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = CreateCertificate { ca: self.ca.clone() };
        Box::pin(async move {
            if request.uri().path() != CREATE_CERTIFICATE_PATH {
                return Ok(Status::unimplemented("this service has one method: CreateCertificate").into_http());
            }
            let codec = ProstCodec::<IstioCertificateResponse, IstioCertificateRequest>::default();
            Ok(Grpc::new(codec).unary(method, request).await)
        })
    }
}

struct CreateCertificate {
    ca: Arc<Ca>,
}

impl UnaryService<IstioCertificateRequest> for CreateCertificate {
    type Response = IstioCertificateResponse;
    type Future = BoxFuture<Response<IstioCertificateResponse>, Status>;

    /// Off the async threads: the use of a token is written to disk, and signing takes its time.
    fn call(&mut self, request: Request<IstioCertificateRequest>) -> Self::Future {
        let ca = self.ca.clone();
        let create = tokio::task::spawn_blocking(move || ca.create_certificate(&request, SystemTime::now()));
        Box::pin(async { create.await.unwrap_or_else(|_| Err(Status::internal("the request was cut off"))) })
    }
}

impl Ca {
    fn create_certificate(
        &self,
        request: &Request<IstioCertificateRequest>,
        now: SystemTime,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.metrics.requests.inc();
        let wanted = self.wanted_id(request);
        let asked = wanted.as_ref().map(ToString::to_string).unwrap_or_default();
        let result = wanted.and_then(|id| self.authenticated(request, id, now)).and_then(|id| {
            let seconds = u64::try_from(request.get_ref().validity_duration).unwrap_or(0);
            let ttl = (seconds > 0).then(|| Duration::from_secs(seconds));
            let chain = self.sign_csr(&request.get_ref().csr, &id, ttl, now).map_err(|error| status(&error))?;
            Ok((id, chain))
        });
        match result {
            Ok((id, cert_chain)) => {
                tracing::info!(%id, "certificate issued");
                Ok(Response::new(IstioCertificateResponse { cert_chain }))
            }
            Err(status) => {
                self.metrics.refused.inc();
                tracing::warn!(id = asked, code = ?status.code(), reason = status.message(), "certificate refused");
                Err(status)
            }
        }
    }

    /// The identity that the CSR names; a CSR without a name asks for the peer's own.
    fn wanted_id(&self, request: &Request<IstioCertificateRequest>) -> Result<SpiffeId, Status> {
        let csr = CertificateSigningRequestParams::from_pem(&request.get_ref().csr)
            .map_err(|error| Status::invalid_argument(format!("the CSR is not acceptable: {error}")))?;
        let uri = csr.params.subject_alt_names.iter().find_map(|name| match name {
            SanType::URI(uri) => Some(uri.as_str().to_owned()),
            _ => None,
        });
        match (uri, request.extensions().get::<SpiffeId>()) {
            (Some(uri), _) => uri.parse().map_err(|error| Status::invalid_argument(format!("the CSR's name: {error}"))),
            (None, Some(peer)) => Ok(peer.clone()),
            (None, None) => Err(Status::invalid_argument("the CSR names no SPIFFE ID")),
        }
    }

    fn authenticated(
        &self,
        request: &Request<IstioCertificateRequest>,
        id: SpiffeId,
        now: SystemTime,
    ) -> Result<SpiffeId, Status> {
        // Before a token is used up for it.
        check_csr(&request.get_ref().csr, &id).map_err(|error| status(&error))?;
        if id.trust_domain != *self.trust_domain() {
            return Err(Status::permission_denied(format!("{id} is not of trust domain {}", self.trust_domain())));
        }
        let bearer = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if let Some(text) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
            let token: JoinToken = text.parse().map_err(|error| Status::unauthenticated(format!("{error}")))?;
            self.redeem_token(&token, &id, now).map_err(|error| match error {
                crate::TokenError::NotSaved { source } => status(&source),
                error => Status::unauthenticated(error.to_string()),
            })?;
            tracing::info!(token = token.id, %id, "join token used");
            return Ok(id);
        }
        // Verified when the connection was made, which may be long ago.
        let expiry = request.extensions().get::<PeerExpiry>();
        match request.extensions().get::<SpiffeId>() {
            Some(peer) if expiry.is_none_or(|expiry| now >= expiry.0) => {
                Err(Status::unauthenticated(format!("the SVID of {peer} has expired; a join token is needed")))
            }
            Some(peer) if *peer == id => Ok(id),
            Some(peer) => Err(Status::permission_denied(format!("{peer} may renew its own certificate, not {id}"))),
            None => Err(Status::unauthenticated("neither a join token nor an SVID proves who asks")),
        }
    }
}

fn status(error: &CaError) -> Status {
    match error {
        CaError::Refused { reason } => Status::invalid_argument(reason.clone()),
        error => {
            tracing::error!(error = %Chain(error), "certificate cannot be issued");
            Status::internal("the authority cannot issue certificates now; its log says why")
        }
    }
}
