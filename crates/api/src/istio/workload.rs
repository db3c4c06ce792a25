use std::collections::BTreeMap;

use crate::schema::{Opaque, schema};

schema! {
    pub struct WorkloadEntrySpec {
        pub address: Option<String>,
        pub labels: BTreeMap<String, String>,
        /// `region/zone/sub-zone`.
        pub locality: Option<String>,
        pub network: Option<String>,
        /// From the name (or number) of a service port to the port the workload listens on.
        pub ports: BTreeMap<String, u16>,
        pub service_account: Option<String>,
        /// Default 1.
        pub weight: Option<u32>,
    }
    pub struct WorkloadGroupSpec {
        pub metadata: WorkloadGroupMetadata,
        pub probe: Opaque,
        pub template: WorkloadEntrySpec,
    }
    pub struct WorkloadGroupMetadata {
        pub annotations: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
    }
}
