//! Watches HTTP/2 frames go by (RFC 9113, section 4.1), below the library that understands them.
//!
//! [`FrameScan`] tells each frame's header from bytes that it never changes, and [`FloodGuard`] bounds what costs
//! the proxy work and the peer nothing (RFC 9113, section 10.5). Neither judges whether a frame is legal: that is
//! the library's part.

/// Length of a frame's header.
const HEADER: usize = 9;
/// Header, last stream and error code of GOAWAY, the longest thing that is looked at.
const LONGEST: usize = HEADER + 8;
/// Length of what a client sends first (RFC 9113, section 3.4).
const PREFACE: u32 = 24;

const FLAG_ACK: u8 = 0x1;
const FLAG_END_STREAM: u8 = 0x1;
const FLAG_END_HEADERS: u8 = 0x4;

/// Frame types of RFC 9113, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// Ignored by whoever does not know it (RFC 9113, section 5.5).
    Unknown(u8),
}

impl From<u8> for FrameKind {
    fn from(kind: u8) -> Self {
        match kind {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::GoAway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            other => Self::Unknown(other),
        }
    }
}

/// The header of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of payload.
    pub length: u32,
    pub kind: FrameKind,
    pub flags: u8,
    /// 0 for the connection; without the reserved bit.
    pub stream: u32,
    /// Of RST_STREAM and GOAWAY, where the frame is long enough to have one.
    pub code: Option<u32>,
}

impl Frame {
    #[inline]
    fn read([a, b, c, kind, flags, d, e, f, g]: [u8; HEADER]) -> Self {
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff;
        Self { length, kind: kind.into(), flags, stream, code: None }
    }

    /// Bytes of payload up to the end of the error code; 0 without one.
    #[inline]
    fn code_end(&self) -> usize {
        match self.kind {
            FrameKind::RstStream if self.length >= 4 => 4,
            FrameKind::GoAway if self.length >= 8 => 8,
            _ => 0,
        }
    }

    /// Whether its length is one that its kind can have (RFC 9113, section 6). The connection ends where it is
    /// not.
    pub fn fits_its_kind(&self) -> bool {
        match self.kind {
            FrameKind::Priority => self.length == 5,
            FrameKind::RstStream | FrameKind::WindowUpdate => self.length == 4,
            FrameKind::Settings if self.is_ack() => self.length == 0,
            FrameKind::Settings => self.length.is_multiple_of(6),
            FrameKind::Ping => self.length == 8,
            FrameKind::GoAway => self.length >= 8,
            _ => true,
        }
    }

    /// Whether it acknowledges SETTINGS or PING.
    pub fn is_ack(&self) -> bool {
        matches!(self.kind, FrameKind::Settings | FrameKind::Ping) && self.flags & FLAG_ACK != 0
    }

    /// Whether a field section is complete with it.
    pub fn ends_headers(&self) -> bool {
        matches!(self.kind, FrameKind::Headers | FrameKind::PushPromise | FrameKind::Continuation)
            && self.flags & FLAG_END_HEADERS != 0
    }

    /// Whether its sender sends nothing more on the stream (after the field section that it may begin).
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, FrameKind::Data | FrameKind::Headers) && self.flags & FLAG_END_STREAM != 0
    }
}

/// Finds the frames in one direction of a connection.
#[derive(Clone, Debug, Default)]
pub struct FrameScan {
    /// A header that has not arrived as a whole, or whose error code has not.
    head: [u8; LONGEST],
    have: usize,
    /// Bytes that do not matter before the next header.
    skip: u32,
}

impl FrameScan {
    /// For what a client sends: its preface is passed over, not checked.
    pub fn after_preface() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    /// Looks at the next bytes of the connection, cut anywhere. Each frame is shown once, as soon as its header has
    /// arrived; RST_STREAM and GOAWAY as soon as their error code has.
    #[inline]
    pub fn feed(&mut self, mut bytes: &[u8], mut see: impl FnMut(Frame)) {
        loop {
            let passed = bytes.len().min(self.skip as usize);
            // no more than `skip`, which is a u32
            self.skip -= passed as u32;
            bytes = &bytes[passed..];
            if bytes.is_empty() {
                return;
            }
            // as nearly all of them arrive
            if self.have == 0
                && let Some((head, rest)) = bytes.split_first_chunk::<HEADER>()
            {
                let frame = Frame::read(*head);
                if frame.code_end() == 0 {
                    self.skip = frame.length;
                    bytes = rest;
                    see(frame);
                    continue;
                }
            }
            if let Some(frame) = self.gather(&mut bytes) {
                see(frame);
            }
        }
    }

    /// Takes what belongs to the header and its error code; gives the frame once that is all there.
    fn gather(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        self.take(bytes, HEADER)?;
        let [a, b, c, d, e, f, g, h, i, ..] = self.head;
        let mut frame = Frame::read([a, b, c, d, e, f, g, h, i]);
        let code_end = frame.code_end();
        self.take(bytes, HEADER + code_end)?;
        frame.code = self.head[HEADER..HEADER + code_end].last_chunk().map(|code| u32::from_be_bytes(*code));
        // no more than `length`
        self.skip = frame.length - code_end as u32;
        self.have = 0;
        Some(frame)
    }

    /// Whether `head` has so many bytes, with those that have arrived.
    fn take(&mut self, bytes: &mut &[u8], wanted: usize) -> Option<()> {
        let taken = bytes.len().min(wanted.saturating_sub(self.have));
        let (head, rest) = bytes.split_at(taken);
        self.head[self.have..self.have + taken].copy_from_slice(head);
        self.have += taken;
        *bytes = rest;
        (self.have >= wanted).then_some(())
    }
}

/// How much of each is borne; 0 is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloodLimits {
    /// Streams that the peer resets in ten seconds (rapid reset, CVE-2023-44487).
    pub resets: u32,
    /// Streams that the proxy has to reset for the peer's errors in ten seconds (made you reset, CVE-2025-8671).
    pub errors: u32,
    /// Frames in ten seconds that move no message forward (CVE-2019-9512, 9515, 9518).
    pub control: u32,
    /// CONTINUATION frames of one field section (VU#421644).
    pub continuations: u32,
}

/// Which of [`FloodLimits`] is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    Resets,
    Errors,
    Control,
    Continuations,
}

/// Length of the windows in which frames are counted.
const WINDOW_MS: u64 = 10_000;
/// WINDOW_UPDATE frames that are free at the start of a connection, and for each DATA or HEADERS frame sent.
const UPDATES_AT_FIRST: u64 = 1000;
const UPDATES_FOR_EACH: u64 = 20;

/// Counts, on one connection, the frames that cost their sender next to nothing.
///
/// Windows follow one another and begin with the first frame in them, so that up to twice a limit may pass around
/// a border.
#[derive(Clone, Debug)]
pub struct FloodGuard {
    limits: FloodLimits,
    window_start: u64,
    resets: u32,
    errors: u32,
    control: u32,
    continuations: u32,
    head_open: bool,
    /// WINDOW_UPDATE, PING and acknowledgements that are still free, since they answer what was sent.
    updates: u64,
    pings: u64,
    acks: u64,
}

impl FloodGuard {
    pub fn new(limits: FloodLimits) -> Self {
        Self {
            limits,
            window_start: 0,
            resets: 0,
            errors: 0,
            control: 0,
            continuations: 0,
            head_open: false,
            updates: UPDATES_AT_FIRST,
            pings: 0,
            acks: 0,
        }
    }

    /// Counts a frame that the peer sent at `now_ms`, a clock that does not go back. Says again with each further
    /// frame that counts what is exceeded.
    pub fn received(&mut self, frame: &Frame, now_ms: u64) -> Option<Flood> {
        match frame.kind {
            FrameKind::Data => {
                if frame.length > 0 || frame.ends_stream() {
                    return None;
                }
            }
            FrameKind::Headers | FrameKind::PushPromise => {
                self.continuations = 0;
                self.head_open = !frame.ends_headers();
                if frame.length > 0 {
                    return None;
                }
            }
            FrameKind::Continuation => {
                self.head_open = !frame.ends_headers();
                if exceeds(&mut self.continuations, self.limits.continuations) {
                    return Some(Flood::Continuations);
                }
                if frame.length > 0 {
                    return None;
                }
            }
            FrameKind::RstStream => {
                self.turn(now_ms);
                return exceeds(&mut self.resets, self.limits.resets).then_some(Flood::Resets);
            }
            FrameKind::WindowUpdate => {
                if spend(&mut self.updates) {
                    return None;
                }
            }
            FrameKind::Settings | FrameKind::Ping if frame.is_ack() => {
                if spend(&mut self.acks) {
                    return None;
                }
            }
            // those who measure the path to us (gRPC) do it by one PING for each DATA frame at most
            FrameKind::Ping => {
                if spend(&mut self.pings) {
                    return None;
                }
            }
            FrameKind::Settings | FrameKind::Priority | FrameKind::GoAway | FrameKind::Unknown(_) => {}
        }
        self.turn(now_ms);
        exceeds(&mut self.control, self.limits.control).then_some(Flood::Control)
    }

    /// Counts a frame that the proxy itself sends at `now_ms`.
    pub fn sent(&mut self, frame: &Frame, now_ms: u64) -> Option<Flood> {
        match frame.kind {
            FrameKind::Data => {
                self.updates += UPDATES_FOR_EACH;
                self.pings += 1;
            }
            // a client may widen the window of each stream, and an answer need not have content
            FrameKind::Headers => self.updates += UPDATES_FOR_EACH,
            FrameKind::Settings | FrameKind::Ping if !frame.is_ack() => self.acks += 1,
            FrameKind::RstStream if frame.code.is_some_and(is_peers_error) => {
                self.turn(now_ms);
                return exceeds(&mut self.errors, self.limits.errors).then_some(Flood::Errors);
            }
            _ => {}
        }
        None
    }

    /// Whether the peer has begun a field section and not ended it; nothing else may come before its end
    /// (RFC 9113, section 4.3).
    pub fn head_open(&self) -> bool {
        self.head_open
    }

    /// What the peer has come closest to exceeding.
    pub fn closest(&self) -> Flood {
        let share = |count: u32, limit: u32| if limit == 0 { 0.0 } else { f64::from(count) / f64::from(limit) };
        let shares = [
            (share(self.resets, self.limits.resets), Flood::Resets),
            (share(self.errors, self.limits.errors), Flood::Errors),
            (share(self.control, self.limits.control), Flood::Control),
            (share(self.continuations, self.limits.continuations), Flood::Continuations),
        ];
        shares.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(Flood::Control, |(_, flood)| flood)
    }

    /// Begins a new window if the last one is over.
    fn turn(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.window_start) >= WINDOW_MS {
            self.window_start = now_ms;
            (self.resets, self.errors, self.control) = (0, 0, 0);
        }
    }
}

/// Whether a stream reset with this code was made to be reset: PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED,
/// FRAME_SIZE_ERROR, REFUSED_STREAM, COMPRESSION_ERROR (RFC 9113, section 7).
fn is_peers_error(code: u32) -> bool {
    matches!(code, 0x1 | 0x3 | 0x5 | 0x6 | 0x7 | 0x9)
}

fn exceeds(count: &mut u32, limit: u32) -> bool {
    *count = count.saturating_add(1);
    limit > 0 && *count > limit
}

/// Takes one, if there is one.
fn spend(free: &mut u64) -> bool {
    let some = *free > 0;
    *free -= u64::from(some);
    some
}
