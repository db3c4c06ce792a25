//! What `/logging` is asked, in Envoy's words, as a filter of our log.
//!
//! Source      Envoy operations/admin, "POST /logging": level=LEVEL for all, paths=NAME:LEVEL,… for some

use std::fmt::Write;

use super::query::Query;

pub(super) const USAGE: &str = "\
usage: /logging?level=<level> (change all levels)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
levels: trace debug info warning error critical off
";

/// Envoy's levels and ours; `critical` is our error.
const LEVELS: [(&str, &str); 8] = [
    ("critical", "error"),
    ("debug", "debug"),
    ("error", "error"),
    ("info", "info"),
    ("off", "off"),
    ("trace", "trace"),
    ("warn", "warn"),
    ("warning", "warn"),
];

/// The filter that a query asks for. `level` also takes a whole filter of ours, as `--log` does.
///
/// # Errors
/// What to write instead.
pub(super) fn filter(query: &Query) -> Result<String, String> {
    let mut parts = Vec::new();
    for (key, value) in query.iter() {
        match key {
            "level" => parts.extend(value.split(',').map(part).collect::<Result<Vec<_>, _>>()?),
            "paths" => {
                for path in value.split(',') {
                    let (name, level) = path.rsplit_once(':').ok_or_else(|| format!("\"{path}\" is not NAME:LEVEL"))?;
                    parts.push(format!("{name}={}", level_of(level)?));
                }
            }
            _ => return Err(format!("\"{key}\" is not a parameter; use level=LEVEL or paths=NAME:LEVEL")),
        }
    }
    Ok(parts.join(","))
}

/// As Envoy does: one logger a line.
pub(super) fn page(filter: &str) -> String {
    let mut page = "active loggers:\n".to_owned();
    for part in filter.split(',').filter(|part| !part.is_empty()) {
        let (name, level) = part.split_once('=').unwrap_or(("default", part));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "  {name}: {level}");
    }
    page
}

fn part(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, level)) => Ok(format!("{name}={}", level_of(level)?)),
        None => level_of(text).map(str::to_owned),
    }
}

fn level_of(word: &str) -> Result<&'static str, String> {
    let found = LEVELS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    found.map(|(_, level)| *level).ok_or_else(|| {
        let names: Vec<_> = LEVELS.iter().map(|(name, _)| *name).collect();
        format!("\"{word}\" is not a log level; valid are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Result<String, String> {
        super::filter(&Query::new(query))
    }

    #[test]
    fn levels_are_taken_in_envoys_words_and_ours() {
        assert_eq!(filter("level=warning").as_deref(), Ok("warn"));
        assert_eq!(filter("level=info,leno_proxy=debug").as_deref(), Ok("info,leno_proxy=debug"));
        assert_eq!(filter("level=info&paths=leno_proxy:trace,h2:off").as_deref(), Ok("info,leno_proxy=trace,h2=off"));
        for bad in ["level=loud", "level=", "paths=x", "http=debug"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_page_has_one_logger_a_line() {
        assert_eq!(page("leno_proxy=debug,info"), "active loggers:\n  leno_proxy: debug\n  default: info\n");
    }
}
