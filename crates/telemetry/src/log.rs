use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    Json,
    #[default]
    Text,
}

/// Sends the process log to standard error. `filter` is `info`, or `info,leno_proxy=debug` and the like.
///
/// # Errors
/// When `filter` does not parse, or a log was set up before.
pub fn init_log(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter).map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    // Colours are for people: files and pipes get plain text (https://no-color.org).
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
    }
    .map_err(|_already_set| LogError::AlreadySet)
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("a process log is set up already")]
    AlreadySet,
    #[error("\"{filter}\" is not a log filter; write for example info or info,leno_proxy=debug")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
}
