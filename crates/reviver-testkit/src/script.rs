//! The transcript: a list of happenings and expectations, run against one flow.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use reviver_flow::{Client, Command, Event, Flow, Record, Relayed, Sent, Slug, Target};
use reviver_http::{
    H1Sink, HeadLimits, RequestHead, ResponseHead, decode_request, decode_response, write_request_line,
};
use reviver_plan::{Plan, Snapshot};

const LIMITS: HeadLimits = HeadLimits { head: 32768, fields: 100, target: 8192 };
/// The address that every connection of a transcript leads to.
const UPSTREAM: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 80);

/// Something that happens to the flow.
#[derive(Clone, Debug)]
pub enum Happening {
    Client(String),
    Authenticated(bool),
    Connected { reused: bool },
    Response(String),
    Failed(Slug, Sent),
    Gone,
    Relayed(Relayed),
}

/// Something that is expected of the flow.
#[derive(Clone, Debug)]
pub enum Expectation {
    /// The next command, as its line in the transcript.
    Command(String),
    /// The upstream head begins with this text.
    Upstream(String),
    UpstreamHas(String),
    UpstreamLacks(String),
    /// The finished record: status and slug.
    Done(u16, &'static str),
}

/// The client sends this head.
pub fn client(head: &str) -> Happening {
    Happening::Client(head.to_owned())
}

pub fn authenticated(good: bool) -> Happening {
    Happening::Authenticated(good)
}

/// A new connection is open.
pub fn connected() -> Happening {
    Happening::Connected { reused: false }
}

/// A kept connection is used.
pub fn kept_connection() -> Happening {
    Happening::Connected { reused: true }
}

/// The upstream sends this head.
pub fn response(head: &str) -> Happening {
    Happening::Response(head.to_owned())
}

pub fn failed(slug: Slug, sent: Sent) -> Happening {
    Happening::Failed(slug, sent)
}

/// The client goes away.
pub fn gone() -> Happening {
    Happening::Gone
}

pub fn relayed(outcome: Relayed) -> Happening {
    Happening::Relayed(outcome)
}

/// A connection to this server is wanted (kept or new).
pub fn connect(server: &str) -> Expectation {
    Expectation::Command(format!("connect {server}"))
}

/// A connection to the destination that the request names is wanted.
pub fn connect_destination() -> Expectation {
    Expectation::Command("connect destination".to_owned())
}

pub fn authenticate() -> Expectation {
    Expectation::Command("authenticate".to_owned())
}

/// The proxy answers by itself: status and slug.
pub fn answer(status: u16, slug: &str) -> Expectation {
    Expectation::Command(format!("answer {status} {slug}"))
}

pub fn relay() -> Expectation {
    Expectation::Command("relay".to_owned())
}

pub fn interim() -> Expectation {
    Expectation::Command("interim".to_owned())
}

pub fn tunnel() -> Expectation {
    Expectation::Command("tunnel".to_owned())
}

/// The request is sent, and its head begins so.
pub fn upstream(head: &str) -> Expectation {
    Expectation::Upstream(head.to_owned())
}

/// The request that was sent holds this text.
pub fn upstream_has(text: &str) -> Expectation {
    Expectation::UpstreamHas(text.to_owned())
}

pub fn upstream_lacks(text: &str) -> Expectation {
    Expectation::UpstreamLacks(text.to_owned())
}

/// The flow is over with this status and slug.
pub fn done(status: u16, slug: &'static str) -> Expectation {
    Expectation::Done(status, slug)
}

enum Entry {
    On(Happening),
    Expect(Expectation),
}

/// A transcript that is being written; nothing happens before [`Script::run`].
#[must_use = "a script does nothing before it is run"]
pub struct Script {
    plan: Plan,
    client: IpAddr,
    entries: Vec<Entry>,
}

impl Script {
    pub fn new(plan: Plan) -> Self {
        Self { plan, client: IpAddr::from([192, 0, 2, 7]), entries: Vec::new() }
    }

    pub fn from_client(mut self, address: &str) -> Self {
        self.client = address.parse().expect("an address");
        self
    }

    pub fn on(mut self, happening: Happening) -> Self {
        self.entries.push(Entry::On(happening));
        self
    }

    pub fn expect(mut self, expectation: Expectation) -> Self {
        self.entries.push(Entry::Expect(expectation));
        self
    }

    /// Runs the transcript and gives the flow's record.
    ///
    /// # Panics
    /// With the whole transcript so far where the flow does something else.
    pub fn run(self) -> Record {
        let snapshot = Snapshot::build(self.plan).expect("the test's plan can be built");
        let start = Instant::now();
        let client = Client { peer: SocketAddr::new(self.client, 50_000), address: self.client, tls: None };
        let mut flow = Flow::new(&snapshot, 0, client, start, 0);
        let mut request = RequestHead::default();
        let mut command: Option<Command> = None;
        let mut told = Vec::new();
        for (index, entry) in self.entries.into_iter().enumerate() {
            let now = start + Duration::from_millis(index as u64);
            match entry {
                Entry::On(happening) => {
                    told.push(format!("on     {happening:?}"));
                    command = Some(happen(&mut flow, &mut request, &happening, now));
                }
                Entry::Expect(expectation) => {
                    let seen = see(&flow, &request, command.as_ref(), &snapshot, &expectation);
                    let transcript = told.join("\n");
                    if let Err(seen) = seen {
                        panic!("\n{transcript}\nexpect {expectation:?}\nbut    {seen}\n");
                    }
                    told.push(format!("expect {expectation:?}"));
                }
            }
        }
        flow.record.clone()
    }
}

fn happen(flow: &mut Flow<'_>, request: &mut RequestHead, happening: &Happening, now: Instant) -> Command {
    match happening {
        Happening::Client(head) => {
            decode_request(head.as_bytes(), &LIMITS, request).expect("a request that can be decoded");
            flow.step(Event::Request(request), now)
        }
        Happening::Authenticated(good) => flow.step(Event::Authenticated(*good), now),
        Happening::Connected { reused } => flow.step(Event::Connected { address: UPSTREAM, reused: *reused }, now),
        Happening::Response(head) => {
            let mut response = ResponseHead::default();
            decode_response(head.as_bytes(), request.method, &LIMITS, &mut response).expect("a response");
            flow.step(Event::Response { request, head: &response, repeatable: true }, now)
        }
        Happening::Failed(slug, sent) => flow.step(Event::Failed { slug: *slug, sent: *sent }, now),
        Happening::Gone => flow.step(Event::ClientGone, now),
        Happening::Relayed(outcome) => flow.step(Event::Relayed(*outcome), now),
    }
}

fn see(
    flow: &Flow<'_>,
    request: &RequestHead,
    command: Option<&Command>,
    snapshot: &Snapshot,
    expectation: &Expectation,
) -> Result<(), String> {
    let line = command.map_or("nothing has happened".to_owned(), |c| line_of(flow, c, snapshot));
    let sent = || {
        let (mut out, mut target) = (Vec::new(), Vec::new());
        flow.write_target(request, &mut target, &mut Vec::new());
        write_request_line(&mut out, request.method_text(), &target);
        flow.write_request_fields(request, request.framing, &mut H1Sink(&mut out));
        String::from_utf8_lossy(&out).into_owned()
    };
    let holds = match expectation {
        Expectation::Command(wanted) => (line == *wanted, line),
        Expectation::Upstream(head) => {
            (line == "exchange" && sent().starts_with(head), format!("{line}: {:?}", sent()))
        }
        Expectation::UpstreamHas(text) => (sent().contains(text), format!("{:?}", sent())),
        Expectation::UpstreamLacks(text) => (!sent().contains(text), format!("{:?}", sent())),
        Expectation::Done(status, slug) => {
            let record = &flow.record;
            let seen = format!("{line}, {} {}", record.status, record.reason.slug.name());
            (seen == format!("done, {status} {slug}"), seen)
        }
    };
    if holds.0 { Ok(()) } else { Err(holds.1) }
}

/// A command as a line of the transcript.
fn line_of(flow: &Flow<'_>, command: &Command, snapshot: &Snapshot) -> String {
    match command {
        Command::Authenticate => "authenticate".to_owned(),
        Command::Answer(_) => format!("answer {} {}", flow.record.status, flow.record.reason.slug.name()),
        Command::Wait { .. } => "wait".to_owned(),
        Command::Connect { target: Target::Server { pool, server }, fresh, .. } => {
            let address = snapshot.server(*pool, *server).map_or("?", |s| s.address.as_str());
            if *fresh { format!("connect {address} anew") } else { format!("connect {address}") }
        }
        Command::Connect { target: Target::Destination, fresh, .. } => {
            if *fresh {
                "connect destination anew".to_owned()
            } else {
                "connect destination".to_owned()
            }
        }
        Command::Exchange => "exchange".to_owned(),
        Command::Interim => "interim".to_owned(),
        Command::Relay => "relay".to_owned(),
        Command::Tunnel => "tunnel".to_owned(),
        Command::Lookup => "lookup".to_owned(),
        Command::Serve(why) => format!("serve {}", why.name()),
        Command::Freshen => "freshen".to_owned(),
        Command::Purge => "purge".to_owned(),
        Command::Done => "done".to_owned(),
    }
}
