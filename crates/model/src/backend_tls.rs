/// How a gateway speaks TLS with a port of a service (BackendTLSPolicy).
#[derive(Clone, Debug, PartialEq)]
pub enum BackendTls {
    /// The policy cannot be followed: nothing is sent rather than sent in the clear.
    Broken,
    Checked {
        /// Asked for, and to be proved unless `names` says otherwise.
        server_name: String,
        /// Any of them.
        names: Vec<BackendName>,
        roots: BackendRoots,
    },
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BackendName {
    Dns(String),
    Uri(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BackendRoots {
    Pem(String),
    /// Of the machine.
    System,
}
