//! One call: given to a worker, watched, and ended when it has to be.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use pinyto_core::runtime::{CodeError, CodeLimit, CodeLimits, Output, ServiceError, Services};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    conversation::{Breach, Conversation, Step},
    frame::Order,
    metrics::End,
    process::{Body, Death, Heard, LinkError, Process},
    turns::Turn,
};

/// CPU time after which a call is no longer a short one.
const SHORT: Duration = Duration::from_millis(10);

/// The same for a user who has a long one already: others shouldn't have to share with each of
/// many endless loops before it is found out.
const SUSPECT: Duration = Duration::from_millis(2);

/// How long a service may take before the call gives up its place meanwhile.
const SHORT_SERVICE: Duration = Duration::from_millis(20);

/// The least time between two looks at a clock.
const LOOK: Duration = Duration::from_millis(1);

/// How long a killed worker may take to end, so that all it had printed has arrived.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// When to try again if there was no place.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call has to be ended by the server.
#[derive(Debug)]
enum Stop {
    /// It has used more CPU time than it may.
    Cpu,
    /// It has taken longer than it may.
    Wall,
    /// Its place was given to somebody else.
    Overload,
    /// The worker has ended.
    Ended,
    /// The worker said what it must not.
    Breach(Breach),
    /// A service wants it ended.
    Service(CodeError),
    /// A service asks for more than may be handed over.
    ServiceBytes,
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Ended => Self::Ended,
            LinkError::Frame(error) => Self::Breach(error.into()),
        }
    }
}

/// What became of a call.
pub(crate) struct Ended {
    pub(crate) outcome: Result<String, CodeError>,
    pub(crate) cpu_time: Duration,
    pub(crate) output: Output,
    /// For the metrics.
    pub(crate) end: End,
    /// Whether the worker is fit for another call.
    pub(crate) reusable: bool,
}

/// Gives `order` to a worker and answers what its code asks for.
///
/// Dropping the future leaves the worker in the middle: it has to be dropped too.
pub(crate) async fn conduct(
    process: &mut Process,
    turn: &mut Turn,
    order: &Order<'_>,
    limits: &CodeLimits,
    services: Option<&dyn Services>,
    counted: bool,
) -> Ended {
    process.calls += 1;
    let mut watch = Watch::new(&process.body, limits);
    let mut conversation = Conversation::new(limits);
    let result = converse(
        process,
        turn,
        &mut watch,
        &mut conversation,
        order,
        services,
    )
    .await;
    let mut cpu_time = None;
    let (outcome, truncated, end, reusable) = match result {
        Ok((outcome, truncated)) => {
            // A worker that has hit a limit may be left in any state.
            let reusable = !matches!(outcome, Err(CodeError::LimitReached { .. }));
            (outcome, truncated, End::Finished, reusable)
        }
        Err(stop) => {
            // Whatever it is, it doesn't go on while the books are closed.
            process.body.kill();
            let truncated = !last_words(process, &mut conversation).await;
            let (error, end, cpu) = reason(stop, process, limits, counted).await;
            cpu_time = cpu.map(|total| watch.since(total));
            (Err(error), truncated, end, false)
        }
    };
    Ended {
        outcome,
        cpu_time: cpu_time.unwrap_or_else(|| watch.used(&process.body)),
        output: conversation.into_output(truncated),
        end,
        reusable,
    }
}

/// Takes what a worker had printed when it was ended. Whether that is all that its code printed.
async fn last_words(process: &mut Process, conversation: &mut Conversation<'_>) -> bool {
    let longest = conversation.longest();
    let rest = async {
        // A worker that waits has said all.
        while conversation.is_running() {
            let Ok(frame) = process.link.receive(longest).await else {
                return conversation.has_heard_all();
            };
            match conversation.take(&frame) {
                Ok(Step::Nothing | Step::Call(..)) => {}
                Ok(Step::Finished { truncated, .. }) => return !truncated,
                Err(_) => return false,
            }
        }
        conversation.has_room()
    };
    timeout(LAST_WORDS, rest).await.unwrap_or(false)
}

async fn converse(
    process: &mut Process,
    turn: &mut Turn,
    watch: &mut Watch<'_>,
    conversation: &mut Conversation<'_>,
    order: &Order<'_>,
    services: Option<&dyn Services>,
) -> Result<(Result<String, CodeError>, bool), Stop> {
    let Process { link, body, .. } = process;
    let longest = conversation.longest();
    watch
        .during(link.send(order), body, turn, Waiting::ForWorker)
        .await??;
    loop {
        let receive = link.receive(longest);
        let frame: Bytes = watch
            .during(receive, body, turn, Waiting::ForWorker)
            .await??;
        match conversation.take(&frame).map_err(Stop::Breach)? {
            Step::Nothing => {}
            Step::Finished { outcome, truncated } => return Ok((outcome, truncated)),
            Step::Call(service, arguments) => {
                drop(frame);
                let Some(services) = services else {
                    return Err(Stop::Breach(Breach::OutOfTurn));
                };
                let asked = services.call(service, &arguments);
                let answered = watch.during(asked, body, turn, Waiting::ForService).await;
                turn.come_back();
                match link.listen() {
                    Heard::Nothing => {}
                    // A worker that waits says nothing.
                    Heard::Something => return Err(Stop::Breach(Breach::OutOfTurn)),
                    Heard::Ended => return Err(Stop::Ended),
                }
                let answered = answered?;
                let answer = match &answered {
                    Ok(text) => {
                        if text.len() > watch.limits.service_bytes {
                            return Err(Stop::ServiceBytes);
                        }
                        Order::Answer(text)
                    }
                    Err(ServiceError::Raised { exception, message }) => Order::Raise {
                        exception: exception.name(),
                        message,
                    },
                    Err(ServiceError::Ended(error)) => return Err(Stop::Service(error.clone())),
                    Err(_) => return Err(Stop::Service(CodeError::Unavailable)),
                };
                conversation.answered();
                watch
                    .during(link.send(&answer), body, turn, Waiting::ForWorker)
                    .await??;
            }
        }
    }
}

/// What a stop means for the caller, and the worker's CPU time if it has been seen off.
async fn reason(
    stop: Stop,
    process: &mut Process,
    limits: &CodeLimits,
    counted: bool,
) -> (CodeError, End, Option<Duration>) {
    let reached = |limit| CodeError::LimitReached { limit };
    let cpu = reached(CodeLimit::CpuTime(limits.cpu_time));
    let (error, end) = match stop {
        Stop::Cpu => (cpu, End::CpuTime),
        Stop::Wall => (
            reached(CodeLimit::WallTime(limits.wall_time)),
            End::WallTime,
        ),
        Stop::Overload => {
            let retry_after = RETRY_AFTER;
            (CodeError::Busy { retry_after }, End::Refused)
        }
        Stop::Service(error) => (error, End::Finished),
        Stop::ServiceBytes => {
            let limit = CodeLimit::ServiceBytes(limits.service_bytes);
            (reached(limit), End::Finished)
        }
        Stop::Breach(Breach::Limit(limit)) => (reached(limit), End::Breach),
        Stop::Breach(breach) => {
            tracing::warn!(%breach, "a code worker broke the protocol and was ended");
            (CodeError::Crashed, End::Breach)
        }
        Stop::Ended => {
            let farewell = process.body.see_off().await;
            let status = farewell.as_ref().map(|farewell| farewell.status);
            let (error, end) = match Death::of(status, counted) {
                Death::Memory => (reached(CodeLimit::Memory(limits.memory)), End::Memory),
                Death::Cpu => (cpu, End::CpuTime),
                Death::Crash => {
                    tracing::warn!(?status, "a code worker crashed");
                    (CodeError::Crashed, End::Crashed)
                }
            };
            return (error, end, farewell.map(|farewell| farewell.cpu));
        }
    };
    (error, end, None)
}

/// Looks at the clocks of a call.
struct Watch<'a> {
    limits: &'a CodeLimits,
    deadline: Instant,
    /// The CPU time of the worker at the beginning.
    before: Duration,
}

/// For what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    ForWorker,
    ForService,
}

impl<'a> Watch<'a> {
    fn new(body: &Body, limits: &'a CodeLimits) -> Self {
        Self {
            limits,
            deadline: Instant::now() + limits.wall_time,
            before: body.cpu(),
        }
    }

    fn used(&self, body: &Body) -> Duration {
        self.since(body.cpu())
    }

    fn since(&self, total: Duration) -> Duration {
        total.saturating_sub(self.before)
    }

    /// Waits for something, and looks at the clocks meanwhile.
    async fn during<F: Future>(
        &self,
        work: F,
        body: &mut Body,
        turn: &mut Turn,
        waiting: Waiting,
    ) -> Result<F::Output, Stop> {
        let mut work = pin!(work);
        let began = Instant::now();
        let short = if turn.is_suspect() { SUSPECT } else { SHORT };
        let short = short.min(self.limits.cpu_time);
        let mut look = short;
        loop {
            let next = (Instant::now() + look).min(self.deadline);
            if let Ok(done) = timeout_at(next, &mut work).await {
                return Ok(done);
            }
            let used = self.used(body);
            if used >= self.limits.cpu_time {
                return Err(Stop::Cpu);
            }
            if Instant::now() >= self.deadline {
                return Err(Stop::Wall);
            }
            if used >= short && !turn.is_long() {
                body.lower();
                // A service must not be left in the middle; the call is demoted afterwards.
                if waiting == Waiting::ForWorker {
                    self.demote(body, turn).await?;
                }
            }
            if waiting == Waiting::ForService && began.elapsed() >= SHORT_SERVICE {
                turn.leave();
            }
            let bound = if turn.is_long() {
                self.limits.cpu_time
            } else {
                short
            };
            look = bound.saturating_sub(self.used(body)).max(LOOK);
        }
    }

    /// Moves the call to a long place, and pauses it until there is one.
    async fn demote(&self, body: &Body, turn: &mut Turn) -> Result<(), Stop> {
        if turn.demote().map_err(|_| Stop::Overload)? {
            return Ok(());
        }
        body.pause();
        let resumed = timeout_at(self.deadline, turn.resumed()).await;
        match resumed {
            Err(_) => Err(Stop::Wall),
            Ok(Err(_)) => Err(Stop::Overload),
            Ok(Ok(())) => {
                body.resume();
                Ok(())
            }
        }
    }
}
