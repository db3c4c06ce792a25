//! Istio's certificate service: `istio.v1.auth.IstioCertificateService`.
//!
//! Source      istio/api security/v1alpha1/ca.proto, field numbers as there

/// The method's path on the wire.
pub const CREATE_CERTIFICATE_PATH: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// The service's name.
pub const CERTIFICATE_SERVICE_NAME: &str = "istio.v1.auth.IstioCertificateService";

#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateRequest {
    /// PEM.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// Wanted life in seconds; 0 leaves it to the CA.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateResponse {
    /// PEM, one certificate an entry: leaf, intermediate, root.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}
