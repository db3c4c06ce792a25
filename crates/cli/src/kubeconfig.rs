//! `leno kubeconfig`: the control plane's address, roots and token among those that `kubectl` knows.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::data_directory;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: leno kubeconfig --use && kubectl get retrypolicies -A\n\nThe control plane writes its part as kubeconfig in its data directory (LENO_DATA) when it starts."
)]
pub struct KubeconfigArgs {
    /// What the control plane has written. Default: kubeconfig in the data directory.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The file to write. Default: the first of KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    file: Option<PathBuf>,
    /// Print it instead.
    #[arg(long)]
    print: bool,
    /// What the context is called.
    #[arg(long, default_value = "leno", value_name = "NAME")]
    context: String,
    /// Where the API is reached, when it is not on this host.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Make it the current context.
    #[arg(long = "use")]
    is_used: bool,
}

pub(crate) fn run(args: &KubeconfigArgs) -> anyhow::Result<i32> {
    let from = args.from.clone().unwrap_or_else(|| data_directory().join("kubeconfig"));
    let own = read(&from)?.with_context(|| {
        format!(
            "{} is not there: a control plane writes it when it starts; --from or LENO_DATA says where",
            from.display()
        )
    })?;
    let own = renamed(own, &args.context, args.server.as_deref());
    if args.print {
        print!("{}", serde_saphyr::to_string(&own)?);
        return Ok(0);
    }
    let path = args.file.clone().or_else(default_path).context("HOME is not set; --file says what to write")?;
    let existing = read(&path)?.unwrap_or_else(|| json!({}));
    write(&path, &merged(existing, &own, args.is_used))?;
    println!("context \"{}\" is in {}", args.context, path.display());
    Ok(0)
}

/// kubectl's rule for where new entries go.
fn default_path() -> Option<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty());
    let first = listed.and_then(|paths| std::env::split_paths(&paths).find(|path| !path.as_os_str().is_empty()));
    first.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config")))
}

fn read(path: &Path) -> anyhow::Result<Option<Value>> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(serde_saphyr::from_str(&text).with_context(|| format!("reading {}", path.display()))?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Cluster, user and context by one name, so that several control planes fit into one file.
fn renamed(mut config: Value, name: &str, server: Option<&str>) -> Value {
    for list in ["clusters", "users", "contexts"] {
        config[list][0]["name"] = json!(name);
    }
    let context = &mut config["contexts"][0]["context"];
    context["cluster"] = json!(name);
    context["user"] = json!(name);
    if let Some(server) = server {
        config["clusters"][0]["cluster"]["server"] = json!(server);
    }
    config["current-context"] = json!(name);
    config
}

/// Entries of the same name are replaced, all else stays.
fn merged(mut config: Value, own: &Value, is_used: bool) -> Value {
    for (key, value) in [("apiVersion", "v1"), ("kind", "Config")] {
        config[key] = json!(value);
    }
    for list in ["clusters", "users", "contexts"] {
        let mut all = config[list].as_array().cloned().unwrap_or_default();
        for entry in own[list].as_array().into_iter().flatten() {
            all.retain(|other| other["name"] != entry["name"]);
            all.push(entry.clone());
        }
        config[list] = Value::Array(all);
    }
    if is_used || config["current-context"].as_str().is_none_or(str::is_empty) {
        config["current-context"] = own["current-context"].clone();
    }
    config
}

/// Only the owner may read it. Whoever reads meanwhile has the old one or the new one.
fn write(path: &Path, config: &Value) -> anyhow::Result<()> {
    let about = || format!("writing {}", path.display());
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).with_context(about)?;
    }
    // Through a link, which stays one.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let draft = path.with_extension("leno-new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .with_context(about)?;
    file.write_all(serde_saphyr::to_string(config)?.as_bytes()).with_context(about)?;
    std::fs::rename(&draft, &path).with_context(about)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Value {
        json!({
            "clusters": [{ "name": "leno", "cluster": { "server": "https://127.0.0.1:15010" } }],
            "users": [{ "name": "leno-admin", "user": { "token": "new" } }],
            "contexts": [{ "name": "leno", "context": { "cluster": "leno", "user": "leno-admin" } }],
            "current-context": "leno",
        })
    }

    #[test]
    fn other_clusters_stay_and_ours_is_there_once() {
        let existing = json!({
            "clusters": [{ "name": "work" }, { "name": "mesh", "cluster": { "server": "old" } }],
            "users": [{ "name": "work" }],
            "contexts": [{ "name": "work" }],
            "current-context": "work",
            "preferences": { "colors": true },
        });
        let own = renamed(own(), "mesh", Some("https://mesh.example:15010"));
        let merged = merged(existing, &own, false);
        assert_eq!(merged["clusters"].as_array().map(Vec::len), Some(2));
        assert_eq!(merged["clusters"][1]["cluster"]["server"], "https://mesh.example:15010");
        assert_eq!(merged["contexts"][1]["context"], json!({ "cluster": "mesh", "user": "mesh" }));
        assert_eq!(merged["current-context"], "work");
        assert_eq!(merged["preferences"]["colors"], true);
        assert_eq!(super::merged(merged.clone(), &own, true)["current-context"], "mesh");
        assert_eq!(super::merged(merged.clone(), &own, false), merged, "once more changes nothing");
    }

    #[test]
    fn an_empty_file_gets_all_of_it() {
        let merged = merged(json!({}), &own(), false);
        assert_eq!((&merged["kind"], &merged["current-context"]), (&json!("Config"), &json!("leno")));
    }
}
