//! A file with a secret in it, as a file subscription of SDS reads it: a `DiscoveryResponse` with one resource.

use leno_ir::Secret;

use super::reader::Reader;
use super::yaml;
use crate::codec::{self, DecodeError};

const RESPONSE: &str = "envoy.service.discovery.v3.DiscoveryResponse";
const SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.Secret";

/// Why a file has not the secret that is asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretFileError {
    #[error("line {line}: {}{reason}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
    Wrong { line: usize, field: String, reason: String },
    #[error("has {found} resources; a file of secrets must have one")]
    Count { found: usize },
    #[error("resources[0] is no {SECRET}")]
    Type,
    #[error("has the secret {found} and not {wanted}")]
    Name { found: String, wanted: String },
    #[error("resources[0].{0}")]
    Secret(#[from] DecodeError),
}

/// Reads YAML or JSON.
///
/// # Errors
/// The first thing that is wrong.
pub fn read_secret_file(text: &str, name: &str) -> Result<Secret, SecretFileError> {
    let wrong = |(line, field, reason): (usize, String, String)| SecretFileError::Wrong { line, field, reason };
    let tree = yaml::read(text).map_err(|(line, reason)| wrong((line, String::new(), reason)))?;
    let mut reader = Reader::new();
    let message = reader.read(RESPONSE, &tree);
    if let Some(problem) = reader.problems.into_iter().next() {
        return Err(wrong(problem));
    }
    let resources = message.parts("resources");
    let [resource] = resources.as_slice() else { return Err(SecretFileError::Count { found: resources.len() }) };
    let body = codec::any_of(resource.bytes(), SECRET).ok_or(SecretFileError::Type)?;
    let (found, secret) = codec::decode_secret(&body)?;
    if found != name {
        return Err(SecretFileError::Name { found, wanted: name.to_owned() });
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(resources: &str) -> Result<Secret, String> {
        read_secret_file(&format!("resources: {resources}"), "a").map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_has_one_secret_of_the_name_that_is_asked_for() {
        let secret = |name: &str| {
            let chain = "certificate_chain: { filename: c }, private_key: { filename: k }";
            format!("{{ '@type': type.googleapis.com/{SECRET}, name: {name}, tls_certificate: {{ {chain} }} }}")
        };
        assert!(matches!(read(&format!("[{}]", secret("a"))), Ok(Secret::Certificate(_))));
        let wrong = |resources: &str| read(resources).expect_err("it is refused");
        assert_eq!(wrong(&format!("[{}]", secret("b"))), "has the secret b and not a");
        assert_eq!(wrong("[]"), "has 0 resources; a file of secrets must have one");
        assert!(wrong(&format!("[{0}, {0}]", secret("a"))).starts_with("has 2 resources"));
        assert!(
            wrong("[{ '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a }]").ends_with("Secret")
        );
        assert!(
            wrong(&format!("[{{ '@type': type.googleapis.com/{SECRET}, nam: a }}]")).contains("did you mean name?")
        );
    }
}
