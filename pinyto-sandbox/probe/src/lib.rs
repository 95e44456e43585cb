//! System calls that a locked-down process must not be able to make, made by their numbers.
//!
//! Only the kernel can tell whether a filter holds. Safe interfaces don't offer most of these
//! calls, so this small crate, which nothing but tests depends on, makes them itself. Each is
//! harmless where it is allowed.
#![cfg(target_os = "linux")]

use std::cell::UnsafeCell;

use libc::{c_long, syscall};

/// What the kernel said: 0 if it did as it was asked, otherwise the error number.
pub type Verdict = i32;

/// A path and a buffer that exist as long as the process.
static PATH: &[u8] = b"/proc/self/status\0";
static BUFFER: Buffer = Buffer(UnsafeCell::new([0; 64]));

struct Buffer(UnsafeCell<[u64; 64]>);

// SAFETY: only the kernel and `Attempt::make` touch it, one call after the other.
unsafe impl Sync for Buffer {}

/// A system call with its arguments.
struct Attempt {
    name: &'static str,
    number: c_long,
    arguments: [usize; 6],
}

fn attempts() -> Vec<Attempt> {
    let path = PATH.as_ptr() as usize;
    let buffer = BUFFER.0.get() as usize;
    let here = libc::AT_FDCWD as usize;
    let parent = std::os::unix::process::parent_id() as usize;
    let own = std::process::id() as usize;
    let none = usize::MAX;
    let (read, write, execute) = (
        libc::PROT_READ as usize,
        libc::PROT_WRITE as usize,
        libc::PROT_EXEC as usize,
    );
    let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let shared = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize;
    let inet = libc::AF_INET as usize;
    let unix = libc::AF_UNIX as usize;
    let stream = libc::SOCK_STREAM as usize;
    let mut all = Vec::new();
    let mut add = |name, number, arguments: &[usize]| {
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        all.push(Attempt {
            name,
            number,
            arguments: six,
        });
    };
    // Files.
    add("openat", libc::SYS_openat, &[here, path, 0, 0]);
    add("openat2", libc::SYS_openat2, &[here, path, buffer, 24]);
    add("newfstatat", libc::SYS_newfstatat, &[here, path, buffer, 0]);
    add("statx", libc::SYS_statx, &[here, path, 0, 0, buffer]);
    add("faccessat", libc::SYS_faccessat, &[here, path, 0]);
    add(
        "readlinkat",
        libc::SYS_readlinkat,
        &[here, path, buffer, 512],
    );
    add("getcwd", libc::SYS_getcwd, &[buffer, 512]);
    add("chdir", libc::SYS_chdir, &[path]);
    add("chroot", libc::SYS_chroot, &[path]);
    add("unlinkat", libc::SYS_unlinkat, &[here, path, 0]);
    add("mkdirat", libc::SYS_mkdirat, &[here, path, 0]);
    add("linkat", libc::SYS_linkat, &[here, path, here, path, 0]);
    add("memfd_create", libc::SYS_memfd_create, &[path, 0]);
    add("memfd_secret", libc::SYS_memfd_secret, &[0]);
    add("fanotify_init", libc::SYS_fanotify_init, &[0, 0]);
    add("inotify_init1", libc::SYS_inotify_init1, &[0]);
    add(
        "name_to_handle_at",
        libc::SYS_name_to_handle_at,
        &[here, path, buffer, buffer, 0],
    );
    add("mount", libc::SYS_mount, &[path, path, path, 0, 0]);
    add("umount2", libc::SYS_umount2, &[path, 0]);
    add("fsopen", libc::SYS_fsopen, &[path, 0]);
    add("pivot_root", libc::SYS_pivot_root, &[path, path]);
    // Descriptors.
    add("dup", libc::SYS_dup, &[0]);
    add("dup3", libc::SYS_dup3, &[0, 62, 0]);
    add("fcntl", libc::SYS_fcntl, &[0, libc::F_DUPFD as usize, 0]);
    add("pipe2", libc::SYS_pipe2, &[buffer, 0]);
    add("eventfd2", libc::SYS_eventfd2, &[0, 0]);
    add("epoll_create1", libc::SYS_epoll_create1, &[0]);
    add(
        "ioctl",
        libc::SYS_ioctl,
        &[0, libc::FIONREAD as usize, buffer],
    );
    add(
        "ioctl TIOCSTI",
        libc::SYS_ioctl,
        &[0, libc::TIOCSTI as usize, path],
    );
    add(
        "read of another descriptor",
        libc::SYS_read,
        &[1, buffer, 0],
    );
    add(
        "write to another descriptor",
        libc::SYS_write,
        &[2, path, 0],
    );
    add("pidfd_open", libc::SYS_pidfd_open, &[parent, 0]);
    add("pidfd_getfd", libc::SYS_pidfd_getfd, &[0, 0, 0]);
    add("close", libc::SYS_close, &[63]);
    // Network.
    add("socket inet", libc::SYS_socket, &[inet, stream, 0]);
    add("socket unix", libc::SYS_socket, &[unix, stream, 0]);
    add(
        "socketpair",
        libc::SYS_socketpair,
        &[unix, stream, 0, buffer],
    );
    add("connect", libc::SYS_connect, &[0, buffer, 16]);
    add("bind", libc::SYS_bind, &[0, buffer, 16]);
    add("listen", libc::SYS_listen, &[0, 1]);
    add("accept4", libc::SYS_accept4, &[0, 0, 0, 0]);
    add("sendto", libc::SYS_sendto, &[0, path, 0, 0, buffer, 16]);
    // Passing descriptors takes these two.
    add("sendmsg", libc::SYS_sendmsg, &[0, buffer, 0]);
    add(
        "recvmsg",
        libc::SYS_recvmsg,
        &[0, buffer, libc::MSG_DONTWAIT as usize],
    );
    // Processes. A flag that doesn't exist makes clone fail with EINVAL where it is allowed.
    add(
        "clone",
        libc::SYS_clone,
        &[libc::CLONE_SIGHAND as usize, 0, 0, 0, 0],
    );
    add("clone3", libc::SYS_clone3, &[buffer, 0]);
    add("execve", libc::SYS_execve, &[buffer, 0, 0]);
    add("execveat", libc::SYS_execveat, &[here, buffer, 0, 0, 0]);
    add(
        "wait4",
        libc::SYS_wait4,
        &[none, 0, libc::WNOHANG as usize, 0],
    );
    add("kill the parent", libc::SYS_kill, &[parent, 0]);
    add("kill all", libc::SYS_kill, &[none, 0]);
    add("tgkill the parent", libc::SYS_tgkill, &[parent, parent, 0]);
    add("tkill", libc::SYS_tkill, &[own, 0]);
    add(
        "rt_sigqueueinfo",
        libc::SYS_rt_sigqueueinfo,
        &[parent, 0, buffer],
    );
    add(
        "pidfd_send_signal",
        libc::SYS_pidfd_send_signal,
        &[0, 0, 0, 0],
    );
    add(
        "ptrace",
        libc::SYS_ptrace,
        &[libc::PTRACE_PEEKDATA as usize, parent, 0, 0],
    );
    add(
        "process_vm_readv",
        libc::SYS_process_vm_readv,
        &[parent, buffer, 0, buffer, 0, 0],
    );
    add(
        "process_vm_writev",
        libc::SYS_process_vm_writev,
        &[parent, buffer, 0, buffer, 0, 0],
    );
    add(
        "process_madvise",
        libc::SYS_process_madvise,
        &[0, buffer, 0, 0, 0],
    );
    add("kcmp", libc::SYS_kcmp, &[own, parent, 0, 0, 0]);
    add("setpriority", libc::SYS_setpriority, &[0, 0, 5]);
    add(
        "sched_setscheduler",
        libc::SYS_sched_setscheduler,
        &[0, 0, buffer],
    );
    add(
        "sched_setaffinity",
        libc::SYS_sched_setaffinity,
        &[0, 8, buffer],
    );
    add("setsid", libc::SYS_setsid, &[]);
    add("setpgid", libc::SYS_setpgid, &[0, parent]);
    // Memory.
    add(
        "mmap executable",
        libc::SYS_mmap,
        &[0, 4096, read | execute, private, none, 0],
    );
    add(
        "mmap writable and executable",
        libc::SYS_mmap,
        &[0, 4096, read | write | execute, private, none, 0],
    );
    add(
        "mmap shared",
        libc::SYS_mmap,
        &[0, 4096, read | write, shared, none, 0],
    );
    add(
        "mmap of a file",
        libc::SYS_mmap,
        &[0, 4096, read, libc::MAP_PRIVATE as usize, 0, 0],
    );
    add(
        "mprotect executable",
        libc::SYS_mprotect,
        &[buffer & !4095, 4096, read | write | execute],
    );
    add(
        "pkey_mprotect",
        libc::SYS_pkey_mprotect,
        &[buffer & !4095, 4096, read | write | execute, none],
    );
    add(
        "remap_file_pages",
        libc::SYS_remap_file_pages,
        &[buffer & !4095, 4096, 0, 0, 0],
    );
    add("shmget", libc::SYS_shmget, &[0, 0, 0o1600]);
    add("mlock", libc::SYS_mlock, &[buffer & !4095, 4096]);
    add("userfaultfd", libc::SYS_userfaultfd, &[1]);
    // Rights.
    add(
        "prctl",
        libc::SYS_prctl,
        &[libc::PR_SET_DUMPABLE as usize, 1],
    );
    add(
        "prctl PR_SET_PDEATHSIG",
        libc::SYS_prctl,
        &[libc::PR_SET_PDEATHSIG as usize, 0],
    );
    add("seccomp", libc::SYS_seccomp, &[2, 0, buffer]);
    // Of something that the process doesn't need itself: the test makes this call outside, too.
    add(
        "setrlimit",
        libc::SYS_prlimit64,
        &[0, libc::RLIMIT_MSGQUEUE as usize, buffer, 0],
    );
    add(
        "prlimit of the parent",
        libc::SYS_prlimit64,
        &[parent, libc::RLIMIT_CPU as usize, 0, buffer],
    );
    add("setuid", libc::SYS_setuid, &[0]);
    add("setgid", libc::SYS_setgid, &[0]);
    add("setgroups", libc::SYS_setgroups, &[0, buffer]);
    add("capset", libc::SYS_capset, &[buffer, buffer]);
    add("personality", libc::SYS_personality, &[0xffff_ffff]);
    add(
        "unshare",
        libc::SYS_unshare,
        &[libc::CLONE_NEWUSER as usize],
    );
    add("setns", libc::SYS_setns, &[0, 0]);
    add(
        "landlock_create_ruleset",
        libc::SYS_landlock_create_ruleset,
        &[0, 0, 1],
    );
    // The kernel's larger surfaces.
    add("io_uring_setup", libc::SYS_io_uring_setup, &[1, buffer]);
    add("io_setup", libc::SYS_io_setup, &[1, buffer]);
    add("bpf", libc::SYS_bpf, &[0, buffer, 0]);
    add(
        "perf_event_open",
        libc::SYS_perf_event_open,
        &[buffer, 0, none, none, 0],
    );
    add("keyctl", libc::SYS_keyctl, &[0, none, 0]);
    add("add_key", libc::SYS_add_key, &[path, path, buffer, 0, none]);
    add("request_key", libc::SYS_request_key, &[path, path, 0, none]);
    add("init_module", libc::SYS_init_module, &[buffer, 0, path]);
    add("finit_module", libc::SYS_finit_module, &[0, path, 0]);
    add("kexec_load", libc::SYS_kexec_load, &[0, 0, 0, 0]);
    add("reboot", libc::SYS_reboot, &[0, 0, 0, 0]);
    add("swapon", libc::SYS_swapon, &[path, 0]);
    add("acct", libc::SYS_acct, &[path]);
    add("sethostname", libc::SYS_sethostname, &[buffer, none]);
    add("settimeofday", libc::SYS_settimeofday, &[buffer, none]);
    add("clock_settime", libc::SYS_clock_settime, &[none, buffer]);
    add("syslog", libc::SYS_syslog, &[10, 0, 0]);
    add("quotactl", libc::SYS_quotactl, &[0, path, 0, 0]);
    add("nanosleep", libc::SYS_nanosleep, &[buffer, 0]);
    add("timer_create", libc::SYS_timer_create, &[0, 0, buffer]);
    #[cfg(target_arch = "x86_64")]
    {
        add("open", libc::SYS_open, &[path, 0, 0]);
        add("stat", libc::SYS_stat, &[path, buffer]);
        add("fork", libc::SYS_fork, &[]);
        add("arch_prctl", libc::SYS_arch_prctl, &[0x1003, buffer]);
        add("modify_ldt", libc::SYS_modify_ldt, &[0, buffer, 0]);
        add("iopl", libc::SYS_iopl, &[0]);
        add("ioperm", libc::SYS_ioperm, &[0, 1, 0]);
        add("time", libc::SYS_time, &[0]);
        // The same calls by the numbers of the x32 interface.
        add("x32 read", 0x4000_0000 + libc::SYS_read, &[0, buffer, 0]);
        add("x32 open", 0x4000_0000 + libc::SYS_open, &[path, 0, 0]);
        add("x32 execve", 0x4000_0000 + 520, &[buffer, 0, 0]);
    }
    add("a number that doesn't exist", 100_000, &[]);
    all
}

/// Makes all calls and gives the kernel's verdict on each.
///
/// Only within a process that can be lost: where nothing forbids them, some of them change it.
/// Not from two threads at once.
#[must_use]
pub fn verdicts() -> Vec<(&'static str, Verdict)> {
    attempts()
        .iter()
        .map(|attempt| (attempt.name, attempt.make()))
        .collect()
}

impl Attempt {
    fn make(&self) -> Verdict {
        let [a, b, c, d, e, f] = self.arguments;
        // What an earlier call has left there must not become an argument.
        // SAFETY: nothing else uses the buffer.
        unsafe { BUFFER.0.get().write([0; 64]) };
        // SAFETY: the pointers among the arguments point to statics that live for ever and that
        // nothing else uses; the process is expendable.
        let result = unsafe { syscall(self.number, a, b, c, d, e, f) };
        if result == -1 {
            return std::io::Error::last_os_error().raw_os_error().unwrap_or(-1);
        }
        // A child that was made by mistake must not go on as if it were the test.
        if result == 0 && self.name.contains("fork") {
            std::process::exit(1);
        }
        0
    }
}

/// The numbers of the calls that a worker may make, some of them with certain arguments only.
const ALLOWED: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_sched_yield,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Makes each call that there is a number for, but for those that a worker may make, with
/// arguments that make no sense, and gives the numbers of those that weren't [`REFUSED`].
///
/// Only within a process that is locked down: elsewhere some of these calls wait for ever or make
/// a child.
#[must_use]
pub fn not_refused() -> Vec<c_long> {
    /// Beyond the last of today's kernels.
    const LAST: c_long = 600;
    /// What the kernel's own trampolines of uprobes call. Filters aren't asked, and whoever else
    /// calls them dies.
    const TRAMPOLINES: &[c_long] = if cfg!(target_arch = "x86_64") {
        &[335, 336]
    } else {
        &[]
    };
    (0..=LAST)
        .filter(|number| !ALLOWED.contains(number) && !TRAMPOLINES.contains(number))
        .filter(|number| {
            let attempt = Attempt {
                name: "any",
                number: *number,
                arguments: [usize::MAX; 6],
            };
            attempt.make() != REFUSED
        })
        .collect()
}

/// The error number of a refusal.
pub const REFUSED: Verdict = libc::EPERM;
