use std::fmt::Write;

/// A path of the interface.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) path: &'static str,
    /// Whether it changes something, and so needs a POST.
    pub(super) changes: bool,
    about: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const fn show(path: &'static str, about: &'static str) -> Command {
    Command { path, changes: false, about, parameters: &[] }
}

const fn change(path: &'static str, about: &'static str) -> Command {
    Command { path, changes: true, about, parameters: &[] }
}

const fn with(command: Command, parameters: &'static [(&'static str, &'static str)]) -> Command {
    Command { parameters, ..command }
}

const STATS: &[(&str, &str)] = &[
    ("usedonly", "only what was written to since the start"),
    ("filter", "a regular expression that names must match"),
    ("format", "one of (text, json, prometheus)"),
    ("type", "one of (All, Counters, Gauges, Histograms, TextReadouts)"),
    ("histogram_buckets", "one of (cumulative, disjoint, summary)"),
];

/// Envoy's.
pub(super) const RUNTIME_USAGE: &str = "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n       or send the parameters as form values\n\
    use an empty value to remove a previously added override";

/// In alphabetical order.
pub(super) const COMMANDS: &[Command] = &[
    show("/", "this page"),
    show("/certs", "certificates in use"),
    with(
        show("/clusters", "clusters and their endpoints"),
        &[("filter", "a regular expression that names must match"), ("format", "one of (text, json)")],
    ),
    show("/config", "the active configuration as Leno holds it"),
    with(
        show("/config_dump", "the active configuration as Envoy's API has it"),
        &[
            ("resource", "only the field of that name, one entry each"),
            ("mask", "only these fields, separated by commas"),
            ("name_regex", "only what has a name that matches"),
            ("include_eds", "endpoints too"),
        ],
    ),
    show("/contention", "nothing: contention of locks is not measured"),
    with(
        change("/drain_listeners", "take no new connections, or leave the mesh; what is under way goes on"),
        &[
            ("graceful", "callers are told before the listeners close"),
            ("skip_exit", "the process stays"),
            ("inboundonly", "only listeners of inbound traffic"),
        ],
    ),
    change("/healthcheck/fail", "let health checks fail"),
    change("/healthcheck/ok", "let health checks pass again"),
    show("/help", "this list"),
    show("/hot_restart_version", "that it has none"),
    show("/init_dump", "what is still waited for"),
    with(show("/listeners", "names and addresses"), &[("format", "one of (text, json)")]),
    with(
        change("/logging", "show or change the levels of the process log"),
        &[("level", "for all"), ("paths", "NAME:LEVEL,… for some")],
    ),
    show("/memory", "memory of the process"),
    show("/metrics", "Istio's metrics and Leno's own, as OpenMetrics"),
    change("/quitquitquit", "drain and end"),
    with(show("/ready", "200 when it serves, otherwise 503"), &[]),
    change("/reopen_logs", "open the access logs anew"),
    change("/reset_counters", "count from zero again"),
    show("/runtime", "runtime values of static layers"),
    change("/runtime_modify", "nothing: runtime values are those of the bootstrap"),
    show("/server_info", "version and state"),
    with(show("/stats", "what was counted"), STATS),
    with(show("/stats/prometheus", "the same for Prometheus, with Istio's metrics and Leno's own"), STATS),
];

pub(super) fn find(path: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.path == path)
}

/// As Envoy lists its own.
pub(super) fn list() -> String {
    let mut list = "admin commands are:\n".to_owned();
    for Command { path, changes, about, parameters } in COMMANDS {
        let post = if *changes { " (POST)" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(list, "  {path}{post}: {about}");
        for (name, about) in *parameters {
            let _ = writeln!(list, "      {name}: {about}");
        }
    }
    list
}

pub(super) fn home() -> String {
    let mut page =
        "<!DOCTYPE html>\n<html lang='en'>\n<head><title>Leno Admin</title></head>\n<body>\n<table>\n".to_owned();
    for Command { path, changes, about, .. } in COMMANDS {
        let _ = match changes {
            true => writeln!(
                page,
                "<tr><td><form action='{path}' method='post'><button>{path}</button></form></td><td>{about}</td></tr>"
            ),
            false => writeln!(page, "<tr><td><a href='{path}'>{path}</a></td><td>{about}</td></tr>"),
        };
    }
    page.push_str("</table>\n</body>\n</html>\n");
    page
}
