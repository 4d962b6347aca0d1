//! HTTP/2 frames, and what is too much of them.

use proptest::collection::vec;
use proptest::prelude::*;

use reviver_http::frames::{Flood, FloodGuard, FloodLimits, Frame, FrameKind, FrameScan};

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const PRIORITY_UPDATE: u8 = 0x10;

fn bytes(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What is seen when `step` bytes arrive at a time.
fn seen(mut scan: FrameScan, bytes: &[u8], step: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    for part in bytes.chunks(step) {
        scan.feed(part, |frame| frames.push(frame));
    }
    frames
}

/// Frames, however they arrive.
#[track_caller]
fn all(bytes: &[u8]) -> Vec<Frame> {
    let whole = seen(FrameScan::default(), bytes, bytes.len().max(1));
    for step in 1..bytes.len().min(40) {
        assert_eq!(seen(FrameScan::default(), bytes, step), whole, "{step} bytes at a time");
    }
    whole
}

fn frame(kind: u8, flags: u8, length: u32) -> Frame {
    Frame { length, kind: kind.into(), flags, stream: 1, code: None }
}

fn reset(code: u32) -> Frame {
    Frame { code: Some(code), ..frame(RST_STREAM, 0, 4) }
}

#[test]
fn each_kind_of_frame_is_told() {
    for (kind, payload, wanted, code) in [
        (DATA, &b"hello"[..], FrameKind::Data, None),
        (HEADERS, b"\x82", FrameKind::Headers, None),
        (PRIORITY, b"\0\0\0\x03\x10", FrameKind::Priority, None),
        (RST_STREAM, b"\0\0\0\x08", FrameKind::RstStream, Some(8)),
        (RST_STREAM, b"\0\0\x08", FrameKind::RstStream, None),
        (RST_STREAM, b"\0\0\x01\x08tail", FrameKind::RstStream, Some(264)),
        (SETTINGS, b"", FrameKind::Settings, None),
        (PUSH_PROMISE, b"\0\0\0\x02\x82", FrameKind::PushPromise, None),
        (PING, b"12345678", FrameKind::Ping, None),
        (GOAWAY, b"\0\0\0\x07\0\0\0\x0b", FrameKind::GoAway, Some(11)),
        (GOAWAY, b"\0\0\0\x07\0\0\0\x0bcalm down", FrameKind::GoAway, Some(11)),
        (GOAWAY, b"\0\0\0\x07\0\0\0", FrameKind::GoAway, None),
        (WINDOW_UPDATE, b"\0\0\x10\0", FrameKind::WindowUpdate, None),
        (CONTINUATION, b"\x84", FrameKind::Continuation, None),
        (PRIORITY_UPDATE, b"\0\0\0\x01u=1", FrameKind::Unknown(0x10), None),
    ] {
        // the reserved bit is ignored; what follows shows that no byte was lost
        let input = [bytes(kind, 0x2d, 0x8000_0003, payload), bytes(PING, ACK, 0, b"87654321")].concat();
        let length = u32::try_from(payload.len()).expect("a short payload");
        let first = Frame { length, kind: wanted, flags: 0x2d, stream: 3, code };
        let second = Frame { length: 8, kind: FrameKind::Ping, flags: ACK, stream: 0, code: None };
        assert_eq!(all(&input), [first, second]);
    }
}

#[test]
fn a_frame_is_told_with_its_header_not_with_its_payload() {
    let data = bytes(DATA, 0, 1, &[0; 100]);
    assert_eq!(all(&data[..8]), []);
    assert_eq!(all(&data[..9]).len(), 1);
    let reset = bytes(RST_STREAM, 0, 1, &[0; 4]);
    assert_eq!(all(&reset[..12]), []);
    assert_eq!(all(&reset).len(), 1);
    let going = bytes(GOAWAY, 0, 0, &[0; 50]);
    assert_eq!(all(&going[..16]), []);
    assert_eq!(all(&going[..17]).len(), 1);
}

#[test]
fn the_largest_payload_is_passed_over() {
    let most = vec![0xff; (1 << 24) - 1];
    let input = [bytes(DATA, 0, 1, &most), bytes(DATA, END_STREAM, 1, b"")].concat();
    for step in [input.len(), 65_536] {
        let frames = seen(FrameScan::default(), &input, step);
        assert_eq!(frames, [frame(DATA, 0, (1 << 24) - 1), frame(DATA, END_STREAM, 0)]);
    }
}

#[test]
fn a_preface_is_passed_over() {
    let input = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &bytes(SETTINGS, 0, 1, b"")].concat();
    for step in 1..input.len() {
        assert_eq!(seen(FrameScan::after_preface(), &input, step), [frame(SETTINGS, 0, 0)]);
    }
}

#[test]
fn a_flag_means_something_on_some_frames_only() {
    for kind in (DATA..=CONTINUATION).chain([PRIORITY_UPDATE]) {
        let told = frame(kind, 0xff, 0);
        assert_eq!(told.is_ack(), matches!(kind, SETTINGS | PING), "{kind}");
        assert_eq!(told.ends_headers(), matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION), "{kind}");
        assert_eq!(told.ends_stream(), matches!(kind, DATA | HEADERS), "{kind}");
        let told = frame(kind, 0xfa, 0);
        assert!(!told.is_ack() && !told.ends_headers() && !told.ends_stream(), "{kind}");
    }
}

const LIMITS: FloodLimits = FloodLimits { resets: 3, errors: 3, control: 3, continuations: 3 };

/// What a guard says to the last of so many of them, and to the one before it.
#[track_caller]
fn last_two(frame: &Frame, count: usize) -> [Option<Flood>; 2] {
    let mut guard = FloodGuard::new(LIMITS);
    let said: Vec<_> = (0..count).map(|_| guard.received(frame, 5)).collect();
    assert!(said[..count - 1].iter().all(Option::is_none), "too early: {said:?}");
    [said[count - 2], said[count - 1]]
}

#[test]
fn frames_that_move_nothing_are_bounded() {
    for (counted, flood) in [
        (frame(RST_STREAM, 0, 4), Flood::Resets),
        (reset(8), Flood::Resets),
        (frame(SETTINGS, 0, 0), Flood::Control),
        (frame(SETTINGS, 0, 6), Flood::Control),
        (frame(SETTINGS, ACK, 0), Flood::Control),
        (frame(PING, 0, 8), Flood::Control),
        (frame(PING, ACK, 8), Flood::Control),
        (frame(PRIORITY, 0, 5), Flood::Control),
        (frame(GOAWAY, 0, 8), Flood::Control),
        (frame(PRIORITY_UPDATE, 0, 8), Flood::Control),
        (frame(DATA, 0, 0), Flood::Control),
        (frame(HEADERS, END_HEADERS, 0), Flood::Control),
        (frame(CONTINUATION, 0, 1), Flood::Continuations),
    ] {
        assert_eq!(last_two(&counted, 4), [None, Some(flood)], "{counted:?}");
    }
    assert_eq!(last_two(&frame(WINDOW_UPDATE, 0, 4), 1004), [None, Some(Flood::Control)]);
}

#[test]
fn frames_that_move_something_are_not_counted() {
    for free in [
        frame(DATA, 0, 1),
        frame(DATA, END_STREAM, 0),
        frame(HEADERS, END_HEADERS, 1),
        frame(HEADERS, END_HEADERS | END_STREAM, 1),
    ] {
        assert_eq!(last_two(&free, 100_000), [None, None], "{free:?}");
    }
}

#[test]
fn frames_are_counted_in_windows_of_ten_seconds() {
    let mut guard = FloodGuard::new(LIMITS);
    for (now, wanted) in [
        (70_000, None),
        (70_000, None),
        (79_999, None),
        (79_999, Some(Flood::Resets)),
        (79_999, Some(Flood::Resets)),
        (80_000, None),
        (80_001, None),
        (95_000, None),
        (95_001, None),
        (95_002, None),
        (95_003, Some(Flood::Resets)),
    ] {
        assert_eq!(guard.received(&reset(8), now), wanted, "at {now}");
    }
    // each kind has a count of its own
    assert_eq!(guard.received(&frame(PING, 0, 8), 95_003), None);
}

#[test]
fn no_limit_is_no_bound() {
    let mut guard = FloodGuard::new(FloodLimits::default());
    for _ in 0..2000 {
        for frame in [reset(1), frame(PING, 0, 8), frame(CONTINUATION, 0, 0), frame(WINDOW_UPDATE, 0, 4)] {
            assert_eq!(guard.received(&frame, 1), None);
            assert_eq!(guard.sent(&frame, 1), None);
        }
    }
}

#[test]
fn resets_that_the_peer_provoked_are_bounded() {
    for code in 0..16 {
        let mut guard = FloodGuard::new(LIMITS);
        let said: Vec<_> = (0..4).map(|_| guard.sent(&reset(code), 5)).collect();
        let last = matches!(code, 1 | 3 | 5 | 6 | 7 | 9).then_some(Flood::Errors);
        assert_eq!(said, [None, None, None, last], "{code}");
        assert_eq!(guard.received(&reset(code), 5), None, "a reset received is another thing");
    }
}

/// Whether the peer may send that frame so often after the proxy has sent these.
fn bears(sent: &[Frame], received: &Frame, count: usize) -> bool {
    let mut guard = FloodGuard::new(FloodLimits { control: 1, ..LIMITS });
    assert!(sent.iter().all(|frame| guard.sent(frame, 1).is_none()));
    // the first that is counted is borne
    (0..=count).all(|_| guard.received(received, 1).is_none())
}

#[test]
fn frames_that_answer_what_was_sent_are_free() {
    let update = frame(WINDOW_UPDATE, 0, 4);
    let answers = [frame(DATA, 0, 1); 100];
    for (sent, received, free) in [
        (&[][..], update, 1000),
        (&answers, update, 3000),
        (&[frame(HEADERS, END_HEADERS | END_STREAM, 1); 10], update, 1200),
        (&[], frame(PING, 0, 8), 0),
        (&answers, frame(PING, 0, 8), 100),
        (&[frame(PING, 0, 8); 7], frame(PING, ACK, 8), 7),
        (&[frame(SETTINGS, 0, 6); 7], frame(SETTINGS, ACK, 0), 7),
        (&[frame(PING, ACK, 8); 7], frame(PING, ACK, 8), 0),
        (&answers, frame(SETTINGS, 0, 0), 0),
    ] {
        assert!(bears(sent, &received, free), "{received:?} x {free}");
        assert!(!bears(sent, &received, free + 1), "{received:?} x {}", free + 1);
    }
}

#[test]
fn continuations_are_counted_for_each_field_section() {
    let mut guard = FloodGuard::new(LIMITS);
    for _ in 0..10 {
        assert_eq!(guard.received(&frame(HEADERS, END_STREAM, 9), 1), None);
        for _ in 0..2 {
            assert_eq!(guard.received(&frame(CONTINUATION, 0, 9), 1), None);
        }
        assert_eq!(guard.received(&frame(CONTINUATION, END_HEADERS, 9), 1), None);
    }
    assert_eq!(guard.received(&frame(HEADERS, 0, 9), 1), None);
    let said: Vec<_> = (0..4).map(|_| guard.received(&frame(CONTINUATION, 0, 9), 1)).collect();
    assert_eq!(said, [None, None, None, Some(Flood::Continuations)]);
}

#[test]
fn empty_fragments_count_as_control_frames() {
    let mut guard = FloodGuard::new(FloodLimits { continuations: 0, ..LIMITS });
    let said: Vec<_> = (0..4).map(|_| guard.received(&frame(CONTINUATION, 0, 0), 1)).collect();
    assert_eq!(said, [None, None, None, Some(Flood::Control)]);
}

#[test]
fn a_field_section_is_open_until_its_end() {
    let mut guard = FloodGuard::new(LIMITS);
    for (kind, flags, open) in [
        (HEADERS, END_HEADERS | END_STREAM, false),
        (DATA, 0, false),
        (HEADERS, END_STREAM, true),
        (CONTINUATION, 0, true),
        (CONTINUATION, END_HEADERS, false),
        (PUSH_PROMISE, 0, true),
        (CONTINUATION, END_HEADERS, false),
        (HEADERS, 0, true),
    ] {
        guard.received(&frame(kind, flags, 1), 1);
        assert_eq!(guard.head_open(), open, "after {kind} with {flags}");
    }
}

fn any_frame() -> impl Strategy<Value = (u8, u8, u32, Vec<u8>)> {
    (0u8..12, any::<u8>(), 0u32..1 << 31, vec(any::<u8>(), 0..40))
}

proptest! {
    #[test]
    fn frames_are_the_same_however_they_arrive(
        sent in vec(any_frame(), 0..12),
        cuts in vec(0usize..30, 1..40),
    ) {
        let mut input = Vec::new();
        for (kind, flags, stream, payload) in &sent {
            input.extend(bytes(*kind, *flags, *stream, payload));
        }
        let (mut scan, mut frames, mut rest) = (FrameScan::default(), Vec::new(), &input[..]);
        for cut in cuts.iter().cycle().take(input.len()) {
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            scan.feed(part, |frame| frames.push(frame));
            rest = after;
        }
        scan.feed(rest, |frame| frames.push(frame));
        prop_assert_eq!(frames.len(), sent.len());
        for (frame, (kind, flags, stream, payload)) in frames.iter().zip(&sent) {
            let code = match frame.kind {
                FrameKind::RstStream => payload.first_chunk::<4>(),
                FrameKind::GoAway => payload.get(4..).and_then(<[u8]>::first_chunk::<4>),
                _ => None,
            };
            prop_assert_eq!(frame, &Frame {
                length: u32::try_from(payload.len()).expect("short"),
                kind: FrameKind::from(*kind),
                flags: *flags,
                stream: *stream,
                code: code.map(|code| u32::from_be_bytes(*code)),
            });
        }
    }
}
