use std::ffi::OsString;
use std::path::PathBuf;

/// Where Leno keeps its data unless told: `LENO_DATA`; else `/var/lib/leno` for root; else below the user's state directory
/// (XDG). One place for all commands, or they would look for each other's files in vain.
pub fn data_directory() -> PathBuf {
    choose(nix::unistd::geteuid().is_root(), |name| std::env::var_os(name))
}

fn choose(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    // An empty variable is how some set-ups say "none".
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_user = || path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state")));
    path("LENO_DATA")
        .or_else(|| Some(of_user().filter(|_| !is_root)?.join("leno")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/leno"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(is_root: bool, variables: &[(&str, &str)]) -> PathBuf {
        choose(is_root, |wanted| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn what_the_user_says_comes_first() {
        assert_eq!(chosen(false, &[("LENO_DATA", "d"), ("HOME", "/home/u")]), PathBuf::from("d"));
        assert_eq!(chosen(true, &[("LENO_DATA", "d")]), PathBuf::from("d"));
    }

    #[test]
    fn root_has_a_place_of_its_own_and_users_theirs() {
        assert_eq!(chosen(true, &[("HOME", "/root")]), PathBuf::from("/var/lib/leno"));
        assert_eq!(chosen(false, &[("HOME", "/home/u")]), PathBuf::from("/home/u/.local/state/leno"));
        assert_eq!(chosen(false, &[("XDG_STATE_HOME", "/s"), ("HOME", "/home/u")]), PathBuf::from("/s/leno"));
        assert_eq!(chosen(false, &[("XDG_STATE_HOME", ""), ("LENO_DATA", "")]), PathBuf::from("/var/lib/leno"));
    }
}
