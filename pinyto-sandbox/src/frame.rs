//! What server and worker say to each other, and how it looks on the socket.
//!
//! A frame is its length (four bytes, little-endian) and so many bytes of postcard. Texts that
//! are JSON travel as they are: who needs their structure parses them. What comes from a worker
//! is hostile: its frames are bounded before anything is allocated for them, and
//! [`crate::conversation`] decides which of them may come when.

use std::{str, time::Duration};

use bytes::{Bytes, BytesMut};
use pinyto_core::runtime::{CodeError, CodeLimit, CodeLimits, Service};
use serde::{Deserialize, Serialize};

/// Bytes of the length in front.
pub(crate) const HEADER: usize = 4;

/// Bytes that a frame may have beyond the longest text in it.
pub(crate) const ALLOWANCE: usize = 64 * 1024;

/// Bytes of the name of an exception and of what it says; longer ones are cut by the worker.
pub(crate) const KIND: usize = 256;
pub(crate) const MESSAGE: usize = 16 * 1024;

/// From the server to its worker.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Order<'a> {
    /// Run this code.
    Run {
        code: &'a str,
        body: &'a str,
        user: &'a str,
        limits: WireLimits,
    },
    /// Look whether this can be run.
    Check { code: &'a str, limits: WireLimits },
    /// The text of a JSON value: what the service that was called gives.
    Answer(&'a str),
    /// The service that was called raises an exception.
    Raise {
        exception: &'a str,
        message: &'a str,
    },
}

/// From a worker to the server.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report<'a> {
    /// Locked down and waiting; the first thing that a worker says.
    Ready(Lockdown),
    /// It couldn't be locked down, and ends.
    Failed(&'a str),
    /// The code asks for a service: its index in [`Service::ALL`], a JSON object.
    Call { service: u8, arguments: &'a str },
    /// The code printed something.
    Printed(&'a str),
    /// The code has ended: the text of its answer.
    Finished {
        outcome: Result<&'a str, WireError<'a>>,
        truncated: bool,
    },
}

/// What holds a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lockdown {
    /// The filter of system calls.
    pub(crate) seccomp: bool,
    /// No path of the file system, no port.
    pub(crate) landlock: bool,
    /// Its memory is counted by [`crate::Allocator`].
    pub(crate) allocator: bool,
}

/// [`CodeLimits`], as far as the worker has to know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireLimits {
    cpu_millis: u64,
    wall_millis: u64,
    memory: u64,
    recursion: u64,
    answer: u64,
    output: u64,
    service_calls: u64,
    service_bytes: u64,
}

impl From<&CodeLimits> for WireLimits {
    fn from(limits: &CodeLimits) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let number = |value: usize| value as u64;
        Self {
            cpu_millis: millis(limits.cpu_time),
            wall_millis: millis(limits.wall_time),
            memory: number(limits.memory),
            recursion: number(limits.recursion),
            answer: number(limits.answer),
            output: number(limits.output),
            service_calls: number(limits.service_calls),
            service_bytes: number(limits.service_bytes),
        }
    }
}

impl From<WireLimits> for CodeLimits {
    fn from(wire: WireLimits) -> Self {
        let number = |value| usize::try_from(value).unwrap_or(usize::MAX);
        let mut limits = Self::default();
        limits.cpu_time = Duration::from_millis(wire.cpu_millis);
        limits.wall_time = Duration::from_millis(wire.wall_millis);
        limits.memory = number(wire.memory);
        limits.recursion = number(wire.recursion);
        limits.answer = number(wire.answer);
        limits.output = number(wire.output);
        limits.service_calls = number(wire.service_calls);
        limits.service_bytes = number(wire.service_bytes);
        limits
    }
}

/// [`CodeError`], as far as a worker may claim it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireError<'a> {
    Exception {
        kind: &'a str,
        message: &'a str,
        line: Option<u32>,
    },
    Syntax {
        message: &'a str,
        line: Option<u32>,
    },
    Limit(WireLimit),
    Crashed,
}

/// [`CodeLimit`] without the value, which the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WireLimit {
    CpuTime,
    WallTime,
    Memory,
    Answer,
    ServiceCalls,
    ServiceBytes,
}

impl WireLimit {
    /// The limit with the value it has in `limits`.
    pub(crate) fn of(self, limits: &CodeLimits) -> CodeLimit {
        match self {
            Self::CpuTime => CodeLimit::CpuTime(limits.cpu_time),
            Self::WallTime => CodeLimit::WallTime(limits.wall_time),
            Self::Memory => CodeLimit::Memory(limits.memory),
            Self::Answer => CodeLimit::Answer(limits.answer),
            Self::ServiceCalls => CodeLimit::ServiceCalls(limits.service_calls),
            Self::ServiceBytes => CodeLimit::ServiceBytes(limits.service_bytes),
        }
    }
}

impl<'a> WireError<'a> {
    /// What the engine says, cut to what fits into a frame.
    pub(crate) fn new(error: &'a CodeError) -> Self {
        match error {
            CodeError::Exception {
                kind,
                message,
                line,
                ..
            } => Self::Exception {
                kind: beginning(kind, KIND),
                message: beginning(message, MESSAGE),
                line: *line,
            },
            CodeError::Syntax { message, line, .. } => Self::Syntax {
                message: beginning(message, MESSAGE),
                line: *line,
            },
            CodeError::LimitReached { limit } => match limit {
                CodeLimit::CpuTime(_) => Self::Limit(WireLimit::CpuTime),
                CodeLimit::WallTime(_) => Self::Limit(WireLimit::WallTime),
                CodeLimit::Memory(_) => Self::Limit(WireLimit::Memory),
                CodeLimit::Answer(_) => Self::Limit(WireLimit::Answer),
                CodeLimit::ServiceCalls(_) => Self::Limit(WireLimit::ServiceCalls),
                CodeLimit::ServiceBytes(_) => Self::Limit(WireLimit::ServiceBytes),
                _ => Self::Crashed,
            },
            _ => Self::Crashed,
        }
    }
}

/// The index of a service on the wire.
pub(crate) fn number(service: Service) -> u8 {
    let index = Service::ALL.iter().position(|known| *known == service);
    index
        .and_then(|index| index.try_into().ok())
        .unwrap_or(u8::MAX)
}

/// The beginning of a text, at most `bytes` long, cut between characters.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A frame that can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Longer than anything that may come.
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    /// Its content makes no sense.
    #[error("a frame that can't be read")]
    Malformed,
}

/// Puts a frame at the end of `out`.
pub(crate) fn write(frame: &impl Serialize, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let mut whole =
        postcard::to_extend(frame, std::mem::take(out)).map_err(|_| FrameError::Malformed)?;
    let length = whole.len() - start - HEADER;
    let header = u32::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    whole[start..start + HEADER].copy_from_slice(&header.to_le_bytes());
    *out = whole;
    Ok(())
}

/// Reads the content of a frame; nothing may be left over.
pub(crate) fn read<'a, T: Deserialize<'a>>(content: &'a [u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(content) {
        Ok((frame, [])) => Ok(frame),
        Ok(_) | Err(_) => Err(FrameError::Malformed),
    }
}

/// Takes the content of the first frame out of what has been received, if it is complete.
pub(crate) fn split(received: &mut BytesMut, longest: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(header) = received.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = length(*header, longest)?;
    if received.len() - HEADER < length {
        return Ok(None);
    }
    let mut frame = received.split_to(HEADER + length);
    Ok(Some(frame.split_off(HEADER).freeze()))
}

/// The length that a header announces.
pub(crate) fn length(header: [u8; HEADER], longest: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length > longest {
        return Err(FrameError::TooLong(length));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report() -> impl Strategy<Value = (u8, String, bool)> {
        (any::<u8>(), ".{0,40}", any::<bool>())
    }

    fn made(kind: u8, text: &str, flag: bool) -> Report<'_> {
        match kind % 5 {
            0 => Report::Failed(text),
            1 => Report::Call {
                service: kind,
                arguments: text,
            },
            2 => Report::Printed(text),
            3 => Report::Finished {
                outcome: Ok(text),
                truncated: flag,
            },
            _ => Report::Finished {
                outcome: Err(WireError::Syntax {
                    message: text,
                    line: Some(u32::from(kind)),
                }),
                truncated: flag,
            },
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            reports in prop::collection::vec(report(), 0..6),
            cuts in prop::collection::vec(1_usize..9, 1..40),
        ) {
            let mut stream = Vec::new();
            for (kind, text, flag) in &reports {
                write(&made(*kind, text, *flag), &mut stream).unwrap();
            }
            let (mut received, mut seen, mut rest) = (BytesMut::new(), 0, &stream[..]);
            let mut cuts = cuts.iter().cycle();
            loop {
                while let Some(content) = split(&mut received, 1000).unwrap() {
                    let (kind, text, flag) = &reports[seen];
                    prop_assert_eq!(read::<Report<'_>>(&content).unwrap(), made(*kind, text, *flag));
                    seen += 1;
                }
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                received.extend_from_slice(now);
                rest = later;
            }
            prop_assert_eq!(seen, reports.len());
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut received = BytesMut::from(&bytes[..]);
            while let Ok(Some(content)) = split(&mut received, 100) {
                let _: Result<Report<'_>, _> = read(&content);
            }
        }
    }

    #[test]
    fn a_frame_is_refused_by_its_announced_length_alone() {
        let mut received = BytesMut::from(&[1, 0, 1, 0][..]);
        assert_eq!(
            split(&mut received, 65_536),
            Err(FrameError::TooLong(65_537))
        );
        assert_eq!(split(&mut received, 65_537), Ok(None));
    }

    #[test]
    fn bytes_after_the_content_make_a_frame_malformed() {
        let mut stream = Vec::new();
        write(&Report::Printed("a"), &mut stream).unwrap();
        stream.push(0);
        assert_eq!(
            read::<Report<'_>>(&stream[HEADER..]),
            Err(FrameError::Malformed)
        );
    }

    #[test]
    fn limits_arrive_as_they_were() {
        let limits = CodeLimits::default();
        assert_eq!(CodeLimits::from(WireLimits::from(&limits)), limits);
    }

    #[test]
    fn every_service_has_its_own_number() {
        for (index, service) in Service::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(number(service)), index);
        }
    }
}
