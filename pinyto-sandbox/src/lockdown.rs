//! What a worker gives up before it sees any code.
//!
//! Every step that fails ends the worker. The order matters: what needs the file system comes
//! before it is gone, and the filter of system calls comes last.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsFd, BorrowedFd},
};

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use nix::libc;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getpid, set_dumpable_behavior,
    set_parent_process_death_signal, setpgid, setrlimit,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// Bytes of stack; the interpreter's depth is bounded by its own limits.
const STACK: u64 = 16 * 1024 * 1024;

/// Address space beyond the memory of the code: the program itself and its stack.
const ADDRESS_SPACE: u64 = 1024 * 1024 * 1024;

/// The descriptor of the socket: standard input.
const SOCKET: u64 = 0;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub(crate) struct LockdownError {
    step: &'static str,
    reason: String,
}

type Result<T, E = LockdownError> = std::result::Result<T, E>;

fn failed<E: ToString>(step: &'static str) -> impl FnOnce(E) -> LockdownError {
    move |error| LockdownError {
        step,
        reason: error.to_string(),
    }
}

/// What doesn't get in the way of starting an interpreter.
///
/// `memory`: bytes of data that the process may have. `cpu`: seconds after which the kernel
/// ends it whatever the server does.
pub(crate) fn prepare(memory: u64, cpu: u64) -> Result<()> {
    let threads = fs::read_dir("/proc/self/task").map_err(failed("counting threads"))?;
    if threads.count() != 1 {
        return Err(failed("counting threads")("there is more than one"));
    }
    // Let the kernel end a worker rather than the server if memory runs out. May be forbidden.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    std::env::set_current_dir("/").map_err(failed("changing the directory"))?;
    // A group of its own keeps the terminal's signals away. Not a session of its own: sessions
    // are what the kernel's autogroups share CPU time between, so a worker with one would get as
    // much as the whole server, however low its priority is.
    setpgid(None, None).map_err(failed("making a process group"))?;
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("tying it to the server"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("forbidding dumps"))?;
    close_descriptors()?;
    for (resource, value) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
        (Resource::Sigpending, 0),
        (Resource::Stack, STACK),
        (Resource::Data, memory.saturating_add(STACK)),
        (Resource::As, memory.saturating_add(ADDRESS_SPACE)),
        (Resource::Cpu, cpu),
    ] {
        limit(resource, value)?;
    }
    rustix::thread::set_no_new_privs(true).map_err(failed("forbidding new privileges"))
}

/// The rest. Gives whether there is a Landlock and a seccomp filter.
pub(crate) fn seal(seccomp_required: bool) -> Result<(bool, bool)> {
    let landlock = landlock()?;
    limit(Resource::Nofile, 1)?;
    let seccomp = match seccomp() {
        Ok(()) => true,
        Err(error) if seccomp_required => return Err(error),
        Err(_) => false,
    };
    Ok((landlock, seccomp))
}

fn limit(resource: Resource, value: u64) -> Result<()> {
    let before = rustix::process::getrlimit(resource);
    // Never more than was inherited.
    let value = before.maximum.map_or(value, |maximum| maximum.min(value));
    let both = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, both).map_err(failed("setting limits"))
}

/// The socket that is standard input.
pub(crate) fn socket() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

/// Closes everything but the socket. Programs that embed the library may have opened files that
/// survive the start of another program.
fn close_descriptors() -> Result<()> {
    let step = "closing descriptors";
    let names = fs::read_dir("/proc/self/fd").map_err(failed(step))?;
    let open = names
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed(step))?;
    for name in open {
        let number = name.to_str().and_then(|name| name.parse::<i32>().ok());
        let number = number.ok_or_else(|| failed(step)("a descriptor without a number"))?;
        if number != socket().as_fd().as_raw() {
            // The descriptor of the listing itself is gone already.
            let _ = nix::unistd::close(number);
        }
    }
    Ok(())
}

/// Denies every path and port, and signals and abstract sockets of others, as far as this kernel
/// can.
fn landlock() -> Result<bool> {
    let step = "landlock";
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V6))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V6)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(failed(step))?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Allows what a waiting and computing process needs; everything else fails with `EPERM`. Not
/// with death: libraries probe for what there is, and a process that may do nothing harms nobody.
fn seccomp() -> Result<()> {
    let step = "seccomp";
    let program = filter().map_err(failed(step))?;
    apply_filter_all_threads(&program).map_err(failed(step))
}

fn filter() -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    let only = |argument, length, operator, value: u64| {
        SeccompCondition::new(argument, length, operator, value)
    };
    let not_executable = || only(2, Qword, MaskedEq(bits(libc::PROT_EXEC)), 0);
    let kind = bits(libc::MAP_ANONYMOUS) | 0x0f;
    let anonymous = bits(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let own_process = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());

    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in [
        // Memory.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        // Locks of one's own, the hash maps' random seed, the time.
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_gettimeofday,
        libc::SYS_sched_yield,
        // What a stack overflow or an abort does on its way out; without them it would spin.
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ] {
        rules.insert(call, Vec::new());
    }
    for (call, conditions) in [
        (libc::SYS_read, vec![only(0, Dword, Eq, SOCKET)?]),
        (libc::SYS_write, vec![only(0, Dword, Eq, SOCKET)?]),
        (libc::SYS_mprotect, vec![not_executable()?]),
        (
            libc::SYS_mmap,
            vec![
                not_executable()?,
                only(3, Dword, MaskedEq(kind), anonymous)?,
            ],
        ),
        (libc::SYS_tgkill, vec![only(0, Dword, Eq, own_process)?]),
    ] {
        rules.insert(call, vec![SeccompRule::new(conditions)?]);
    }
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture)?.try_into()
}

fn bits(flags: libc::c_int) -> u64 {
    u64::from(flags.unsigned_abs())
}

/// Whether the process has been started by [`crate::process`]: its standard input is a socket.
pub(crate) fn has_socket() -> bool {
    rustix::fs::fstat(socket()).is_ok_and(|status| {
        rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::Socket
    })
}

trait Raw {
    fn as_raw(&self) -> i32;
}

impl Raw for BorrowedFd<'_> {
    fn as_raw(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(self)
    }
}
