//! What objects would change, before they do: for which proxies, in words and as xDS.
//!
//! Shape       two sets of objects -> two meshes -> n groups of proxies that see the same -> n changes, each with its objects
//! Cost        both meshes are compiled once for each group

mod changes;
mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use leno_api::Resource;
use leno_ir::Config;
use leno_model::Client;
use leno_names::TrustDomain;
use serde::Serialize;
use serde_json::{Value, json};

use crate::connection::ConnectionArgs;
use crate::files::{self, Input};
use crate::live;
use crate::loaded::Loaded;
use crate::mesh::{Mesh, numbers};

pub(crate) use changes::Change;
use changes::{Objects, changes};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples: leno diff -f routes/                  # against the running mesh\n          leno diff --from main/ -f branch/ -o xds\n\nExit code: 0 nothing would change, 1 something would, 2 misused."
)]
pub struct DiffArgs {
    /// What it would be: file, directory, or - for standard input. Repeatable.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    file: Vec<PathBuf>,
    /// What it is: file or directory. Repeatable. Without any it is the running mesh, to which the files are applied.
    #[arg(long, value_name = "FILE|DIR")]
    from: Vec<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// The trust domain of the mesh.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    trust_domain: TrustDomain,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Json,
    Text,
    /// The resources that change as proxies would get them, and the names of those that go.
    Xds,
}

/// Proxies that see the same, and what changes for them.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    /// `all proxies`, or namespaces and workloads.
    pub(crate) proxies: String,
    pub(crate) changes: Vec<Change>,
    #[serde(skip)]
    configs: (Config, Config),
}

pub(crate) async fn run(args: DiffArgs) -> anyhow::Result<i32> {
    let after = files::read(&args.file)?;
    let is_live = args.from.is_empty();
    let before = live::files_or_mesh(&args.from, &args.connection).await?;
    let groups = compare(&before, &after, is_live, &args.trust_domain);
    print!("{}", render(&groups, args.output));
    Ok(i32::from(groups.iter().any(|group| !group.changes.is_empty())))
}

/// With `is_applied` objects of `before` that `after` does not have stay.
pub(crate) fn compare(before: &[Input], after: &[Input], is_applied: bool, trust_domain: &TrustDomain) -> Vec<Group> {
    let (before, mut after) = (Loaded::of(before), Loaded::told(after));
    if is_applied {
        after.add_missing(&before);
    }
    let numbers = numbers(before.resources.iter().chain(&after.resources));
    let mut meshes = [&before, &after].map(|side| Mesh::numbered(&side.resources, trust_domain, &numbers));
    let objects = Objects::new(&before, &after);
    let mut groups = Vec::new();
    let clients = clients(&meshes, &before, &after);
    let all = clients.len();
    for ((namespace, labels), names) in clients {
        let [old, new] = meshes.each_mut().map(|mesh| mesh.config(&namespace, &labels));
        let [seen_before, seen_after] = meshes.each_ref().map(|mesh| mesh.seen_by(&namespace, &labels));
        let changes = changes(&old, &new, [&seen_before, &seen_after], &objects);
        let names: Vec<_> = names.into_iter().collect();
        let proxies = if all == 1 { "all proxies".to_owned() } else { format!("proxies of {}", names.join(", ")) };
        groups.push(Group { proxies, changes, configs: (old, new) });
    }
    groups
}

/// Namespace and labels.
type Seer = (String, BTreeMap<String, String>);

/// A client that stands for all that see the same, and who those are.
type Clients = BTreeMap<Seer, BTreeSet<String>>;

fn clients(meshes: &[Mesh; 2], before: &Loaded, after: &Loaded) -> Clients {
    let mut by_scope: BTreeMap<_, (Seer, BTreeSet<String>)> = BTreeMap::new();
    let mut take = |namespace: &str, labels: &BTreeMap<String, String>, name: String| {
        let scope = meshes.each_ref().map(|mesh| mesh.snapshot.scope_of(Client { namespace, labels }));
        let client = (namespace.to_owned(), labels.clone());
        by_scope.entry(scope).or_insert_with(|| (client, BTreeSet::new())).1.insert(name);
    };
    for mesh in meshes {
        for key in mesh.snapshot.services.keys() {
            take(&key.namespace, &BTreeMap::new(), key.namespace.clone());
        }
    }
    for resource in before.resources.iter().chain(&after.resources) {
        if let Resource::WorkloadEntry(entry) = &**resource {
            let labels = if entry.spec.labels.is_empty() { &entry.metadata.labels } else { &entry.spec.labels };
            let namespace = entry.metadata.namespace();
            let selected = meshes.iter().any(|mesh| {
                let scope = mesh.snapshot.scope_of(Client { namespace, labels });
                !scope.labels.is_empty()
            });
            let name = if selected { format!("{namespace}/{}", entry.metadata.name) } else { namespace.to_owned() };
            take(namespace, labels, name);
        }
    }
    by_scope.into_values().collect()
}

pub(crate) fn render(groups: &[Group], format: Format) -> String {
    match format {
        Format::Json => format!("{:#}\n", json!({ "groups": groups })),
        Format::Text => words(groups),
        Format::Xds => format!("{:#}\n", Value::Array(groups.iter().filter_map(xds).collect())),
    }
}

/// Differences of one resource that are shown; a resource that is another altogether has hundreds.
const SHOWN_FIELDS: usize = 8;

fn words(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups.iter().filter(|group| !group.changes.is_empty()) {
        let _ = writeln!(text, "for {}:", group.proxies);
        for change in &group.changes {
            let _ = writeln!(text, "  {} {} {}", change.sign(), change.kind, change.name);
            for field in change.fields.iter().take(SHOWN_FIELDS) {
                let _ = writeln!(text, "      {field}");
            }
            if let Some(more) = change.fields.len().checked_sub(SHOWN_FIELDS).filter(|more| *more > 0) {
                let _ = writeln!(text, "      and {more} more");
            }
            if !change.objects.is_empty() {
                let _ = writeln!(text, "    by {}", change.objects.join(", "));
            }
        }
    }
    if text.is_empty() { "nothing changes for any proxy\n".to_owned() } else { text }
}

/// What is sent to the proxies of a group, and what is taken from them.
fn xds(group: &Group) -> Option<Value> {
    if group.changes.is_empty() {
        return None;
    }
    let (_, after) = &group.configs;
    let mut sent = Config::default();
    let mut removed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for change in &group.changes {
        let name = &change.name;
        let mut is_there = false;
        macro_rules! take {
            ($field:ident) => {
                if let Some(value) = after.$field.get(name) {
                    sent.$field.insert(name.clone(), value.clone());
                    is_there = true;
                }
            };
        }
        match change.kind {
            "listener" => take!(listeners),
            "routes" => take!(route_tables),
            "cluster" => take!(clusters),
            _ => take!(endpoints),
        }
        if !is_there {
            removed.entry(change.kind).or_default().push(name);
        }
    }
    let dump = leno_xds::Dump { config: &sent, bootstrap: None, includes_endpoints: true, last_updated: "" };
    let mut parts = leno_xds::config_dump(dump);
    // What is sent says nothing of a bootstrap, and a part without resources is none.
    parts.retain(|part| part.as_object().is_some_and(|part| part.values().any(Value::is_array)));
    Some(json!({ "proxies": group.proxies, "sent": parts, "removed": removed }))
}
