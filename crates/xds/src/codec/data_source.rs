use leno_ir::DataSource;
use leno_proto::envoy::config::core::v3::{DataSource as Proto, data_source::Specifier};

use super::error::{DecodeError, Result, refuse};

pub(super) fn encode(source: &DataSource) -> Proto {
    let specifier = match source {
        DataSource::Environment(name) => Specifier::EnvironmentVariable(name.clone()),
        DataSource::File(path) => Specifier::Filename(path.to_string_lossy().into_owned()),
        DataSource::Inline(bytes) => Specifier::InlineBytes(bytes.bytes().to_vec()),
    };
    Proto { specifier: Some(specifier), ..Proto::default() }
}

pub(super) fn decode(proto: &Proto) -> Result<DataSource> {
    refuse!(proto, watched_directory);
    Ok(match &proto.specifier {
        Some(Specifier::EnvironmentVariable(name)) => DataSource::Environment(name.clone()),
        Some(Specifier::Filename(path)) => DataSource::File(path.into()),
        Some(Specifier::InlineBytes(bytes)) => DataSource::inline(bytes.clone()),
        Some(Specifier::InlineString(text)) => DataSource::inline(text.as_bytes()),
        None => return Err(DecodeError::new("specifier", "is missing")),
    })
}
