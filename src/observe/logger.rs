//! The thread that makes messages of reports and sends them where they are wanted. Workers hand it reports over a
//! bounded channel and never wait for it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant as Clock;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use jiff::Timestamp;
use socket2::{Protocol, SockAddr, Socket, Type};

use crate::limits::{LIMIT_LOG_PAUSE, LOG_FLUSH_PATIENCE, LOG_REPORTS_MAX, LOG_SUBSCRIBED_MAX};
use crate::report::{Report, Severity};
use crate::time::Instant;

use super::config::{Host, LogConfig, Transport};
use super::limiter::Limiter;
use super::message::{LIMIT_REACHED, LOST, Message, SAID, SUPPRESSED, id_of};
use super::render;
use super::ring::Ring;
use super::tcp::TcpHost;

/// Where journald listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The longest sleep.
const TICK: Duration = Duration::from_secs(1);

/// One who looks on: up to which severity, or as `logging monitor` says.
#[derive(Debug)]
struct Subscriber {
    level: Option<Severity>,
    lines: Sender<String>,
}

/// How often a message was logged, and how often it was suppressed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Logged.
    pub logged: u64,
    /// Suppressed by the rate limit.
    pub suppressed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// 0 for nothing, else one more than the severity up to which reports are wanted.
    level: AtomicU8,
    /// The console gets the message of a limit that was reached.
    tells_limits: AtomicBool,
    /// Reports that found no room.
    lost: AtomicU64,
    /// Lines that a destination did not take.
    undelivered: AtomicU64,
    config: Mutex<LogConfig>,
    ring: Mutex<Ring>,
    subscribers: Mutex<Vec<Subscriber>>,
    counts: Mutex<BTreeMap<u32, Count>>,
}

/// What is behind a lock is whole, whoever panicked while holding it.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn settle_level(&self) {
        let config = locked(&self.config);
        let subscribers = locked(&self.subscribers);
        let monitor = config.monitor.filter(|_| config.enable);
        let levels = subscribers.iter().filter_map(|one| one.level.or(monitor));
        let level = config.wanted(levels.max());
        let limits = config.severity(LIMIT_REACHED).filter(|_| config.enable);
        let tells_limits = limits.is_some_and(|limits| config.console >= Some(limits));
        self.tells_limits.store(tells_limits, Ordering::Relaxed);
        self.level.store(level.map_or(0, |level| level as u8 + 1), Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Entry {
    Report(Report),
    Say(String),
    Configure(Box<LogConfig>, Sender<()>),
    Stop(Sender<()>),
}

/// A worker's end of the logger.
#[derive(Debug, Clone)]
pub struct Reporter {
    shared: Arc<Shared>,
    entries: Sender<Entry>,
}

impl Reporter {
    /// Up to which severity reports are wanted.
    pub fn level(&self) -> Option<Severity> {
        let level = usize::from(self.shared.level.load(Ordering::Relaxed));
        Severity::ALL.get(level.checked_sub(1)?).copied()
    }

    /// Hands a report over; without room it is counted as lost.
    pub fn tell(&self, report: Report) {
        self.hand_over(report);
    }

    fn hand_over(&self, report: Report) -> bool {
        let has_room = self.entries.try_send(Entry::Report(report)).is_ok();
        if !has_room {
            self.lose(1);
        }
        has_room
    }

    /// The same with a report of a limit that was reached; returns whether standard error gets it.
    pub fn tell_limit(&self, report: Report) -> bool {
        self.hand_over(report) && self.shared.tells_limits.load(Ordering::Relaxed)
    }

    /// So many reports were not even made.
    pub fn lose(&self, reports: u64) {
        self.shared.lost.fetch_add(reports, Ordering::Relaxed);
    }
}

/// The logger, seen from the control side.
#[derive(Debug, Clone)]
pub struct Logger {
    shared: Arc<Shared>,
    entries: Sender<Entry>,
}

impl Logger {
    /// Starts the thread. `settle` is the first that it does: it gives up what it does not need.
    ///
    /// # Errors
    ///
    /// There is no thread or no descriptor left.
    pub fn start(
        config: LogConfig,
        file: Option<File>,
        settle: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (entries, incoming) = bounded(LOG_REPORTS_MAX);
        let journal = UnixDatagram::unbound()?;
        journal.set_nonblocking(true)?;
        let mut desk = Desk {
            shared: Arc::clone(&shared),
            config: LogConfig::default(),
            origin: now(),
            limiter: Limiter::default(),
            lost_told: 0,
            lost_pause: Instant::ZERO,
            file,
            journal,
            udp: Vec::new(),
            tcp: Vec::new(),
        };
        desk.configure(config);
        thread::Builder::new().name("logger".into()).spawn(move || {
            settle();
            desk.work(&incoming);
        })?;
        Ok(Self { shared, entries })
    }

    /// An end for a worker.
    pub fn reporter(&self) -> Reporter {
        Reporter { shared: Arc::clone(&self.shared), entries: self.entries.clone() }
    }

    /// Replaces what is logged and where to. Unless the logger is stuck, it is in force when this returns: what an operator
    /// does next is logged as he has said.
    pub fn configure(&self, config: LogConfig) {
        let (done, is_done) = bounded(1);
        if self.entries.send(Entry::Configure(Box::new(config), done)).is_ok() {
            let _ = is_done.recv_timeout(LOG_FLUSH_PATIENCE);
        }
    }

    /// What is logged and where to.
    pub fn config(&self) -> LogConfig {
        locked(&self.shared.config).clone()
    }

    /// Says something of the guard itself.
    pub fn say(&self, text: String) {
        let _ = self.entries.try_send(Entry::Say(text));
    }

    /// The lines of the buffer, the oldest first (`show logging`).
    pub fn buffer(&self) -> Vec<String> {
        locked(&self.shared.ring).lines()
    }

    /// Empties the buffer (`clear logging buffer`).
    pub fn clear_buffer(&self) {
        locked(&self.shared.ring).clear();
    }

    /// Live lines up to that severity (`debug`), or as `logging monitor` says (`terminal monitor`). Who does not
    /// read fast enough misses some; who drops the receiver has unsubscribed.
    pub fn subscribe(&self, level: Option<Severity>) -> Receiver<String> {
        let (lines, receiver) = bounded(LOG_SUBSCRIBED_MAX);
        locked(&self.shared.subscribers).push(Subscriber { level, lines });
        self.shared.settle_level();
        receiver
    }

    /// How often each message was logged and suppressed.
    pub fn counts(&self) -> BTreeMap<u32, Count> {
        locked(&self.shared.counts).clone()
    }

    /// Reports that were lost before anybody read them, and lines that a destination did not take.
    pub fn lost(&self) -> (u64, u64) {
        let read = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (read(&self.shared.lost), read(&self.shared.undelivered))
    }

    /// Logs what has been reported so far, and ends the thread, if that does not take too long.
    pub fn stop(&self) {
        let (done, ended) = bounded(1);
        if self.entries.send_timeout(Entry::Stop(done), LOG_FLUSH_PATIENCE).is_ok() {
            let _ = ended.recv_timeout(2 * LOG_FLUSH_PATIENCE);
        }
    }
}

/// What the thread works with.
#[derive(Debug)]
struct Desk {
    shared: Arc<Shared>,
    config: LogConfig,
    origin: Clock,
    limiter: Limiter,
    lost_told: u64,
    lost_pause: Instant,
    file: Option<File>,
    journal: UnixDatagram,
    udp: Vec<(SockAddr, Option<Socket>)>,
    tcp: Vec<TcpHost>,
}

#[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
fn now() -> Clock {
    Clock::now()
}

impl Desk {
    fn work(&mut self, entries: &Receiver<Entry>) {
        loop {
            match entries.recv_timeout(self.wait()) {
                Ok(Entry::Stop(done)) => {
                    self.flush();
                    let _ = done.send(());
                    return;
                }
                Ok(entry) => self.take(entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick();
        }
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Report(report) => {
                let (device, shows) = (self.config.device, self.config.shows_addresses);
                self.message(id_of(&report.what), || Message::of(&report, device, shows));
            }
            Entry::Say(text) => self.message(SAID, || Message::new(SAID, text)),
            Entry::Configure(config, done) => {
                self.configure(*config);
                let _ = done.send(());
            }
            Entry::Stop(_) => {}
        }
    }

    fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// How long nothing has to be done, if nothing comes.
    fn wait(&self) -> Duration {
        let now = self.now();
        let hosts = self.tcp.iter().filter_map(|host| host.wait(now));
        hosts.chain(self.limiter.pause(now)).fold(TICK, Duration::min)
    }

    /// Tells what was suppressed or lost, and goes on with what could not be sent at once.
    fn tick(&mut self) {
        let now = self.now();
        for (id, count) in self.limiter.due(now) {
            let plural = if count == 1 { "" } else { "s" };
            let text = format!("Suppressed {count} message{plural} {id} within a second");
            self.put_own(SUPPRESSED, text);
        }
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > self.lost_told && now >= self.lost_pause {
            let text =
                format!("Lost {} reports: more came than can be logged", lost - self.lost_told);
            (self.lost_told, self.lost_pause) = (lost, now + LIMIT_LOG_PAUSE);
            self.put_own(LOST, text);
        }
        self.tcp.iter_mut().for_each(|host| host.drive(now));
        let undelivered: u64 = self.tcp.iter_mut().map(TcpHost::take_lost).sum();
        self.shared.undelivered.fetch_add(undelivered, Ordering::Relaxed);
    }

    /// What the logger says of itself has no limit: it comes once a second at most.
    fn put_own(&mut self, id: u32, text: String) {
        if let Some(severity) = self.config.severity(id) {
            self.put(&Message::new(id, text), severity);
        }
    }

    fn message(&mut self, id: u32, message: impl FnOnce() -> Message) {
        let Some(severity) = self.config.severity(id) else { return };
        if !self.is_heard(severity) {
            return;
        }
        let admitted = self.limiter.admits(self.now(), id, self.config.rate);
        let mut counts = locked(&self.shared.counts);
        let count = counts.entry(id).or_default();
        if admitted {
            count.logged += 1;
            drop(counts);
            self.put(&message(), severity);
        } else {
            count.suppressed += 1;
        }
    }

    fn hears(&self, level: Option<Severity>, severity: Severity) -> bool {
        self.config.enable && level.is_some_and(|level| severity <= level)
    }

    fn is_heard(&self, severity: Severity) -> bool {
        let LogConfig { buffered, console, monitor, trap, file, journal, .. } = &self.config;
        let levels = [*buffered, *console, *trap, *file, *journal];
        let subscribers = locked(&self.shared.subscribers);
        levels.into_iter().any(|level| self.hears(level, severity))
            || subscribers.iter().any(|one| match one.level {
                Some(level) => severity <= level,
                None => self.hears(*monitor, severity),
            })
    }

    /// Sends a message to all who want it.
    fn put(&mut self, message: &Message, severity: Severity) {
        let (now, moment) = (self.now(), timestamp());
        let config = &self.config;
        let line = render::line(message, severity, moment, config);
        if self.hears(config.buffered, severity) {
            locked(&self.shared.ring).push(line.clone(), config.buffer_octets);
        }
        self.put_to_subscribers(&line, severity);
        let (console, file) =
            (self.hears(config.console, severity), self.hears(config.file, severity));
        if console || file {
            let text = if config.json {
                render::json(message, severity, moment, config)
            } else {
                line.clone()
            } + "\n";
            let mut failed = false;
            if console {
                failed |= io::stderr().write_all(text.as_bytes()).is_err();
            }
            if let Some(to) = self.file.as_mut().filter(|_| file) {
                failed |= to.write_all(text.as_bytes()).is_err();
            }
            self.undelivered(failed);
        }
        if self.hears(self.config.journal, severity) {
            let datagram = render::journal(message, severity, &self.config);
            let failed = self.journal.send_to(&datagram, JOURNAL).is_err();
            self.undelivered(failed);
        }
        if self.hears(self.config.trap, severity) {
            let line = render::syslog(&line, severity, self.config.facility);
            for host in &mut self.tcp {
                host.put(now, &line);
            }
            for at in 0..self.udp.len() {
                let failed = !self.send_datagram(at, line.as_bytes());
                self.undelivered(failed);
            }
        }
    }

    fn undelivered(&self, failed: bool) {
        self.shared.undelivered.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    fn put_to_subscribers(&self, line: &str, severity: Severity) {
        let mut subscribers = locked(&self.shared.subscribers);
        let before = subscribers.len();
        subscribers.retain(|one| {
            let hears = match one.level {
                Some(level) => severity <= level,
                None => self.hears(self.config.monitor, severity),
            };
            let gone = |error| matches!(error, TrySendError::Disconnected(_));
            !hears || !one.lines.try_send(line.to_owned()).is_err_and(gone)
        });
        let has_left = subscribers.len() < before;
        drop(subscribers);
        if has_left {
            self.shared.settle_level();
        }
    }

    /// Whether a datagram left. Its socket is made when it is needed first.
    fn send_datagram(&mut self, at: usize, datagram: &[u8]) -> bool {
        let Some((address, socket)) = self.udp.get_mut(at) else { return false };
        if socket.is_none() {
            let kind = Type::DGRAM.nonblocking().cloexec();
            *socket = Socket::new_raw(address.domain(), kind, Some(Protocol::UDP)).ok();
        }
        socket.as_ref().is_some_and(|socket| socket.send_to(datagram, address).is_ok())
    }

    fn configure(&mut self, config: LogConfig) {
        let now = self.now();
        let of = |transport: Transport| {
            let mut hosts: Vec<Host> = config.hosts.clone();
            hosts.retain(|host| host.transport == transport);
            hosts.into_iter().map(|host| host.address)
        };
        // A connection that is still wanted stays.
        let mut kept = core::mem::take(&mut self.tcp);
        self.tcp = of(Transport::Tcp)
            .map(|address| match kept.iter().position(|host| host.address() == address) {
                Some(at) => kept.swap_remove(at),
                None => TcpHost::new(address, now),
            })
            .collect();
        self.udp = of(Transport::Udp).map(|address| (SockAddr::from(address), None)).collect();
        *locked(&self.shared.config) = config.clone();
        self.config = config;
        self.shared.settle_level();
    }

    /// Gives hosts that are there a moment to take the rest.
    fn flush(&mut self) {
        let until = self.now() + LOG_FLUSH_PATIENCE;
        while self.now() < until && !self.tcp.iter().all(TcpHost::is_idle) {
            let now = self.now();
            self.tcp.iter_mut().for_each(|host| host.drive(now));
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn timestamp() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
