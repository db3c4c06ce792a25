use super::tree::Tree;

/// What any file may have; an alias counts as what it stands for, so a few lines cannot become gigabytes.
const NODES: usize = 250_000;

/// The tree of a file, or the line and what is wrong there.
pub(super) fn read(text: &str) -> Result<Tree, (usize, String)> {
    // Without aliases there is a byte for every node: what is large may have many.
    let (nodes, bytes) = (NODES.max(text.len()), text.len().saturating_mul(2));
    let budget = serde_saphyr::budget! {
        max_nodes: nodes,
        max_events: nodes.saturating_mul(4),
        max_total_scalar_bytes: bytes.max(serde_saphyr::Budget::default().max_total_scalar_bytes),
    };
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { budget: budget }).map_err(|error| {
        let line = error.location().map_or(1, |location| usize::try_from(location.line()).unwrap_or(usize::MAX));
        let said = error.without_snippet().to_string();
        (line, in_our_words(said.lines().next().unwrap_or_default()))
    })
}

/// The reader names what its callers may set; people who write a file cannot set it.
fn in_our_words(said: &str) -> String {
    if said.starts_with("budget breached: Nodes") {
        return format!(
            "too many values, with aliases counted wherever they are used; at most {NODES}, or one per byte"
        );
    }
    if said.starts_with("budget breached: Depth") || said.starts_with("recursion limit") {
        return "nested too deeply".to_owned();
    }
    if said.starts_with("multiple YAML documents") {
        return "a second document begins here; a bootstrap is one".to_owned();
    }
    match said.strip_prefix("duplicate mapping key: ").and_then(|rest| rest.split_once(", set ")) {
        Some((key, _)) => format!("{key} is there twice"),
        None => format!("not readable as YAML: {said}"),
    }
}
