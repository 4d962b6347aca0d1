//! Checks that a connection comes about, with TLS and without.

use tokio::net::UdpSocket;

use super::*;

fn subject(address: &str, check: &str, pool: Value) -> Subject {
    Subject::new(address, health(json!(check), json!({})), pool)
}

#[test]
fn a_port_that_is_open_is_enough_for_tcp() {
    on_a_core(async {
        let origin = Origin::new(&[&[Step::Hold]]).await;
        assert_eq!(subject(&origin.address, "tcp", json!({})).check().await, Ok(()));
        let refusing = refusing().await;
        let closed = subject(&refusing.to_string(), "tcp", json!({}));
        assert_eq!(closed.complaint().await, "connection refused");
        // Another port of the same host.
        let port = origin.address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
        let elsewhere = health(json!("tcp"), json!({ "port": port }));
        assert_eq!(Subject::new(&refusing.to_string(), elsewhere, json!({})).check().await, Ok(()));
    });
}

#[test]
fn the_timeout_holds_for_names_too() {
    on_a_core(async {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let check = health(json!("tcp"), json!({"timeout_ms": 50}));
        let mut plan = plan(&["app.test:80"], check.clone(), json!({}));
        plan.resolver.servers = vec![silent.local_addr().unwrap()];
        plan.resolver.timeout_ms = 60_000;
        let mut subject = Subject::new("app.test:80", check, json!({}));
        subject.means.resolver = Rc::new(Resolver::new(&plan.resolver));
        assert_eq!(subject.complaint().await, "timed out after 50ms");
    });
}

#[test]
fn a_handshake_takes_any_certificate_where_the_pool_says_nothing_of_tls() {
    on_a_core(async {
        let (acceptor, _) = certified(&["imap"]);
        let origin = Origin::start(&[&[Step::Hold]], Some(acceptor)).await;
        assert_eq!(subject(&origin.address, "tls", json!({})).check().await, Ok(()));
        let (acceptor, pem) = certified(&[]);
        let origin = Origin::start(&[&[Step::Hold]], Some(acceptor)).await;
        let trusting = subject(&origin.address, "tls", json!({"tls": tls(Some(&pem), "a.test")}));
        assert_eq!(trusting.check().await, Ok(()));
        let trusting = subject(&origin.address, "tls", json!({"tls": tls(Some(&pem), "b.test")}));
        assert_eq!(trusting.complaint().await, "certificate: wrong name");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let greeting = listener.local_addr().unwrap().to_string();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"220 mail.test ESMTP\r\n").await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        assert_eq!(subject(&greeting, "tls", json!({})).complaint().await, "TLS: decode error");
        assert_eq!(subject(&refusing().await.to_string(), "tls", json!({})).complaint().await, "connection refused");
    });
}
