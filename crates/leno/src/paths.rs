use std::path::PathBuf;

/// Where Leno keeps its data: `LENO_DATA`, or unless told `/var/lib/leno` for root, else below the user's state
/// directory (XDG). The command line finds the admin token by the same rule.
pub(crate) fn data_directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("LENO_DATA").filter(|value| !value.is_empty()) {
        return PathBuf::from(directory);
    }
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/leno");
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    state.or(home).unwrap_or_else(std::env::temp_dir).join("leno")
}
