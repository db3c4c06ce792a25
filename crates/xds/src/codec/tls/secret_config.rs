use leno_ir::SecretFile;
use leno_proto::envoy::config::core::v3::{
    ApiVersion, ConfigSource, PathConfigSource, WatchedDirectory, config_source::ConfigSourceSpecifier,
};
use leno_proto::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;

use crate::codec::common::ads;
use crate::codec::error::{DecodeError, Result};

/// Where a secret is.
pub(super) enum SecretPlace {
    File(SecretFile),
    /// Known by that name to whoever reads the configuration.
    Named(String),
}

pub(super) fn encode_named(name: &str) -> SdsSecretConfig {
    SdsSecretConfig { name: name.to_owned(), sds_config: ads() }
}

pub(super) fn encode_file(file: &SecretFile) -> SdsSecretConfig {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let watched = |path| WatchedDirectory { path: text(path), ..WatchedDirectory::default() };
    let path = PathConfigSource {
        path: text(&file.path),
        watched_directory: file.watched_directory.as_deref().map(watched),
        ..PathConfigSource::default()
    };
    let source = ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::PathConfigSource(path)),
        ..ConfigSource::default()
    };
    SdsSecretConfig { name: file.name.clone(), sds_config: Some(source) }
}

#[allow(deprecated, reason = "files still write the older field")]
pub(super) fn read_secret(config: &SdsSecretConfig) -> Result<SecretPlace> {
    let source = config.sds_config.as_ref().and_then(|source| source.config_source_specifier.as_ref());
    let (path, watched_directory) = match source {
        Some(ConfigSourceSpecifier::Path(path)) => (path, None),
        Some(ConfigSourceSpecifier::PathConfigSource(source)) => (&source.path, source.watched_directory.as_ref()),
        _ => return Ok(SecretPlace::Named(config.name.clone())),
    };
    if path.is_empty() {
        return Err(DecodeError::new("sds_config.path_config_source.path", "is missing"));
    }
    let watched_directory = watched_directory.map(|watched| watched.path.clone().into());
    Ok(SecretPlace::File(SecretFile { path: path.into(), name: config.name.clone(), watched_directory }))
}
