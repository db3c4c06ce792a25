use leno_telemetry::Chain;
use std::fmt;
use std::time::Duration;

use http::uri::PathAndQuery;
use leno_names::SpiffeId;
use leno_proto::istio::{CREATE_CERTIFICATE_PATH, IstioCertificateRequest, IstioCertificateResponse};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::JoinError;
use crate::{JoinToken, Svid};

/// Asks for certificates over Istio's CSR service.
#[derive(Clone)]
pub struct CsrClient {
    channel: Channel,
    /// `Bearer …`; without it the SVID of the connection speaks for us.
    authorization: Option<String>,
}

impl fmt::Debug for CsrClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsrClient").field("with_token", &self.authorization.is_some()).finish_non_exhaustive()
    }
}

impl CsrClient {
    pub fn with_token(channel: Channel, token: &JoinToken) -> Self {
        Self { channel, authorization: Some(format!("Bearer {token}")) }
    }

    pub fn with_svid(channel: Channel) -> Self {
        Self { channel, authorization: None }
    }

    /// Makes a key, has a certificate for `id` made, and checks it.
    ///
    /// # Errors
    /// `Refused` when another try with the same proof is pointless.
    pub async fn fetch(&self, id: &SpiffeId, address: &str, timeout: Duration) -> Result<Svid, JoinError> {
        let key_error = |source| JoinError::Key { source };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(key_error)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into().map_err(key_error)?)];
        let csr = params.serialize_request(&key).and_then(|csr| csr.pem()).map_err(key_error)?;
        let chain = self.request(csr, address, timeout).await?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let svid =
            into_svid(&chain, key).map_err(|source| JoinError::Certificate { address: address.to_owned(), source })?;
        if svid.id == *id {
            Ok(svid)
        } else {
            Err(JoinError::Identity { address: address.to_owned(), given: svid.id, wanted: id.clone() })
        }
    }

    async fn request(&self, csr: String, address: &str, timeout: Duration) -> Result<Vec<String>, JoinError> {
        let mut request = Request::new(IstioCertificateRequest { csr, validity_duration: 0 });
        let authorization = self.authorization.as_ref().and_then(|text| text.parse::<MetadataValue<Ascii>>().ok());
        if let Some(mut value) = authorization {
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        let unavailable = |message: String| JoinError::Unavailable { address: address.to_owned(), message };
        let mut grpc = Grpc::new(self.channel.clone());
        let call = async {
            grpc.ready().await.map_err(|error| unavailable(Chain(&error).to_string()))?;
            let codec = ProstCodec::<IstioCertificateRequest, IstioCertificateResponse>::default();
            let response = grpc.unary(request, PathAndQuery::from_static(CREATE_CERTIFICATE_PATH), codec).await;
            response.map_err(|status| match status.code() {
                Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated => {
                    JoinError::Refused { address: address.to_owned(), message: status.message().to_owned() }
                }
                code => unavailable(format!("{} ({code:?})", status.message())),
            })
        };
        match tokio::time::timeout(timeout, call).await {
            Ok(response) => Ok(response?.into_inner().cert_chain),
            Err(_elapsed) => Err(unavailable(format!("no answer within {timeout:?}"))),
        }
    }
}

/// The last certificate is the root, the others are the chain.
fn into_svid(chain: &[String], key: PrivateKeyDer<'static>) -> Result<Svid, crate::SvidError> {
    let mut certificates = Vec::new();
    for pem in chain {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            certificates.push(certificate.map_err(|_| crate::SvidError::Parse { what: "certificate chain" })?);
        }
    }
    let root = certificates.pop().ok_or(crate::SvidError::Empty { what: "certificate chain" })?;
    Svid::new(certificates, key, vec![root])
}
