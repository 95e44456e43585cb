//! A worker process, seen from the server: how it is started, watched, slowed down and ended.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream as BlockingStream, process::CommandExt, process::ExitStatusExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use nix::time::ClockId;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, setpriority_process, waitid},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
    time::timeout,
};

use crate::{
    frame::{self, FrameError, Order},
    worker::{self, Start},
};

/// The lowest priority there is.
const LOWEST: i32 = 19;

/// How long an ended process may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// How often is looked whether an ended process is gone.
const REAPING: Duration = Duration::from_millis(2);

/// Bytes kept for a worker between two calls.
const KEPT: usize = 64 * 1024;

/// The thread that starts processes and sees them off.
///
/// One thread of its own, for as long as there are workers: starting blocks, and the kernel ends
/// a worker when the *thread* that started it does.
#[derive(Clone)]
pub(crate) struct Starter(Sender<Task>);

enum Task {
    /// Start a worker. With the starter, which the worker keeps.
    Start(oneshot::Sender<io::Result<(Body, BlockingStream)>>, Starter),
    SeeOff(Leaving),
}

/// A process that is ending.
struct Leaving {
    child: Child,
    clock: Option<ClockId>,
    caller: Option<oneshot::Sender<Farewell>>,
}

impl Leaving {
    /// Whether it is gone. Its CPU clock is read in the last moment there is one.
    fn is_gone(&mut self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(None) = waitid(WaitId::Pid(Pid::from_child(&self.child)), look) {
            return false;
        }
        let cpu = cpu(self.clock);
        if let (Ok(Some(status)), Some(caller)) = (self.child.try_wait(), self.caller.take()) {
            // Who has given up doesn't need it.
            let _ = caller.send(Farewell { status, cpu });
        }
        true
    }
}

/// What is left of a process.
pub(crate) struct Farewell {
    pub(crate) status: ExitStatus,
    /// All the CPU time it has used.
    pub(crate) cpu: Duration,
}

impl Starter {
    pub(crate) fn new(start: &Start) -> io::Result<Self> {
        let (sender, tasks) = mpsc::channel();
        let arguments = start.arguments();
        let run = move || {
            let mut leaving: Vec<Leaving> = Vec::new();
            loop {
                let task = if leaving.is_empty() {
                    tasks.recv().map_err(|_| RecvTimeoutError::Disconnected)
                } else {
                    tasks.recv_timeout(REAPING)
                };
                match task {
                    // Who has given up doesn't need it: then it is dropped, and seen off.
                    Ok(Task::Start(caller, starter)) => {
                        let _ = caller.send(start_one(&arguments, starter));
                    }
                    Ok(Task::SeeOff(process)) => leaving.push(process),
                    Err(RecvTimeoutError::Timeout) => {}
                    // No worker is left, and nobody to start one.
                    Err(RecvTimeoutError::Disconnected) if leaving.is_empty() => return,
                    Err(RecvTimeoutError::Disconnected) => thread::sleep(REAPING),
                }
                leaving.retain_mut(|process| !process.is_gone());
            }
        };
        thread::Builder::new()
            .name("pinyto-code".to_owned())
            .spawn(run)?;
        Ok(Self(sender))
    }

    /// Starts a worker. It hasn't said yet that it is ready.
    pub(crate) async fn start(&self) -> io::Result<Process> {
        let gone = || io::Error::other("the thread that starts workers is gone");
        let (caller, started) = oneshot::channel();
        let task = Task::Start(caller, self.clone());
        self.0.send(task).map_err(|_| gone())?;
        let (body, socket) = started.await.map_err(|_| gone())??;
        socket.set_nonblocking(true)?;
        Ok(Process {
            link: Link {
                socket: UnixStream::from_std(socket)?,
                received: BytesMut::new(),
                out: Vec::new(),
            },
            body,
            calls: 0,
        })
    }
}

fn start_one(arguments: &[String], starter: Starter) -> io::Result<(Body, BlockingStream)> {
    let (socket, theirs) = BlockingStream::pair()?;
    // The running program itself, even if its file has been replaced or removed.
    let child = Command::new("/proc/self/exe")
        .arg0(worker::NAME)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pid = Pid::from_child(&child);
    let mut body = Body {
        pid,
        clock: None,
        lowered: false,
        child: Some(child),
        starter,
    };
    let number = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
    body.clock = Some(ClockId::pid_cpu_clock_id(number)?);
    Ok((body, socket))
}

/// A worker process. Dropping it ends it.
pub(crate) struct Process {
    pub(crate) link: Link,
    pub(crate) body: Body,
    /// Calls it has been given.
    pub(crate) calls: u32,
}

/// What is said and heard.
pub(crate) struct Link {
    socket: UnixStream,
    received: BytesMut,
    out: Vec<u8>,
}

/// Why nothing can be heard any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The worker has ended.
    #[error("the worker has ended")]
    Ended,
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// What can be heard of a worker without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is there and says nothing.
    Nothing,
    /// It says something.
    Something,
    /// It has ended.
    Ended,
}

impl Link {
    /// Sends an order.
    pub(crate) async fn send(&mut self, order: &Order<'_>) -> Result<(), LinkError> {
        self.out.clear();
        frame::write(order, &mut self.out)?;
        let sent = self.socket.write_all(&self.out).await;
        if self.out.capacity() > KEPT {
            self.out = Vec::new();
        }
        sent.map_err(|_| LinkError::Ended)
    }

    /// Waits for a frame. Can be given up and asked again.
    pub(crate) async fn receive(&mut self, longest: usize) -> Result<Bytes, LinkError> {
        loop {
            if let Some(frame) = frame::split(&mut self.received, longest)? {
                return Ok(frame);
            }
            // What has arrived bounds what is reserved, not what is announced.
            self.received
                .reserve(self.received.len().clamp(4096, 1 << 20));
            match self.socket.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return Err(LinkError::Ended),
                Ok(_) => {}
            }
        }
    }

    /// Whether the worker is there and says nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        self.listen() == Heard::Nothing
    }

    /// What can be heard of the worker at this moment.
    pub(crate) fn listen(&self) -> Heard {
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recv(&self.socket, &mut [0], look) {
            _ if !self.received.is_empty() => Heard::Something,
            Err(Errno::AGAIN) => Heard::Nothing,
            Ok((_, 0)) | Err(_) => Heard::Ended,
            Ok(_) => Heard::Something,
        }
    }

    /// Gives back what a large call needed.
    pub(crate) fn rest(&mut self) {
        if self.received.is_empty() && self.received.capacity() > KEPT {
            self.received = BytesMut::new();
        }
    }
}

/// The process behind the link.
pub(crate) struct Body {
    pid: Pid,
    clock: Option<ClockId>,
    lowered: bool,
    child: Option<Child>,
    starter: Starter,
}

impl Body {
    /// The CPU time it has used since it was started, as the kernel counts it.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.clock)
    }

    /// Whether its priority was lowered, which can't be undone.
    pub(crate) fn is_lowered(&self) -> bool {
        self.lowered
    }

    /// Gives it only the CPU time that nobody else wants.
    pub(crate) fn lower(&mut self) {
        if !self.lowered {
            self.lowered = true;
            // It fails only for a process that has ended.
            let _ = setpriority_process(Some(self.pid), LOWEST);
        }
    }

    /// Stops it until [`Body::resume`].
    pub(crate) fn pause(&self) {
        let _ = kill_process(self.pid, Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        let _ = kill_process(self.pid, Signal::CONT);
    }

    pub(crate) fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// Ends it and waits until it is gone. `None` if that takes too long.
    ///
    /// A process that was ending already keeps its own exit status.
    pub(crate) async fn see_off(&mut self) -> Option<Farewell> {
        let (caller, farewell) = oneshot::channel();
        self.leave(Some(caller));
        timeout(LAST_BREATH, farewell).await.ok()?.ok()
    }

    fn leave(&mut self, caller: Option<oneshot::Sender<Farewell>>) {
        if let Some(mut child) = self.child.take() {
            // Nothing happens if it is gone already.
            let _ = child.kill();
            let _ = self.starter.0.send(Task::SeeOff(Leaving {
                child,
                clock: self.clock,
                caller,
            }));
        }
    }
}

fn cpu(clock: Option<ClockId>) -> Duration {
    let now = clock.and_then(|clock| clock.now().ok());
    now.map_or(Duration::ZERO, Duration::from)
}

impl Drop for Body {
    fn drop(&mut self) {
        self.leave(None);
    }
}

/// What the way a process ended says about its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Memory,
    Cpu,
    Crash,
}

impl Death {
    /// `counted`: whether the worker's allocator ends it when memory is used up. Otherwise the
    /// standard library aborts.
    pub(crate) fn of(status: Option<ExitStatus>, counted: bool) -> Self {
        let Some(status) = status else {
            return Self::Crash;
        };
        match (status.code(), status.signal()) {
            (Some(worker::OUT_OF_MEMORY), _) => Self::Memory,
            (_, Some(signal)) if signal == Signal::ABORT.as_raw() && !counted => Self::Memory,
            (_, Some(signal)) if signal == Signal::XCPU.as_raw() => Self::Cpu,
            _ => Self::Crash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_worker_ended_says_why() {
        let exited = |code: i32| Some(ExitStatus::from_raw(code << 8));
        let killed = |signal: Signal| Some(ExitStatus::from_raw(signal.as_raw()));
        assert_eq!(Death::of(exited(65), true), Death::Memory);
        assert_eq!(Death::of(killed(Signal::ABORT), false), Death::Memory);
        assert_eq!(Death::of(killed(Signal::ABORT), true), Death::Crash);
        assert_eq!(Death::of(killed(Signal::XCPU), true), Death::Cpu);
        for other in [exited(0), exited(70), killed(Signal::SEGV), None] {
            assert_eq!(Death::of(other, true), Death::Crash);
        }
    }
}
