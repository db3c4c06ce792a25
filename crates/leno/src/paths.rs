use std::path::PathBuf;

/// Where Leno keeps its data unless told: `/var/lib/leno` for root, else below the user's state directory (XDG).
pub(crate) fn data_directory() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/leno");
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    state.or(home).unwrap_or_else(std::env::temp_dir).join("leno")
}
