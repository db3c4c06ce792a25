//! System calls that Rust cannot check. The only unsafe code of this crate.
//!
//! Invariants  closures that run between fork and exec: only system calls, no allocation, no locks
#![allow(unsafe_code, reason = "the one module of this crate that may")]

use std::ffi::{CString, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::ptr::NonNull;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::mman::{MmapAdvise, madvise};
use nix::sys::signal::{SigHandler, Signal, signal};

/// A write to a pipe that nobody reads ends the process quietly, as with other command line tools. Rust's start-up code has
/// turned that into an error. Not for servers: writes to sockets do not end a process only where they say so themselves.
///
/// # Errors
/// Never on Linux.
pub fn end_at_closed_pipe() -> io::Result<()> {
    // SAFETY: the default action is no function of ours, so none can be run at a bad moment.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}

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

/// Whole seconds of the clock that never goes back (`CLOCK_MONOTONIC`): the same for all processes of a machine until it starts
/// again.
pub fn monotonic_seconds() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    // Linux always has this clock.
    time.map_or(0, |time| u64::try_from(time.tv_sec()).unwrap_or(0))
}

/// Sets an option of a socket by its number.
///
/// # Errors
/// When the kernel does not have it, or does not take the value.
pub fn set_socket_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open as long as it is borrowed, and the kernel reads `length` bytes of `value` and no more.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

/// Gives back the memory that the program's own code takes, once the code of the start is done: what is needed again comes
/// back page by page from the system's cache. For processes of which many run on a host.
///
/// # Errors
/// When the kernel does not say what is mapped where; nothing has changed then.
pub fn release_code_pages() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let program = program.to_string_lossy();
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        // Code only: it is never written to, so dropping a page loses nothing.
        let Some((range, _)) = line.split_once(" r-xp ").filter(|_| line.ends_with(&*program)) else { continue };
        let bounds = range
            .split_once('-')
            .and_then(|(from, to)| Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?)));
        let Some((from, to)) = bounds.filter(|(from, to)| from < to) else { continue };
        let Some(address) = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(from)) else { continue };
        // SAFETY: the range is a read-only private mapping of our program's file; its pages are clean, and the kernel reads
        // them in again from the file at the next access.
        unsafe { madvise(address, to - from, MmapAdvise::MADV_DONTNEED) }?;
    }
    Ok(())
}

/// Gives memory back that was freed but that the allocator keeps for later. It keeps all of it otherwise: what 2,000 clients
/// needed stays with the process after they have gone. Takes milliseconds for a heap of 100 MiB; for a quiet moment.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's own locks, and touches nothing that is allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// In bytes.
pub(crate) fn page_size() -> u64 {
    // SAFETY: looks up a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_without_its_pages() {
        release_code_pages().unwrap();
        assert_eq!(["a", "b"].concat(), "ab");
    }
}
