//! A TCP host of the simulation: a smoltcp interface with one socket, over two queues.

use core::cell::Cell;
use core::net::IpAddr;
use core::ops::Range;
use std::collections::VecDeque;

use fastrand::Rng;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::client::earliest;
use crate::packet::{self, Packet, SYN, u32_at};

thread_local! {
    /// The clock that timestamps are read from, in microseconds.
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

/// Longer than smoltcp waits for an acknowledgement, in microseconds.
const LONGEST_TIMER: u64 = 61_000_000;

/// Sets the clock that timestamps are read from.
pub(crate) fn set_clock(now: u64) {
    CLOCK.set(now);
}

fn timestamp() -> u32 {
    // Wraps after four seconds, as that of a host that has been up for 49 days.
    ((CLOCK.get() / 1000) as u32).wrapping_add(0xffff_f000)
}

/// What kind of host.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) mtu: usize,
    pub(crate) receive_buffer: usize,
    pub(crate) send_buffer: usize,
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    pub(crate) nagle: bool,
    /// Milliseconds that an acknowledgement may wait.
    pub(crate) ack_delay: Option<u64>,
    pub(crate) congestion: CongestionControl,
    /// Whether no more is written than the peer's window has room for. smoltcp's fast retransmit
    /// sends beyond the window, counts that as sent, and loses its timer over it.
    pub(crate) capped: bool,
    /// Milliseconds between keep-alives.
    pub(crate) keep_alive: u64,
    /// The initial sequence number, if it is not to be random.
    pub(crate) isn: Option<u32>,
}

impl Build {
    /// An ordinary host.
    pub(crate) const PLAIN: Self = Self {
        mtu: 1500,
        receive_buffer: 65_535,
        send_buffer: 65_535,
        timestamps: false,
        sack: true,
        nagle: false,
        ack_delay: None,
        congestion: CongestionControl::None,
        capped: false,
        keep_alive: 60_000,
        isn: None,
    };

    pub(crate) fn seeded(rng: &mut Rng, ipv6: bool) -> Self {
        let mtus: &[usize] = if ipv6 { &[1280, 1400, 1500] } else { &[296, 576, 1500, 1500] };
        let buffers = [300, 1_000, 4_000, 20_000, 65_535, 65_535, 100_000, 400_000];
        Self {
            mtu: *rng.choice(mtus).unwrap_or(&1500),
            receive_buffer: *rng.choice(&buffers).unwrap_or(&65_535),
            send_buffer: *rng.choice(&buffers).unwrap_or(&65_535),
            timestamps: rng.bool(),
            sack: rng.u8(..4) != 0,
            nagle: rng.bool(),
            ack_delay: *rng.choice(&[None, None, Some(5), Some(40)]).unwrap_or(&None),
            congestion: *rng
                .choice(&[
                    CongestionControl::None,
                    CongestionControl::None,
                    CongestionControl::Reno,
                    CongestionControl::Cubic,
                ])
                .unwrap_or(&CongestionControl::None),
            capped: false,
            keep_alive: *rng.choice(&[500, 20_000, 60_000]).unwrap_or(&60_000),
            isn: (rng.u8(..3) == 0).then(|| 0u32.wrapping_sub(rng.u32(..3000))),
        }
    }
}

/// A host with one connection.
pub(crate) struct Host {
    interface: Interface,
    device: Queues,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    sack: bool,
    capped: bool,
    isn: Option<u32>,
    /// Added to the sequence numbers that leave, once the first SYN has left.
    shift: Option<u32>,
    peer: Peer,
    /// When something was last sent that needs an acknowledgement.
    active_at: u64,
    /// The newest acknowledgement that arrived, without payload.
    last_ack: Vec<u8>,
    /// Acknowledgement and window field of the last packet that was no keep-alive.
    last_told: (u32, u16),
}

/// What the peer said of its window.
#[derive(Debug, Default)]
struct Peer {
    scale: Option<u8>,
    my_scale: bool,
    edge: Option<u32>,
    acked: Option<u32>,
    /// Behind the last number that was used.
    sent: u32,
}

impl Peer {
    /// A packet of the peer arrives, in smoltcp's numbers.
    fn hear(&mut self, packet: &Packet<'_>) {
        if packet.has(SYN) {
            self.scale = packet.options.scale;
        }
        if !packet.has(packet::ACK) {
            return;
        }
        let shift = match self.scale {
            Some(scale) if self.my_scale && !packet.has(SYN) => scale,
            _ => 0,
        };
        let edge = packet.ack.wrapping_add(u32::from(packet.window) << shift);
        if self.edge.is_none_or(|before| edge.wrapping_sub(before) as i32 > 0) {
            self.edge = Some(edge);
        }
        if self.acked.is_none_or(|acked| packet.ack.wrapping_sub(acked) as i32 > 0) {
            self.acked = Some(packet.ack);
        }
    }

    /// How many octets of a packet of ours the peer has room for.
    fn room(&self, packet: &Packet<'_>) -> usize {
        let len = packet.payload.len();
        match self.edge {
            // A keep-alive while something is on the way may repeat an octet that never came.
            _ if packet.payload == [0] && self.acked != Some(self.sent) => 0,
            Some(edge) if len > 1 => {
                let room = edge.wrapping_sub(packet.seq) as i32;
                len.min(usize::try_from(room).unwrap_or(0))
            }
            _ => len,
        }
    }
}

impl Host {
    fn new(build: &Build, address: IpAddr, seed: u64) -> Self {
        let mut device =
            Queues { mtu: build.mtu, arrived: VecDeque::new(), leaving: VecDeque::new() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        let address = smoltcp::wire::IpAddress::from(address);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(address, 8));
        });
        let mut socket = Socket::new(
            SocketBuffer::new(vec![0; build.receive_buffer]),
            SocketBuffer::new(vec![0; build.send_buffer]),
        );
        socket.set_nagle_enabled(build.nagle);
        socket.set_ack_delay(build.ack_delay.map(Duration::from_millis));
        socket.set_congestion_control(build.congestion);
        // Breaks the stall after a zero window that arrived late: smoltcp arms no probe for
        // octets that are written only after that.
        socket.set_keep_alive(Some(Duration::from_millis(build.keep_alive)));
        if build.timestamps {
            socket.set_tsval_generator(Some(timestamp));
        }
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Self {
            interface,
            device,
            sockets,
            socket,
            sack: build.sack,
            capped: build.capped,
            isn: build.isn,
            shift: None,
            peer: Peer::default(),
            active_at: 0,
            last_ack: Vec::new(),
            last_told: (0, 0),
        }
    }

    /// A host that listens.
    pub(crate) fn listening(build: &Build, address: (IpAddr, u16), seed: u64) -> Self {
        let mut host = Self::new(build, address.0, seed);
        let listened = host.socket().listen(address.1);
        assert!(listened.is_ok(), "cannot listen");
        host
    }

    /// A host that connects.
    pub(crate) fn connecting(
        build: &Build,
        from: (IpAddr, u16),
        to: (IpAddr, u16),
        seed: u64,
    ) -> Self {
        let mut host = Self::new(build, from.0, seed);
        let socket = host.sockets.get_mut::<Socket<'_>>(host.socket);
        let connected = socket.connect(host.interface.context(), to, from);
        assert!(connected.is_ok(), "cannot connect: {connected:?}");
        host
    }

    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    pub(crate) fn state(&self) -> State {
        self.sockets.get::<Socket<'_>>(self.socket).state()
    }

    /// A packet arrives.
    pub(crate) fn arrive(&mut self, mut packet: Vec<u8>) {
        let good = |packet: Packet<'_>| packet.complete && packet.has(SYN);
        if !self.sack && Packet::read(&packet).is_ok_and(good) {
            refuse_sack(&mut packet);
            packet::finish(&mut packet, false);
        }
        if let Some(shift) = self.shift {
            shift_acknowledged(&mut packet, shift);
        }
        if let Ok(read) = Packet::read(&packet)
            && read.complete
        {
            self.peer.hear(&read);
            let seq = read.seq.wrapping_add(read.seq_len());
            if read.has(packet::ACK) && !read.has(packet::RST) {
                let (tcp_at, payload_at) = (read.tcp_at, read.payload_at);
                self.last_ack = packet[..payload_at].to_vec();
                self.last_ack[tcp_at + 4..tcp_at + 8].copy_from_slice(&seq.to_be_bytes());
                self.last_ack[tcp_at + 13] = packet::ACK;
                packet::finish(&mut self.last_ack, false);
            }
        }
        self.device.arrived.push_back(packet);
    }

    /// How many octets the application may write now.
    pub(crate) fn write_room(&self) -> usize {
        match (self.peer.edge, self.peer.acked) {
            (Some(edge), Some(acked)) if self.capped => {
                let window = edge.wrapping_sub(acked) as usize;
                let queued = self.sockets.get::<Socket<'_>>(self.socket).send_queue();
                window.saturating_sub(queued)
            }
            _ => usize::MAX,
        }
    }

    pub(crate) fn has_arrivals(&self) -> bool {
        !self.device.arrived.is_empty()
    }

    /// Lets the host act.
    pub(crate) fn poll(&mut self, now: u64) {
        if self.lost_timer().is_some_and(|at| at <= now) {
            self.active_at = now;
            self.nudge();
        }
        let now = Instant::from_micros(now as i64);
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }

    /// When the host wants to act again.
    pub(crate) fn sleep(&mut self, now: u64) -> Option<u64> {
        let at = self.interface.poll_at(Instant::from_micros(now as i64), &self.sockets);
        // Sometimes it says "now" and has nothing to do now.
        let at = at.map(|at| (at.total_micros() as u64).max(now + 100));
        earliest(at, self.lost_timer())
    }

    /// When it is certain that smoltcp has no timer for what is on the way.
    fn lost_timer(&self) -> Option<u64> {
        let waits = self.peer.acked.is_some_and(|acked| acked != self.peer.sent);
        (waits && self.state() != State::Closed).then_some(self.active_at + LONGEST_TIMER)
    }

    /// smoltcp has octets on the way and no timer for them: a window that was zero for a moment
    /// stops the timer. Duplicate acknowledgements mend that.
    fn nudge(&mut self) {
        let mut ack = self.last_ack.clone();
        let Ok(read) = Packet::read(&ack) else { return };
        let (at, window) = (read.tcp_at + 14, read.window);
        for window in [window ^ 1, window, window, window, window] {
            ack[at..at + 2].copy_from_slice(&window.to_be_bytes());
            packet::finish(&mut ack, false);
            self.device.arrived.push_back(ack.clone());
        }
    }

    /// The next packet that leaves.
    pub(crate) fn depart(&mut self) -> Option<Vec<u8>> {
        let mut packet = self.device.leaving.pop_front()?;
        let Ok(read) = Packet::read(&packet) else {
            return Some(packet);
        };
        let (tcp_at, seq, syn) = (read.tcp_at, read.seq, read.has(SYN));
        if syn {
            self.peer.my_scale = read.options.scale.is_some();
        }
        // smoltcp's fast retransmit does not look at the window, and its receiver takes the FIN
        // of a segment that it has to cut.
        if read.seq_len() > 0 && read.payload != [0] {
            self.active_at = CLOCK.get();
        }
        // smoltcp tells a window in a keep-alive that it does not hold itself to, cuts what comes by the one
        // before, and takes the FIN of what it has cut.
        let is_keep_alive = read.payload == [0] && !syn;
        let told = if is_keep_alive && read.ack == self.last_told.0 {
            self.last_told.1
        } else {
            read.window
        };
        self.last_told = (read.ack, told);
        let room = self.peer.room(&read);
        let end = seq.wrapping_add(read.seq_len());
        if syn || end.wrapping_sub(self.peer.sent) as i32 > 0 {
            self.peer.sent = end;
        }
        let (is_cut, kept) = (room < read.payload.len(), read.payload_at + room);
        packet[tcp_at + 14..tcp_at + 16].copy_from_slice(&told.to_be_bytes());
        if is_cut {
            packet.truncate(kept);
            packet[tcp_at + 13] &= !(packet::FIN | packet::PSH);
        }
        if syn && self.shift.is_none() {
            self.shift = self.isn.map(|isn| isn.wrapping_sub(seq));
        }
        if let Some(shift) = self.shift {
            let shifted = seq.wrapping_add(shift);
            packet[tcp_at + 4..tcp_at + 8].copy_from_slice(&shifted.to_be_bytes());
        }
        if syn && !self.sack {
            refuse_sack(&mut packet);
        }
        packet::finish(&mut packet, false);
        Some(packet)
    }
}

/// Takes `shift` from the acknowledgement and the SACK edges of a packet.
fn shift_acknowledged(packet: &mut [u8], shift: u32) {
    let Ok(read) = Packet::read(packet) else {
        return;
    };
    if !read.complete || !read.has(packet::ACK) {
        return;
    }
    let (tcp_at, payload_at) = (read.tcp_at, read.payload_at);
    let mut places = vec![tcp_at + 8];
    for at in options(packet, tcp_at + 20..payload_at) {
        if packet[at] == 5 {
            let len = usize::from(packet[at + 1]);
            places.extend((at + 2..at + len).step_by(4));
        }
    }
    for place in places {
        let value = u32_at(packet, place).wrapping_sub(shift);
        packet[place..place + 4].copy_from_slice(&value.to_be_bytes());
    }
    packet::finish(packet, false);
}

/// Where the options with a length begin.
fn options(packet: &[u8], mut range: Range<usize>) -> Vec<usize> {
    let mut found = Vec::new();
    while !range.is_empty() && packet[range.start] != 0 {
        if packet[range.start] == 1 {
            range.start += 1;
        } else {
            found.push(range.start);
            range.start += usize::from(packet[range.start + 1]);
        }
    }
    found
}

/// Makes two NOPs of SACK-permitted, as a host that does not know it.
fn refuse_sack(packet: &mut [u8]) {
    let Ok(read) = Packet::read(packet) else {
        return;
    };
    for at in options(packet, read.tcp_at + 20..read.payload_at) {
        if packet[at] == 4 {
            packet[at..at + 2].fill(1);
        }
    }
}

struct Queues {
    mtu: usize,
    arrived: VecDeque<Vec<u8>>,
    leaving: VecDeque<Vec<u8>>,
}

impl Device for Queues {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Leaving<'_>)> {
        let packet = self.arrived.pop_front()?;
        Some((Arrived(packet), Leaving(&mut self.leaving)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.leaving))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct Arrived(Vec<u8>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Leaving<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}
