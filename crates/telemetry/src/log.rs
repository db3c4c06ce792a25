use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::reload::Handle;

/// The filter in force, for those who want to see or change it.
static CONTROL: OnceLock<Control> = OnceLock::new();

struct Control {
    current: Box<dyn Fn() -> Option<String> + Send + Sync>,
    replace: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
}

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
    // Colours are for people: files and pipes get plain text (https://no-color.org).
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder =
        tracing_subscriber::fmt().with_env_filter(parse(filter)?).with_writer(std::io::stderr).with_ansi(colours);
    let control = match format {
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let control = control(builder.reload_handle());
            builder.try_init().map(|()| control)
        }
        LogFormat::Text => {
            let builder = builder.with_target(false).with_filter_reloading();
            let control = control(builder.reload_handle());
            builder.try_init().map(|()| control)
        }
    };
    let control = control.map_err(|_already_set| LogError::AlreadySet)?;
    // Empty until now: the subscriber can be set only once.
    let _ = CONTROL.set(control);
    Ok(())
}

/// Changes the filter of the process log, from now on.
///
/// # Errors
/// When `filter` does not parse, or no log was set up.
pub fn set_log_filter(filter: &str) -> Result<(), LogError> {
    let filter = parse(filter)?;
    let replaced = CONTROL.get().is_some_and(|control| (control.replace)(filter));
    if replaced { Ok(()) } else { Err(LogError::NotSet) }
}

/// The filter of the process log; empty without a log.
pub fn log_filter() -> String {
    CONTROL.get().and_then(|control| (control.current)()).unwrap_or_default()
}

/// A single word that is no level would be taken for a part of the program, and nothing would be logged.
fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    let is_part = |word: &str| word.is_empty() || word.contains(['=', '[', ':', '_']);
    let wrong = filter.split(',').map(str::trim).find(|word| !is_part(word) && word.parse::<LevelFilter>().is_err());
    if let Some(word) = wrong {
        return Err(LogError::Level { word: word.to_owned() });
    }
    EnvFilter::try_new(filter).map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

fn control<S: 'static>(handle: Handle<EnvFilter, S>) -> Control {
    let shown = handle.clone();
    Control {
        current: Box::new(move || shown.with_current(ToString::to_string).ok()),
        replace: Box::new(move |filter| handle.reload(filter).is_ok()),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("a process log is set up already")]
    AlreadySet,
    #[error("\"{filter}\" is not a log filter; write for example info or info,leno_proxy=debug")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("\"{word}\" is no level: error, warn, info, debug, trace and off are")]
    Level { word: String },
    #[error("no process log is set up")]
    NotSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_seen_and_changed() {
        assert!(matches!(set_log_filter("debug"), Err(LogError::NotSet)));
        init_log(LogFormat::Text, "info").unwrap();
        set_log_filter("warn,leno_proxy=debug").unwrap();
        let shown = log_filter();
        assert!(shown.contains("leno_proxy=debug") && shown.contains("warn"), "{shown}");
        assert!(!tracing::enabled!(tracing::Level::INFO) && tracing::enabled!(tracing::Level::WARN));
        assert!(set_log_filter("a=b=c=").is_err());
        assert!(matches!(set_log_filter("inof"), Err(LogError::Level { word }) if word == "inof"));
        assert_eq!(log_filter(), shown);
    }
}
