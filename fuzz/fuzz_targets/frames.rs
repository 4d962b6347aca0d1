//! HTTP/2 frames are those that a walk over the whole finds, however the bytes arrive, and no sequence of them upsets
//! the guard.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_http::frames::{FloodGuard, FloodLimits, Frame, FrameKind, FrameScan};

const LIMITS: FloodLimits = FloodLimits { resets: 2, errors: 2, control: 2, continuations: 2 };

fn scanned(data: &[u8], step: usize) -> Vec<Frame> {
    let (mut scan, mut frames) = (FrameScan::default(), Vec::new());
    for part in data.chunks(step) {
        scan.feed(part, |frame| frames.push(frame));
    }
    frames
}

fn walked(mut data: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, flags, d, e, f, g, payload @ ..] = data {
        let length = u32::from_be_bytes([0, *a, *b, *c]);
        let kind = FrameKind::from(*kind);
        let at = match kind {
            FrameKind::RstStream if length >= 4 => Some(0),
            FrameKind::GoAway if length >= 8 => Some(4),
            _ => None,
        };
        let code = match at.map(|at| payload.get(at..at + 4)) {
            None => None,
            Some(None) => break,
            Some(Some(code)) => code.try_into().map(u32::from_be_bytes).ok(),
        };
        let stream = u32::from_be_bytes([*d, *e, *f, *g]) << 1 >> 1;
        frames.push(Frame { length, kind, flags: *flags, stream, code });
        data = payload.get(length as usize..).unwrap_or_default();
    }
    frames
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let frames = scanned(data, data.len().max(1));
    assert_eq!(frames, walked(data));
    assert_eq!(scanned(data, 1), frames, "byte by byte");
    assert_eq!(scanned(data, usize::from(step).max(1)), frames, "{step} bytes at a time");

    let (mut guard, mut free) = (FloodGuard::new(LIMITS), FloodGuard::new(FloodLimits::default()));
    for (frame, now) in frames.iter().zip((0..).step_by(usize::from(step) * 10 + 1)) {
        if frame.stream % 2 == 0 {
            assert!(guard.sent(frame, now).is_none() || frame.kind == FrameKind::RstStream);
        } else if guard.received(frame, now).is_some() {
            assert!(!matches!(frame.kind, FrameKind::Data | FrameKind::Headers) || frame.length == 0);
        }
        assert!(!guard.head_open() || !frame.ends_headers() || frame.stream % 2 == 0);
        assert_eq!((free.received(frame, now), free.sent(frame, now)), (None, None));
    }
});
