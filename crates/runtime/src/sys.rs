//! What a child process must do between fork and exec. The only unsafe code of this crate.
//!
//! Invariants  the closures run in the forked child: only system calls, no allocation, no locks
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

/// Makes the kernel send SIGTERM to the child when the thread that started it is gone.
pub fn die_with_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: prctl, getppid and the error value are system calls and plain data; nothing allocates or locks.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have died before the request took hold.
            if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
        });
    }
}

/// Gives the child its own view of `target` (say `/etc/resolv.conf`): the content of `source`. Nobody else sees it.
///
/// Needs the right to make mount namespaces (root); without it the child does not start.
///
/// # Errors
/// When a path holds a NUL byte.
pub fn replace_file(command: &mut Command, source: &Path, target: &Path) -> io::Result<()> {
    let source = CString::new(source.as_os_str().as_bytes())?;
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: the strings are made before the fork; unshare and mount are system calls, nothing allocates or locks.
    unsafe {
        command.pre_exec(move || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none = None::<&std::ffi::CStr>;
            mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            mount(Some(source.as_c_str()), target.as_c_str(), none, MsFlags::MS_BIND, none)?;
            Ok(())
        });
    }
    Ok(())
}
