use super::*;
use reviver_plan::{LogFormat, LogTarget};
#[test]
#[ignore]
fn speed() {
    let head = request(
        "GET /index/page/17?x=1&q=abc HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: */*\r\n\r\n",
    );
    let plain = request("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
    let record = record();
    for (name, head) in [("rich", &head), ("plain", &plain)] {
        let entry = entry(&record, Some(head));
        let mut bytes = Vec::new();
        wire::encode(&entry, &Selection::default(), &mut bytes);
        let format = Format::new(&sink(LogTarget::Stdout, LogFormat::Json)).unwrap();
        let mut clock = Clock::new(jiff::tz::TimeZone::UTC);
        let mut out = Vec::with_capacity(1 << 16);
        let mut best = (u128::MAX, u128::MAX);
        for _ in 0..30 {
            let begun = Instant::now();
            for _ in 0..20_000 {
                if out.len() > 60_000 {
                    out.clear();
                }
                let line = wire::decode(std::hint::black_box(&bytes[4..])).unwrap();
                format.write(&line, &mut clock, &mut out);
            }
            let a = begun.elapsed().as_nanos() / 20_000;
            let begun = Instant::now();
            for _ in 0..20_000 {
                std::hint::black_box(wire::decode(std::hint::black_box(&bytes[4..])).unwrap());
            }
            best = (best.0.min(a), best.1.min(begun.elapsed().as_nanos() / 20_000));
        }
        out.clear();
        format.write(&wire::decode(&bytes[4..]).unwrap(), &mut clock, &mut out);
        println!("{name}: {} ns decode+format, {} ns decode, {} bytes", best.0, best.1, out.len());
    }
}
