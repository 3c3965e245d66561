//! Packets through the legs: outside and inside are namespaces, the guard is between them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Namespace, PATIENCE, root};

const SERVERS: [&str; 2] = ["10.78.2.2", "fd78:2::2"];

/// outside -- middle -- inside, port 25 of either family routed through the legs.
struct Street {
    outside: Namespace,
    middle: Namespace,
    inside: Namespace,
}

impl Street {
    fn new() -> Self {
        let street =
            Self { outside: Namespace::new(), middle: Namespace::new(), inside: Namespace::new() };
        let middle = &street.middle;
        for setting in [
            "net.ipv4.ip_forward=1",
            "net.ipv6.conf.all.forwarding=1",
            "net.ipv4.conf.all.rp_filter=0",
            "net.ipv4.conf.default.rp_filter=0",
        ] {
            let done = middle.command("sysctl", &["-qw", setting]).status();
            assert!(done.is_ok_and(|status| status.success()), "{setting}");
        }
        let wires = [("wire-out", &street.outside, 1), ("wire-in", &street.inside, 2)];
        for (wire, end, net) in wires {
            let peer = ["peer", "name", "eth0", "netns", end.name()];
            middle.ip(&[&["link", "add", wire, "type", "veth"], &peer[..]].concat());
            for (place, dev, host) in [(middle, wire, 1), (end, "eth0", 2)] {
                place.ip(&["addr", "add", &format!("10.78.{net}.{host}/24"), "dev", dev]);
                let v6 = format!("fd78:{net}::{host}/64");
                place.ip(&["-6", "addr", "add", &v6, "dev", dev, "nodad"]);
                place.ip(&["link", "set", dev, "up"]);
            }
            end.ip(&["route", "add", "default", "via", &format!("10.78.{net}.1")]);
            end.ip(&["-6", "route", "add", "default", "via", &format!("fd78:{net}::1")]);
        }
        for family in ["-4", "-6"] {
            let rule = [family, "rule", "add", "ipproto", "tcp"];
            middle.ip(&[&rule[..], &["iif", "wire-out", "dport", "25", "lookup", "100"]].concat());
            middle.ip(&[&rule[..], &["iif", "wire-in", "sport", "25", "lookup", "101"]].concat());
        }
        street
    }

    /// Routes through the legs, which exist only once a guard was started.
    fn route(&self) {
        for family in ["-4", "-6"] {
            for (leg, table) in [("mg-outside", "100"), ("mg-inside", "101")] {
                let route = [family, "route", "replace", "default", "dev", leg, "table", table];
                self.middle.ip(&route);
            }
        }
    }

    fn listen(&self, server: SocketAddr) -> TcpListener {
        self.inside.enter(|| TcpListener::bind(server).expect("a free port"))
    }

    fn connect(&self, server: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
        self.outside.enter(|| TcpStream::connect_timeout(&server, patience))
    }

    /// Sends `octets` there and back again, and compares.
    fn echo(&self, server: SocketAddr, octets: usize) {
        let listener = self.listen(server);
        let client = self.connect(server, PATIENCE).expect("a connection");
        let (accepted, _) = listener.accept().expect("a client");
        for stream in [&client, &accepted] {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        }
        let sent: Vec<u8> = {
            let mut random = fastrand::Rng::with_seed(octets as u64);
            (0..octets).map(|_| random.u8(..)).collect()
        };
        let mut received = vec![0; octets];
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut room = vec![0; 1 << 16];
                let mut left = octets;
                while left > 0 {
                    let len = (&accepted).read(&mut room).expect("octets in time");
                    assert_ne!(len, 0, "an early end");
                    (&accepted).write_all(&room[..len]).expect("room in time");
                    left -= len;
                }
            });
            scope.spawn(|| (&client).write_all(&sent).expect("room in time"));
            (&client).read_exact(&mut received).expect("all octets in time");
        });
        assert!(sent == received, "{server}: other octets came back");
    }
}

fn servers() -> impl Iterator<Item = SocketAddr> {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    SERVERS.into_iter().map(move |text| SocketAddr::new(address(text), 25))
}

#[test]
fn octets_pass_unharmed_in_both_families() {
    if !root("octets_pass_unharmed_in_both_families") {
        return;
    }
    let street = Street::new();
    for workers in ["1", "2"] {
        for how in [&[][..], &["--no-offload"], &["--no-io-uring"]] {
            let common = ["--personality", "off", "--fail-open", "--workers", workers];
            let mut guard = street.middle.guard(&[&common, how].concat());
            street.route();
            for server in servers() {
                street.echo(server, 4 << 20);
            }
            guard.signal(Signal::SIGTERM);
            assert!(guard.end().0);
        }
    }
}

#[test]
fn a_leg_may_go_down_and_come_back() {
    if !root("a_leg_may_go_down_and_come_back") {
        return;
    }
    let street = Street::new();
    let guard = street.middle.guard(&["--personality", "off"]);
    street.route();
    let server = SocketAddr::from(([10, 78, 2, 2], 25));
    street.echo(server, 100);
    for leg in ["mg-outside", "mg-inside"] {
        street.middle.ip(&["link", "set", leg, "down"]);
        if leg == "mg-inside" {
            // What comes in by the other leg has nowhere to go.
            let gone = street.connect(server, Duration::from_millis(300));
            assert!(gone.is_err());
        }
        street.middle.ip(&["link", "set", leg, "up"]);
        // The kernel drops the routes of a link that goes down.
        street.route();
        street.echo(server, 100);
    }
    guard.signal(Signal::SIGTERM);
    let counters = guard.counters();
    assert!(counters.iter().any(|(label, count)| label == "leg-down" && *count > 0));
}

#[test]
fn a_dead_guard_lets_pass_only_what_it_was_told_to() {
    if !root("a_dead_guard_lets_pass_only_what_it_was_told_to") {
        return;
    }
    let street = Street::new();
    let mut guard = street.middle.guard(&["--personality", "off", "--fail-closed"]);
    street.route();
    guard.crash();
    for server in servers() {
        let _listener = street.listen(server);
        assert!(street.connect(server, Duration::from_millis(500)).is_err(), "{server}");
    }
    let mut guard = street.middle.guard(&["--personality", "off", "--fail-open"]);
    street.echo(SocketAddr::from(([10, 78, 2, 2], 25)), 100);
    guard.crash();
    for server in servers() {
        street.echo(server, 100);
    }
}
