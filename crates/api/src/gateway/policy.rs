use std::collections::BTreeMap;

use super::{ObjectRef, SessionPersistence, TypedRef};
use crate::GatewayDuration;
use crate::schema::schema;

schema! {
    pub struct BackendTlsPolicySpec {
        pub options: BTreeMap<String, String>,
        pub target_refs: Vec<PolicyTargetRef>,
        pub validation: BackendTlsValidation,
    }
    pub struct PolicyTargetRef {
        pub group: String,
        pub kind: String,
        pub name: String,
        /// A port's name.
        pub section_name: Option<String>,
    }
    pub struct BackendTlsValidation {
        pub ca_certificate_refs: Vec<TypedRef>,
        /// Server name to ask for, and to be proved unless `subjectAltNames` says otherwise.
        pub hostname: String,
        pub subject_alt_names: Vec<SubjectAltName>,
        /// `System`: the roots of the machine.
        #[serde(rename = "wellKnownCACertificates")]
        pub well_known_ca_certificates: Option<String>,
    }
    pub struct SubjectAltName {
        pub hostname: Option<String>,
        /// `Hostname` or `URI`.
        pub r#type: String,
        pub uri: Option<String>,
    }
    pub struct XBackendTrafficPolicySpec {
        pub retry_constraint: Option<RetryConstraint>,
        pub session_persistence: Option<SessionPersistence>,
        pub target_refs: Vec<TypedRef>,
    }
    pub struct RetryConstraint {
        pub budget: RetryConstraintBudget,
        pub min_retry_rate: Option<RequestRate>,
    }
    pub struct RetryConstraintBudget {
        /// Default 10 s.
        pub interval: Option<GatewayDuration>,
        /// Of the requests in the interval. Default 20.
        pub percent: Option<u32>,
    }
    pub struct RequestRate {
        /// Default 10.
        pub count: Option<u32>,
        /// Default 1 s.
        pub interval: Option<GatewayDuration>,
    }
    pub struct XMeshSpec {
        pub controller_name: String,
        pub description: Option<String>,
        pub parameters_ref: Option<ObjectRef>,
    }
}
